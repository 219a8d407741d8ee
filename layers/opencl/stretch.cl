// stretch: each pixel of y lies between two rows and two columns of x, by tables of which and how far from the first;
// what lies beyond the image is `fill`. rows and columns hold pairs.

void stretch(__global const x_t *x, __global float *y, __global const int *rows, __global const float *row_shares,
             __global const int *columns, __global const float *column_shares, int h, int w, int depth, int oh, int ow,
             int top, int bottom, int left, int right, float fill, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int pixel = i / depth, c = i - pixel * depth, line = pixel / ow, image = line / oh;
    const int oy = line - image * oh, ox = pixel - line * ow;
    if (oy < top || oy >= bottom || ox < left || ox >= right) {
        y[i] = fill;
        return;
    }
    const float down = row_shares[oy - top], across = column_shares[ox - left];
    float sides[2];
    for (int k = 0; k < 2; k++) {
        const int column = columns[2 * (ox - left) + k];
        const float low = x[((image * h + rows[2 * (oy - top)]) * w + column) * depth + c];
        const float high = x[((image * h + rows[2 * (oy - top) + 1]) * w + column) * depth + c];
        sides[k] = low * (1 - down) + high * down;
    }
    y[i] = sides[0] * (1 - across) + sides[1] * across;
}
