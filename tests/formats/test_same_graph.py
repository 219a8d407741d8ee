"""The same net from two frameworks is the same work: the steps of the plans have the same kernels, sizes and threads.

Nothing of the source format is left to cost time: equal steps take equal time, whoever measures on whatever machine.
They may run in another order, as a file lists branches in its own; and of two convolutions in front of a sum it is the
one listed first that adds the other's result to its own, which both do at the same cost.
"""

from __future__ import annotations

from collections import Counter

import fbnet
import pytest
from fbnet.engine.device import devices
from fbnet.engine.lower import lower
from fbnet.engine.rewrite import apply
from fbnet.engine.share import Shares
from fbnet.tools.catalogue import entry

# (entry of the zoo, image, entry with the same weights, image, what its plan has besides)
PAIRS = [
    ("squeezenet_v1.1", (1, 3, 227, 227), "squeezenet_v1.1_ncnn", (1, 3, 227, 227), []),
    # this file's input is (N,H,W,C), and stays that: one Permute at the net's door
    ("open_nsfw", (1, 3, 224, 224), "open_nsfw_onnx", (1, 224, 224, 3), ["cpu/fp32/Permute/copy"]),
]
ADDING = ("alpha", "beta")  # limits of the activation behind a sum


def work(net: fbnet.Net, shape: tuple[int, ...]) -> tuple[list[tuple], int]:
    """What each step does: kernel, results as they lie in memory, threads, sizes; and how many add a residual."""
    device = devices["cpu"]
    device.load_kernels()
    lean = apply(net)
    specs = {name: spec.concrete for name, spec in lean.specs({next(iter(net.inputs)): shape}).items()}
    found = lower(lean, device, "fp32", specs, Shares(lean, device, specs, 2, generous=False))
    steps = []
    for item in (i for i in found.items if not i.alias):
        assert item.kernel is not None, f"{item.layer} runs by its reference"
        results = [
            (tuple(s for s in found.specs[o].shape if s > 1), found.layouts[o]) for o in item.layer.outputs
        ]
        sizes = [
            (k, v)
            for stage in item.stages
            for k, v in stage.params.items()
            if isinstance(v, int) and k not in ADDING
        ]
        steps.append((item.kernel.name, tuple(results), item.threads, tuple(sizes)))
    return steps, sum(layer.type == "Convolution" and len(layer.inputs) > 3 for layer in lean.layers)


@pytest.mark.parametrize(
    ("one", "shape", "other", "other_shape", "besides"), PAIRS, ids=[p[0] for p in PAIRS]
)
def test_the_same_steps(zoo, one, shape, other, other_shape, besides):
    nets = [fbnet.convert(*(zoo(name) / file for file in entry(name).model)) for name in (one, other)]
    (first, sums), (second, other_sums) = (
        work(n, s) for n, s in zip(nets, (shape, other_shape), strict=True)
    )
    assert [kernel for kernel, *_ in second[: len(besides)]] == besides
    assert Counter(first) == Counter(second[len(besides) :]) and sums == other_sums
