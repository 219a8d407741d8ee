// finish: the activation that a kernel applies before it stores; fused.py has the numbers.
//
// What few nets use is a function that is called: written out for every result of a thread it would not fit the cache
// of instructions, and a convolution took three times as long.
__device__ __noinline__ float curve(float v, int act, float alpha, float beta) {
    switch (act) {
    case 3: return 1 / (1 + expf(-v));
    case 4: return v / (1 + expf(-alpha * v));
    case 7: return v > 0 ? v : alpha * expm1f(v);
    case 8: return tanhf(v);
    default: return v;
    }
}

__device__ __forceinline__ float finish(float v, int act, float alpha, float beta) {
    if (act == 0) return v;
    if (act == 1) return fminf(fmaxf(v, alpha), beta);
    if (act == 2) return v > 0 ? v : alpha * v;
    if (act == 5) return v * fminf(fmaxf(alpha * v + beta, 0.f), 1.f);
    if (act == 6) return fminf(fmaxf(alpha * v + beta, 0.f), 1.f);
    return curve(v, act, alpha, beta);
}
