"""The walk over a .tflite net: operator by operator, a table of small functions says what each is in layers.

    @operator("RELU")
    def relu(g, node, x):
        return g.add("ReLU", x)

An operator's function gets the graph so far, its node, and one Value an input (None where an optional one is left out);
see `..graph`. Images are (N,H,W,C) in the file: a function that needs (N,C,H,W) turns them there and back, and
`..layout` takes the turns out afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ...engine.dtype import Quantization
from ...engine.errors import FbnetError, FileError
from ...engine.net import Net
from ...engine.tensor import Spec
from .. import flexbuffer
from ..graph import MISTAKES, Graph
from ..value import Node, Unsupported, Value, as_stored
from .file import FLOATS, Model, OperatorRow, TensorRow

# What a tensor's type is in a net: every floating-point type is fp32 there.
DTYPES = dict.fromkeys(FLOATS, "fp32") | {
    "UINT8": "uint8", "INT8": "int8", "UINT16": "uint16", "INT16": "int16", "UINT32": "uint32", "INT32": "int32",
    "UINT64": "uint64", "INT64": "int64", "BOOL": "bool",
}  # fmt: skip
# ActivationFunctionType -> layer type and attributes
ACTIVATIONS: dict[int, tuple[str, dict[str, Any]]] = {
    1: ("ReLU", {}),
    2: ("Clip", {"min": -1.0, "max": 1.0}),
    3: ("Clip", {"min": 0.0, "max": 6.0}),
    4: ("TanH", {}),
}
MOVING = ("Permute", "Reshape", "Flatten")  # layers that stand around what an operator is

Operator = Callable[..., "Value | Sequence[Value]"]
operators: dict[str, Operator] = {}


def operator(*types: str) -> Callable[[Operator], Operator]:
    """Enter a function (graph, node, *values) -> value(s) as what these operators mean."""

    def register(function: Operator) -> Operator:
        operators.update(dict.fromkeys(types, function))
        return function

    return register


class TFLiteGraph(Graph):
    """The net so far; see Graph. Tensors of the file have numbers: `called` are their names in the net.

    A Node's `source` is the file's row; its name is that of its first output. What a quantised tensor stands for, real
    numbers, is in `values`; its integers are in `stored`.

    batch_fixed  True once axis 0 is more than a batch of images that know nothing of each other
    """

    def __init__(self, model: Model, budget: int):
        super().__init__((), (), budget)
        self.model = model
        self.called = [self.fresh(t.name) for t in model.tensors]
        self.outputs = tuple(dict.fromkeys(self.called[i] for i in model.outputs))
        self.stored: dict[str, Value] = {}
        self.batch_fixed = False
        self.batch_by = ""  # the operator that did that first

    # -- what operators use --------------------------------------------------------------------------------

    def constant(self, array: np.ndarray) -> Value:
        """A constant that is made here."""
        return Value.of(self.fresh(f"{self._node.name if self._node else 'net'}/constant"), as_stored(array))

    def integers(self, value: Value, what: str) -> list[int]:
        """The numbers of a constant vector, or of one number. Raises Unsupported."""
        numbers = self.numbers(value, what)
        if numbers.dtype.kind not in "iu" or numbers.ndim > 1:
            raise Unsupported(f"{what} are {value.spec}; integers are wanted")
        return [int(n) for n in numbers.reshape(-1)]

    def mixes(self, x: Value, *axes: int) -> None:
        """Say that an operator looks along these axes of x: if 0 is one of them, it is no batch."""
        self.batch_fixed |= 0 in axes and x.array is None

    # -- the walk ------------------------------------------------------------------------------------------

    def walk(self) -> None:
        """Express every operator; what cannot be is in `problems` afterwards. Raises FileError."""
        tensors = self.model.tensors
        for index in self.model.inputs:
            self._enter(index)
        written = set(self.model.inputs)
        for row in self.model.operators:
            inputs, outputs = (
                [self.called[i] if i >= 0 else "" for i in t] for t in (row.inputs, row.outputs)
            )
            name = outputs[0] if outputs else row.type
            node = Node(row.type, name, tuple(inputs), tuple(outputs), dict(row.options), row.version, row)
            for i in row.inputs:
                if i >= 0 and i not in written and not tensors[i].is_constant:
                    if prod(tensors[i].shape) == 0:  # an empty constant has no bytes
                        continue
                    raise FileError(f"{node} reads {self.called[i]!r}, which nothing before it computes")
            if again := [i for i in row.outputs if i in written or tensors[i].is_constant]:
                raise FileError(f"{node} writes {self.called[again[0]]!r}, which is there already")
            written.update(row.outputs)
            self._visit(node, row)

    def _enter(self, index: int) -> None:
        tensor, name = self.model.tensors[index], self.called[index]
        if tensor.type not in DTYPES or (tensor.is_quantised and not _steps(tensor)):
            self.problems.append(f"input {name!r}: it is {tensor}")
            return
        self.inputs[name] = spec = Spec(tensor.shape, DTYPES[tensor.type])
        self.values[name] = value = Value(name, spec)
        if tensor.is_quantised:
            self.stored[name] = value
            self.values[name] = self.add("Dequantize", value, **_steps(tensor))

    def _visit(self, node: Node, row: OperatorRow) -> None:
        tensors = [self.model.tensors[i] for i in (*row.inputs, *row.outputs) if i >= 0]
        quantised = [t for t in tensors if t.is_quantised and not t.is_constant and not _steps(t)]
        if quantised:
            self.problems.append(f"{node}: it computes with quantised numbers: {quantised[-1]}")
            return
        if node.type not in operators and not self.allow_custom:
            self.problems.append(f"{node}: there is no layer for this operator, version {row.version}")
            return
        try:
            values = [self._value(i) for i in row.inputs]
            if any(v is None and i >= 0 for v, i in zip(values, row.inputs, strict=True)):
                return  # behind an operator that failed: nothing more can be said about this one
            self._node, before = node, len(self.layers)
            if node.type in operators:
                results = operators[node.type](self, node, *values)
                self._bind_real(node, [results] if isinstance(results, Value) else list(results), before)
            else:
                self._keep(replace(node, attributes=_options(row)), values)
        except (Unsupported, *MISTAKES) as error:
            known = isinstance(error, (Unsupported, FbnetError))
            self.problems.append(f"{node}: {error}" if known else f"{node}: {type(error).__name__}: {error}")
        self.batch_by = self.batch_by or (str(node) if self.batch_fixed else "")
        self.fixed_by = self.fixed_by or (str(node) if self.sizes_fixed else "")

    def _value(self, index: int) -> Value | None:
        """What a tensor stands for; a constant is read when it is first asked for."""
        if index < 0:
            return None
        name, tensor = self.called[index], self.model.tensors[index]
        if name not in self.values and (tensor.is_constant or prod(tensor.shape) == 0):
            self.claim(max(4 * prod(tensor.shape), tensor.nbytes))
            if tensor.is_quantised and isinstance(tensor.quantization, Quantization):
                self.weight_scales.append(tensor.quantization.scale)
            array = _real(tensor) if tensor.is_constant else np.zeros(tensor.shape, np.float32)
            self.values[name] = Value.of(name, array)
        return self.values.get(name)

    def _bind_real(self, node: Node, results: list[Value], before: int) -> None:
        """_bind, but where the file's tensor is quantised it is the integers of a result that get its name."""
        reals: dict[str, Value] = {}
        for k, (index, value) in enumerate(zip(node.source.outputs, results, strict=False)):
            tensor = self.model.tensors[index]
            if tensor.is_quantised:
                results[k] = self.add("Quantize", value, **_steps(tensor), to=DTYPES[tensor.type])
                reals[self.called[index]] = self.add("Dequantize", results[k], **_steps(tensor))
        self._bind(node, results, before)
        self.stored |= {name: self.values[name] for name in reals}
        self.values |= reals

    def _bind(self, node: Node, results: list[Value], before: int) -> None:
        """Give the results the names that the file has for them, and the layer that the operator is, its own."""
        if len(results) != len(node.outputs):
            raise Unsupported(f"it has {len(node.outputs)} outputs, but {len(results)} are known")
        for name, index, value in zip(node.outputs, node.source.outputs, results, strict=True):
            declared = self.model.tensors[index]
            if declared.shape and prod(declared.shape) != prod(value.shape):
                raise Unsupported(f"its result {name!r} is {value.spec}, but the file says {declared}")
            writer = next(
                (i for i in range(before, len(self.layers)) if value.name in self.layers[i].outputs), None
            )
            if writer is not None and value.name not in self.called:
                self.rename(value.name, name, writer)
                value = replace(value, name=name)
            self.values[name] = value
        main = [i for i in range(before, len(self.layers)) if self.layers[i].type not in MOVING]
        if main or len(self.layers) > before:
            at = main[0] if main else len(self.layers) - 1
            self.layers[at] = self.layers[at].replace(name=node.name)

    # -- the end -------------------------------------------------------------------------------------------

    def net(self, name: str, metadata: dict[str, Any]) -> Net:
        """The Net of the layers so far. Raises ConversionError with every problem that was met on the way."""
        for output, index in zip(self.outputs, dict.fromkeys(self.model.outputs), strict=True):
            value = self.stored.get(output) or self._value(index)
            if value is not None:
                self.values[output] = value
            elif not self.problems:
                raise FileError(f"nothing computes the output {output!r}")
        return super().net(name, metadata)


def _options(row: OperatorRow) -> dict[str, Any]:
    """The options of an operator that nobody knows, which are the attributes of the layer that stands for it."""
    options = dict(row.options)
    if row.custom:
        try:
            found = flexbuffer.decode(row.custom)
        except FileError:
            raise Unsupported("its options are in a format of its own") from None
        options |= found if isinstance(found, dict) else {}
    return {k: v for k, v in options.items() if v is not None}


def activated(g: TFLiteGraph, node: Node, y: Value) -> Value:
    """y after the activation that is part of the operator."""
    number = node.get("fused_activation_function", 0)
    if number == 0:
        return y
    if number not in ACTIVATIONS:
        raise Unsupported(f"the activation {number} that is part of it is not known")
    kind, attributes = ACTIVATIONS[number]
    return g.add(kind, y, **attributes)


def _steps(tensor: TensorRow) -> dict[str, Any]:
    """The attributes of Quantize and Dequantize for a tensor in bytes of one scale; {} for another."""
    q = tensor.quantization
    if not isinstance(q, Quantization) or len(q.scale) != 1 or tensor.type not in ("INT8", "UINT8"):
        return {}
    return {"scale": q.scale, "zero": q.zero}


def _real(tensor: TensorRow) -> np.ndarray:
    """A constant as the net holds it; integers that stand for real numbers are those numbers."""
    array = tensor.array
    if tensor.is_quantised and isinstance(q := tensor.quantization, Quantization):
        shape = [1] * array.ndim
        if q.axis is not None:
            shape[q.axis] = len(q.scale)
        scale, zero = (np.reshape(v, shape if array.ndim else []) for v in (q.scale, q.zero))
        return ((array - zero.astype(np.float64)) * scale).astype(np.float32)
    return as_stored(array)
