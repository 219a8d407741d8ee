// finish: the activation that a kernel applies before it stores; fused.py has the numbers.

float finish(float v, int act, float alpha, float beta) {
    switch (act) {
    case 1: v = v < alpha ? alpha : v; return v > beta ? beta : v;  // fmin and fmax are calls for some compilers
    case 2: return v > 0 ? v : alpha * v;
    case 3: return 1 / (1 + exp(-v));
    case 4: return v / (1 + exp(-alpha * v));
    case 5: return v * clamp(alpha * v + beta, 0.f, 1.f);
    case 6: return clamp(alpha * v + beta, 0.f, 1.f);
    case 7: return v > 0 ? v : alpha * expm1(v);
    case 8: return tanh(v);
    default: return v;
    }
}
