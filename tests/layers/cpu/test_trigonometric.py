"""sin, atan, asinh and their kin, against numpy in float64, which is accurate far beyond a float32's last bit.

Largest error found (by this file, x86-64-v4): float32 0.50000 ulp, which is as near as a float32 can be.
"""

import math

import numpy as np
import pytest

# name: numpy's, and where it is defined
ONE = {
    "sin": (np.sin, (-1e5, 1e5)),
    "cos": (np.cos, (-1e5, 1e5)),
    "tan": (np.tan, (-1e5, 1e5)),
    "asin": (np.arcsin, (-1.0, 1.0)),
    "acos": (np.arccos, (-1.0, 1.0)),
    "atan": (np.arctan, (-3e38, 3e38)),
    "asinh": (np.arcsinh, (-3e38, 3e38)),
    "acosh": (np.arccosh, (1.0, 3e38)),
    "atanh": (np.arctanh, (-1.0, 1.0)),
}
EDGES = [
    0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    math.inf,
    -math.inf,
    math.nan,
    1.0000001,
    0.41421357,
    2.4142137,
    math.pi,
    1e-30,
]


@pytest.fixture(scope="module")
def loops():
    """Plain loops over each function; a kernel's text decides what is compiled, so each is written out."""
    scope: dict = {"math": math}
    for name in ONE:
        exec(f"def {name}(x, y):\n    for i in range(x.size):\n        y[i] = math.{name}(x[i])", scope)
    return scope


def arguments(low: float, high: float) -> np.ndarray:
    """Even over the range, around 0 and the ends, and of every size."""
    rng = np.random.default_rng(2)
    sizes = 10.0 ** rng.uniform(-20, math.log10(high), 50_000) * rng.choice([-1, 1], 50_000)
    near = [rng.uniform(max(low, -8), min(high, 8), 100_000), rng.uniform(low / 2, high / 2, 50_000) * 2]
    x = np.concatenate([*near, sizes]).astype(np.float32)
    return np.concatenate([x[(x >= low) & (x <= high)], np.array(EDGES, np.float32)])


@pytest.mark.parametrize("name", ONE)
def test_float32_is_rounded_once(native, loops, name):
    function, (low, high) = ONE[name]
    x = arguments(low, high)
    y = np.empty_like(x)
    native(loops[name], x, y)
    with np.errstate(all="ignore"):
        true = function(x.astype(np.float64))
    finite = np.isfinite(true)
    np.testing.assert_array_equal(y[~finite], true[~finite])
    ulp = np.abs(y[finite] - true[finite]) / np.spacing(np.abs(true[finite]).astype(np.float32)).astype(
        np.float64
    )
    assert ulp.max() <= 0.501, (x[finite][ulp.argmax()], y[finite][ulp.argmax()], ulp.max())


def angles(a, b, y):
    for i in range(y.size):
        y[i] = math.atan2(a[i], b[i])


def test_atan2(native):
    rng = np.random.default_rng(3)
    points = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-38, 3e38]
    a, b = (grid.reshape(-1) for grid in np.meshgrid(points, points))
    a = np.concatenate([a, rng.normal(size=10_000)]).astype(np.float32)
    b = np.concatenate([b, rng.normal(size=10_000)]).astype(np.float32)
    y = np.empty_like(a)
    native(angles, a, b, y)
    wanted = np.arctan2(a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(y, wanted, rtol=1e-7, atol=1e-45)
