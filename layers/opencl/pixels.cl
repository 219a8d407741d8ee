// pixels: an image's pixels, whose channels lie side by side, become planes: (x - mean) * scale of each channel.

void pixels(__global const x_t *x, __global float *y, __global const int *order, __global const float *mean,
            __global const float *scale, int channels, int area, int depth, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int plane = i / area, image = plane / channels, c = plane - image * channels, place = i - plane * area;
    y[i] = ((float)x[(image * area + place) * depth + order[c]] - mean[c]) * scale[c];
}
