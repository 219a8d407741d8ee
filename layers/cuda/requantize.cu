// requantize: what a layer of int8 with weights stores of its exact sum: one operation after another, each rounded.
// Macro TO: 0 int8, 1 fp32, 2 the sum itself.

#if TO == 0
typedef signed char stored;
#elif TO == 1
typedef float stored;
#else
typedef int stored;
#endif

// gate: null, or where start, gain and offset lie, `step` numbers apart
__device__ __forceinline__ stored requantized(
    int sum, float factor, float slope, float residual, float residual_factor, const float *gate, int step, float low,
    float high, int zero) {
#if TO == 2
    return sum;
#else
    float v = __fadd_rn(__fmul_rn((float)sum, factor), __fmul_rn(residual, residual_factor));
    if (v < 0) v = __fmul_rn(v, slope);
    if (gate) {
        const float share = fminf(fmaxf(__fadd_rn(v, gate[0]), 0.f), 1.f);
        v = __fadd_rn(__fmul_rn(__fmul_rn(v, share), gate[step]), gate[2 * step]);
    }
#if TO == 1
    return v;
#else
    v = v == v ? v : 0.f;
    return __float2int_rn(fminf(fmaxf(v, low), high)) + zero;  // halves to even
#endif
#endif
}
