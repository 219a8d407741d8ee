// strip_quantized: a convolution of int8 with one filter a channel: a work-item has a strip of exact sums.

void strip_quantized(
    __global const x_t *x, __global const w_t *w, RESCALING, __global y_t *y, GEOMETRY, int x_zero, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    int plane, oy, ox;
    const int to = first_of(i, oh, ow, &plane, &oy, &ox);
    const row_t sums = strip(x, w, plane, oy, ox, x_zero, GIVEN);
    for (int n = 0; n < TN && ox + n < ow; n++)
        y[to + n] = requantized(((const int *)&sums)[n], plane % m, m, to + n, RESCALED);
}
