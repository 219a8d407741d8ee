// depthwise_taps: one filter a channel, PLACES results in a row by each thread.
//
// The filter's size and strides are macros, so that its taps are unrolled: KH, KW, SH, SW. A thread reads the
// (PLACES - 1) * SW + KW numbers of a row that its results need once, whatever taps they meet; neighbours share the rest
// through the first cache.

#define PLACES 4
#define READS ((PLACES - 1) * SW + KW)

extern "C" __global__ void depthwise_taps(
    const float *x, const float *w, const float *b, const float *residual, float *y, int h, int width, int m, int oh,
    int ow, int top, int left, int act, float alpha, float beta, int items) {
    const unsigned runs = (ow + PLACES - 1) / PLACES;
    for (unsigned item = blockIdx.x * blockDim.x + threadIdx.x; item < items; item += gridDim.x * blockDim.x) {
        const unsigned row = item / runs, plane = row / oh;
        const int ox = (item - row * runs) * PLACES, oy = row - plane * oh, channel = plane % m;
        const int ix0 = ox * SW - left, iy0 = oy * SH - top;
        const float *weights = w + channel * KH * KW;
        float sums[PLACES] = {};
#pragma unroll
        for (int ky = 0; ky < KH; ky++) {
            const int iy = iy0 + ky;
            const bool inside = (unsigned)iy < (unsigned)h;
            const float *from = x + ((long long)plane * h + iy) * width + ix0;
            float v[READS];
#pragma unroll
            for (int i = 0; i < READS; i++) v[i] = inside && (unsigned)(ix0 + i) < (unsigned)width ? from[i] : 0.f;
#pragma unroll
            for (int kx = 0; kx < KW; kx++) {
                const float tap = __ldg(weights + ky * KW + kx);
#pragma unroll
                for (int i = 0; i < PLACES; i++) sums[i] += tap * v[i * SW + kx];
            }
        }
        const float bias = b ? b[channel] : 0.f;
        const long long to = (long long)row * ow + ox;
#pragma unroll
        for (int i = 0; i < PLACES; i++)
            if (ox + i < ow) {
                float v = sums[i] + bias;
                if (residual) v += residual[to + i];
                y[to + i] = finish(v, act, alpha, beta);
            }
    }
}
