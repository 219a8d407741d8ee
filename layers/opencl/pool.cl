// pool: the largest number or the sum of a window. AVERAGE 1 or 0; number is float or int.
// count_h and count_w say how many rows and columns of each window count.

number pooled(__global const x_t *x, int plane, int oy, int ox, int h, int w, int kh, int kw, int stride_h, int stride_w,
              int top, int left, int x_zero) {
    const int iy = oy * stride_h - top, ix = ox * stride_w - left;
    number best = AVERAGE ? 0 : LOWEST;
    for (int i = max(iy, 0); i < min(iy + kh, h); i++)
        for (int j = max(ix, 0); j < min(ix + kw, w); j++) {
            const number v = (number)x[(plane * h + i) * w + j] - x_zero;
            best = AVERAGE ? best + v : v > best ? v : best;
        }
    return best;
}

void pool(__global const x_t *x, __global const float *count_h, __global const float *count_w, __global y_t *y, int h,
          int w, int oh, int ow, int kh, int kw, int stride_h, int stride_w, int top, int left, int x_zero,
          float multiplier, float low, float high, float zero, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int row = i / ow, plane = row / oh, oy = row - plane * oh, ox = i - row * ow;
    const number best = pooled(x, plane, oy, ox, h, w, kh, kw, stride_h, stride_w, top, left, x_zero);
#if AVERAGE
    const float v = divided((float)best, count_h[oy] * count_w[ox]);
#else
    const float v = (float)best;
#endif
#if INTEGERS
    y[i] = rounded(v * multiplier, low, high, zero);
#else
    y[i] = v;
#endif
}
