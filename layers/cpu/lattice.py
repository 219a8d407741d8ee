"""lattice: which outputs a stage of a convolution computes, and what each of them sees of the input.

A convolution computes all of them in one go. Its transpose, with stride s, falls apart into s × s plain convolutions:
the outputs whose place leaves the same rest by s are reached by the same taps, and see the input place by place. So
nothing is multiplied by the zeros that a stride would put in between. (Shi et al. 2016, arXiv:1609.07009)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd

from ...engine.kernel import Call


@dataclass(frozen=True)
class Axis:
    """One axis of a lattice: output i of `count` lies at start + i * step of y, and its tap k sees place
    i * stride - before + k * dilation of x. `taps` says which of the layer's own taps these are, in order.
    """

    count: int
    taps: Sequence[int]
    stride: int = 1
    before: int = 0
    dilation: int = 1
    start: int = 0
    step: int = 1


@dataclass(frozen=True)
class Lattice:
    rows: Axis
    columns: Axis


def whole(call: Call) -> Lattice:
    """Every output of a convolution."""
    layer, sizes, taps = call.layer, call.shape("y")[2:], call.shape("w")[2:]
    return Lattice(
        *(Axis(sizes[a], range(taps[a]), layer.stride[a], layer.pad[a], layer.dilation[a]) for a in range(2))
    )


def phases(call: Call) -> list[Lattice]:
    """The outputs of a deconvolution, by the rest that their place leaves by the stride."""
    layer, sizes, taps = call.layer, call.shape("y")[2:], call.shape("w")[2:]
    axes = [_phases(sizes[a], taps[a], layer.stride[a], layer.pad[a], layer.dilation[a]) for a in range(2)]
    return [Lattice(*pair) for pair in product(*axes)]


def _phases(size: int, taps: int, stride: int, pad: int, dilation: int) -> list[Axis]:
    """Place i of x reaches place i * stride - pad + k * dilation of y by tap k."""
    found = []
    for start in range(min(stride, size)):
        reached = [k for k in reversed(range(taps)) if (start + pad - k * dilation) % stride == 0]
        before = -(start + pad - reached[0] * dilation) // stride if reached else 0
        apart = dilation // gcd(dilation, stride) if reached else 1
        count = len(range(start, size, stride))
        found.append(Axis(count, reached, 1, before, apart, start, stride))
    return found
