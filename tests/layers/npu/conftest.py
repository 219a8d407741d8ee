"""A chip with buffers so small that everything is cut, and how a program is run on one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from fbnet.engine.net import Net
from fbnet.layers.npu.execute import Memory, execute
from fbnet.layers.npu.machine import CHIP, Machine
from fbnet.layers.npu.program import Program
from fbnet.layers.quantized import (
    QuantizedConvolution,
    QuantizedEltwise,
    QuantizedInnerProduct,
    QuantizedPooling,
)

Arrays = Mapping[str, np.ndarray]


@pytest.fixture(scope="session")
def tiny_chip() -> Machine:
    return replace(CHIP, activations=6 << 10, weights=4 << 10)


@pytest.fixture(scope="session")
def run() -> Callable[..., dict[str, np.ndarray]]:
    """run(program, inputs): the outputs, after the program was written and read again."""

    def run(program: Program, inputs: Arrays, chip: Machine = CHIP) -> dict[str, np.ndarray]:
        program = Program.read(program.write(), chip)
        memory = Memory(chip, program.dram, program.image)
        memory.chip[:], memory.dram[:] = 85, -86  # what is read before it is written shows
        for end in program.inputs:
            memory.dram[end.dram : end.dram + end.nbytes] = inputs[end.name].reshape(-1)
        execute(program.commands, memory)
        kinds = {"int8": np.int8, "fp32": np.float32, "int32": np.int32}
        return {
            e.name: memory.dram[e.dram : e.dram + e.nbytes].view(kinds[e.dtype]).reshape(e.shape)
            for e in program.outputs
        }

    return run


@pytest.fixture(scope="session")
def branched() -> Net:
    """Branches that are joined, a residual, both kinds of gate, one filter a channel, a product at the end, in fp32."""
    random = np.random.default_rng(5)

    def weights(m: int, *rest: int) -> list[np.ndarray]:
        w = random.integers(-127, 128, (m, *rest)).astype(np.int8)
        factor = np.linspace(0.5, 1.5, m) * 60 / (74 * 74 * np.prod(rest) ** 0.5)
        return [w, random.integers(-999, 999, m).astype(np.int32), factor.astype(np.float32)]

    def conv(x: str, m: int, c: int, k: int, name: str, **more) -> QuantizedConvolution:
        w, b, factor = weights(m, c, k, k)
        residual, gate = more.pop("residual", None), None
        if more.pop("gated", False):  # what it reads are some tenths
            factor, gate = factor / 60, np.linspace([0.2, 60, -50], [0.8, 90, 0], m, dtype=np.float32, axis=1)
        wiring = [w, b, factor, None, residual, gate]
        fixed = dict(pad=(k // 2,) * 4, scale=1.0, x_zero=3, zero=3)
        return QuantizedConvolution(x, *wiring, name=name, **(fixed | more))

    from fbnet.layers.concat import Concat, Slice
    from fbnet.layers.reshape import Flatten

    layers = [
        conv("x", 12, 5, 3, "c1", stride=(2, 2), low=3),
        QuantizedPooling("c1", name="p1", kernel=(3, 3), stride=(2, 2), ceil=True, scale=1.0, x_zero=3, zero=3),
        conv("p1", 8, 12, 1, "a"),
        conv("p1", 40, 12, 3, "b", gated=True),
        Concat("a", "b", name="ab"),
        conv("ab", 48, 1, 3, "d", group=48),
        conv("d", 48, 48, 1, "e", residual="ab", residual_zero=3, residual_multiplier=0.5),
        QuantizedPooling("e", name="g", method="average", global_pooling=True, scale=1.0, x_zero=3, multiplier=3),
        QuantizedEltwise("e", "g", name="s", operation="prod", x_zero=(3, 0), multiplier=(0.02,), scale=1.0),
        Slice("s", name="cut", outputs=["left", "right"]),
        QuantizedEltwise("left", "right", name="sum", x_zero=(0, 1), multiplier=(0.5, 0.7), scale=1.0),
        Concat("sum", "sum", "right", name="again"),
        Flatten("again", name="flat"),
        QuantizedInnerProduct("flat", *weights(10, 72 * 42), name="y", scale=1.0, to="fp32"),
    ]  # fmt: skip
    from fbnet.engine.tensor import Spec

    return Net(layers, {"x": Spec(("N", 5, 23, 27), "int8")}, name="branched")
