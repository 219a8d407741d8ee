"""Dim, Spec, Tensor: sizes that remember their names, and arrays that are known before they exist."""

import copy
import pickle

import numpy as np
import pytest
from fbnet import Dim, ShapeError, Spec, Tensor
from fbnet.engine.dtype import Quantization
from fbnet.engine.tensor import content_digest
from hypothesis import given
from hypothesis import strategies as st

SIZES = {"N": 2, "H": 13, "W": 7}
leaves = st.one_of(st.integers(-3, 9), st.sampled_from(sorted(SIZES)).map(lambda n: Dim(n, SIZES[n])))
expressions = st.recursive(
    leaves, lambda inner: st.tuples(st.sampled_from(["+", "-", "*", "//"]), inner, inner), max_leaves=8
)


def computed(expression):
    """(value as Dims give it, value as ints give it)."""
    if not isinstance(expression, tuple):
        return expression, int(expression)
    operator, left, right = expression
    (a, plain_a), (b, plain_b) = computed(left), computed(right)
    if operator == "//" and plain_b == 0:
        return a, plain_a
    apply = {
        "+": lambda x, y: x + y,
        "-": lambda x, y: x - y,
        "*": lambda x, y: x * y,
        "//": lambda x, y: x // y,
    }
    return apply[operator](a, b), apply[operator](plain_a, plain_b)


@given(expressions)
def test_a_dim_counts_as_its_int_and_its_text_is_its_formula(expression):
    dim, plain = computed(expression)
    assert dim == plain and hash(dim) == hash(plain) and int(dim) == plain
    assert eval(str(dim), dict(SIZES)) == plain


@pytest.mark.parametrize(
    ("dim", "text", "size"),
    [
        (lambda h: h + 0, "H", 13),
        (lambda h: 0 + h, "H", 13),
        (lambda h: h * 1, "H", 13),
        (lambda h: 1 * h, "H", 13),
        (lambda h: h // 1, "H", 13),
        (lambda h: h + -2, "H-2", 11),
        (lambda h: h - -2, "H+2", 15),
        (lambda h: (h + 2 - 3) // 2 + 1, "(H+2-3)//2+1", 7),
        (lambda h: 2 * (h - 1), "2*(H-1)", 24),
        (lambda h: 100 - (h - 1), "100-(H-1)", 88),
        (lambda h: 100 // ((h + 1) * (h + 1)), "100//((H+1)*(H+1))", 0),
        (lambda h: -h, "0-H", -13),
        (lambda h: h + np.int64(2), "H+2", 15),
    ],
)
def test_text_of_a_dim(dim, text, size):
    found = dim(Dim("H", 13))
    assert (str(found), int(found)) == (text, size)


def test_with_a_float_or_a_list_it_is_a_plain_int():
    h = Dim("H", 13)
    assert (
        h * 0.5 == 0.5 * h == 6.5 and h + 0.5 == 13.5 and h / 2 == 6.5 and h - 0.5 == 12.5 and h // 2.0 == 6.0
    )
    assert [0] * h == h * [0] == [0] * 13
    assert 0 * h == 0 and h * 0 == 0 and not isinstance(h * 0, Dim)
    np.testing.assert_array_equal(np.ones(2) * h, [13, 13])
    with pytest.raises(ZeroDivisionError):
        h // 0
    with pytest.raises(TypeError):
        h + "1"


def test_a_dim_survives_copies():
    for copied in (
        copy.copy(Dim("H", 3)),
        copy.deepcopy(Dim("H", 3)),
        pickle.loads(pickle.dumps(Dim("H", 3))),
    ):
        assert (str(copied), int(copied), repr(copied)) == ("H", 3, "Dim('H', 3)")


@pytest.mark.parametrize(
    ("spec", "text", "size", "nbytes"),
    [
        (Spec((1, 3, 224, 224)), "fp32[1,3,224,224]", 150528, 602112),
        (Spec(("N", 3), "int8"), "int8[N,3]", 3, 3),
        (Spec((), "int64"), "int64[]", 1, 8),
        (Spec((0, 5), "fp16"), "fp16[0,5]", 0, 0),
        (Spec((Dim("H", 4) + 1, 2)), "fp32[H+1,2]", 10, 40),
        (Spec(np.array([2, 3])), "fp32[2,3]", 6, 24),
    ],
)
def test_spec(spec, text, size, nbytes):
    assert (str(spec), repr(spec), spec.size, spec.nbytes) == (text, text, size, nbytes)
    assert spec.ndim == len(spec.shape)
    assert spec == Spec(spec.shape, spec.dtype) and hash(spec) == hash(Spec(spec.shape, spec.dtype))
    assert all(type(s) is int for s in spec.concrete.shape)
    for copied in (copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert copied == spec and str(copied) == text


def test_specs_differ_by_shape_dtype_and_quantization():
    quantized = Spec((2,), "int8", Quantization((0.5,), (0,)))
    assert len({Spec((2,)), Spec((3,)), Spec((2,), "int8"), quantized, Spec((2,))}) == 4
    assert Spec((2,)) != "fp32[2]"
    assert quantized.replace(shape=(3,)) == Spec((3,), "int8", Quantization((0.5,), (0,)))


def test_a_spec_is_immutable():
    with pytest.raises(AttributeError, match=r"immutable: make another with spec\.replace"):
        Spec((2,)).shape = (3,)


@pytest.mark.parametrize(("axis", "wanted"), [(0, 0), (2, 2), (-1, 2), (-3, 0)])
def test_axis(axis, wanted):
    assert Spec((1, 2, 3)).axis(axis) == wanted


@pytest.mark.parametrize("axis", [3, -4])
def test_an_axis_outside(axis):
    with pytest.raises(ShapeError, match=rf"axis {axis} is not one of fp32\[1,2,3\]"):
        Spec((1, 2, 3)).axis(axis)


def test_tensor():
    data = np.arange(6, dtype=np.float32).reshape(2, 3).T
    tensor = Tensor("w", data=data)
    assert str(tensor) == repr(tensor) == "w: fp32[3,2] constant" and tensor.is_constant
    np.testing.assert_array_equal(tensor.data, data)
    assert tensor.data.flags.c_contiguous
    empty = Tensor("x", Spec((2,)))
    assert str(empty) == "x: fp32[2]" and not empty.is_constant and empty.data is None
    assert Tensor("one", data=np.array(3, np.float32)).spec == Spec(())


def test_data_is_fetched_when_it_is_first_used():
    calls = []
    tensor = Tensor("w", Spec((2,)), data=lambda: calls.append(1) or np.zeros(2, np.float32), digest="d")
    assert tensor.is_constant and tensor.digest == "d" and not calls
    assert tensor.data.shape == (2,) and tensor.data is tensor.data and calls == [1]


def test_tensors_that_contradict_themselves():
    with pytest.raises(ShapeError, match=r"^w: data is float32\[2\] but its spec is fp32\[3\]$"):
        Tensor("w", Spec((3,)), np.zeros(2, np.float32))
    with pytest.raises(ShapeError, match=r"^w: data is int8\[3\] but its spec is fp32\[3\]$"):
        Tensor("w", Spec((3,)), np.zeros(3, np.int8))
    with pytest.raises(ShapeError, match=r"^w: a tensor without data needs a spec$"):
        Tensor("w")


def test_digests_name_contents():
    a = np.arange(4, dtype=np.float32)
    assert Tensor("a", data=a).digest == Tensor("b", data=a.copy()).digest == content_digest(a.tobytes())
    assert Tensor("a", data=a).digest != Tensor("a", data=a + 1).digest
    assert len(content_digest(None)) == 32 and content_digest(np.zeros((0, 3))) == content_digest(b"")
