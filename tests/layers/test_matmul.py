"""MatMul: against onnxruntime, messages, symbols."""

import numpy as np
import pytest
from fbnet.engine.errors import ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.matmul import MatMul


def normal(*shape):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_matmul_is_onnxruntimes(onnx_run, batch):
    a, b = normal(*batch, 7, 13), normal(*batch, 13, 5)
    wanted = onnx_run("MatMul", a, b)
    np.testing.assert_allclose(MatMul().reference(a, b), wanted, rtol=1e-4, atol=1e-5)
    turned = MatMul(transpose_b=True).reference(a, np.swapaxes(b, -1, -2))
    np.testing.assert_allclose(turned, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("transpose_b", "a", "b", "message"),
    [
        (False, (2, 7, 13), (2, 5, 13), "a is fp32[2,7,13] but b is fp32[2,5,13]: b needs K=13"),
        (True, (2, 7, 13), (2, 13, 5), "b needs K=13"),
        (False, (2, 7, 13), (3, 13, 5), "their axes before the last two differ, and are not 1"),
        (False, (13,), (13,), "both are matrices, with at least two axes"),
    ],
)
def test_shapes_that_do_not_fit(transpose_b, a, b, message):
    with pytest.raises(ShapeError) as error:
        MatMul(name="qk", transpose_b=transpose_b).infer_outputs([Spec(a), Spec(b)])
    assert str(error.value).startswith("qk (MatMul): ") and message in str(error.value)


def test_symbolic_sizes_and_cost():
    a = Spec((Dim("N", 2), 3, Dim("T", 7), 8))
    assert str(MatMul(transpose_b=True).infer(a, a)) == "fp32[N,3,T,T]"
    assert MatMul(transpose_b=True).macs(a, a) == 2 * 3 * 7 * 7 * 8
