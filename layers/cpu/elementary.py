"""exp, log, tanh and their kin as polynomials, so that every target computes the same numbers and needs no libm.

A kernel says `math.exp(x)`; the code generator links the function from here in place of the C library's. None of them
branches, so loops over them become vector code. The float32 forms are computed in float64 and rounded once: within
1 ulp of the true value (largest error found over a sweep of the whole range; see the tests).
"""

from __future__ import annotations

import numpy as np

from . import simd

# ln 2 in two parts: n * LN2_HIGH is exact for |n| < 2**11 (Cody & Waite 1980)
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
LOG2_E = 1.4426950408889634
ROUND = 6755399441055744.0  # 1.5 * 2**52: adding it leaves the nearest integer in the low bits
SQRT_HALF = 0.7071067811865476


def exp64(x):
    """e**x. Degree-12 Taylor polynomial on |r| <= ln(2)/2; relative error below 4e-16."""
    x = 710.0 if x > 710.0 else x
    x = -745.2 if x < -745.2 else x
    shifted = x * LOG2_E + ROUND
    n = shifted - ROUND
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = 1.0 / 479001600.0
    p = p * r + 1.0 / 39916800.0
    p = p * r + 1.0 / 3628800.0
    p = p * r + 1.0 / 362880.0
    p = p * r + 1.0 / 40320.0
    p = p * r + 1.0 / 5040.0
    p = p * r + 1.0 / 720.0
    p = p * r + 1.0 / 120.0
    p = p * r + 1.0 / 24.0
    p = p * r + 1.0 / 6.0
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    # 2**n in two factors, since n may leave the range of one exponent
    k = simd.bits_of_float64(shifted) - simd.bits_of_float64(ROUND)
    half = k >> 1
    return p * simd.float64_of_bits((half + 1023) << 52) * simd.float64_of_bits((k - half + 1023) << 52)


def log64(x):
    """Natural logarithm; -inf at 0, NaN below. Series in s = (m-1)/(m+1), |s| < 0.172; relative error below 4e-16."""
    tiny = x < 2.2250738585072014e-308
    bits = simd.bits_of_float64(x * 18014398509481984.0 if tiny else x)
    # put the mantissa m into [sqrt(1/2), sqrt(2)) and count the exponent from there
    k = (bits - simd.bits_of_float64(SQRT_HALF)) >> 52
    m = simd.float64_of_bits(bits - (k << 52))
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 23.0
    p = p * z + 1.0 / 21.0
    p = p * z + 1.0 / 19.0
    p = p * z + 1.0 / 17.0
    p = p * z + 1.0 / 15.0
    p = p * z + 1.0 / 13.0
    p = p * z + 1.0 / 11.0
    p = p * z + 1.0 / 9.0
    p = p * z + 1.0 / 7.0
    p = p * z + 1.0 / 5.0
    p = p * z + 1.0 / 3.0
    n = float(k) - (54.0 if tiny else 0.0)
    y = n * LN2_HIGH + (2.0 * s + (2.0 * s * z * p + n * LN2_LOW))
    y = x if x == np.inf else y
    y = -np.inf if x == 0.0 else y
    return y if x >= 0.0 else np.nan


def expm164(x):
    """e**x - 1, its Taylor series near 0."""
    near = x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x * (1.0 / 24.0 + x * (1.0 / 120.0)))))
    return near if abs(x) < 1e-3 else exp64(x) - 1.0


def log1p64(x):
    """log(1 + x), with the rounding of 1 + x put right (Goldberg 1991, theorem 4)."""
    u = 1.0 + x
    y = log64(u) - ((u - 1.0) - x) / u
    return y if u < np.inf else u


def tanh64(x):
    t = expm164(-2.0 * abs(x))
    y = -t / (2.0 + t)
    return -y if x < 0.0 else y


def sinh64(x):
    return 0.5 * (expm164(x) - expm164(-x))


def cosh64(x):
    return 0.5 * (exp64(x) + exp64(-x))


def pow64(x, y):
    """x**y. A negative x needs a whole y; 0**0 is 1."""
    whole = np.floor(y) == y
    odd = np.floor(0.5 * y) * 2.0 != y
    size = exp64(y * log64(abs(x)))
    signed = (-size if odd else size) if whole else np.nan
    result = signed if x < 0.0 else size
    return 1.0 if y == 0.0 else result


def erf64(x):
    """Error function by Abramowitz & Stegun 1964, 7.1.26's method refined: series below 2, continued fraction above."""
    a = abs(x)
    z = a * a
    term, total = a, a
    for n in range(1, 40):
        term = -term * z / n
        total += term / (2 * n + 1)
    tail = 0.0
    for n in range(60, 0, -1):
        tail = 0.5 * n / (a + tail)
    far = 1.0 - exp64(-z) / ((a + tail) * 1.7724538509055159)
    y = 1.1283791670955126 * total if a < 2.0 else far
    return -y if x < 0.0 else y


def exp32(x):
    return np.float32(exp64(np.float64(x)))


def log32(x):
    return np.float32(log64(np.float64(x)))


def expm132(x):
    return np.float32(expm164(np.float64(x)))


def log1p32(x):
    return np.float32(log1p64(np.float64(x)))


def tanh32(x):
    return np.float32(tanh64(np.float64(x)))


def sinh32(x):
    return np.float32(sinh64(np.float64(x)))


def cosh32(x):
    return np.float32(cosh64(np.float64(x)))


def pow32(x, y):
    return np.float32(pow64(np.float64(x), np.float64(y)))


def erf32(x):
    return np.float32(erf64(np.float64(x)))


# The names under which numba's output asks for them.
FUNCTIONS = {
    "exp": exp64, "expf": exp32, "llvm.exp.f64": exp64, "llvm.exp.f32": exp32,
    "log": log64, "logf": log32, "llvm.log.f64": log64, "llvm.log.f32": log32,
    "pow": pow64, "powf": pow32, "llvm.pow.f64": pow64, "llvm.pow.f32": pow32,
    "expm1": expm164, "expm1f": expm132, "log1p": log1p64, "log1pf": log1p32,
    "tanh": tanh64, "tanhf": tanh32, "sinh": sinh64, "sinhf": sinh32, "cosh": cosh64, "coshf": cosh32,
    "erf": erf64, "erff": erf32,
}  # fmt: skip
