// resize: each pixel of y is made of `taps_h` rows and `taps_w` columns of x, by tables of which and how much of each.

void resize(__global const float *x, __global float *y, __global const int *rows, __global const float *row_parts,
            __global const int *columns, __global const float *column_parts, int h, int w, int oh, int ow, int taps_h,
            int taps_w, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int row = i / ow, plane = row / oh, oy = row - plane * oh, ox = i - row * ow;
    float total = 0;
    for (int a = oy * taps_h; a < (oy + 1) * taps_h; a++) {
        float across = 0;
        for (int b = ox * taps_w; b < (ox + 1) * taps_w; b++)
            across += x[(plane * h + rows[a]) * w + columns[b]] * column_parts[b];
        total += across * row_parts[a];
    }
    y[i] = total;
}
