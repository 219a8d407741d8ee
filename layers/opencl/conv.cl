// conv: a convolution of constant weights in fp32 or fp16: a work-item has a tile.

void conv(
    __global const x_t *x, __global const w_t *w, __global const float *b, __global const float *residual,
    __global float *y, GEOMETRY, int places, int blocks, int act, float alpha, float beta) {
    const int place = get_global_id(0) * TN, block = get_global_id(1), g = get_global_id(2), filters = m / group;
    if (place >= places || block >= blocks) return;
    row_t sums[TN];
    tile(x, w, sums, place, places, block, blocks, g, 0, GIVEN);
    for (int i = 0; i < TM && block * TM + i < filters; i++) {
        const int out = g * filters + block * TM + i;
        const float bias = b ? b[out] : 0;
        for (int n = 0; n < TN && place + n < places; n++) {
            const int image = (place + n) / (oh * ow);
            const int to = (image * (m - 1) + out) * oh * ow + place + n;
            const float v = ((float *)&sums[n])[i] + bias;
            y[to] = finish(residual ? v + residual[to] : v, act, alpha, beta);
        }
    }
}
