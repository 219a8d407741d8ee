// deconv: a deconvolution in fp32: a work-item has one result.

void deconv(
    __global const x_t *x, __global const w_t *w, __global const float *b, __global float *y, GEOMETRY, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int row = i / ow, plane = row / oh, image = plane / m, out = plane - image * m;
    y[i] = spread(x, w, image, out, row - plane * oh, i - row * ow, 0, GIVEN) + (b ? b[out] : 0);
}
