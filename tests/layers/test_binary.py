"""Binary, Compare, Where and Cast: the shapes that meet, the dtypes that fit, and numbers at the edges."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec, broadcast
from fbnet.layers.binary import Binary, Compare, Where
from fbnet.layers.cast import Cast
from fbnet.layers.reduce import Reduction
from fbnet.layers.unary import Unary


@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (3,)), ((2, 1, 5), (7, 1)), ((), (4,)), ((0, 3), (1, 3)), ((1,), (0,)), ((5, 1), (1, 6), (6,))],
)
def test_shapes_meet_as_numpys(shapes):
    assert broadcast(*shapes) == np.broadcast_shapes(*shapes)


def test_open_sizes_meet():
    n, one = Dim("N", 4), Dim("B", 1)
    assert list(map(str, broadcast((n, 3), (1, 3)))) == ["N", "3"]
    assert list(map(str, broadcast((1, 3), (one, 1)))) == ["B", "3"]
    assert list(map(str, broadcast((n,), (4,)))) == ["N"]
    with pytest.raises(ShapeError, match=r"shapes \[N,3\], \[2,3\] cannot be broadcast: N and 2 meet"):
        broadcast((n, 3), (2, 3))


def test_whole_numbers_divide_as_in_c():
    a, b = np.array([7, -7, 7, -7, 5], np.int32), np.array([2, 2, -2, -2, 0], np.int32)
    expected = {"div": [3, -3, -3, 3, 0], "mod": [1, 1, -1, -1, 0], "fmod": [1, -1, 1, -1, 0]}
    for operation, wanted in expected.items():
        assert Binary(operation=operation).reference(a, b).tolist() == wanted


def test_what_does_not_fit_is_refused():
    with pytest.raises(AttributeValueError, match="operation is 'plus': give one of 'add'"):
        Binary(operation="plus")
    with pytest.raises(ShapeError, match="both need one dtype; cast one of them"):
        Binary().infer_outputs([Spec((2,)), Spec((2,), "int32")])
    with pytest.raises(ShapeError, match="there is no 'xor' of fp32"):
        Binary(operation="xor").infer_outputs([Spec((2,)), Spec((2,))])
    with pytest.raises(ShapeError, match="there is no 'less' of bool"):
        Compare(operation="less").infer_outputs([Spec((2,), "bool"), Spec((2,), "bool")])
    with pytest.raises(ShapeError, match="it must be bool"):
        Where().infer_outputs([Spec((2,)), Spec((2,)), Spec((2,))])
    with pytest.raises(ShapeError, match="there is no 'sqrt' of int64"):
        Unary(operation="sqrt").infer_outputs([Spec((2,), "int64")])
    with pytest.raises(AttributeValueError, match="give one of fp32"):
        Cast(to="float")
    with pytest.raises(ShapeError, match="name one of its axes twice"):
        Reduction(axes=(0, -2)).infer_outputs([Spec((2, 3))])
    with pytest.raises(ShapeError, match="there is no 'mean' of int32"):
        Reduction(operation="mean").infer_outputs([Spec((2, 3), "int32")])


@pytest.mark.parametrize("operation", ["sum", "prod", "max", "min", "mean"])
def test_of_nothing(operation):
    wanted = {"sum": 0, "prod": 1, "max": -np.inf, "min": np.inf, "mean": np.nan}[operation]
    got = Reduction(operation=operation, axes=(1,)).reference(np.zeros((2, 0), np.float32))
    np.testing.assert_array_equal(got, [wanted, wanted])


def test_the_sum_of_exps_cannot_overflow():
    x = np.array([[1000, 1000], [-1000, -1000], [-np.inf, 0]], np.float32)
    got = Reduction(operation="log_sum_exp", axes=(1,)).reference(x)
    np.testing.assert_allclose(got, [1000.6931, -999.3069, 0], rtol=1e-6)
