// normalize: a group brings numbers that belong together to one mean (if CENTERED) and one size, by GAIN of the sum of
// their squares; then its channel's scale and bias. `size` elements in a row are of one channel, of `channels`.

void normalize(__global const float *x, __global const float *scale, __global const float *bias, __global float *y,
               __global const int *outer, __global const int *inner, int outer_rank, int inner_rank, int count, int size,
               int channels, float eps, __local float *shared) {
    const int start = placed(get_group_id(0), outer, outer_rank), me = get_local_id(0), all = get_local_size(0);
    float mean = 0, squares = 0;
    if (CENTERED) {
        for (int i = me; i < count; i += all) mean += x[start + placed(i, inner, inner_rank)];
        mean = group_sum(mean, shared) / count;
    }
    for (int i = me; i < count; i += all) {
        const float v = x[start + placed(i, inner, inner_rank)] - mean;
        squares += v * v;
    }
    const float total = group_sum(squares, shared), gain = GAIN;
    for (int i = me; i < count; i += all) {
        const int at = start + placed(i, inner, inner_rank), channel = at / size % channels;
        const float v = (x[at] - mean) * gain;
        y[at] = (scale ? v * scale[channel] : v) + (bias ? bias[channel] : 0);
    }
}
