// strip: one filter a channel: a work-item sums up TN results side by side in a row, so that what they read is vectors.

#define row_t JOIN(number, TN)
#define read_t x_t

#if HALVES
#define WEIGHT(at, w) vload_half(at, w)
#else
#define WEIGHT(at, w) w[at]
#endif

// The first of strip i's results in y, and how many there are: the last strip of a row may be shorter.
int first_of(int i, int oh, int ow, int *plane, int *oy, int *ox) {
    const int strips = (ow + TN - 1) / TN, row = i / strips;
    *plane = row / oh;
    *oy = row - *plane * oh;
    *ox = (i - row * strips) * TN;
    return row * ow + *ox;
}

row_t strip(
    __global const x_t *x, __global const w_t *w, int plane, int oy, int ox, int x_zero, GEOMETRY) {
    const int step = stride_w, last = (TN - 1) * step + step - 1, iy = oy * stride_h - top, ix = ox * step - left;
    const int tap = plane % m * kh * kw;
    row_t sums = 0;
    for (int ky = 0; ky < kh; ky++) {
        const int i = iy + ky * dilation_h;
        if ((uint)i >= (uint)h) continue;
        __global const x_t *row = x + (plane * h + i) * width;
        for (int kx = 0; kx < kw; kx++) {
            const int j = ix + kx * dilation_w;
            row_t v;
            if (step <= 2 && j >= 0 && j + last < width) {
                v = JOIN(convert_, row_t)(PLACES(row + j)) - x_zero;
            } else {
                number each[TN];
                for (int n = 0; n < TN; n++) {
                    const int at = j + n * step;
                    each[n] = (uint)at < (uint)width ? (number)row[at] - x_zero : 0;
                }
                v = JOIN(vload, TN)(0, each);
            }
            sums += v * (number)WEIGHT(tap + ky * kw + kx, w);
        }
    }
    return sums;
}
