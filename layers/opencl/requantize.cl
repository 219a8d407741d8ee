// requantize: what a layer of int8 with weights stores of its exact sum. TO is 0 for int8, 1 for fp32, 2 for the sum.

#define RESCALING \
    __global const int *b, __global const float *multiplier, __global const float *slope, \
    __global const char *residual, float residual_zero, float residual_multiplier, float low, float high, float zero
#define RESCALED b, multiplier, slope, residual, residual_zero, residual_multiplier, low, high, zero

y_t requantized(int sum, int out, int to, RESCALING) {
    const int acc = sum + b[out];
#if TO == 2
    return acc;
#else
    float v = (float)acc * multiplier[out];
    if (residual) v += ((float)residual[to] - residual_zero) * residual_multiplier;
    if (slope && v < 0) v *= slope[out];
#if TO == 1
    return v;
#else
    return rounded(v, low, high, zero);
#endif
#endif
}
