"""Pad layers that join the convolution or pooling behind them: the same numbers, one layer less."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layers
from fbnet.formats.padding import LOWEST, without_pads

W = np.random.default_rng(0).normal(size=(4, 3, 3, 3)).astype(np.float32)
MAX = {"method": "max", "kernel": (3, 3)}
MEAN = {"method": "average", "kernel": (3, 3)}

# name: (attributes of Pad, type and attributes behind it, whether they join)
CASES = {
    "convolution": ({}, "Convolution", {"stride": (2, 1)}, True),
    "a convolution that pads": ({}, "Convolution", {"pad": (1, 0, 1, 2)}, True),
    "a convolution after ones": ({"value": 1.0}, "Convolution", {}, False),
    "average": ({}, "Pooling", MEAN | {"stride": (2, 2)}, True),
    "an average that pads": ({}, "Pooling", MEAN | {"pad": (1, 0, 0, 0)}, True),
    "an average of some padding": ({}, "Pooling", MEAN | {"pad": (1, 1, 0, 1), "count_pad": False}, False),
    "an average of what there is": ({}, "Pooling", MEAN | {"count_pad": False}, True),
    "rounded up": ({}, "Pooling", MEAN | {"stride": (2, 2), "ceil": True}, False),
    "maximum after zeros": ({}, "Pooling", MAX, False),
    "maximum": ({"value": LOWEST}, "Pooling", MAX | {"stride": (2, 2)}, True),
    "a small window": ({"value": LOWEST}, "Pooling", {"method": "max", "kernel": (2, 2), "stride": (2, 2)}, False),
    "a global maximum": ({"value": LOWEST}, "Pooling", {"method": "max", "global_pooling": True}, False),
}  # fmt: skip


def net_of(pad, kind, attributes, outputs=None):
    inputs = ["p", W] if kind == "Convolution" else ["p"]
    made = [
        layers["Pad"]("x", name="p", **({"pads": (1, 0, 2, 1)} | pad)),
        layers[kind](*inputs, name="y", **attributes),
    ]
    return fbnet.Net(made, inputs={"x": (2, 3, 8, 9)}, outputs=outputs)


@pytest.mark.parametrize("case", CASES)
def test_padding(case):
    pad, kind, attributes, joins = CASES[case]
    net = net_of(pad, kind, attributes)
    tidied = without_pads(net)
    assert len(tidied) == (1 if joins else 2)
    x = np.random.default_rng(1).normal(size=(2, 3, 8, 9)).astype(np.float32)
    np.testing.assert_allclose(tidied.forward(x=x)["y"], net.forward(x=x)["y"], rtol=1e-6, atol=1e-6)


def test_a_padded_image_that_is_an_output_stays():
    assert len(without_pads(net_of({}, "Convolution", {}, outputs=["p", "y"]))) == 2


def test_all_readers_must_join():
    conv = layers["Convolution"]("p", W, name="c")
    relu = layers["ReLU"]("p", name="r")
    pad = layers["Pad"]("x", name="p", pads=(1, 1, 1, 1))
    assert len(without_pads(fbnet.Net([pad, conv, relu], inputs={"x": (1, 3, 8, 8)}))) == 3
    other = layers["Convolution"]("p", W, name="d", stride=(2, 2))
    assert len(without_pads(fbnet.Net([pad, conv, other], inputs={"x": (1, 3, 8, 8)}))) == 2
