// channels: y = EXPRESSION of v, an element of x, of its channel's a and b, and of the number p. `size` elements in a row
// are of one channel, and there are `count` channels.

void channels(__global const x_t *x, __global const a_t *a, __global const b_t *b, __global y_t *y, int size, int count,
              float p, float low, float high, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int at = i / size % count;
    const x_t v = x[i];
    y[i] = EXPRESSION;
}
