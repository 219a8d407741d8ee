"""Weights from a seed: the same everywhere, and of a size that keeps a net alive."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError

NET = """
input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc" inner_product_param { num_output: 5 } }
"""


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def test_random_weights_depend_on_the_seed_alone(read):
    assert read(NET).digest == read(NET).digest != read(NET, random_weights=2).digest
    assert (read(NET).constants["bn.var"].data > 0).all()
    first = read(NET).constants["conv.w"].data.ravel()[:3]
    np.testing.assert_allclose(first, [0.25581902, -0.06117783, 0.06371601], rtol=1e-6)


def deep(activation: str) -> str:
    """30 residual blocks of BatchNorm, Scale and an activation, then plain layers."""
    text = 'input: "x0" input_dim: 1 input_dim: 8 input_dim: 6 input_dim: 6 '
    conv = "convolution_param { num_output: 8 kernel_size: 3 pad: 1 }"
    for i in range(30):
        x = f"x{i}"
        text += f"""
        layer {{ name: "c{i}" type: "Convolution" bottom: "{x}" top: "c{i}" {conv} }}
        layer {{ name: "b{i}" type: "BatchNorm" bottom: "c{i}" top: "c{i}" }}
        layer {{ name: "s{i}" type: "Scale" bottom: "c{i}" top: "c{i}" scale_param {{ bias_term: true }} }}
        layer {{ name: "e{i}" type: "Eltwise" bottom: "{x}" bottom: "c{i}" top: "e{i}" }}
        layer {{ name: "x{i + 1}" type: "{activation}" bottom: "e{i}" top: "x{i + 1}" }}"""
    for i in range(30, 45):
        text += f"""
        layer {{ name: "c{i}" type: "Convolution" bottom: "x{i}" top: "c{i}" {conv} }}
        layer {{ name: "x{i + 1}" type: "{activation}" bottom: "c{i}" top: "x{i + 1}" }}"""
    return text


@pytest.mark.parametrize("activation", ["ReLU", "Sigmoid", "TanH", "ELU", "AbsVal", "PReLU"])
def test_signals_neither_die_nor_explode(read, activation):
    y = read(deep(activation)).forward(x0=normal(1, 8, 6, 6))["x45"]
    assert 0.01 < y.std() < 10


def test_random_weights_are_not_drawn_before_they_are_used_and_not_without_limit(read):
    fc = NET.replace("num_output: 5", "num_output: 20000000")
    assert read(fc).constants["fc.w"].spec.nbytes == 960_000_000
    with pytest.raises(ConversionError, match="too many random weights"):
        read(NET.replace("num_output: 5", "num_output: 200000000"))
