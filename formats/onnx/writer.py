"""writer: the way out, layer by layer. A table of small functions says what each layer is in ONNX nodes.

    @written("Sigmoid")
    def sigmoid(w, layer, x):
        return w.node("Sigmoid", x)

A layer's function gets the graph so far, the layer, and one Value an input (None where an optional input is left
out); it adds nodes and returns the name of each result. What ONNX cannot express it refuses by raising Unsupported
with the reason. The walk goes on after that, so that an export reports everything at once.

Where a node needs a size as a number and the net leaves it open, NeedsSize is raised, and the walk begins again with
fewer open sizes; see export.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engine.errors import ConversionError, RegistryError
from ...engine.layer import ABSENT, Layer, layers
from ...engine.net import Net
from ...engine.tensor import Dim, Spec, Tensor
from ..value import Unsupported

OPSET = 17
ONNX_TYPES = {"fp32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "bool": 9, "fp16": 10}  # TensorProto
ONNX_TYPES |= {"uint16": 4, "int16": 5, "uint32": 12, "uint64": 13}


class NeedsSize(Exception):
    """A node cannot be written unless a size that may change is fixed."""


@dataclass(frozen=True)
class Value:
    """An input of a layer: its ONNX name and Spec, and its Tensor if it is a constant."""

    name: str
    spec: Spec
    tensor: Tensor | None = None


Given = Value | str | np.ndarray | np.floating | None  # what nodes read: tensors, by name, and numbers


@dataclass
class Node:
    """An ONNX node to be: '' among the inputs is one that is left out."""

    type: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


Written = Callable[..., "str | Sequence[str]"]
table: dict[str, Written] = {}


def written(*types: str) -> Callable[[Written], Written]:
    """Enter a function (writer, layer, *values) -> name(s) as what these layer types are in nodes."""

    def register(function: Written) -> Written:
        for name in types:
            if name in table:
                raise RegistryError(f"layer {name!r} is already written by {table[name].__module__}")
            table[name] = function
        return function

    return register


class Writer:
    """The ONNX graph so far: nodes, and the constants that they read."""

    def __init__(self, net: Net):
        self.net = net
        self.specs = net.specs()
        self.nodes: list[Node] = []
        self.constants: dict[str, Tensor | np.ndarray] = {}
        self.problems: list[str] = []
        self._called: dict[str, str] = {}  # tensor of the net -> its ONNX name, where that is another
        self._names = {*self.specs}
        self._node_names = {layer.name for layer in net.layers}
        self._layer: Layer | None = None
        self._absorbed: Layer | None = None  # a layer that the one at hand has written too
        self._done: set[str] = set()
        self._readers: dict[str, list[Layer]] = {}
        for layer in net.layers:
            for name in layer.inputs:
                self._readers.setdefault(name, []).append(layer)

    # -- what layers use -----------------------------------------------------------------------------------

    def node(self, kind: str, *inputs: Given, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node; the name of its result, a list of them if `outputs` > 1. Arrays become constants."""
        label = self._layer.name if self._layer else "net"
        names = [self.fresh(f"{label}/{kind.lower()}") for _ in range(outputs)]
        wired = [self._wired(i) for i in inputs]
        while wired and not wired[-1]:
            wired.pop()
        name = _fresh(f"{label}/{kind}", self._node_names)
        self.nodes.append(Node(kind, name, wired, names, attributes))
        return names[0] if outputs == 1 else names

    def constant(self, array: Any, name: str = "") -> str:
        """The name of a constant: fp32 for floats, else int64. A given name is made once."""
        array = np.asarray(array)
        array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64, copy=False)
        if not name or name not in self.constants:
            name = self.fresh(name or f"{self._layer.name if self._layer else 'net'}/constant")
            self.constants[name] = array
        return name

    def _wired(self, given: Given) -> str:
        if isinstance(given, Value):
            if given.tensor is not None:
                self.constants.setdefault(given.name, given.tensor)
            return given.name
        return ABSENT if given is None else given if isinstance(given, str) else self.constant(given)

    def shaped(self, value: Value, trailing: int) -> str:
        """A small tensor with `trailing` axes of size 1 behind its own, so that it broadcasts as ONNX does it."""
        if trailing == 0:
            return self._wired(value)
        if value.tensor is None:
            first = value.spec.ndim
            return self.node("Unsqueeze", value, np.arange(first, first + trailing))
        array = numbers(value.tensor)
        return self.constant(array.reshape(*array.shape, *[1] * trailing), f"{value.name}/{trailing}")

    def size(self, size: int) -> int:
        """A size as a number. Raises NeedsSize if it may change."""
        if isinstance(size, Dim):
            raise NeedsSize
        return int(size)

    def reshaped(self, x: Value | str, old: Sequence[int], new: Sequence[int]) -> str:
        """x, of shape `old`, in shape `new`: sizes that may change are copied (0) or left over (-1)."""
        target, left_over = [], False
        for axis, size in enumerate(new):
            if isinstance(size, Dim) and axis < len(old) and str(size) == str(old[axis]):
                target.append(0)
            elif isinstance(size, Dim) and not left_over:
                target.append(-1)
                left_over = True
            else:
                target.append(self.size(size))
        return self.node("Reshape", x, np.array(target, np.int64))

    def sizes(self, wanted: Sequence[int], x: Value) -> str:
        """A shape as a tensor; its leading sizes that may change are those of x, read when the net runs."""
        copied = next((i for i, size in enumerate(wanted) if not isinstance(size, Dim)), len(wanted))
        rest = self.constant([self.size(size) for size in wanted[copied:]])
        if not copied:
            return rest
        leading = self.node("Slice", self.node("Shape", x), np.array([0]), np.array([copied]))
        return self.node("Concat", leading, rest, axis=0)

    def absorbed(self, kind: str, fits: Callable[[Layer], bool]) -> Layer | None:
        """The layer of type `kind` that alone reads the result at hand, if it fits: its work is then done too."""
        assert self._layer is not None
        (output,) = self._layer.outputs
        readers = self._readers.get(output, [])
        if len(readers) != 1 or output in self.net.outputs or readers[0].type != kind:
            return None
        if readers[0].inputs[0] == output and fits(readers[0]):
            self._absorbed = readers[0]
        return self._absorbed

    def value(self, name: str) -> Value | None:
        """A tensor of the net as layers' functions get it; None for an input that is left out."""
        if name == ABSENT:
            return None
        tensor = self.net.constants.get(name)
        if tensor is not None and tensor.spec.quantization is not None:
            raise Unsupported(f"its constant {name!r} is quantised, which is not exported")
        return Value(self._called.get(name, name), self.specs[name], tensor)

    def output_spec(self, index: int = 0) -> Spec:
        """The Spec of a result of the layer at hand."""
        assert self._layer is not None
        return self.specs[self._layer.outputs[index]]

    def activated(self, name: str, kind: str, args: Sequence[float]) -> str:
        """`name` after a fused activation: '' is none."""
        if not kind:
            return name
        cls = layers[kind]
        if kind not in table:
            raise Unsupported(f"its activation {kind} has no operator in ONNX")
        attributes: dict[str, Any] = dict(zip(cls.declared, args, strict=False))
        result = table[kind](self, cls(**attributes), name)
        assert isinstance(result, str)
        return result

    def fresh(self, wanted: str) -> str:
        """`wanted`, or something like it that is not a name yet."""
        return _fresh(wanted, self._names)

    # -- the walk ------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Write every layer. Raises NeedsSize, and ConversionError with every layer that cannot be written."""
        for name, spec in self.net.inputs.items():
            if spec.quantization is not None:
                self.problems.append(f"input {name!r}: {spec} is quantised, which is not exported")
        for layer in self.net.layers:
            self._visit(layer)
        if self.problems:
            raise ConversionError(
                f"{self.net.name}: {len(self.problems)} layers cannot be written as ONNX", self.problems
            )
        for name in self.net.outputs:
            if name in self.net.constants:
                self.constants.setdefault(name, self.net.constants[name])

    def _visit(self, layer: Layer) -> None:
        if layer.name in self._done:
            return
        self._layer, self._absorbed, before = layer, None, len(self.nodes)
        try:
            if layer.type not in table:
                raise Unsupported("there is no operator for this layer type")
            results = table[layer.type](self, layer, *map(self.value, layer.inputs))
        except Unsupported as error:
            self.problems.append(f"{layer}: {error}")
            return
        layer = self._absorbed or layer
        self._done.add(layer.name)
        made = {output for node in self.nodes[before:] for output in node.outputs}
        for output, result in zip(
            layer.outputs, [results] if isinstance(results, str) else results, strict=True
        ):
            if result in made:
                self._rename(result, output, before)
            elif output in self.net.outputs:
                self._rename(self.node("Identity", result), output, before)
            else:
                self._called[output] = result
        if len(self.nodes) > before:
            self.nodes[-1].name = layer.name

    def _rename(self, old: str, new: str, since: int) -> None:
        for node in self.nodes[since:]:
            node.inputs = [new if name == old else name for name in node.inputs]
            node.outputs = [new if name == old else name for name in node.outputs]


def numbers(tensor: Tensor) -> np.ndarray:
    """A constant's array, floats as fp32."""
    array = tensor.data
    assert array is not None
    return array.astype(np.float32, copy=False) if array.dtype.kind == "f" else array


def _fresh(wanted: str, taken: set[str]) -> str:
    name, count = wanted, 1
    while name in taken:
        name, count = f"{wanted}_{count}", count + 1
    taken.add(name)
    return name
