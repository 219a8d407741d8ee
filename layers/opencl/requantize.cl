// requantize: what a layer of int8 with weights stores of its exact sum. TO is 0 for int8, 1 for fp32, 2 for the sum.

#define RESCALING \
    __global const int *b, __global const float *multiplier, __global const float *slope, \
    __global const char *residual, __global const float *gate, float residual_zero, float residual_multiplier, \
    float low, float high, float zero
#define RESCALED b, multiplier, slope, residual, gate, residual_zero, residual_multiplier, low, high, zero

// The sum of channel `out` of m; the residual's number for it, and the result itself, is number `to`.
y_t requantized(int sum, int out, int m, int to, RESCALING) {
    const int acc = sum + b[out];
#if TO == 2
    return acc;
#else
    float v = (float)acc * multiplier[out];
    if (residual) v += ((float)residual[to] - residual_zero) * residual_multiplier;
    if (slope && v < 0) v *= slope[out];
    if (gate) {
        float share = v + gate[out];
        share = share < 0 ? 0 : share;
        share = share > 1 ? 1 : share;
        v = v * share * gate[m + out] + gate[2 * m + out];
    }
#if TO == 1
    return v;
#else
    return rounded(v, low, high, zero);
#endif
#endif
}
