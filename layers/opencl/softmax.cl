// softmax: a group has numbers that become shares of 1. The largest is taken off first, so that exp cannot overflow.

void softmax(__global const float *x, __global float *y, int count, int step, __local float *shared) {
    const int id = get_group_id(0), me = get_local_id(0), all = get_local_size(0);
    const int start = id / step * count * step + id % step;
    float top = -INFINITY, total = 0;
    for (int i = me; i < count; i += all) top = fmax(top, x[start + i * step]);
    top = group_max(top, shared);
    for (int i = me; i < count; i += all) total += exp(x[start + i * step] - top);
    total = group_sum(total, shared);
    for (int i = me; i < count; i += all) y[start + i * step] = exp(x[start + i * step] - top) / total;
}
