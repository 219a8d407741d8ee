// broadcast: y = EXPRESSION of u and v, elements of a and b, which meet as numpy has them meet, and of the numbers p and q.
// A table says of each axis how long it is, and how far on in a and in b its next place lies: 0 where one is repeated.

void broadcast(__global const a_t *a, __global const b_t *b, __global y_t *y, __global const int *axes, int rank, float p,
               float q, float r, float s, float low, float high, float zero, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    int rest = i, in_a = 0, in_b = 0;
    for (int k = rank - 1; k >= 0; k--) {
        const int above = rest / axes[3 * k], place = rest - above * axes[3 * k];
        in_a += place * axes[3 * k + 1];
        in_b += place * axes[3 * k + 2];
        rest = above;
    }
    const a_t u = a[in_a];
    const b_t v = b[in_b];
    y[i] = EXPRESSION;
}
