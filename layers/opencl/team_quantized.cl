// team_quantized: a convolution of int8 with constant weights: a work-group has a tile of exact sums, see team.cl.

void team_quantized(
    __global const x_t *x, __global const w_t *w, __global const taps_t *taps, RESCALING, __global y_t *y, GEOMETRY,
    int places, int depth, int x_zero, __local float *shared) {
    const int me = get_local_id(0), g = get_global_id(2), block = get_global_id(1), filters = m / group;
    const int place = get_group_id(0) * BN + me % ACROSS * TN, area = oh * ow;
    row_t sums[TM];
    __local cell *ws = (__local cell *)shared;
    w += (ulong)(g * get_global_size(1) + block) * depth * BM;
    team(x, w, (__global const int4 *)taps, sums, place, places, x_zero, ws, ws + BK * BM, depth, GIVEN);
    for (int i = 0; i < TM; i++) {
        const int row = block * BM + me / ACROSS * TM + i, out = g * filters + row;
        if (row >= filters) break;
        for (int n = 0; n < TN && place + n < places; n++) {
            const int to = ((place + n) / area * (m - 1) + out) * area + place + n;
            y[to] = requantized(((int *)&sums[i])[n], out, m, to, RESCALED);
        }
    }
}
