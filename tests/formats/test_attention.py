"""Attention is one layer, whoever wrote it in parts: torch, its ONNX export, ONNX's own operator, TensorFlow's way."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layers
from fbnet.formats.patterns import recovered

L = {name: layers[name] for name in layers}


def random(*shape):
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


def by_hand(scale="q", mask="Binary", turn=(0, 2, 3, 1)):
    """q, k, v: (2, L, 3, 4) cut into heads and turned; the scale at q, at the scores, or its root at q and k."""
    front = [L["Permute"](n, name=f"{n}t", order=(0, 2, 1, 3) if n != "k" else turn) for n in "qkv"]
    q, k, chain = "qt", "kt", []
    if scale in ("q", "both"):
        chain.append(L["Power"](q, name="qs", scale=0.25 if scale == "q" else 0.5))
        q = "qs"
    if scale == "both":
        chain.append(L["Power"](k, name="ks", scale=0.5))
        k = "ks"
    chain.append(L["MatMul"](q, k, name="scores", transpose_b=turn == (0, 2, 1, 3)))
    last = "scores"
    if scale == "scores":
        chain.append(L["Power"](last, name="scaled", scale=0.25))
        last = "scaled"
    if mask:
        give = {"operation": "add"} if mask == "Binary" else {"axis": 2}
        chain.append(
            L[mask](last, random(7, 9) if mask == "Bias" else random(1, 1, 7, 9), name="masked", **give)
        )
        last = "masked"
    return [*front, *chain, L["Softmax"](last, name="shares", axis=3), L["MatMul"]("shares", "vt", name="y")]


SHAPES = {"q": (2, 7, 3, 4), "k": (2, 9, 3, 4), "v": (2, 9, 3, 4)}


@pytest.mark.parametrize("turn", [(0, 2, 3, 1), (0, 2, 1, 3)])
@pytest.mark.parametrize("mask", ["", "Binary", "Bias"])
@pytest.mark.parametrize("scale", ["q", "both", "scores", ""])
def test_however_it_is_written(scale, mask, turn):
    net = fbnet.Net(by_hand(scale, mask, turn), SHAPES)
    one = recovered(net)
    (found,) = (n for n in one.layers if n.type == "Attention")
    assert found.scale == (0.25 if scale else 1) and len(found.inputs) == 3 + bool(mask)
    assert not {"MatMul", "Softmax", "Power"} & {n.type for n in one.layers}
    fed = {name: random(*shape) for name, shape in SHAPES.items()}
    np.testing.assert_allclose(one.forward(**fed)["y"], net.forward(**fed)["y"], rtol=1e-5, atol=1e-6)


def test_what_others_read_stays():
    net = fbnet.Net([*by_hand(), L["ReLU"]("shares", name="r")], SHAPES)
    assert "Attention" not in [n.type for n in recovered(net).layers]


torch = pytest.importorskip("torch")
F = torch.nn.functional


class Block(torch.nn.Module):
    """A transformer's attention, as its authors write it, by `how`."""

    def __init__(self, how: str):
        super().__init__()
        self.how, self.parts = how, torch.nn.ModuleList(torch.nn.Linear(12, 12) for _ in range(3))
        self.many = torch.nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x):
        if self.how == "MultiheadAttention":
            return self.many(x, x, x, need_weights=False)[0]
        q, k, v = (part(x).reshape(x.shape[0], x.shape[1], 3, 4).transpose(1, 2) for part in self.parts)
        if self.how == "by hand":
            y = ((q @ k.transpose(-2, -1)) / 2).softmax(-1) @ v
        else:
            mask = torch.ones(6, 6, dtype=torch.bool).tril() if self.how == "masked" else None
            y = F.scaled_dot_product_attention(q, k, v, mask)
        return y.transpose(1, 2).reshape(x.shape)


@pytest.mark.parametrize("how", ["by hand", "scaled_dot_product_attention", "masked", "MultiheadAttention"])
def test_from_torch_and_from_its_onnx(how, tmp_path):
    module = Block(how).eval()
    x = torch.from_numpy(random(2, 6, 12))
    with torch.no_grad():
        wanted = module(x).numpy()
    nets = [fbnet.convert(module, x)]
    if how != "MultiheadAttention":
        nets.append(fbnet.convert(exported(module, x, tmp_path / "m.onnx")))
    for net in nets:
        kinds = [layer.type for layer in net.layers]
        assert kinds.count("Attention") == 1 and not {"MatMul", "Softmax"} & set(kinds)
        for found in (
            net(x.numpy()),
            next(iter(net.forward(**{next(iter(net.inputs)): x.numpy()}).values())),
        ):
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
        assert [n.heads for n in net.layers if n.type == "Attention"] == [3]


def exported(module, x, path):
    """torch's older exporter, which needs nothing but torch."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x,), str(path), opset_version=17, dynamo=False)
    return path
