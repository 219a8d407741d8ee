// gemm_mma: convolution as a matrix product on the tensor cores, in the precision of fp32.
//
//     y[m][p] = sum over k of w[k][m] * x[k][p]        p: places of y in all images, k: taps (channel, ky, kx)
//
// A block makes BM x BN of y, a warp WM x WN of it. SLICES warps share each such part: each adds up 16 of the
// 16 * SLICES taps that are in shared memory at a time, so that a small y keeps a multiprocessor busy, too. While one
// stage is multiplied, the next ones come from memory by copies that do not pass through registers.
//
// The tensor cores multiply numbers of 11 bits (TF32). Each fp32 number is cut into two of them, and three of the four
// products are added: what is lost is below 2^-21 of a product (Ootomo & Yokota 2022, arXiv:2203.03341).
//
// Weights in fp16 have 11 bits as they are: they need no cutting, and two products.
//
// The tensor cores cut a sum's last bits off where fp32 would round it; so they add up 8 taps at a time only.
//
// Macros: BM, BN, WM, WN, SLICES, STAGES, HALVES (1: w is fp16), and how x is read:
//     POINTWISE 1   its rows are used as they are: one tap, stride 1, no padding, a multiple of 4 places an image
//     TAPWISE 1     k runs over channels first, whose number is a multiple of BK: in a stage all have the same ky, kx
//     neither       any: the table says for each k where it lies

#define THREADS (BM / WM * (BN / WN) * SLICES * 32)
#define BK (16 * SLICES)
#define PAD 8  // numbers after each row: then what a warp reads lies in 32 banks
#define MT (WM / 16)
#define NT (WN / 8)
#if HALVES
typedef unsigned short weight;
#else
typedef float weight;
#endif
#define W_EACH (16 / (int)sizeof(weight))  // weights a copy
#define W_COPIES (BK * BM / W_EACH / THREADS)  // of a stage, by each thread
#define X_COPIES (BK * BN / (POINTWISE ? 4 : 1) / THREADS)

typedef weight Weights[BK][BM + PAD];
typedef float Inputs[BK][BN + PAD];
typedef float Results[BM][BN + 4];  // 4: the lanes of a warp, which have 8 rows of 8 places, store in two turns
#define ROW_STEP (THREADS / BN)  // rows of results that the threads store at a time
#define ROUNDS (BM / ROW_STEP)
#define TOGETHER (ROUNDS < 8 ? ROUNDS : 8)  // rounds whose reads are under way at once

__device__ __forceinline__ void cut(float v, unsigned &high, unsigned &low) {
    high = __float_as_uint(v) & 0xffffe000u;
    low = __float_as_uint(v - __uint_as_float(high));
}

extern "C" __global__ __launch_bounds__(THREADS) void gemm_mma(
    const float *x, const weight *w, const int4 *taps, const float *b, const float *residual, float *y, int c, int h,
    int width, int m, int oh, int ow, int group, int depth, int rows, int pixels, int stride_h, int stride_w, int top,
    int left, int splits, int act, float alpha, float beta, int threads, int shared, int blocks_x, int blocks_y,
    int blocks_z) {
    extern __shared__ __align__(16) char memory[];
    Weights *ws = (Weights *)memory;
    Inputs *xs = (Inputs *)(memory + STAGES * sizeof(Weights));

    const int me = threadIdx.x, lane = me % 32, warp = me / 32;
    const int parts = THREADS / 32 / SLICES, slice = warp / parts, part = warp % parts;
    const int wm = part / (BN / WN) * WM, wn = part % (BN / WN) * WN;
    const int lane_row = lane / 4, lane_column = lane % 4;  // of a matrix instruction's operands
    const int g = blockIdx.z / splits, split = blockIdx.z % splits;
    const int m0 = blockIdx.y * BM, p0 = blockIdx.x * BN, area = oh * ow;
    const long long plane = (long long)h * width;
    const int steps = depth / BK;
    const int first = (int)((long long)steps * split / splits), last = (int)((long long)steps * (split + 1) / splits);
    const weight *weights = w + ((long long)g * depth) * rows + m0;

#if POINTWISE
    const int column = me % (BN / 4) * 4, row0 = me / (BN / 4), row_step = THREADS / (BN / 4);
#else
    const int column = me % BN, row0 = me / BN, row_step = ROW_STEP;
#endif
    const int pixel = p0 + column;
    const bool inside = pixel < pixels;
    const int image = inside ? pixel / area : 0, place = inside ? pixel - image * area : 0;
    const int iy0 = place / ow * stride_h - top, ix0 = place % ow * stride_w - left;
    const float *from = x + ((long long)image * group + g) * c * plane + (POINTWISE ? place : iy0 * width + ix0);

    // Every loop has a known number of rounds, so that a thread has all its reads under way at once.
    auto load = [&](int step, int stage) {
#if POINTWISE
#pragma unroll
        for (int i = 0; i < X_COPIES; i++) {
            const int r = row0 + i * row_step, k = step * BK + r;
            const bool there = inside && k < c;
            copy16(&xs[stage][r][column], there ? from + k * plane : x, there);
        }
#elif TAPWISE
        const int tap = step * BK / c, channel = step * BK - tap * c;
        const int4 t = __ldg(taps + tap);
        const bool there = inside && (unsigned)(iy0 + t.y) < (unsigned)h && (unsigned)(ix0 + t.z) < (unsigned)width;
        const float *source = there ? from + t.x + (channel + row0) * plane : x;
#pragma unroll
        for (int i = 0; i < X_COPIES; i++)
            copy4(&xs[stage][row0 + i * row_step][column], there ? source + i * row_step * plane : x, there);
#else
        int4 t[X_COPIES];
#pragma unroll
        for (int i = 0; i < X_COPIES; i++) t[i] = __ldg(taps + step * BK + row0 + i * row_step);
#pragma unroll
        for (int i = 0; i < X_COPIES; i++) {
            const bool there =
                inside && (unsigned)(iy0 + t[i].y) < (unsigned)h && (unsigned)(ix0 + t[i].z) < (unsigned)width;
            copy4(&xs[stage][row0 + i * row_step][column], there ? from + t[i].x : x, there);
        }
#endif
#pragma unroll
        for (int i = 0; i < W_COPIES; i++) {
            const int at = me + i * THREADS, r = at / (BM / W_EACH), q = at % (BM / W_EACH) * W_EACH;
            copy16(&ws[stage][r][q], weights + (long long)(step * BK + r) * rows + q, true);
        }
    };

    float sums[MT][NT][4];
    for (int i = 0; i < MT; i++)
        for (int j = 0; j < NT; j++)
            for (int q = 0; q < 4; q++) sums[i][j][q] = 0;

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (first + s < last) load(first + s, s);
        together();
    }
    int stage = 0;
    for (int step = first; step < last; step++) {
        landed<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < last) load(step + STAGES - 1, (stage + STAGES - 1) % STAGES);
        together();
#pragma unroll
        for (int kk = 0; kk < 16; kk += 8) {
            const int k = slice * 16 + kk + lane_column;
            unsigned a[MT][4], a_low[MT][4], v[NT][2], v_low[NT][2];
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int q = 0; q < 4; q++) {
                    const weight v = ws[stage][k + q / 2 * 4][wm + i * 16 + lane_row + q % 2 * 8];
#if HALVES
                    a[i][q] = __float_as_uint(widened(v));
#else
                    cut(v, a[i][q], a_low[i][q]);
#endif
                }
#pragma unroll
            for (int j = 0; j < NT; j++)
#pragma unroll
                for (int q = 0; q < 2; q++) cut(xs[stage][k + q * 4][wn + j * 8 + lane_row], v[j][q], v_low[j][q]);
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++) {
                    float few[4] = {0, 0, 0, 0};
#if !HALVES
                    multiply(few, a_low[i], v[j]);
#endif
                    multiply(few, a[i], v_low[j]);
                    multiply(few, a[i], v[j]);
#pragma unroll
                    for (int q = 0; q < 4; q++) sums[i][j][q] += few[q];
                }
        }
        stage = (stage + 1) % STAGES;
    }
    landed<0>();
    __syncthreads();

    // Through shared memory to y, so that neighbouring threads store neighbouring places; there the slices are added, too.
    Results *results = (Results *)memory;
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int j = 0; j < NT; j++)
#pragma unroll
            for (int q = 0; q < 4; q++)
                results[slice][wm + i * 16 + lane_row + q / 2 * 8][wn + j * 8 + lane_column * 2 + q % 2] = sums[i][j][q];
    __syncthreads();
    const int out_column = me % BN, out_pixel = p0 + out_column, out_row = me / BN;
    if (out_pixel >= pixels) return;
    const int out_image = out_pixel / area;
    const long long out = ((long long)out_image * group + g) * m * area + out_pixel - out_image * area;
    y += (long long)split * pixels * group * m;
    for (int start = 0; start < ROUNDS; start += TOGETHER) {
        float v[TOGETHER];
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            const int r = out_row + (start + i) * ROW_STEP;
            v[i] = 0;
            if (m0 + r < m) {
                if (b) v[i] = __ldg(b + g * m + m0 + r);
                if (residual) v[i] += residual[out + (long long)(m0 + r) * area];
            }
#pragma unroll
            for (int s = 0; s < SLICES; s++) v[i] += results[s][r][out_column];
        }
#pragma unroll
        for (int i = 0; i < TOGETHER; i++) {
            const int r = m0 + out_row + (start + i) * ROW_STEP;
            if (r < m) y[out + (long long)r * area] = finish(v[i], act, alpha, beta);
        }
    }
}
