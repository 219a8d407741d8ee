// dot: convolution of int8 as a matrix product of bytes, of which one instruction multiplies and adds up four.
//
//     y[m][p] = requantized(b[m] + sum over k of w[k][m] * x[k][p])
//
// p: places of y in all images; k: taps (ky, kx, channel), four channels to a word, those that do not exist with weights
// of 0. A block makes BM x BN of y, a thread TM x TN: TM rows side by side, and TN places that lie BN / TN apart, so that
// neighbours among the threads read neighbours. While a stage of BK words is multiplied, the next one comes from memory
// into registers. What lies in the padding is x_zero; what that and x's own zero add up to is in b already.

#define ACROSS (BN / TN)
#define THREADS (BM / TM * ACROSS)
#define W_WORDS (BK * BM / THREADS)  // of a stage, by each thread
#define X_WORDS (BK * BN / THREADS)

typedef int Weights[BK][BM];
typedef int Inputs[BK][BN];

extern "C" __global__ __launch_bounds__(THREADS) void dot(
    const signed char *x, const int *w, const int4 *taps, const int *b, const float *multiplier, const float *slope,
    const signed char *residual, const float *gate, stored *y, int c, int h, int width, int m, int oh, int ow,
    int group, int depth, int rows, int pixels, int stride_h, int stride_w, int top, int left, int x_zero,
    int residual_zero, float residual_multiplier, float low, float high, int zero, int threads, int shared,
    int blocks_x, int blocks_y, int blocks_z) {
    extern __shared__ __align__(16) char memory[];
    Weights *ws = (Weights *)memory;
    Inputs *xs = (Inputs *)(memory + 2 * sizeof(Weights));

    const int me = threadIdx.x, g = blockIdx.z, m0 = blockIdx.y * BM, p0 = blockIdx.x * BN;
    const int plane = h * width, area = oh * ow, nothing = (x_zero & 255) * 0x01010101;
    const int *weights = w + (long long)g * depth * rows + m0;

    // the place of y for which this thread fetches words of x, a row of them every THREADS / BN
    const int column = me % BN, row0 = me / BN, pixel = p0 + column;
    const bool inside = pixel < pixels;
    const int image = inside ? pixel / area : 0, place = inside ? pixel - image * area : 0;
    const int iy0 = place / ow * stride_h - top, ix0 = place % ow * stride_w - left;
    const signed char *from = x + ((long long)image * group + g) * c * plane + iy0 * width + ix0;

    int x_next[X_WORDS], w_next[W_WORDS];
    auto fetch = [&](int step) {
#pragma unroll
        for (int i = 0; i < X_WORDS; i++) {
            const int4 t = __ldg(taps + step * BK + row0 + i * (THREADS / BN));  // on, down, across, how many channels
            const bool there = inside && (unsigned)(iy0 + t.y) < (unsigned)h && (unsigned)(ix0 + t.z) < (unsigned)width;
            int word = nothing;
            if (there) {
                const signed char *at = from + t.x;
                word = at[0] & 255;
                word |= (t.w > 1 ? at[plane] & 255 : 0) << 8;
                word |= (t.w > 2 ? at[2 * plane] & 255 : 0) << 16;
                word |= (t.w > 3 ? at[3 * plane] & 255 : 0) << 24;
            }
            x_next[i] = word;
        }
#pragma unroll
        for (int i = 0; i < W_WORDS; i++) {
            const int at = me + i * THREADS;
            w_next[i] = __ldg(weights + (long long)(step * BK + at / BM) * rows + at % BM);
        }
    };
    auto keep = [&](int stage) {
#pragma unroll
        for (int i = 0; i < X_WORDS; i++) xs[stage][row0 + i * (THREADS / BN)][column] = x_next[i];
#pragma unroll
        for (int i = 0; i < W_WORDS; i++) ws[stage][(me + i * THREADS) / BM][(me + i * THREADS) % BM] = w_next[i];
    };

    int sums[TM][TN] = {};
    const int steps = depth / BK, my_row = me / ACROSS * TM, my_column = me % ACROSS;
    fetch(0);
    keep(0);
    __syncthreads();
    for (int step = 0; step < steps; step++) {
        const int stage = step % 2;
        if (step + 1 < steps) fetch(step + 1);
#pragma unroll
        for (int k = 0; k < BK; k++) {
            int a[TM], v[TN];
#pragma unroll
            for (int i = 0; i < TM; i++) a[i] = ws[stage][k][my_row + i];
#pragma unroll
            for (int j = 0; j < TN; j++) v[j] = xs[stage][k][my_column + j * ACROSS];
#pragma unroll
            for (int i = 0; i < TM; i++)
#pragma unroll
                for (int j = 0; j < TN; j++) sums[i][j] = __dp4a(a[i], v[j], sums[i][j]);
        }
        if (step + 1 < steps) keep(1 - stage);  // nobody reads it: all are past the barrier before this step
        __syncthreads();
    }

#pragma unroll
    for (int j = 0; j < TN; j++) {
        const int out_pixel = p0 + my_column + j * ACROSS;
        if (out_pixel >= pixels) continue;
        const int out_image = out_pixel / area;
        const long long to = ((long long)out_image * group + g) * m * area + out_pixel - out_image * area;
#pragma unroll
        for (int i = 0; i < TM; i++) {
            const int r = m0 + my_row + i, out = g * m + r;
            if (r >= m) continue;
            const long long at = to + (long long)r * area;
            const float added = residual ? (float)(residual[at] - residual_zero) : 0.f;
            const float below = slope ? slope[out] : 1.f, factor = multiplier ? multiplier[out] : 1.f;
            const float *mine = gate ? gate + out : nullptr;
            y[at] = requantized(
                sums[i][j] + b[out], factor, below, added, residual_multiplier, mine, group * m, low, high, zero);
        }
    }
}
