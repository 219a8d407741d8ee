"""The walk over a .tflite net: operator by operator, a table of small functions says what each is in layers.

    @operator("RELU")
    def relu(g, node, x):
        return g.add("ReLU", x)

A function gets the graph so far, its node, and one Value an input (None where an optional one is left out); it adds
layers and returns the Value of each output. Images are (N,H,W,C) in the file: a function that needs (N,C,H,W) turns
them there and back, and `..layout` takes the turns out afterwards. A layer whose inputs are all constants is computed
at once. What a function cannot express it refuses by raising Unsupported with the reason; the walk goes on, so that a
conversion reports everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ...engine.custom import Placeholder, custom
from ...engine.dtype import Quantization, dtype_of
from ...engine.errors import ConversionError, FbnetError, FileError
from ...engine.layer import Layer, layers
from ...engine.net import Net
from ...engine.tensor import Spec, Tensor
from .. import flexbuffer
from .file import FLOATS, MOST_ELEMENTS, Model, OperatorRow, TensorRow

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
MISTAKES = (FbnetError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, AttributeError)


class Unsupported(Exception):
    """Why an operator cannot be expressed in layers."""


@dataclass(frozen=True)
class Node:
    """One operator of the file; it is called as its first output is."""

    type: str
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
    custom: bytes | None

    def __getitem__(self, key: str) -> Any:
        """An option. Raises Unsupported if the operator has options of another kind, or none."""
        if key not in self.options:
            raise Unsupported(f"it has no option {key!r}")
        return self.options[key]

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


@dataclass(frozen=True, eq=False)
class Value:
    """What a tensor of the file stands for: one of the net, or a constant, which has its array."""

    name: str
    spec: Spec
    array: np.ndarray | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.spec.shape

    @property
    def rank(self) -> int:
        return self.spec.ndim

    @property
    def is_float(self) -> bool:
        return self.spec.dtype.name == "fp32"


Operator = Callable[..., "Value | Sequence[Value]"]
operators: dict[str, Operator] = {}


def operator(*types: str) -> Callable[[Operator], Operator]:
    """Enter a function (graph, node, *values) -> value(s) as what these operators mean."""

    def register(function: Operator) -> Operator:
        operators.update(dict.fromkeys(types, function))
        return function

    return register


class Graph:
    """The net so far.

    model        the file
    budget       bytes that constants may take altogether, as a net holds them
    batch_fixed  True once axis 0 is more than a batch of images that know nothing of each other
    sizes_fixed  True once something was worked out from H or W of an image
    """

    def __init__(self, model: Model, budget: int):
        self.model = model
        self.layers: list[Layer] = []
        self.values: dict[int, Value] = {}  # by the number of the file's tensor
        self.stored: dict[
            int, Value
        ] = {}  # of a quantised tensor its integers; in `values` is what they stand for
        self.weight_scales: list[Sequence[float]] = []  # that constants were dequantised with
        self.inputs: dict[str, Spec] = {}
        self.constants: dict[str, Tensor] = {}
        self.problems: list[str] = []
        self.allow_custom = False
        self.customs: list[str] = []  # types that nobody knows, kept as placeholders
        self.batch_fixed = self.sizes_fixed = False
        self.batch_by = self.sizes_by = ""  # the operators that did that first
        self._budget = self._left = budget
        self._node: Node | None = None
        self._taken: dict[str, int] = {}
        self._layer_names: dict[str, int] = {}
        self.names = [self.fresh(t.name) for t in model.tensors]

    # -- what operators use --------------------------------------------------------------------------------

    def add(self, kind: str, *inputs: Value | np.ndarray | None, outputs: int = 1, **attributes: Any) -> Any:
        """Append a layer of the registered type `kind`; the Value it computes, a list of them if `outputs` > 1.

        Arrays become constants of that layer; with nothing else to read, it is computed now. Raises Unsupported,
        FbnetError.
        """
        if kind not in layers:
            raise Unsupported(f"it needs the layer {kind}, which is not registered")
        name = self.fresh(f"{self._node.name if self._node else 'net'}/{kind.lower()}")
        names = [name] if outputs == 1 else [self.fresh(f"{name}.{i}") for i in range(outputs)]
        known = [i.array if isinstance(i, Value) else i for i in inputs]
        constant = all(i is None or k is not None for i, k in zip(inputs, known, strict=True))
        wired = (
            [None] * len(inputs)
            if constant
            else [i if isinstance(i, np.ndarray) else self._wire(i) for i in inputs]
        )
        added = layers[kind](*wired, name=name, outputs=names, **attributes)
        specs = [i.spec if isinstance(i, Value) else None if i is None else _spec(i) for i in inputs]
        results = added.infer_outputs(specs)
        if any(prod(map(int, r.shape)) > MOST_ELEMENTS for r in results):
            raise Unsupported(f"its result {', '.join(map(str, results))} is absurdly large")
        if constant:
            self.claim(sum(r.nbytes for r in results))
            with np.errstate(all="ignore"):
                made = [self.constant(a) for a in added.compute(known)]
        else:
            self.layers.append(added)
            made = [Value(n, s) for n, s in zip(names, results, strict=True)]
        return made[0] if outputs == 1 else made

    def constant(self, array: np.ndarray) -> Value:
        """A constant that is made here."""
        stored = as_stored(array)
        return Value(
            self.fresh(f"{self._node.name if self._node else 'net'}/constant"), _spec(stored), stored
        )

    def numbers(self, value: Value, what: str = "an input") -> np.ndarray:
        """The array of a constant. Raises Unsupported if it is computed when the net runs."""
        if value.array is None:
            raise Unsupported(f"{what} ({value.name!r}) is computed when the net runs; a constant is wanted")
        return value.array

    def integers(self, value: Value, what: str) -> list[int]:
        """The numbers of a constant vector, or of one number. Raises Unsupported."""
        numbers = self.numbers(value, what)
        if numbers.dtype.kind not in "iu" or numbers.ndim > 1:
            raise Unsupported(f"{what} are {value.spec}; integers are wanted")
        return [int(n) for n in numbers.reshape(-1)]

    def claim(self, nbytes: int) -> None:
        """Count a constant against the budget before its memory is taken. Raises Unsupported when that is spent."""
        self._left -= int(nbytes)
        if self._left < 0:
            raise Unsupported(f"its constants would need more than {self._budget >> 20} MB: refused")

    def mixes(self, x: Value, *axes: int) -> None:
        """Say that an operator looks along these axes of x: if 0 is one of them, it is no batch."""
        self.batch_fixed |= 0 in axes and x.array is None

    def fresh(self, wanted: str) -> str:
        """`wanted`, or something like it that is not a tensor's name yet."""
        return _fresh(wanted, self._taken)

    # -- the walk ------------------------------------------------------------------------------------------

    def walk(self) -> None:
        """Express every operator; what cannot be is in `problems` afterwards. Raises FileError."""
        tensors = self.model.tensors
        for index in self.model.inputs:
            self._enter(index)
        written = set(self.model.inputs)
        for row in self.model.operators:
            name = self.names[row.outputs[0]] if row.outputs else row.type
            node = Node(row.type, name, row.inputs, row.outputs, row.options, row.custom)
            for i in row.inputs:
                if i >= 0 and i not in written and not tensors[i].is_constant:
                    if prod(tensors[i].shape) == 0:  # an empty constant has no bytes
                        continue
                    raise FileError(f"{node} reads {self.names[i]!r}, which nothing before it computes")
            if again := [i for i in row.outputs if i in written or tensors[i].is_constant]:
                raise FileError(f"{node} writes {self.names[again[0]]!r}, which is there already")
            written.update(row.outputs)
            self._visit(node, row)

    def _enter(self, index: int) -> None:
        tensor = self.model.tensors[index]
        if tensor.type not in DTYPES or (tensor.is_quantised and not _steps(tensor)):
            self.problems.append(f"input {self.names[index]!r}: it is {tensor}")
            return
        spec = Spec(tensor.shape, DTYPES[tensor.type])
        self.inputs[self.names[index]] = spec
        self.values[index] = value = Value(self.names[index], spec)
        if tensor.is_quantised:
            self.stored[index] = value
            self.values[index] = self.add("Dequantize", value, **_steps(tensor))

    def _visit(self, node: Node, row: OperatorRow) -> None:
        tensors = [self.model.tensors[i] for i in (*node.inputs, *node.outputs) if i >= 0]
        quantised = [t for t in tensors if t.is_quantised and not t.is_constant and not _steps(t)]
        if quantised:
            self.problems.append(f"{node}: it computes with quantised numbers: {quantised[-1]}")
            return
        if node.type not in operators and not self.allow_custom:
            self.problems.append(f"{node}: there is no layer for this operator, version {row.version}")
            return
        try:
            values = [self._value(i) for i in node.inputs]
            if any(v is None and i >= 0 for v, i in zip(values, node.inputs, strict=True)):
                return  # behind an operator that failed: nothing more can be said about this one
            self._node, before = node, len(self.layers)
            results = operators.get(node.type, _kept)(self, node, *values)
            self._bind_real(node, [results] if isinstance(results, Value) else list(results), before)
        except (Unsupported, *MISTAKES) as error:
            known = isinstance(error, (Unsupported, FbnetError))
            self.problems.append(f"{node}: {error}" if known else f"{node}: {type(error).__name__}: {error}")
        self.batch_by = self.batch_by or (str(node) if self.batch_fixed else "")
        self.sizes_by = self.sizes_by or (str(node) if self.sizes_fixed else "")

    def _value(self, index: int) -> Value | None:
        """What a tensor stands for; a constant is read when it is first asked for."""
        if index >= 0 and index not in self.values:
            tensor = self.model.tensors[index]
            if tensor.is_constant or prod(tensor.shape) == 0:
                self.claim(max(4 * prod(tensor.shape), tensor.nbytes))
                if tensor.is_quantised and isinstance(tensor.quantization, Quantization):
                    self.weight_scales.append(tensor.quantization.scale)
                array = _real(tensor) if tensor.is_constant else np.zeros(tensor.shape, np.float32)
                self.values[index] = Value(self.names[index], _spec(array), array)
        return self.values.get(index)

    def _bind_real(self, node: Node, results: list[Value], before: int) -> None:
        """_bind, but where the file's tensor is quantised it is the integers of a result that get its name."""
        reals: dict[int, Value] = {}
        for k, (index, value) in enumerate(zip(node.outputs, results, strict=False)):
            tensor = self.model.tensors[index]
            if tensor.is_quantised:
                results[k] = self.add("Quantize", value, **_steps(tensor), to=DTYPES[tensor.type])
                reals[index] = self.add("Dequantize", results[k], **_steps(tensor))
        self._bind(node, results, before)
        self.stored |= {index: self.values[index] for index in reals}
        self.values |= reals

    def _bind(self, node: Node, results: list[Value], before: int) -> None:
        """Give the results the names that the file has for them, and the layer that the operator is, its own."""
        if len(results) != len(node.outputs):
            raise Unsupported(f"it has {len(node.outputs)} outputs, but {len(results)} are known")
        for index, value in zip(node.outputs, results, strict=True):
            declared = self.model.tensors[index]
            if declared.shape and prod(declared.shape) != prod(value.shape):
                raise Unsupported(
                    f"its result {self.names[index]!r} is {value.spec}, but the file says {declared}"
                )
            name = self.names[index]
            writer = next(
                (i for i in range(before, len(self.layers)) if value.name in self.layers[i].outputs), None
            )
            if writer is not None and value.name not in self.names:
                rename = lambda given, old=value.name, new=name: [  # noqa: E731
                    new if isinstance(g, str) and g == old else g for g in given
                ]
                for i in range(writer, len(self.layers)):
                    n = self.layers[i]
                    self.layers[i] = n.replace(inputs=rename(n.inputs), outputs=rename(n.outputs))
                value = replace(value, name=name)
            self.values[index] = value
        main = [i for i in range(before, len(self.layers)) if self.layers[i].type not in MOVING]
        if main or len(self.layers) > before:
            at = main[0] if main else len(self.layers) - 1
            self.layers[at] = self.layers[at].replace(name=node.name)

    # -- the end -------------------------------------------------------------------------------------------

    def net(self, name: str, metadata: dict[str, Any]) -> Net:
        """The Net of the layers so far. Raises ConversionError with every problem that was met on the way."""
        self._node = None
        outputs = list(dict.fromkeys(self.names[i] for i in self.model.outputs))
        for index in dict.fromkeys(self.model.outputs) if not self.problems else ():
            value = self.stored.get(index) or self._value(index)
            if value is None:
                raise FileError(f"nothing computes the output {self.names[index]!r}")
            if value.name != self.names[index] or value.array is not None or value.name in self.inputs:
                self._copy(value, self.names[index])
        if self.problems:
            count = len(self.problems)
            raise ConversionError(f"{count} operators cannot be converted", self.problems)
        renamed = {o: f"{o}/result" for o in outputs if o in self.inputs}  # an input that is an output too
        named = [self._named(layer) for layer in self.layers]
        metadata = metadata | ({"custom": sorted(set(self.customs))} if self.customs else {})
        return Net(
            named,
            self.inputs,
            self.constants,
            [renamed.get(o, o) for o in outputs],
            name=name,
            metadata=metadata,
        )

    def _copy(self, value: Value, name: str) -> None:
        """A layer that only renames."""
        output = f"{name}/result" if name in self.inputs else name
        given = replace(value, name=self.fresh(f"{name}/constant")) if value.array is not None else value
        same = (0,) * value.rank
        self.layers.append(layers["Reshape"](self._wire(given), name=output, outputs=[output], shape=same))

    def _wire(self, value: Value | None) -> str | Tensor | None:
        """A Value as a layer takes it: the name of a tensor, or the Tensor of a constant, made once."""
        if value is None or value.array is None:
            return None if value is None else value.name
        if value.name not in self.constants:
            self.constants[value.name] = Tensor(value.name, data=as_stored(value.array))
        return self.constants[value.name]

    def _named(self, layer: Layer) -> Layer:
        """`layer` under a name that no other has, with its arrays as Tensors under such names."""
        name = _fresh(layer.name, self._layer_names)
        return layer.replace(name=name, inputs=[
            Tensor(self.fresh(f"{name}.{p}"), data=as_stored(i)) if isinstance(i, np.ndarray) else i
            for i, p in zip(layer.inputs, layer.input_names(), strict=True)
        ])  # fmt: skip


def _kept(g: Graph, node: Node, *values: Value | None) -> list[Value]:
    """An operator that nobody knows, as a layer for a registration to come; its options are the attributes."""
    options = dict(node.options)
    if node.custom:
        try:
            found = flexbuffer.decode(node.custom)
        except FileError:
            raise Unsupported("its options are in a format of its own") from None
        options |= found if isinstance(found, dict) else {}
    known = {k: v for k, v in options.items() if v is not None}
    outputs = [g.fresh(f"{node.name}/{node.type}{i or ''}") for i in range(len(node.outputs))]
    made = custom(node.type, *map(g._wire, values), name=outputs[0], outputs=outputs, attributes=known)
    if isinstance(made, Placeholder):
        g.customs.append(node.type)
    g.layers.append(made)
    specs = made.infer_outputs([None if v is None else v.spec for v in values])
    return [Value(name, spec) for name, spec in zip(outputs, specs, strict=True)]


def activated(g: Graph, node: Node, y: Value) -> Value:
    """y after the activation that is part of the operator."""
    number = node.options.get("fused_activation_function", 0)
    if number == 0:
        return y
    if number not in ACTIVATIONS:
        raise Unsupported(f"the activation {number} that is part of it is not known")
    kind, attributes = ACTIVATIONS[number]
    return g.add(kind, y, **attributes)


def _fresh(wanted: str, taken: dict[str, int]) -> str:
    """`wanted`, or it with a number behind it, which is taken from now on."""
    name = wanted
    while name in taken:
        name, taken[wanted] = f"{wanted}_{taken[wanted]}", taken[wanted] + 1
    taken[name] = 1
    return name


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


def _spec(array: np.ndarray) -> Spec:
    return Spec(array.shape, dtype_of(array))


def as_stored(array: np.ndarray) -> np.ndarray:
    """A constant as the net holds it: every floating-point type is fp32 there."""
    with np.errstate(all="ignore"):  # a double beyond fp32 is infinite there
        return np.asarray(array, np.float32 if array.dtype.kind == "f" else None, order="C")
