// smooth: along one axis, each place of y is made of `counts` places of x from `firsts` on, by whole weights: Pillow's
// arithmetic. y lies in a frame: `to` elements on, rows of x's outer axes `y_outer` apart, places `inner` apart.

void smooth(__global const uchar *x, __global uchar *y, __global const int *firsts, __global const int *counts,
            __global const int *weights, int side, int inner, int places, int taps, int bits, int to, int y_outer,
            int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int row = i / inner, k = i - row * inner, outer = row / places, place = row - outer * places;
    int total = 1 << (bits - 1);
    for (int t = 0; t < counts[place]; t++)
        total += x[(outer * side + firsts[place] + t) * inner + k] * weights[place * taps + t];
    y[to + outer * y_outer + place * inner + k] = clamp(total >> bits, 0, 255);
}
