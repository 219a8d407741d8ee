// rounding: from exact integers to float and back to int8, as the integer specification has it: one operation after
// another, each rounded to nearest. Nothing may be fused, so this file stands first.
#pragma OPENCL FP_CONTRACT OFF

// clamp(rint(v) + zero), where low and high are the limits less zero. v is no NaN.
int rounded(float v, float low, float high, float zero) {
    return (int)(rint(fmin(fmax(v, low), high)) + zero);
}

// a / b, rounded as IEEE 754 says. OpenCL's own may be 2.5 units off, unless the compiler can be asked for more: then
// the remainder, which fma knows exactly, corrects it (Markstein 1990, "Computation of elementary functions on the IBM
// RISC System/6000 processor").
float divided(float a, float b) {
    float q = a / b;
#if !EXACT_DIVISION
    if (isfinite(q) && fabs(q) > 1e-30f) {
        const float inverse = fma(fma(-b, 1 / b, 1.f), 1 / b, 1 / b);
        q = fma(fma(-b, q, a), inverse, q);
        q = fma(fma(-b, q, a), inverse, q);
    }
#endif
    return q;
}
