"""sin, atan, asinh and their kin, as elementary.py has exp and log: polynomials, no branches, the same on every target.

The polynomials on the reduced ranges are those of FDLIBM (Sun Microsystems 1993: k_sin.c, k_cos.c, s_atan.c). The
float32 forms are computed in float64 and rounded once.
"""

from __future__ import annotations

import math

import numpy as np

from . import simd
from .elementary import ROUND, log1p64

# pi/2 in three parts: n times one of the first two is exact for |n| < 2**20
HALF_PI_HIGH, HALF_PI_MIDDLE, HALF_PI_LOW = (
    1.57079632673412561417e00,
    6.07710050630396597660e-11,
    2.02226624879595063154e-21,
)
TWO_OVER_PI = 0.6366197723675814
HALF_PI, PI = 1.5707963267948966, 3.141592653589793
TAN_EIGHTH = 0.41421356237309503  # tan(pi/8)


def turned(x, quarters):
    """sin(x + quarters * pi/2); absolute error below 3e-16 for |x| < 2**20, beyond it grows with x."""
    shifted = x * TWO_OVER_PI + ROUND
    n = shifted - ROUND
    r = ((x - n * HALF_PI_HIGH) - n * HALF_PI_MIDDLE) - n * HALF_PI_LOW
    quadrant = simd.bits_of_float64(shifted) - simd.bits_of_float64(ROUND) + quarters
    z = r * r
    s = 1.58969099521155010221e-10
    s = s * z - 2.50507602534068634195e-08
    s = s * z + 2.75573137070700676789e-06
    s = s * z - 1.98412698298579493134e-04
    s = s * z + 8.33333333332248946124e-03
    s = s * z - 1.66666666666666324348e-01
    sine = r + r * z * s
    c = -1.13596475577881948265e-11
    c = c * z + 2.08757232129817482790e-09
    c = c * z - 2.75573143513906633035e-07
    c = c * z + 2.48015872894767294178e-05
    c = c * z - 1.38888888888741095749e-03
    c = c * z + 4.16666666666666019037e-02
    cosine = 1.0 - (0.5 * z - z * z * c)
    y = cosine if quadrant & 1 else sine
    return -y if quadrant & 2 else y


def sin64(x):
    return turned(x, 0)


def cos64(x):
    return turned(x, 1)


def tan64(x):
    return turned(x, 0) / turned(x, 1)


def atan64(x):
    """Relative error below 5e-16: 1/x above 1, and (t-1)/(t+1) above tan(pi/8), leave |t| < tan(pi/8)."""
    a = abs(x)
    t = 1.0 / a if a > 1.0 else a
    far = t > TAN_EIGHTH
    t = (t - 1.0) / (t + 1.0) if far else t
    z = t * t
    p = 1.62858201153657823623e-02
    p = p * z - 3.65315727442169155270e-02
    p = p * z + 4.97687799461593236017e-02
    p = p * z - 5.83357013379057348645e-02
    p = p * z + 6.66107313738753120669e-02
    p = p * z - 7.69187620504482999495e-02
    p = p * z + 9.09088713343650656196e-02
    p = p * z - 1.11111104054623557880e-01
    p = p * z + 1.42857142725034663711e-01
    p = p * z - 1.99999999998764832476e-01
    p = p * z + 3.33333333333329318027e-01
    y = t - t * z * p
    y = y + 0.5 * HALF_PI if far else y
    y = HALF_PI - y if a > 1.0 else y
    return -y if x < 0.0 else y


def atan264(y, x):
    """The angle of the point (x, y), from -pi to pi; absolute error below 1e-15."""
    both = abs(x) == np.inf and abs(y) == np.inf
    down, left = simd.bits_of_float64(y) < 0, simd.bits_of_float64(x) < 0
    angle = atan64(1.0 if both else abs(y) / abs(x))
    angle = 0.0 if x == 0.0 and y == 0.0 else angle
    angle = PI - angle if left else angle
    return -angle if down else angle


def asin64(x):
    """Absolute error below 5e-16; NaN beyond 1."""
    return atan64(x / math.sqrt((1.0 - x) * (1.0 + x)))


def acos64(x):
    return HALF_PI - asin64(x)


def asinh64(x):
    """Relative error below 2e-15, for |x| < 1e154."""
    a = abs(x)
    square = a * a
    y = log1p64(a + (square / (1.0 + math.sqrt(square + 1.0)) if a < np.inf else 0.0))
    return -y if x < 0.0 else y


def acosh64(x):
    """Relative error below 2e-15, for x < 1e154; NaN below 1."""
    t = x - 1.0
    return log1p64(t + math.sqrt(t * (t + 2.0)))


def atanh64(x):
    """Relative error below 2e-15; infinite at 1 and -1, NaN beyond."""
    a = abs(x)
    y = 0.5 * log1p64(2.0 * a / (1.0 - a))
    y = y if a <= 1.0 else np.nan
    return -y if x < 0.0 else y


def sin32(x):
    return np.float32(sin64(np.float64(x)))


def cos32(x):
    return np.float32(cos64(np.float64(x)))


def tan32(x):
    return np.float32(tan64(np.float64(x)))


def atan32(x):
    return np.float32(atan64(np.float64(x)))


def atan232(y, x):
    return np.float32(atan264(np.float64(y), np.float64(x)))


def asin32(x):
    return np.float32(asin64(np.float64(x)))


def acos32(x):
    return np.float32(acos64(np.float64(x)))


def asinh32(x):
    return np.float32(asinh64(np.float64(x)))


def acosh32(x):
    return np.float32(acosh64(np.float64(x)))


def atanh32(x):
    return np.float32(atanh64(np.float64(x)))


# The names under which numba's output asks for them.
FUNCTIONS = {
    "sin": sin64, "sinf": sin32, "llvm.sin.f64": sin64, "llvm.sin.f32": sin32,
    "cos": cos64, "cosf": cos32, "llvm.cos.f64": cos64, "llvm.cos.f32": cos32,
    "tan": tan64, "tanf": tan32, "atan": atan64, "atanf": atan32, "atan2": atan264, "atan2f": atan232,
    "asin": asin64, "asinf": asin32, "acos": acos64, "acosf": acos32,
    "asinh": asinh64, "asinhf": asinh32, "acosh": acosh64, "acoshf": acosh32, "atanh": atanh64, "atanhf": atanh32,
}  # fmt: skip
