"""quantize: fp32 Net -> Net of integer layers, calibrated on samples.

    small = net.quantize(samples)

The road: samples (checked, prepared as images are) -> observe (how each tensor's numbers lie) -> ranges (what int8 is
to cover) -> convert (integer layers, by the rules that layers/integers.py has for each type).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from ..errors import InputError
from ..net import Net
from ..part import pieces
from .convert import Builder, kept_in_float, nodes_of, prepared, quantizations, tensors_of
from .correction import correct
from .equalise import equalised
from .observation import Seen, observe
from .ranges import methods
from .samples import body_index, batches, body_samples, check_constants, checked_samples

CORRECTED = 8  # samples a batch of those that weights are corrected on


@dataclass
class Quantized:
    """What a quantizer made.

    net     the integer net
    floats  layer -> why it stays in fp32
    """

    net: Net
    floats: dict[str, str]
    seen: dict[str, Seen] = field(repr=False, default_factory=dict)


def quantize_net(
    net: Net,
    samples: Any,
    method: str = "mse",
    *,
    keep: Collection[str] = (),
    equalise: bool = True,
    bias: bool = True,
    adaptive: bool = True,
) -> Quantized:
    """See Net.quantize."""
    methods[method]
    check_constants(net)
    given = body_samples(net, checked_samples(net, samples))
    found = pieces(net)
    at = body_index(net)
    lean = prepared(found[at])
    specs = lean.specs()
    nodes = nodes_of(lean)
    floats = kept_in_float(lean, nodes, specs, keep)
    wanted = tensors_of(lean, nodes, floats)
    if not wanted:
        raise InputError(f"{net.name} has no layer that integers could compute")
    seen = observe(lean, wanted, given)
    if equalise:
        lean = equalised(lean, nodes, specs, floats, seen)
        nodes = nodes_of(lean)
        seen = observe(lean, wanted, given)
    builder = Builder(lean, nodes, floats, quantizations(lean, nodes, floats, seen, method), specs)
    if bias or adaptive:
        correct(builder, list(batches(given, CORRECTED)), bias=bias, adaptive=adaptive)
    for node in nodes:
        builder.add(node)
    body = builder.finished()
    return Quantized(_joined(net, found, at, body), floats, seen)


def _joined(net: Net, found: tuple[Net, ...], at: int, body: Net) -> Net:
    """The net with one of its pieces replaced."""
    layers = [layer for i, piece in enumerate(found) for layer in (body if i == at else piece).layers]
    constants = dict(net.constants) | dict(body.constants)
    return net.replace(layers=layers, constants=constants, tests=(), plans={})
