"""works: what the chip has to do for a layer, before anyone knows where tensors lie and how they are cut.

A work is a command for the whole image, and the tensors and weights that it is about. A layer that cannot become
works raises Refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ...engine.layer import Layer
from ...engine.tensor import Spec, Tensor
from . import commands as c
from .commands import Conv, Eltwise, Pool, Table
from .program import DTYPES

Specs = Mapping[str, Spec]
Constants = Mapping[str, Tensor]


SHORT = 256  # bytes: a run that need not be cut


class Refused(Exception):
    """Why the chip cannot compute a layer."""


@dataclass(frozen=True)
class Ref:
    """A tensor's bytes from `offset` on."""

    tensor: str
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Window:
    """CONV or POOL.

    command     for the whole image, addresses 0
    w           (outputs, products) int8; None for POOL
    parameters  arrays of `outputs` 4-byte numbers: b, multiplier; slope; the gate's start, gain, offset
    """

    layer: str
    command: Conv | Pool
    x: Ref
    y: Ref
    height: int  # of the whole output
    item: int = 1  # bytes of a result
    residual: Ref | None = None
    w: np.ndarray | None = None
    parameters: Sequence[np.ndarray] = ()

    @property
    def outputs(self) -> int:
        return self.command.outputs if isinstance(self.command, Conv) else self.command.channels

    @property
    def dense(self) -> bool:
        """Whether every output channel reads every channel of the input."""
        return isinstance(self.command, Conv) and not self.command.flags & c.DEPTHWISE

    @property
    def dilation(self) -> int:
        return self.command.dilation[0] if isinstance(self.command, Conv) else 1

    @property
    def dilation_across(self) -> int:
        return self.command.dilation[1] if isinstance(self.command, Conv) else 1


@dataclass(frozen=True, eq=False)
class Flat:
    """ELTWISE or TABLE: numbers in a row, whatever their shape."""

    layer: str
    command: Eltwise | Table
    xs: tuple[Ref, ...]
    y: Ref
    table: bytes = b""


@dataclass(frozen=True, eq=False)
class Move:
    """Bytes from one place in DRAM to another: `run` at each place of a box of axes (count, x's step, y's step)."""

    layer: str
    x: Ref
    y: Ref
    run: int
    axes: tuple[tuple[int, int, int], ...] = field(default=())

    @property
    def pieces(self) -> tuple[int, tuple[tuple[int, int, int], ...]]:
        """The run and the axes that it is cut by, along the first: one long run is many short ones without a gap."""
        axes = tuple(axis for axis in self.axes if axis[0] > 1)
        if axes:
            return self.run, axes
        unit = next(n for n in range(min(self.run, SHORT), 0, -1) if self.run % n == 0)
        return unit, ((self.run // unit, unit, unit),)


@dataclass(frozen=True, eq=False)
class Chain:
    """Windows of which each reads what the one before wrote, and nobody else does: computed tile by tile, all in a row.

    What lies between them is never whole, and never leaves the buffer. Only the last may have a residual.
    """

    stages: tuple[Window, ...]

    @property
    def layer(self) -> str:
        return self.stages[-1].layer

    @property
    def x(self) -> Ref:
        return self.stages[0].x

    @property
    def y(self) -> Ref:
        return self.stages[-1].y

    @property
    def residual(self) -> Ref | None:
        return self.stages[-1].residual


Work = Window | Flat | Move | Chain


def operands(work: Work) -> tuple[Ref, ...]:
    """The tensors of a work, in the order in which tilings speak of them: what it reads, what it writes, a residual."""
    if isinstance(work, Flat):
        return (*work.xs, work.y)
    if isinstance(work, Move) or work.residual is None:
        return (work.x, work.y)
    return (work.x, work.y, work.residual)


Maker = Callable[[Layer, Specs, Constants], Sequence[Work]]
_makers: dict[str, Maker] = {}


def work(*types: str) -> Callable[[Maker], Maker]:
    """Register what makes works of layers of these types."""

    def register(maker: Maker) -> Maker:
        _makers.update(dict.fromkeys(types, maker))
        return maker

    return register


def works_of(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    """What the chip does for a layer; nothing for one that only gives bytes another shape. Raises Refused.

    specs  of one image
    """
    if all(name in constants for name in layer.inputs if name):
        raise Refused("it reads nothing but constants")
    for name in (*layer.inputs, *layer.outputs):
        if name and name not in constants and specs[name].shape[:1] != (1,):
            raise Refused(f"{name} is {specs[name]}: the chip is given one image at a time")
        if name and 0 in specs[name].shape:
            raise Refused(f"{name} is {specs[name]}: there is nothing in it")
    for name in layer.inputs:
        if name and name not in constants and specs[name].dtype.name != "int8":
            raise Refused(f"it reads {name}, which is {specs[name]}")
    if layer.type not in _makers and not layer.alias:
        outputs = [name for name in layer.outputs if specs[name].dtype.name != "int8"]
        writes = f": it writes {outputs[0]}, which is {specs[outputs[0]]}" if outputs else ""
        raise Refused(f"there is no command for {layer.type}{writes}")
    return [] if layer.alias else _makers[layer.type](layer, specs, constants)


@work("QuantizedConvolution")
def _convolution(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    w, parameters, flags = _weights(layer, constants)
    x, y = (specs[name].shape for name in (layer.inputs[0], layer.outputs[0]))
    if len(x) != 4:
        raise Refused(
            f"{layer.inputs[0]} is {specs[layer.inputs[0]]}, but the chip's images are (N, C, H, W)"
        )
    share, (_, residual, _) = w.shape[1], _optional(layer)
    depthwise = layer.group == x[1] and layer.group > 1
    groups = 1 if depthwise else layer.group
    outputs, item, made = y[1] // groups, 1 if layer.to == "int8" else 4, []
    command = Conv(
        **_window(layer, x[1] // groups, x[2:], y[2:], w.shape[2:]), **_limits(layer), x_zero=layer.x_zero,
        flags=flags + (c.DEPTHWISE if depthwise else 0), outputs=outputs, dilation=layer.dilation,
        residual_plane=y[2] * y[3], residual_zero=layer.residual_zero, residual_multiplier=layer.residual_multiplier,
    )  # fmt: skip
    for group in range(groups):
        part = slice(group * outputs, (group + 1) * outputs)
        offset = part.start * y[2] * y[3]
        made.append(
            Window(
                layer.name,
                command,
                Ref(layer.inputs[0], group * share * x[2] * x[3]),
                Ref(layer.outputs[0], offset * item),
                y[2],
                item,
                Ref(residual, offset) if residual else None,
                w[part].reshape(outputs, -1),
                [p[part] for p in parameters],
            )
        )
    return made


@work("QuantizedInnerProduct")
def _inner_product(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    w, parameters, flags = _weights(layer, constants)
    x, (_, residual, _) = specs[layer.inputs[0]], _optional(layer)
    if x.axis(layer.axis) != 1:
        raise Refused(f"its axis is {layer.axis}: the chip computes one product for an image")
    one = dict(
        x=0, y=0, x_plane=1, y_plane=1 if layer.to == "int8" else 4, channels=w.shape[1], height=1, width=1, x_row=0,
        x_rows=1, y_row=0, y_rows=1, y_width=1, kernel=(1, 1), stride=(1, 1), pad=(0, 0),
    )  # fmt: skip
    command = Conv(
        **one, **_limits(layer), x_zero=layer.x_zero, flags=flags, outputs=len(w), residual_plane=1,
        residual_zero=layer.residual_zero, residual_multiplier=layer.residual_multiplier,
    )  # fmt: skip
    item = 1 if layer.to == "int8" else 4
    x_ref, y_ref = Ref(layer.inputs[0]), Ref(layer.outputs[0])
    added = Ref(residual) if residual else None
    return [Window(layer.name, command, x_ref, y_ref, 1, item, added, w, parameters)]


@work("QuantizedPooling")
def _pooling(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    x, y = (specs[name].shape for name in (layer.inputs[0], layer.outputs[0]))
    whole = layer.global_pooling
    twin = layer.replace(stride=(1, 1), pad=(0, 0, 0, 0)) if whole else layer
    kernel = x[2:] if whole else layer.kernel
    flags = (c.AVERAGE if layer.method == "average" else c.MAX) + (c.COUNT_PAD if layer.count_pad else 0)
    command = Pool(
        **_window(twin, x[1], x[2:], y[2:], kernel), **_limits(layer), x_zero=layer.x_zero, flags=flags,
        end=twin.pad[2:], multiplier=layer.multiplier,
    )  # fmt: skip
    return [Window(layer.name, command, Ref(layer.inputs[0]), Ref(layer.outputs[0]), y[2])]


@work("QuantizedEltwise")
def _eltwise(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    names, repeat = list(layer.inputs), 1
    if any(name in constants for name in names):
        raise Refused("one of its inputs is a constant")
    if len(names) > c.INPUTS:
        raise Refused(f"it has {len(names)} inputs; ELTWISE takes {c.INPUTS}")
    zeros, shapes = list(layer.x_zero), [specs[name].shape for name in names]
    if shapes[0] != shapes[-1]:  # only a product's two inputs may differ
        if prod(shapes[0]) < prod(shapes[1]):  # the product is the same, whichever is first
            names, zeros, shapes = names[::-1], zeros[::-1], shapes[::-1]
        repeat = _repeats(shapes[0], shapes[1])
    operation = {"sum": c.SUM, "prod": c.PROD, "max": c.MOST}[layer.operation]
    factors = list(layer.multiplier) + [0.0] * (c.INPUTS - len(layer.multiplier))
    size = prod(specs[layer.outputs[0]].shape)
    command = Eltwise(
        operation, len(names), size, 0, x_zero=_four(zeros), multiplier=_four(factors), repeat=repeat, **_limits(layer)
    )  # fmt: skip
    return [Flat(layer.name, command, tuple(map(Ref, names)), Ref(layer.outputs[0]))]


def _repeats(large: Sequence[int], small: Sequence[int]) -> int:
    """How often each number of the smaller one is used in a row, as a gate (1, C, 1, 1) is over an image."""
    for axis in range(len(large)):
        if len(small) == len(large) and small[:axis] == large[:axis] and set(small[axis:]) == {1}:
            return prod(large[axis:])
    raise Refused(f"shapes {list(large)} and {list(small)} meet otherwise than as an image and its gate")


@work("Table")
def _table(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    if layer.inputs[1] not in constants:
        raise Refused("its table is no constant")
    return _looked_up(layer, specs, constants[layer.inputs[1]].data.tobytes())


@work("Requantize")
def _requantize(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    every = np.arange(-128, 128).astype(np.int8)
    return _looked_up(layer, specs, layer.reference(every).tobytes())


def _looked_up(layer: Layer, specs: Specs, table: bytes) -> Sequence[Work]:
    command = Table(prod(specs[layer.outputs[0]].shape), 0, 0, 0)
    return [Flat(layer.name, command, (Ref(layer.inputs[0]),), Ref(layer.outputs[0]), table)]


@work("Concat", "Slice")
def _parts(layer: Layer, specs: Specs, constants: Constants) -> Sequence[Work]:
    """A copy for each part; where it can be, the parts will lie in the whole instead."""
    joins = layer.type == "Concat"
    whole, parts = (layer.outputs[0], layer.inputs) if joins else (layer.inputs[0], layer.outputs)
    if any(name in constants for name in layer.inputs):
        raise Refused("one of its inputs is a constant")
    shape, axis = specs[whole].shape, specs[whole].axis(layer.axis)
    if axis == 0:
        raise Refused("it joins or cuts along the batch")
    row, offset, made = prod(shape[axis:]), 0, []
    for part in parts:
        run = prod(specs[part].shape[axis:])
        ends = (run, row) if joins else (row, run)
        refs = (Ref(part), Ref(whole, offset)) if joins else (Ref(whole, offset), Ref(part))
        made.append(Move(layer.name, *refs, run, ((prod(shape[:axis]), *ends),)))
        offset += run
    return made


def _weights(layer: Layer, constants: Constants) -> tuple[np.ndarray, list[np.ndarray], int]:
    """w; b, multiplier, slope and the gate's rows as they are there; CONV's flags for it all. Raises Refused."""
    slope, residual, gate = _optional(layer)
    names = [*layer.inputs[1:4], *filter(None, (slope, gate))]
    if any(name not in constants for name in names):
        raise Refused("its weights are no constants")
    if residual in constants:
        raise Refused("its residual is a constant")
    w, *parameters = (constants[name].data for name in names)
    if w.dtype != np.int8:
        raise Refused(f"its weights are {w.dtype}: the array multiplies int8")
    flags = DTYPES[layer.to] + (c.RESIDUAL if residual else 0) + (c.SLOPE if slope else 0)
    return w, [row for p in parameters for row in np.atleast_2d(p)], flags + (c.GATE if gate else 0)


def _optional(layer: Layer) -> tuple[str, str, str]:
    """The names of slope, residual and gate, '' for one that the layer does not have."""
    slope, residual, gate = (*layer.inputs[4:], "", "", "")[:3]
    return slope, residual, gate


def _window(
    layer: Layer, channels: int, size: Sequence[int], out: Sequence[int], kernel: Sequence[int]
) -> dict:
    """The fields that CONV and POOL share, for the whole image."""
    return dict(
        x=0, y=0, x_plane=size[0] * size[1], y_plane=out[0] * out[1], channels=channels, height=size[0], width=size[1],
        x_row=0, x_rows=size[0], y_row=0, y_rows=out[0], y_width=out[1], kernel=tuple(kernel),
        stride=tuple(layer.stride), pad=tuple(layer.pad[:2]),
    )  # fmt: skip


def _limits(layer: Layer) -> dict:
    return dict(zero=layer.zero, low=layer.low, high=layer.high)


def _four(values: Sequence) -> tuple:
    return (*values, *[0] * (c.INPUTS - len(values)))
