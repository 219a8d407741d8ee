// direct_conv: a convolution in fp32 or fp16: a work-item has one result.

void direct_conv(
    __global const x_t *x, __global const w_t *w, __global const float *b, __global const float *residual,
    __global float *y, GEOMETRY, int act, float alpha, float beta, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int row = i / ow, plane = row / oh, image = plane / m, out = plane - image * m;
    float v = direct(x, w, image, out, row - plane * oh, i - row * ow, 0, GIVEN);
    if (b) v += b[out];
    if (residual) v += residual[i];
    y[i] = finish(v, act, alpha, beta);
}
