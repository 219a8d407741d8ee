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
    """e**x - 1, its Taylor series near 0; relative error below 2e-15."""
    p = 1.0 / 87178291200.0
    p = p * x + 1.0 / 6227020800.0
    p = p * x + 1.0 / 479001600.0
    p = p * x + 1.0 / 39916800.0
    p = p * x + 1.0 / 3628800.0
    p = p * x + 1.0 / 362880.0
    p = p * x + 1.0 / 40320.0
    p = p * x + 1.0 / 5040.0
    p = p * x + 1.0 / 720.0
    p = p * x + 1.0 / 120.0
    p = p * x + 1.0 / 24.0
    p = p * x + 1.0 / 6.0
    p = p * x + 0.5
    p = p * x + 1.0
    return p * x if abs(x) < 0.35 else exp64(x) - 1.0


def log1p64(x):
    """log(1 + x), with the rounding of 1 + x put right (Goldberg 1991, theorem 4); relative error below 5e-16."""
    u = 1.0 + x
    y = log64(u) - ((u - 1.0) - x) / u
    return y if 0.0 < u < np.inf else log64(u)


def tanh64(x):
    """Relative error below 2e-15."""
    t = expm164(-2.0 * abs(x))
    y = -t / (2.0 + t)
    return -y if x < 0.0 else y


def sinh64(x):
    """Relative error below 2e-15; infinite where e**x is, from 709.8 on."""
    t = expm164(abs(x))
    y = 0.5 * (t + (t / (t + 1.0) if t < 1e300 else 1.0))
    return -y if x < 0.0 else y


def cosh64(x):
    """Relative error below 5e-16; infinite where e**x is, from 709.8 on."""
    return 0.5 * (exp64(x) + exp64(-x))


def pow64(x, y):
    """x**y as e**(y log x): relative error below 4e-16 (1 + |y log x|). Special cases are those of C's pow."""
    whole = np.floor(y) == y
    odd = whole and np.floor(0.5 * y) * 2.0 != y
    size = exp64(y * log64(abs(x)))
    result = -size if odd and simd.bits_of_float64(x) < 0 else size
    result = np.nan if x < 0.0 and x > -np.inf and not whole else result
    one = y == 0.0 or x == 1.0 or (x == -1.0 and abs(y) == np.inf)
    return 1.0 if one else result


def erf64(x):
    """Error function; absolute error below 3e-16, relative error below 1e-15.

    Its Taylor series below 1; above, 1 - exp(-x*x) * q with q = exp(x*x) * erfc(x) as a polynomial of degree 14 in
    1 / (1 + x/2), fitted at Chebyshev points of [1, 6.2]; from there on it is 1.
    """
    a = abs(x)
    z = a * a
    near = -1.0 / 12449059983360000.0
    near = near * z + 1.0 / 690452066304000.0
    near = near * z - 1.0 / 40537905408000.0
    near = near * z + 1.0 / 2528170444800.0
    near = near * z - 1.0 / 168129561600.0
    near = near * z + 1.0 / 11975040000.0
    near = near * z - 1.0 / 918086400.0
    near = near * z + 1.0 / 76204800.0
    near = near * z - 1.0 / 6894720.0
    near = near * z + 1.0 / 685440.0
    near = near * z - 1.0 / 75600.0
    near = near * z + 1.0 / 9360.0
    near = near * z - 1.0 / 1320.0
    near = near * z + 1.0 / 216.0
    near = near * z - 1.0 / 42.0
    near = near * z + 1.0 / 10.0
    near = near * z - 1.0 / 3.0
    near = near * z + 1.0
    a = 6.2 if a > 6.2 else a
    u = 1.0 / (1.0 + 0.5 * a)
    u = (u - 0.45528455284552843) * 4.730769230769231
    q = 2.2573156474798294e-11
    q = q * u - 9.243096622052378e-11
    q = q * u - 2.9576622970825444e-10
    q = q * u + 3.128886280820067e-09
    q = q * u - 1.1789570545315147e-09
    q = q * u - 7.97019076151868e-08
    q = q * u + 1.9400871632589196e-07
    q = q * u + 2.169679871873277e-06
    q = q * u - 8.229261850660218e-06
    q = q * u - 8.617676533670469e-05
    q = q * u + 0.00021517494697214745
    q = q * u + 0.005825552957109481
    q = q * u + 0.03944509737513176
    q = q * u + 0.16312126471183797
    q = q * u + 0.21906860662095742
    y = 1.1283791670955126 * abs(x) * near if a < 1.0 else 1.0 - exp64(-a * a) * q
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
