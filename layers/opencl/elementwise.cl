// elementwise: y = EXPRESSION of v, an element of x, and of the numbers p, q and r.

void elementwise(__global const x_t *x, __global y_t *y, float p, float q, float r, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const x_t v = x[i];
    y[i] = EXPRESSION;
}
