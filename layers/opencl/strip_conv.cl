// strip_conv: a convolution with one filter a channel, in fp32 or fp16: a work-item has a strip.

void strip_conv(
    __global const x_t *x, __global const w_t *w, __global const float *b, __global const float *residual,
    __global float *y, GEOMETRY, int act, float alpha, float beta, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    int plane, oy, ox;
    const int to = first_of(i, oh, ow, &plane, &oy, &ox);
    const row_t sums = strip(x, w, plane, oy, ox, 0, GIVEN);
    const float bias = b ? b[plane % m] : 0;
    for (int n = 0; n < TN && ox + n < ow; n++) {
        const float v = ((const float *)&sums)[n] + bias;
        y[to + n] = finish(residual ? v + residual[to + n] : v, act, alpha, beta);
    }
}
