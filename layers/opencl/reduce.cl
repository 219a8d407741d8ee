// reduce: a group has one result: EACH of v, a number of x, summed up or, for LARGEST, its largest; then RESULT of total.

void reduce(__global const float *x, __global float *y, __global const int *outer, __global const int *inner,
            int outer_rank, int inner_rank, int count, float coeff, __local float *shared) {
    const int start = placed(get_group_id(0), outer, outer_rank);
    float total = LARGEST ? -INFINITY : 0;
    for (int i = get_local_id(0); i < count; i += get_local_size(0)) {
        const float v = x[start + placed(i, inner, inner_rank)];
        total = LARGEST ? fmax(total, EACH) : total + EACH;
    }
    total = LARGEST ? group_max(total, shared) : group_sum(total, shared);
    if (get_local_id(0) == 0) y[get_group_id(0)] = coeff * RESULT;
}
