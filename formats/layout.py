"""Permute layers pushed through a net until they meet their inverse: an NHWC graph becomes an NCHW one.

Frameworks that keep images as (N,H,W,C) export every convolution between two transposes, and bias, activation and
join outside them. Here a Permute is not carried out at once. Each tensor of the original net is remembered as an
`_Alias`: a stored tensor, and the order in which its axes are to be read. A layer that can work on the stored tensor
(with its axis renamed) does so, and its result is an alias again; one that cannot gets a Permute in front, once. Most
orders cancel on the way, as axis i read at place order[i] is only arithmetic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..engine.layer import ABSENT, Elementwise, Layer, layers
from ..engine.net import Net
from ..engine.tensor import Dim, Spec, Tensor

Order = tuple[int, ...]


@dataclass(frozen=True)
class _Alias:
    """A tensor of the original net: axis i of it is axis order[i] of the stored tensor."""

    stored: str
    order: Order


def without_permutes(net: Net) -> Net:
    """The same function of the same inputs with as few Permute layers as this way leaves; names of outputs stay."""
    if not any(layer.type == "Permute" for layer in net.layers):
        return net
    tidied = _Pass(net).run()
    count = lambda n: sum(layer.type == "Permute" for layer in n.layers)  # noqa: E731
    return tidied if count(tidied) <= count(net) else net


# How a layer's attributes change when it reads stored tensors instead: (layer, order, specs of its inputs as the
# original net has them) -> changed attributes, or None if it must have the original tensor. A new type is one line.
Move = Callable[[Layer, Order, Sequence[Spec]], "dict[str, object] | None"]


def _axis(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """`axis` names one axis."""
    return {"axis": order[layer.axis % len(order)]}


def _channel(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """A vector along axis 1, which has to stay there."""
    return {} if order[1] == 1 or specs[1].size == 1 else None


def _block(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """A Scale or Bias by an array along some neighbouring axes: they must be neighbours, in order, once more."""
    start = layer.axis % len(order)
    axes = order[start : start + specs[1].ndim]
    first = axes[0] if axes else 0
    return {"axis": first} if list(axes) == list(range(first, first + len(axes))) else None


def _frame(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """A Pad frames the last axes, which may be others now: from the first on that gets anything."""
    framed = len(layer.pads) // 2
    ends = dict(zip(order[-framed:], zip(layer.pads[:framed], layer.pads[framed:], strict=True), strict=True))
    first = min((axis for axis, both in ends.items() if any(both)), default=len(order) - 1)
    both = [ends.get(axis, (0, 0)) for axis in range(first, len(order))]
    if framed == 2 and len(both) > 2:
        return None  # a layer behind it can take H and W over, but only where they are last
    if len(both) == 1:  # of an image both H and W are named
        both = [(0, 0), *both]
    return {"pads": [before for before, _ in both] + [after for _, after in both]}


def _axes(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """`axes` names some axes; () the first ones, as many as there are starts, or all."""
    count = len(layer.starts) if layer.type == "StridedSlice" else len(order)
    return {"axes": [order[axis % len(order)] for axis in layer.axes or range(count)]}


def _row(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """Indices in a row along one axis, so that the result has as many axes as before."""
    return _axis(layer, order, specs) if specs[1].ndim == 1 else None


def _equals(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """Operands that are broadcast: each has all axes, also those of size 1."""
    return {} if all(spec.ndim == len(order) for spec in specs) else None


def _scaled(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    """One scale, or one for each slice along `axis`."""
    return _axis(layer, order, specs) if len(layer.scale) > 1 else {}


def _free(layer: Layer, order: Order, specs: Sequence[Spec]) -> dict[str, object] | None:
    return {}


MOVES: dict[str, Move] = {
    "Eltwise": _free,
    "Concat": _axis,
    "Slice": _axis,
    "Softmax": _axis,
    "PReLU": _channel,
    "Scale": _block,
    "Bias": _block,
    "Pad": _frame,
    "Binary": _equals,
    "Compare": _equals,
    "Where": _equals,
    "Reduction": _axes,
    "StridedSlice": _axes,
    "Gather": _row,
    "ArgMax": _axis,
    "TopK": _axis,
    "CumSum": _axis,
    "Quantize": _scaled,
    "Dequantize": _scaled,
}
# all inputs are read in one order; of other types the first input is the image
JOINS = ("Eltwise", "Concat", "Binary", "Compare", "Where")


def _order_after(layer: Layer, order: Order) -> Order:
    """The order that a layer's result is read in, if its input is read in `order`: some lose axes."""
    if layer.type not in ("Reduction", "ArgMax") or layer.keep_dims:
        return order
    named = layer.axes or range(len(order)) if layer.type == "Reduction" else [layer.axis]
    gone = {axis % len(order) for axis in named}
    kept = [stored for axis, stored in enumerate(order) if axis not in gone]
    return tuple(sorted(kept).index(stored) for stored in kept)


class _Pass:
    """One run over a net. `net` and `specs` are the original's; the rest is what has been made of it so far."""

    def __init__(self, net: Net):
        self.net = net
        self.specs = net.specs()
        self.readers: dict[str, list[Layer]] = {}
        for layer in net.layers:
            for i in layer.inputs:
                self.readers.setdefault(i, []).append(layer)
        self.permutes = {layer.outputs[0]: layer.name for layer in net.layers if layer.type == "Permute"}
        self.layers: list[Layer] = []
        self.constants: dict[str, Tensor] = dict(net.constants)
        self.aliases = {name: _Alias(name, _identity(spec.ndim)) for name, spec in net.inputs.items()}
        self.made: dict[tuple[str, tuple[int, ...]], str] = {}  # (tensor, how it was turned) -> the result
        self.weights: dict[str, str] = {}  # InnerProduct -> its weights with their columns in another order
        self.written = {ABSENT, *net.inputs}
        self.names = dict.fromkeys(self.specs, 1)
        self.titles = dict.fromkeys((layer.name for layer in net.layers), 1)

    def run(self) -> Net:
        for layer in self.net.layers:
            self._visit(layer)
        for output in self.net.outputs:
            if output in self.aliases:
                self._publish(output)
        return self.net.replace(layers=_needed(self.layers, self.net.outputs), constants=self.constants)

    def _visit(self, layer: Layer) -> None:
        image = layer.inputs[0] if layer.inputs and layer.inputs[0] in self.aliases else None
        if layer.type == "Permute" and image:
            alias = self.aliases[image]
            order = tuple(alias.order[a] for a in layer.order)
            self.aliases[layer.outputs[0]] = _Alias(alias.stored, order)
            return
        if (layer.type == "Flatten" and image and self._reorder_weights(layer)) or self._move(layer):
            return
        inputs = [self._plain(i) for i in layer.inputs]
        inputs[1:2] = [self.weights.get(layer.name, i) for i in inputs[1:2]]
        self._write(layer.replace(inputs=inputs), None)

    def _move(self, layer: Layer) -> bool:
        """Let a layer read stored tensors, in an order other than theirs. False if it cannot, or need not."""
        single = isinstance(layer, Elementwise) and len(layer.inputs) == 1
        move = _free if single else MOVES.get(layer.type)
        joins = layer.type in JOINS
        order = self._common(layer.inputs if joins else layer.inputs[:1])
        if move is None or order is None or order == _identity(len(order)):
            return False
        specs = [self.specs[i] for i in layer.inputs if i != ABSENT]
        changes = move(layer, order, specs)
        if changes is None:
            return False
        inputs = [
            self._as_read(name, order) if joins or i == 0 else self._plain(name)
            for i, name in enumerate(layer.inputs)
        ]
        self._write(layer.replace(inputs=inputs, **changes), _order_after(layer, order))
        return True

    def _common(self, names: Sequence[str]) -> Order | None:
        """The order that most of these are read in; of equally many one that is not trivial, as it may yet cancel."""
        orders = Counter(self.aliases[n].order for n in names if n in self.aliases)
        if not orders or len({len(order) for order in orders}) != 1:
            return None
        return max(orders, key=lambda order: (orders[order], order != _identity(len(order))))

    def _write(self, layer: Layer, order: Order | None) -> None:
        """Append a layer; what it writes is read in `order`, None for as it is."""
        outputs = []
        for name in layer.outputs:
            turned = order is not None and name in self.net.outputs
            stored = _fresh(f"{name}/stored", self.names) if turned else name
            self.aliases[name] = _Alias(stored, order or _identity(self.specs[name].ndim))
            outputs.append(stored)
        self.written.update(outputs)
        self.layers.append(layer.replace(outputs=outputs))

    # -- carrying an order out -----------------------------------------------------------------------------

    def _plain(self, name: str) -> str:
        """The tensor `name` of the original net, as a tensor of this one."""
        alias = self.aliases.get(name)
        if alias is None:
            return name
        return self._permuted(alias.stored, alias.order, name, self.specs[name])

    def _as_read(self, name: str, order: Order) -> str:
        """A stored tensor that, read in `order`, is the tensor `name` of the original net."""
        back = _inverse(order)
        if name in self.constants:
            constant = self.constants[name]
            return self._constant(constant, back, np.asarray(constant.data).transpose(back))
        alias = self.aliases[name]
        turned = tuple(alias.order[a] for a in back)
        shape = [self.specs[name].shape[a] for a in back]
        return self._permuted(alias.stored, turned, f"{name}/stored", self.specs[name].replace(shape=shape))

    def _permuted(self, stored: str, order: Order, wanted: str, spec: Spec) -> str:
        """The tensor that `stored` is when read in `order`, written once; `spec` is what it is then."""
        if order == _identity(len(order)):
            return stored
        if (stored, order) not in self.made:
            unwritten = wanted in self.specs and wanted not in self.written
            name = wanted if unwritten else _fresh(wanted, self.names)
            self.made[stored, order] = name
            self.written.add(name)
            self.layers += self._carried_out(stored, order, name, spec)
        return self.made[stored, order]

    def _carried_out(self, stored: str, order: Order, name: str, spec: Spec) -> list[Layer]:
        """A Permute layer; Reshape and Flatten, which are no work, if only axes of size 1 change places."""
        title = self.permutes.get(name) or _fresh(name, self.titles)
        sized = [a for a, s in zip(order, spec.shape, strict=True) if not _is_one(s)]
        moved = [i for i, s in enumerate(spec.shape) if order[i] != i and not _is_one(s)]
        if sized == sorted(sized) and len(moved) <= 1:
            shape = [0 if order[i] == i else -1 if i in moved else 1 for i in range(len(order))]
            return [layers["Reshape"](stored, name=title, outputs=[name], shape=shape)]
        for new, old in enumerate(order) if sized == sorted(sized) and len(order) > 2 else ():
            if [a for a in order if a != old] == [a for a in range(len(order)) if a != old]:
                return self._moved_one(stored, old, new, name, title)
        return [layers["Permute"](stored, name=title, outputs=[name], order=order)]

    def _moved_one(self, stored: str, old: int, new: int, name: str, title: str) -> list[Layer]:
        """An axis of size 1 that changes its place: a new one is inserted there, the old one joins a neighbour."""
        wide = _fresh(f"{name}/wide", self.names)
        later = new > old
        inserted = layers["Reshape"](
            stored, name=_fresh(wide, self.titles), outputs=[wide], shape=(1,), axis=new + later, num_axes=0
        )
        gone = old + (not later)
        first = max(0, gone - 1)
        joined = layers["Flatten"](wide, name=title, outputs=[name], axis=first, end_axis=first + 1)
        return [inserted, joined]

    def _publish(self, output: str) -> None:
        """Make `output` the name of a tensor: its alias may be stored under another one."""
        stored = self._plain(output)
        if stored == output:
            return
        taken = {*self.net.inputs, *self.constants, *self.net.outputs}
        if stored in taken:  # it needs that name too: a layer that only renames
            same = [0] * self.specs[output].ndim
            self.layers.append(
                layers["Reshape"](stored, name=_fresh(output, self.titles), outputs=[output], shape=same)
            )
            return
        rename = lambda names: [output if n == stored else n for n in names]  # noqa: E731
        self.layers = [
            n.replace(inputs=rename(n.inputs), outputs=rename(n.outputs))
            if stored in (*n.inputs, *n.outputs)
            else n
            for n in self.layers
        ]
        renamed = {k: _Alias(output, a.order) for k, a in self.aliases.items() if a.stored == stored}
        self.aliases |= renamed
        self.made = {
            (output if k == stored else k, how): output if v == stored else v
            for (k, how), v in self.made.items()
        }

    # -- Permute, Flatten, InnerProduct --------------------------------------------------------------------

    def _reorder_weights(self, flatten: Layer) -> bool:
        """A flattened image that only InnerProducts read: their weights' columns change places, not the pixels."""
        name, result = flatten.inputs[0], flatten.outputs[0]
        order, spec = self.aliases[name].order, self.specs[name]
        readers = self.readers.get(result, [])
        fits = (
            flatten.axis % spec.ndim == 1
            and flatten.end_axis % spec.ndim == spec.ndim - 1
            and order[0] == 0
            and order != _identity(len(order))
            and not any(isinstance(s, Dim) for s in spec.shape[1:])
            and result not in self.net.outputs
            and bool(readers)
            and all(r.type == "InnerProduct" and r.inputs[0] == result and r.axis in (1, -1) for r in readers)
            and all(r.inputs[1] in self.net.constants for r in readers)
        )
        if not fits:
            return False
        for reader in readers:
            w = self.net.constants[reader.inputs[1]]
            data = np.asarray(w.data)
            columns = data.reshape(-1, *spec.shape[1:]).transpose(_inverse(order))
            how = (*order, *spec.shape)
            self.weights[reader.name] = self._constant(w, how, columns.reshape(data.shape))
        self._write(flatten.replace(inputs=[self.aliases[name].stored]), None)
        return True

    # -- names ---------------------------------------------------------------------------------------------

    def _constant(self, source: Tensor, how: tuple[int, ...], data: np.ndarray) -> str:
        """The constant that `source` becomes when it is turned `how`, made once."""
        if (source.name, how) not in self.made:
            made = Tensor(_fresh(f"{source.name}/stored", self.names), data=np.ascontiguousarray(data))
            self.constants[made.name] = made
            self.made[source.name, how] = made.name
        return self.made[source.name, how]


def _fresh(wanted: str, taken: dict[str, int]) -> str:
    """`wanted`, or it with a number behind it, which is taken from now on."""
    name = wanted
    while name in taken:
        name, taken[wanted] = f"{wanted}_{taken[wanted]}", taken[wanted] + 1
    taken[name] = 1
    return name


def _needed(found: Sequence[Layer], outputs: Sequence[str]) -> list[Layer]:
    """The layers that the outputs depend on."""
    wanted, kept = set(outputs), []
    for layer in reversed(found):
        if wanted.intersection(layer.outputs):
            wanted.update(layer.inputs)
            kept.append(layer)
    return kept[::-1]


def _identity(ndim: int) -> Order:
    return tuple(range(ndim))


def _inverse(order: Order) -> Order:
    return tuple(order.index(axis) for axis in range(len(order)))


def _is_one(size: int) -> bool:
    return size == 1 and not isinstance(size, Dim)
