// rounding: from exact integers to float and back to int8, as the integer specification has it: one operation after
// another, each rounded to nearest. Nothing may be fused, so this file stands first.
#pragma OPENCL FP_CONTRACT OFF

// clamp(rint(v) + zero), where low and high are the limits less zero. v is no NaN. Nothing is called: a number of at most
// 2^22 rounds, halves to even, when one is added that leaves no bits for a fraction. rint takes ten times as long by PoCL.
int rounded(float v, float low, float high, float zero) {
    const float all_bits = 12582912.f;
    v = v < low ? low : v;
    v = v > high ? high : v;
    return (int)(v + all_bits - all_bits + zero);
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
