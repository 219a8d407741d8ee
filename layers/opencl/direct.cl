// direct: one result of a convolution, summed up as its formula says. For one filter a channel, where neighbours among
// the work-items read neighbours of x, and for weights that are computed.

#if HALVES
#define WEIGHT(at, w) vload_half(at, w)
#else
#define WEIGHT(at, w) w[at]
#endif

number direct(
    __global const x_t *x, __global const w_t *w, int image, int out, int oy, int ox, int x_zero, GEOMETRY) {
    const int g = out / (m / group), iy = oy * stride_h - top, ix = ox * stride_w - left;
    number sum = 0;
    for (int k = 0; k < c; k++) {
        const int from = ((image * group + g) * c + k) * h, tap = (out * c + k) * kh * kw;
        for (int ky = 0; ky < kh; ky++) {
            const int i = iy + ky * dilation_h;
            if ((uint)i >= (uint)h) continue;
            for (int kx = 0; kx < kw; kx++) {
                const int j = ix + kx * dilation_w;
                const bool inside = (uint)j < (uint)width;
                const number v = (number)x[(from + i) * width + (inside ? j : 0)] - x_zero;
                sum += inside ? v * (number)WEIGHT(tap + ky * kw + kx, w) : 0;
            }
        }
    }
    return sum;
}
