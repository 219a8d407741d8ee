// gather: numbers of any type from where a table of each axis says that they lie along x's: `places` has one axis after
// another, the last first.

void gather(__global const x_t *x, __global y_t *y, __global const int *sizes, __global const int *places, int rank,
            int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    int rest = i, from = 0, table = 0;
    for (int k = 0; k < rank; k++) {
        const int above = rest / sizes[k];
        from += places[table + rest - above * sizes[k]];
        table += sizes[k];
        rest = above;
    }
    y[i] = x[from];
}
