// pool_taps: pooling over windows whose size is known, PLACES windows in a row by each thread.
//
// Macros: KH, KW, SH, SW; AVERAGE 1 for the average, 0 for the largest.

#define PLACES 4
#define READS ((PLACES - 1) * SW + KW)
#define NOTHING (AVERAGE ? 0.f : -__int_as_float(0x7f800000))

extern "C" __global__ void pool_taps(
    const float *x, float *y, const float *count_h, const float *count_w, int h, int w, int oh, int ow, int top,
    int left, int items) {
    const unsigned runs = (ow + PLACES - 1) / PLACES;
    for (unsigned item = blockIdx.x * blockDim.x + threadIdx.x; item < items; item += gridDim.x * blockDim.x) {
        const unsigned row = item / runs, plane = row / oh;
        const int ox = (item - row * runs) * PLACES, oy = row - plane * oh;
        const int ix0 = ox * SW - left, iy0 = oy * SH - top;
        float best[PLACES];
#pragma unroll
        for (int i = 0; i < PLACES; i++) best[i] = NOTHING;
#pragma unroll
        for (int ky = 0; ky < KH; ky++) {
            const int iy = iy0 + ky;
            const bool inside = (unsigned)iy < (unsigned)h;
            const float *from = x + ((long long)plane * h + iy) * w + ix0;
            float v[READS];
#pragma unroll
            for (int i = 0; i < READS; i++) v[i] = inside && (unsigned)(ix0 + i) < (unsigned)w ? from[i] : NOTHING;
#pragma unroll
            for (int kx = 0; kx < KW; kx++)
#pragma unroll
                for (int i = 0; i < PLACES; i++)
                    best[i] = AVERAGE ? best[i] + v[i * SW + kx] : fmaxf(best[i], v[i * SW + kx]);
        }
#pragma unroll
        for (int i = 0; i < PLACES; i++)
            if (ox + i < ow) y[(long long)row * ow + ox + i] = AVERAGE ? best[i] / (count_h[oy] * count_w[ox + i]) : best[i];
    }
}
