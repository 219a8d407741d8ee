// copy: numbers of any type to other places. A table says of each axis how long it is, and how far on in x and in y its
// next place lies.

void copy(__global const x_t *x, __global y_t *y, __global const int *axes, int rank, int first, int to, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    int rest = i;
    for (int k = rank - 1; k >= 0; k--) {
        const int above = rest / axes[3 * k], place = rest - above * axes[3 * k];
        first += place * axes[3 * k + 1];
        to += place * axes[3 * k + 2];
        rest = above;
    }
    y[to] = x[first];
}
