// quantized_conv: a convolution of int8: a work-item has a tile of exact sums.

void quantized_conv(
    __global const x_t *x, __global const w_t *w, RESCALING, __global y_t *y, GEOMETRY, int places, int blocks,
    int x_zero) {
    const int place = get_global_id(0) * TN, block = get_global_id(1), g = get_global_id(2), filters = m / group;
    if (place >= places || block >= blocks) return;
    row_t sums[TN];
    tile(x, w, sums, place, places, block, blocks, g, x_zero, GIVEN);
    for (int i = 0; i < TM && block * TM + i < filters; i++) {
        const int out = g * filters + block * TM + i;
        for (int n = 0; n < TN && place + n < places; n++) {
            const int image = (place + n) / (oh * ow);
            const int to = (image * (m - 1) + out) * oh * ow + place + n;
            y[to] = requantized(((int *)&sums[n])[i], out, m, to, RESCALED);
        }
    }
}
