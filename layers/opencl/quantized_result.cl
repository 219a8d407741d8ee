// quantized_result: a convolution or deconvolution of int8, whichever SUM is: a work-item has one exact sum.

void quantized_result(
    __global const x_t *x, __global const w_t *w, RESCALING, __global y_t *y, GEOMETRY, int x_zero, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int row = i / ow, plane = row / oh, image = plane / m, out = plane - image * m;
    const int sum = SUM(x, w, image, out, row - plane * oh, i - row * ow, x_zero, GIVEN);
    y[i] = requantized(sum, out, m, i, RESCALED);
}
