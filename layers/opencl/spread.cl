// spread: one result of a deconvolution: it gathers what the taps of its filters spread into it. A tap of y's place
// comes from x where the stride divides. Weights lie as (channels, filters of a group, kh, kw).

number spread(
    __global const x_t *x, __global const w_t *w, int image, int out, int oy, int ox, int x_zero, GEOMETRY) {
    const int filters = m / group, g = out / filters, filter = out - g * filters;
    number sum = 0;
    for (int ky = 0; ky < kh; ky++) {
        const int down = oy + top - ky * dilation_h, iy = down / stride_h;
        if (down < 0 || iy * stride_h != down || iy >= h) continue;
        for (int kx = 0; kx < kw; kx++) {
            const int across = ox + left - kx * dilation_w, ix = across / stride_w;
            if (across < 0 || ix * stride_w != across || ix >= width) continue;
            for (int k = 0; k < c; k++) {
                const int from = ((image * group + g) * c + k) * h + iy;
                const int tap = (((g * c + k) * filters + filter) * kh + ky) * kw + kx;
                sum += ((number)x[from * width + ix] - x_zero) * (number)w[tap];
            }
        }
    }
    return sum;
}
