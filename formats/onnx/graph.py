"""The walk over an ONNX graph: node by node, a table of small functions says what each operator is in layers.

    @operator("Relu")
    def relu(g, node, x):
        return g.add("ReLU", x)

An operator's function gets the graph so far, its node, and one Value an input (None where an optional input is
left out); it adds layers and returns the Value of each output. What it cannot express it refuses by raising
Unsupported with the reason. The walk goes on after that, so that a conversion reports everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from ...engine.custom import Placeholder, custom
from ...engine.dtype import dtype_of
from ...engine.errors import ConversionError, FbnetError, RegistryError
from ...engine.layer import Layer, layers
from ...engine.net import Net
from ...engine.tensor import Dim, Spec, Tensor
from .refused import why_none

MOST_ELEMENTS = 1 << 31  # of one tensor: an 8 GB activation is a damaged or hostile file, not a network
MOST_DEPTH = 16  # of operators that are defined by others
MOST_MACS = 1 << 30  # of a layer of constants, which is computed while the file is read
# Layers that compute with fp32 and say nothing about other dtypes.
FLOATING = (
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Convolution", "Deconvolution", "ELU", "Eltwise", "Exp", "GELU",
    "HardSigmoid", "HardSwish", "InnerProduct", "LRN", "LayerNorm", "Log", "MVN", "MatMul", "Mish", "PReLU", "Pooling",
    "Power", "ReLU", "Resize", "Scale", "Sigmoid", "Softmax", "Swish", "TanH",
)  # fmt: skip
FLOATS = dict.fromkeys((1, 10, 11, 16), "fp32")  # TensorProto.FLOAT, FLOAT16, DOUBLE, BFLOAT16
DTYPES = FLOATS | {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool"}
DTYPES |= {12: "uint32", 13: "uint64"}
MISTAKES = (FbnetError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, AttributeError)


class Unsupported(Exception):
    """Why a node cannot be expressed in layers."""


def _no_body(g: Graph, node: Node, values: Sequence[Value | None]) -> None:
    """No operator is defined by others: what a Graph knows before it is told."""


@dataclass(frozen=True)
class Node:
    """One ONNX node: its operator type, its names, its attributes as Python values, the opset it was written for."""

    type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    source: Any = None  # the NodeProto

    def get(self, key: str, default: Any = None) -> Any:
        return self.attributes.get(key, default)

    def __str__(self) -> str:
        return f"{self.name} ({self.type})"


@dataclass(frozen=True, eq=False)
class Value:
    """What an ONNX name stands for: a tensor of the net, or a constant, which has its array.

    An array of objects holds sizes: ints, and Dims where a size may change from call to call.
    """

    name: str
    shape: tuple[int, ...]
    spec: Spec | None = None
    array: np.ndarray | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)


Operator = Callable[..., "Value | Sequence[Value]"]
Fold = Callable[["Graph", Node, "Sequence[Value | None]"], "list[np.ndarray] | None"]
operators: dict[str, Operator] = {}


def operator(*types: str) -> Callable[[Operator], Operator]:
    """Enter a function (graph, node, *values) -> value(s) as what these ONNX operators mean."""

    def register(function: Operator) -> Operator:
        for name in types:
            if name in operators:
                raise RegistryError(
                    f"ONNX operator {name!r} is already registered by {operators[name].__module__}"
                )
            operators[name] = function
        return function

    return register


class Graph:
    """The net so far: layers, what each ONNX name stands for, and what could not be expressed.

    names    every name that the file uses, so that a name made here is new
    outputs  the names of the results
    body_of  the nodes that an operator is defined by, see functions
    budget   bytes that constants made here (folded, transposed, broadcast) may take altogether
    """

    def __init__(self, names: Iterable[str], outputs: Sequence[str], budget: int):
        self.outputs = tuple(outputs)
        self.layers: list[Layer] = []
        self.values: dict[str, Value] = {}
        self.inputs: dict[str, Spec] = {}
        self.constants: dict[str, Tensor] = {}
        self.problems: list[str] = []
        self.consumers: dict[str, list[Node]] = {}
        self.body_of: Callable[[Graph, Node, Sequence[Value | None]], Sequence[Node] | None] = _no_body
        self.allow_custom = False
        self.customs: list[str] = []  # types that nobody knows, kept as placeholders
        self.sizes_fixed = False  # True once a result depends on an H or W that the file gives as a number
        self.fixed_by = ""  # the node that did that first
        self._names = dict.fromkeys(names, 1)  # name -> how often it was asked for
        self._layer_names: dict[str, int] = {}
        self._budget = self._left = budget
        self._node: Node | None = None
        self._depth = 0  # of bodies within bodies

    # -- what operators use --------------------------------------------------------------------------------

    def add(self, kind: str, *inputs: Value | np.ndarray | None, outputs: int = 1, **attributes: Any) -> Any:
        """Append a layer of the registered type `kind`; the Value it computes, a list of them if `outputs` > 1.

        Arrays become constants of that layer. A layer of constants alone is computed here. Raises Unsupported,
        FbnetError.
        """
        added, specs = self._made(kind, inputs, outputs, attributes)
        if any(s is not None for s in specs) and all(
            isinstance(i, np.ndarray) or i is None or i.array is not None for i in inputs
        ):
            made = self._computed(added, inputs, specs)
        else:
            made = self._appended(added, specs)
        return made[0] if outputs == 1 else made

    def _made(
        self, kind: str, inputs: Sequence[Value | np.ndarray | None], outputs: int, attributes: dict[str, Any]
    ) -> tuple[Layer, list[Spec | None]]:
        """A layer that is not in the net yet, and its inputs' specs. Raises Unsupported if it does not take them."""
        specs = [_spec(i) for i in inputs]
        for given in specs:
            if given is not None and given.dtype.name != "fp32" and kind in FLOATING:
                raise Unsupported(f"its input is {given}: {kind} computes with floating-point tensors only")
        name = self.fresh(f"{self._node.name if self._node else 'net'}/{kind.lower()}")
        names = [name] if outputs == 1 else [self.fresh(f"{name}.{i}") for i in range(outputs)]
        wired = [i if isinstance(i, np.ndarray) else self._wire(i) for i in inputs]
        made = layers[kind](*wired, name=name, outputs=names, **attributes)
        for result in made.infer_outputs(specs):
            if prod(map(int, result.shape)) > MOST_ELEMENTS:
                raise Unsupported(f"its result {result} is absurdly large")
        return made, specs

    def _appended(self, layer: Layer, specs: Sequence[Spec | None]) -> list[Value]:
        self.layers.append(layer)
        results = layer.infer_outputs(specs)
        return [Value(n, s.shape, s) for n, s in zip(layer.outputs, results, strict=True)]

    def _computed(
        self, layer: Layer, inputs: Sequence[Value | np.ndarray | None], specs: Sequence[Spec | None]
    ) -> list[Value]:
        """The results of a layer whose inputs are constants."""
        if layer.macs(*specs) > MOST_MACS:
            raise Unsupported("its constants are too large to compute with while the file is read")
        self.claim(sum(r.nbytes for r in layer.infer_outputs(specs)))
        arrays = [
            None if i is None else as_stored(i if isinstance(i, np.ndarray) else self.numbers(i))
            for i in inputs
        ]
        with np.errstate(all="ignore"):
            made = layer.compute(arrays)
        return [Value(n, a.shape, array=a) for n, a in zip(layer.outputs, made, strict=True)]

    def _wire(self, value: Value | None) -> str | Tensor | None:
        """A Value as a layer takes it: the name of a tensor, or the Tensor of a constant, made once."""
        if value is None or value.array is None:
            return None if value is None else value.name
        if value.name not in self.constants:
            self.constants[value.name] = Tensor(value.name, data=as_stored(self.numbers(value)))
        return self.constants[value.name]

    def numbers(self, value: Value, what: str = "an input") -> np.ndarray:
        """The array of a constant. Raises Unsupported if it is computed when the net runs."""
        if value.array is None:
            raise Unsupported(
                f"needs {what} ({value.name!r}) as a constant, but it is computed when the net runs"
            )
        if value.array.dtype != object:
            return value.array
        for size in value.array.flat:
            if isinstance(size, Dim) and any(c.isalpha() for c in size.text):
                raise Unsupported(
                    f"{what} ({value.name!r}) depends on the size {size}: give a number with shapes="
                )
        self.sizes_fixed |= any(isinstance(size, Dim) for size in value.array.flat)
        return value.array.astype(np.int64)

    def claim(self, nbytes: int) -> None:
        """Count a constant against the budget before its memory is taken. Raises Unsupported when that is spent."""
        self._left -= int(nbytes)
        if self._left < 0:
            raise Unsupported(f"its constants would need more than {self._budget >> 20} MB: refused")

    def fresh(self, wanted: str) -> str:
        """`wanted`, or something like it that is not a name yet."""
        return _fresh(wanted, self._names)

    # -- the walk ------------------------------------------------------------------------------------------

    def visit(self, node: Node, fold: Fold) -> bool:
        """Express one node. False, and a line in `problems`, if that cannot be done."""
        self._node, before = node, len(self.layers)
        if node.type not in operators and any(i and i not in self.values for i in node.inputs):
            self.problems.append(f"{node}: {why_none(node.type)}")
            return False
        if any(i and i not in self.values for i in node.inputs):
            return False  # behind a node that failed: nothing more can be said about this one
        values = [self.values[i] if i else None for i in node.inputs]
        try:
            arrays = fold(self, node, values)
            if arrays is not None:
                for output, array in zip(node.outputs, arrays, strict=False):
                    self.values[output] = Value(output, array.shape, array=array)
                return True
            if node.type not in operators:
                return self._inlined(node, values, fold, why_none(node.type))
            try:
                results = operators[node.type](self, node, *values)
                self._bind(node, [results] if isinstance(results, Value) else list(results), before)
            except Unsupported as error:
                del self.layers[before:]
                return self._inlined(node, values, fold, str(error))
        except (Unsupported, *MISTAKES) as error:
            known = isinstance(error, (Unsupported, FbnetError))
            self.problems.append(f"{node}: {error}" if known else f"{node}: {type(error).__name__}: {error}")
            return False
        finally:
            self.fixed_by = self.fixed_by or (str(node) if self.sizes_fixed else "")
        return True

    def _inlined(self, node: Node, values: Sequence[Value | None], fold: Fold, why: str) -> bool:
        """Express a node that has no layer, or whose layer refused (`why`), by the nodes of its body."""
        problems, self._depth = len(self.problems), self._depth + 1
        try:
            body = self.body_of(self, node, values) if self._depth <= MOST_DEPTH else None
            if body is None and self.allow_custom and node.type not in operators:
                return self._keep(node, values)
            if body is None:
                raise Unsupported(why)
            for inner in body:
                for name in inner.inputs:
                    self.consumers.setdefault(name, []).append(inner)
            for inner in body:
                if not self.visit(inner, fold):
                    reasons, self.problems[problems:] = self.problems[problems:], []
                    raise Unsupported("; in its definition ".join([why, *reasons[:1]]))
        finally:
            self._depth -= 1
        return True

    def _keep(self, node: Node, values: Sequence[Value | None]) -> bool:
        """A node of a type that nobody knows, as a layer for a registration to come. Raises FbnetError."""
        outputs = [o or self.fresh(f"{node.name}.{i}") for i, o in enumerate(node.outputs)]
        kept = custom(
            node.type,
            *map(self._wire, values),
            name=_fresh(node.name, self._layer_names),
            outputs=outputs,
            attributes=node.attributes,
        )
        if isinstance(kept, Placeholder):
            self.customs.append(node.type)
        for value in self._appended(kept, [_spec(v) for v in values]):
            self.values[value.name] = value
        return True

    def _bind(self, node: Node, results: list[Value], before: int) -> None:
        """Give the results the node's names: the last layer that was added for it takes them over."""
        for output in node.outputs[len(results) :]:
            if output and (self.consumers.get(output) or output in self.outputs):
                raise Unsupported(f"its output {output!r} has no counterpart")
        last = self.layers[-1] if len(self.layers) > before else None
        if last is not None and last.outputs == tuple(r.name for r in results):
            names = [o or r.name for o, r in zip(node.outputs, results, strict=False)]
            names += [r.name for r in results[len(names) :]]
            self.layers[-1] = last.replace(name=_fresh(node.name, self._layer_names), outputs=names)
            results = [replace(r, name=n) for r, n in zip(results, names, strict=True)]
        for output, result in zip(node.outputs, results, strict=False):
            if output:
                self.values[output] = result

    # -- the end -------------------------------------------------------------------------------------------

    def net(self, name: str, metadata: dict[str, Any]) -> Net:
        """The Net of the layers so far. Raises ConversionError with every problem that was met on the way."""
        self._node = None
        for output in self.outputs if not self.problems else ():
            self._publish(output)
        if self.problems:
            raise ConversionError(f"{name}: {len(self.problems)} nodes cannot be converted", self.problems)
        named = map(self._named, self.layers)
        metadata = metadata | ({"custom": sorted(set(self.customs))} if self.customs else {})
        return Net(named, self.inputs, self.constants, self.outputs, name=name, metadata=metadata)

    def _publish(self, output: str) -> None:
        """Make `output` the name of a tensor, where identities were dropped between it and its writer."""
        value = self.values[output]
        if value.array is None and value.name == output:
            return
        writer = next((i for i, layer in enumerate(self.layers) if value.name in layer.outputs), None)
        if writer is None or value.name in self.outputs or value.array is not None:
            if value.array is not None:
                value = replace(value, name=self.fresh(f"{output}/constant"))
            try:  # an input, a constant, or a tensor under two names: a layer that only renames
                value = self._appended(*self._made("Reshape", [value], 1, {"shape": (0,) * value.rank}))[0]
            except (Unsupported, *MISTAKES) as error:
                self.problems.append(f"output {output!r}: {error}")
                return
            writer = len(self.layers) - 1
        old = value.name
        for i in range(writer, len(self.layers)):
            layer = self.layers[i]
            if old in layer.outputs or any(_same_name(t, old) for t in layer.inputs):
                self.layers[i] = layer.replace(
                    inputs=[output if t is not None and _same_name(t, old) else t for t in layer.inputs],
                    outputs=[output if t == old else t for t in layer.outputs],
                )
        for key, held in self.values.items():
            if held.name == old:
                self.values[key] = replace(held, name=output)

    def _named(self, layer: Layer) -> Layer:
        """`layer` with its arrays as Tensors under names that nothing else has."""
        parameters = layer.input_names()
        return layer.replace(inputs=[
            Tensor(self.fresh(f"{layer.name}.{p}"), data=as_stored(i)) if isinstance(i, np.ndarray) else i
            for i, p in zip(layer.inputs, parameters, strict=True)
        ])  # fmt: skip


def _fresh(wanted: str, taken: dict[str, int]) -> str:
    """`wanted`, or it with a number behind it, which is taken from now on."""
    name = wanted
    while name in taken:
        name, taken[wanted] = f"{wanted}_{taken[wanted]}", taken[wanted] + 1
    taken[name] = 1
    return name


def _same_name(wired: Any, name: str) -> bool:
    return isinstance(wired, str) and wired == name


def _spec(given: Value | np.ndarray | None) -> Spec | None:
    """What a layer's `infer` is told of an input."""
    if given is None:
        return None
    if isinstance(given, Value) and given.spec is not None:
        return given.spec
    array: Any = given if isinstance(given, np.ndarray) else given.array
    if array.dtype == object:
        return Spec(array.shape, "int64")
    return Spec(array.shape, dtype_of(array) if array.dtype.kind in "iub" else "fp32")


def as_stored(array: np.ndarray) -> np.ndarray:
    """A constant as the net holds it: every floating-point type is fp32 there."""
    if array.dtype.kind in "iub":
        return np.asarray(array, order="C")
    with np.errstate(all="ignore"):  # a double beyond fp32 is infinite there
        stored = np.asarray(array, np.float32, order="C")
    return stored


def dtype_name(value: Value) -> str:
    """The name of the dtype that a Value has in the net."""
    spec = _spec(value)
    assert spec is not None
    return spec.dtype.name


def is_floating(*values: Value) -> bool:
    """Whether all of them are fp32 in the net."""
    return all(dtype_name(v) == "fp32" for v in values)


def is_one(size: int) -> bool:
    """True for a size that is 1 and stays 1; a symbolic size is not, whatever its usual value."""
    return not isinstance(size, Dim) and size == 1


def same_size(a: int, b: int) -> bool:
    """True if two sizes are equal whenever the net runs."""
    return str(a) == str(b)
