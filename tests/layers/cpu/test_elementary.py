"""exp, log and their kin, against numpy in higher precision, over the whole range of their arguments.

Largest errors found (by this file, x86-64-v4): float32 0.50000 ulp for every function, which is as near as a float32
can be; float64, relative: exp 3.9e-16, expm1 1.2e-15, log 3.3e-16, log1p 4.2e-16, tanh 7.0e-16, sinh 9.1e-16,
cosh 4.0e-16, erf 3.3e-16, pow 3.5e-16 * (1 + |y log x|).
"""

import math

import numpy as np
import pytest
from fbnet.layers.cpu import elementary

ONE = ("exp", "expm1", "log", "log1p", "tanh", "sinh", "cosh", "erf")
BOUND = dict(exp=4e-16, expm1=2e-15, log=4e-16, log1p=5e-16, tanh=2e-15, sinh=2e-15, cosh=5e-16, erf=1e-15)
EDGES = [
    0.0,
    -0.0,
    math.inf,
    -math.inf,
    math.nan,
    1.0,
    -1.0,
    0.5,
    -0.5,
    0.35,
    -0.35,
    2.0,
    6.2,
    1e-300,
    -1e-300,
    1e300,
]
EDGES32 = [
    1e-45,
    -1e-45,
    1.1754944e-38,
    88.72283,
    88.72284,
    -87.33655,
    -103.97,
    -103.98,
    89.41598,
    89.416,
    -0.99999994,
]
EDGES64 = [
    5e-324,
    -5e-324,
    2.2250738585072014e-308,
    709.782712893384,
    709.7827128933841,
    -745.13,
    -745.14,
    -708.4,
]


@pytest.fixture(autouse=True)
def quiet():
    """Overflow, and arithmetic with NaN, are what is tested."""
    with np.errstate(all="ignore"):
        yield


def arguments(kind: type) -> np.ndarray:
    """All exponents alike, and more where the functions bend."""
    rng = np.random.default_rng(1)
    bits = {4: np.uint32, 8: np.uint64}[np.dtype(kind).itemsize]
    everywhere = rng.integers(0, np.iinfo(bits).max, 200_000, dtype=bits, endpoint=True).view(kind)
    return np.concatenate([
        everywhere, rng.uniform(-760, 720, 50_000), rng.uniform(-100, 100, 50_000), rng.uniform(-5, 5, 100_000),
        1 + rng.uniform(-0.1, 0.1, 50_000), 10.0 ** rng.uniform(-18, 0, 50_000) * rng.choice([-1, 1], 50_000),
        EDGES, EDGES32, EDGES64,
    ]).astype(kind)  # fmt: skip


def exact(name: str, x: np.ndarray) -> np.ndarray:
    """The function in at least twice the precision, where numpy has that."""
    if name == "erf":
        return np.vectorize(math.erf)(x.astype(np.float64))
    return getattr(np, name)(x.astype(np.float64 if x.dtype == np.float32 else np.longdouble))


@pytest.fixture(scope="module")
def of_one():
    """Plain loops over each function; a kernel's text decides what is compiled, so each is written out."""
    scope: dict = {"math": math}
    for name in ONE:
        exec(f"def {name}(x, y):\n    for i in range(x.size):\n        y[i] = math.{name}(x[i])", scope)
    return scope


def special(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where infinities and NaNs are not what they should be."""
    return ~(np.isfinite(wanted) & np.isfinite(got)) & ~((got == wanted) | (np.isnan(got) & np.isnan(wanted)))


@pytest.mark.parametrize("name", ONE)
def test_float32_is_rounded_once(native, of_one, name):
    x = arguments(np.float32)
    y = np.empty_like(x)
    native(of_one[name], x, y)
    true = exact(name, x)
    wanted = true.astype(np.float32)
    wrong = special(y, wanted)
    assert not wrong.any(), (x[wrong][:5], y[wrong][:5], wanted[wrong][:5])
    finite = np.isfinite(wanted)
    ulp = np.abs(y[finite] - true[finite]) / np.spacing(np.abs(wanted[finite])).astype(np.float64)
    assert ulp.max() <= 0.5001, (x[finite][ulp.argmax()], ulp.max())


@pytest.mark.parametrize("name", ONE)
def test_float64_is_within_its_bound(native, of_one, name):
    x = arguments(np.float64)
    if name in ("sinh", "cosh"):
        x = x[~((np.abs(x) > 709.78) & (np.abs(x) < 710.5))]  # infinite a little early, as they say
    y = np.empty_like(x)
    native(of_one[name], x, y)
    true = exact(name, x)
    wanted = true.astype(np.float64)
    assert not special(y, wanted).any(), x[special(y, wanted)][:5]
    normal = np.isfinite(wanted) & (np.abs(wanted) > 2.3e-308)
    error = np.abs((y - true)[normal] / true[normal])
    assert error.max() < BOUND[name], (x[normal][error.argmax()], error.max())
    tiny = np.isfinite(wanted) & ~normal
    assert np.abs(y - wanted)[tiny].max(initial=0) <= 5e-324


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_pow(native, kind):
    def power(x, p, y):
        for i in range(x.size):
            y[i] = math.pow(x[i], p[i])

    rng = np.random.default_rng(2)
    bits = rng.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32).astype(kind)
    x = np.concatenate([bits, rng.uniform(0, 20, 100_000), rng.uniform(0.9, 1.1, 50_000)]).astype(kind)
    p = np.concatenate([rng.uniform(-5, 5, 50_000), rng.integers(-8, 9, 50_000), rng.uniform(-20, 20, 100_000),
                        rng.uniform(-900, 900, 50_000)]).astype(kind)  # fmt: skip
    edges = np.array(
        [0, -0.0, 1, -1, math.inf, -math.inf, math.nan, 2, -2, 0.5, -0.5, 3, -3, 1e-45, 1e30], kind
    )
    pairs = np.meshgrid(edges, edges)
    x, p = np.concatenate([x, pairs[0].ravel()]), np.concatenate([p, pairs[1].ravel()])
    y = np.empty_like(x)
    native(power, x, p, y)
    true = np.power(x.astype(np.longdouble), p.astype(np.longdouble))
    wanted = true.astype(kind)
    size = 1 + np.nan_to_num(np.abs(p * np.log(np.abs(x.astype(np.float64)))))  # 1**inf is 1 exactly
    wrong = special(y, wanted) | ((y == 0) & (wanted == 0) & (np.signbit(y) != np.signbit(wanted)))
    assert not wrong.any(), list(zip(x[wrong], p[wrong], y[wrong], wanted[wrong], strict=True))[:5]
    normal = np.isfinite(wanted) & (np.abs(wanted) > np.finfo(kind).tiny)
    if kind is np.float32:
        ulp = np.abs(y[normal] - true[normal]) / np.spacing(np.abs(wanted[normal]))
        assert ulp.max() <= 0.5001
    else:
        error = np.abs((y - true)[normal] / true[normal]) / size[normal]
        assert error.max() < 4e-16, error.max()


def test_every_target_computes_the_same_numbers(native, of_one, level):
    """Up to the last bit of a float64, where one target multiplies and adds in one step and another in two."""
    x = arguments(np.float32)[::20].copy()
    for name in ("exp", "tanh"):
        y = np.empty_like(x)
        native(of_one[name], x, y, target=level)
        wanted = exact(name, x).astype(np.float32)
        same = (y == wanted) | (np.isnan(y) & np.isnan(wanted))
        assert same.mean() > 0.99999


def test_names_and_widths():
    """Under each name that numba may ask for lies a function of the right width and number of arguments."""
    for name, function in elementary.FUNCTIONS.items():
        single = name.endswith(
            (".f32", "expf", "logf", "powf", "expm1f", "log1pf", "tanhf", "sinhf", "coshf", "erff")
        )
        assert function.__name__.endswith("32" if single else "64"), name
        assert function.__code__.co_argcount == (2 if "pow" in name else 1)
