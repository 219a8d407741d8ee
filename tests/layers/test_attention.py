"""Attention: what torch computes, also by the products and the softmax that devices run in its place."""

import warnings

import numpy as np
import pytest
from fbnet import HostFallback, Net, ShapeError, Spec
from fbnet.engine.rewrite import apply
from fbnet.layers.attention import Attention


def random(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("heads", [0, 4])
def test_what_torch_computes(heads, masked):
    torch = pytest.importorskip("torch")
    n, rows, keys, size, count = 2, 7, 11, 5, 4
    q, k, v = (
        random(n, count, r, s, seed=i) for i, (r, s) in enumerate(((rows, size), (keys, size), (keys, 3)))
    )
    mask = random(rows, keys) if masked else None
    tensors = [torch.from_numpy(a) for a in (q, k, v)]
    added = None if mask is None else torch.from_numpy(mask)
    wanted = torch.nn.functional.scaled_dot_product_attention(*tensors, added, scale=0.3).numpy()
    if heads:
        q, k, v, wanted = (a.swapaxes(1, 2).reshape(n, a.shape[2], -1) for a in (q, k, v, wanted))
    fed = dict(zip("qkv", (q, k, v), strict=True)) | ({} if mask is None else {"mask": mask})
    net = Net(
        [Attention(*fed, name="y", scale=0.3, heads=heads)],
        {name: a.shape for name, a in fed.items()},
    )
    np.testing.assert_allclose(net.forward(**fed)["y"], wanted, rtol=0, atol=1e-6)
    assert str(net.specs()["y"]) == f"fp32[{','.join(map(str, wanted.shape))}]"
    with warnings.catch_warnings():
        warnings.simplefilter("error", HostFallback)
        np.testing.assert_allclose(net(**fed), wanted, rtol=0, atol=2e-6)
    assert "Attention" not in [layer.type for layer in apply(net).layers]


def test_sizes_that_may_change_stay():
    y = Attention(heads=2).infer(Spec(("N", "L", 6)), Spec(("N", "S", 6)), Spec(("N", "S", 4)))
    assert str(y) == "fp32[N,L,4]"


@pytest.mark.parametrize(
    ("shapes", "attributes", "problem"),
    [
        (((2, 7, 5), (2, 9, 4), (2, 9, 3)), {}, "rows of one length"),
        (((2, 7, 6), (2, 9, 6), (2, 9, 5)), {"heads": 2}, "cut into 2 heads"),
        (((7, 6), (9, 6), (9, 4)), {"heads": 2}, r"\(N, L, heads\*D\) is wanted"),
        (((2, 7, 5), (2, 9, 5), (2, 9, 3), (9, 7)), {}, "cannot be broadcast"),
    ],
)
def test_what_does_not_fit_is_refused(shapes, attributes, problem):
    with pytest.raises(ShapeError, match=problem):
        Attention("q", "k", "v", name="a", **attributes).infer_outputs([Spec(s) for s in shapes])
