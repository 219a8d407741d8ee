// places: where a work-item's TN places of a result, from the one of number `place` on, look from: row and column of the
// image, and that element of x, of the first tap, which may lie outside.

void look(int place, int places, int g, int *from, int *iy, int *ix, GEOMETRY) {
    for (int n = 0; n < TN; n++) {
        const int p = min(place + n, places - 1);  // one past the end is computed, and thrown away
        const int row = p / ow, image = row / oh;
        iy[n] = (row - image * oh) * stride_h - top;
        ix[n] = (p - row * ow) * stride_w - left;
        from[n] = ((image * group + g) * c * h + iy[n]) * width + ix[n];
    }
}
