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
// Macros: BM, BN, WM, WN, SLICES, STAGES; POINTWISE 1 where x's rows are used as they are: one tap, stride 1, no
// padding, and a multiple of 4 places an image.

#define THREADS (BM / WM * (BN / WN) * SLICES * 32)
#define BK (16 * SLICES)
#define PAD 8  // numbers after each row: then what a warp reads lies in 32 banks
#define MT (WM / 16)
#define NT (WN / 8)

typedef float Weights[BK][BM + PAD];
typedef float Inputs[BK][BN + PAD];

__device__ __forceinline__ void copy4(float *to, const float *from, bool there) {  // 0 if it is not there
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = there ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from), "r"(bytes));
}

__device__ __forceinline__ void copy16(float *to, const float *from, bool there) {
    unsigned address = (unsigned)__cvta_generic_to_shared(to);
    int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from), "r"(bytes));
}

__device__ __forceinline__ void cut(float v, unsigned &high, unsigned &low) {
    high = __float_as_uint(v) & 0xffffe000u;
    low = __float_as_uint(v - __uint_as_float(high));
}

__device__ __forceinline__ void multiply(float *d, const unsigned *a, const unsigned *b) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// fused.py's numbers
__device__ __forceinline__ float finish(float v, int act, float alpha, float beta) {
    switch (act) {
    case 1: return fminf(fmaxf(v, alpha), beta);
    case 2: return v > 0 ? v : alpha * v;
    case 3: return 1 / (1 + expf(-v));
    case 4: return v / (1 + expf(-alpha * v));
    case 5: return v * fminf(fmaxf(alpha * v + beta, 0.f), 1.f);
    case 6: return fminf(fmaxf(alpha * v + beta, 0.f), 1.f);
    case 7: return v > 0 ? v : alpha * expm1f(v);
    case 8: return tanhf(v);
    default: return v;
    }
}

extern "C" __global__ __launch_bounds__(THREADS) void gemm_mma(
    const float *x, const float *w, const int4 *taps, const float *b, const float *residual, float *y, int c, int h,
    int width, int m, int oh, int ow, int group, int depth, int rows, int pixels, int stride_h, int stride_w, int top,
    int left, int splits, int act, float alpha, float beta, int threads, int blocks_x, int blocks_y, int blocks_z) {
    __shared__ __align__(16) char memory[STAGES * (sizeof(Weights) + sizeof(Inputs))];
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
    const float *weights = w + ((long long)g * depth) * rows + m0;

#if POINTWISE
    const int column = me % (BN / 4) * 4, row0 = me / (BN / 4), row_step = THREADS / (BN / 4);
#else
    const int column = me % BN, row0 = me / BN, row_step = THREADS / BN;
#endif
    const int pixel = p0 + column;
    const bool inside = pixel < pixels;
    const int image = inside ? pixel / area : 0, place = inside ? pixel - image * area : 0;
    const int iy0 = place / ow * stride_h - top, ix0 = place % ow * stride_w - left;
    const float *from = x + ((long long)image * group + g) * c * plane + (POINTWISE ? place : iy0 * width + ix0);

    auto load = [&](int step, int stage) {
        for (int r = row0; r < BK; r += row_step) {
#if POINTWISE
            const bool there = inside && step * BK + r < c;
            copy16(&xs[stage][r][column], there ? from + (step * BK + r) * plane : x, there);
#else
            const int4 t = taps[step * BK + r];
            const bool there = inside && (unsigned)(iy0 + t.y) < (unsigned)h && (unsigned)(ix0 + t.z) < (unsigned)width;
            copy4(&xs[stage][r][column], there ? from + t.x : x, there);
#endif
        }
        for (int i = me; i < BK * BM / 4; i += THREADS) {
            const int r = i / (BM / 4), q = i % (BM / 4) * 4;
            copy16(&ws[stage][r][q], weights + (long long)(step * BK + r) * rows + q, true);
        }
    };
    auto commit = [] { asm volatile("cp.async.commit_group;"); };

    float sums[MT][NT][4];
    for (int i = 0; i < MT; i++)
        for (int j = 0; j < NT; j++)
            for (int q = 0; q < 4; q++) sums[i][j][q] = 0;

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (first + s < last) load(first + s, s);
        commit();
    }
    int stage = 0;
    for (int step = first; step < last; step++) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));
        __syncthreads();
        if (step + STAGES - 1 < last) load(step + STAGES - 1, (stage + STAGES - 1) % STAGES);
        commit();
#pragma unroll
        for (int kk = 0; kk < 16; kk += 8) {
            const int k = slice * 16 + kk + lane_column;
            unsigned a[MT][4], a_low[MT][4], v[NT][2], v_low[NT][2];
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int q = 0; q < 4; q++)
                    cut(ws[stage][k + q / 2 * 4][wm + i * 16 + lane_row + q % 2 * 8], a[i][q], a_low[i][q]);
#pragma unroll
            for (int j = 0; j < NT; j++)
#pragma unroll
                for (int q = 0; q < 2; q++) cut(xs[stage][k + q * 4][wn + j * 8 + lane_row], v[j][q], v_low[j][q]);
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++) {
                    multiply(sums[i][j], a_low[i], v[j]);
                    multiply(sums[i][j], a[i], v_low[j]);
                    multiply(sums[i][j], a[i], v[j]);
                }
        }
        stage = (stage + 1) % STAGES;
    }
    asm volatile("cp.async.wait_group 0;");

#if SLICES > 1
    float *room = (float *)memory;  // each slice but the first hands its sums over, one slice after the other
    for (int s = 1; s < SLICES; s++) {
        __syncthreads();
        if (slice == s)
            for (int i = 0; i < MT * NT * 4; i++) room[(i * parts + part) * 32 + lane] = (&sums[0][0][0])[i];
        __syncthreads();
        if (slice == 0)
#pragma unroll
            for (int i = 0; i < MT * NT * 4; i++) (&sums[0][0][0])[i] += room[(i * parts + part) * 32 + lane];
    }
    if (slice != 0) return;
#endif

    y += (long long)split * pixels * group * m;
#pragma unroll
    for (int j = 0; j < NT; j++)
#pragma unroll
        for (int q = 0; q < 2; q++) {
            const int p = p0 + wn + j * 8 + lane_column * 2 + q;
            if (p >= pixels) continue;
            const int n = p / area, at = p - n * area;
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int row = m0 + wm + i * 16 + lane_row + half * 8;
                    if (row >= m) continue;
                    const long long to = (((long long)n * group + g) * m + row) * area + at;
                    float v = sums[i][j][half * 2 + q];
                    if (b) v += b[g * m + row];
                    if (residual) v += residual[to];
                    y[to] = finish(v, act, alpha, beta);
                }
        }
}
