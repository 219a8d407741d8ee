// lrn: each number by its neighbours' squares, across channels or within an image. Both count x's axes from the last:
// channels lie h * w apart.

void lrn(__global const float *x, __global float *y, int channels, int h, int w, int across, int within, float alpha,
         float beta, float k, int items) {
    const int i = get_global_id(0);
    if (i >= items) return;
    const int line = i / w, plane = line / h, column = i - line * w, row = line - plane * h, channel = plane % channels;
    float total = 0;
    for (int c = max(-across, -channel); c <= min(across, channels - 1 - channel); c++)
        for (int down = max(-within, -row); down <= min(within, h - 1 - row); down++)
            for (int right = max(-within, -column); right <= min(within, w - 1 - column); right++) {
                const float v = x[i + (c * h + down) * w + right];
                total += v * v;
            }
    y[i] = x[i] * exp(-beta * log(k + alpha * total));  // a third of what pow takes
}
