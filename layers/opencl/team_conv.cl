// team_conv: a convolution of constant weights in fp32 or fp16: a work-group has a tile, see team.cl.

void team_conv(
    __global const x_t *x, __global const w_t *w, __global const taps_t *taps, __global const float *b,
    __global const float *residual, __global float *y, GEOMETRY, int places, int depth, int act, float alpha, float beta,
    __local float *shared) {
    const int me = get_local_id(0), g = get_global_id(2), block = get_global_id(1), filters = m / group;
    const int place = get_group_id(0) * BN + me % ACROSS * TN, area = oh * ow;
    row_t sums[TM];
    w += (ulong)(g * get_global_size(1) + block) * depth * BM;
    team(x, w, (__global const int4 *)taps, sums, place, places, 0, shared, shared + BK * BM, depth, GIVEN);
    for (int i = 0; i < TM; i++) {
        const int row = block * BM + me / ACROSS * TM + i, out = g * filters + row;
        if (row >= filters) break;
        const float bias = b ? b[out] : 0;
        for (int n = 0; n < TN && place + n < places; n++) {
            const int to = ((place + n) / area * (m - 1) + out) * area + place + n;
            const float v = ((float *)&sums[i])[n] + bias;
            y[to] = finish(residual ? v + residual[to] : v, act, alpha, beta);
        }
    }
}
