"""The walk over a .param: node by node, a table of small functions says what each type is in layers of fbnet.

    @ncnn("ELU")
    def elu(s: Source) -> str:
        return s.add("ELU", alpha=s.number(0, 0.1))

A function adds layers and returns the name of each tensor that the node writes. ncnn's blobs have no batch: its
axis 0 is our axis 1. What a function cannot express it refuses by ConversionError; the walk goes on, so that a
conversion tells everything at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from ...engine.custom import Placeholder, custom
from ...engine.errors import ConversionError, FbnetError, FileError, did_you_mean
from ...engine.layer import Layer, layers
from ...engine.tensor import Spec, Tensor
from .param import Node, Raw
from .weights import Weights

MOST_ELEMENTS = 2**31 - 1  # of one tensor

Converter = Callable[["Source"], "str | Sequence[str]"]
converters: dict[str, Converter] = {}


def ncnn(*types: str) -> Callable[[Converter], Converter]:
    """Register a function for these ncnn types."""

    def register(function: Converter) -> Converter:
        converters.update(dict.fromkeys(types, function))
        return function

    return register


class Graph:
    """The net so far.

    tensors      blob -> the tensor of the net that it is
    specs        tensor -> Spec, of inputs and constants too
    constants    tensor -> the Tensor of a constant that is a blob of the file
    guessed      inputs whose height and width the file leaves open
    int8         layer -> the scales of what it reads and writes, where the file is for integers: real = scale * stored
    integers     tensors that are integers in the file
    coarse       (tensor, scale) -> what it is after a way through int8
    weight_scales    the scales of weights that are integers, one an output channel
    sizes_fixed  True once something was worked out from the height or width of the file's input
    """

    def __init__(self, weights: Weights, shapes: Mapping[str, Sequence[int]]):
        self.weights, self.shapes = weights, shapes
        self.layers: list[Layer] = []
        self.inputs: dict[str, Spec] = {}
        self.constants: dict[str, Tensor] = {}
        self.tensors: dict[str, str] = {}
        self.specs: dict[str, Spec] = {}
        self.problems: list[str] = []
        self.nodes: Sequence[Node] = ()
        self.guessed: list[str] = []
        self.int8: dict[str, dict[str, float | None]] = {}
        self.integers: set[str] = set()
        self.coarse: dict[tuple[str, float], str] = {}
        self.weight_scales: list[Sequence[float]] = []
        self.allow_custom = False
        self.customs: list[str] = []  # types that nobody knows, kept as placeholders
        self.sizes_fixed = False
        self.fixed_by = ""  # the node that did that first
        self.cuts: dict[
            tuple[Any, ...], list[str]
        ] = {}  # (tensor, axis, points) -> the parts it was cut into
        self._renamed: dict[str, str] = {}
        self._unnamed: set[str] = set()  # tensors that no blob of the file stands for, so far
        self._names: dict[str, int] = {}

    def walk(self, nodes: Sequence[Node]) -> None:
        """Express every node; what cannot be is in `problems` afterwards. Raises FileError."""
        self.nodes = nodes
        written: set[str] = set()
        known = {o for node in nodes for o in node.outputs}
        self._names = dict.fromkeys(known, 1)
        layer_names: dict[str, int] = {}
        for node in nodes:
            node.name = _fresh(node.name, layer_names)
            for blob in node.inputs:
                if blob not in written:
                    why = "later or by itself" if blob in known else "by no layer"
                    raise FileError(
                        f"{node} reads {blob!r}, which is written {why}.{did_you_mean(blob, known)}"
                    )
            for blob in node.outputs:
                if blob in written:
                    raise FileError(f"{node} writes {blob!r}, which a layer before it writes too")
                written.add(blob)
        for node in nodes:
            self._visit(node)
            self.fixed_by = self.fixed_by or (str(node) if self.sizes_fixed else "")
        self.weights.finish()

    def _visit(self, node: Node) -> None:
        if (node.type in converters or self.allow_custom) and any(
            blob not in self.tensors for blob in node.inputs
        ):
            self.weights.lost = True  # behind a node that failed: nothing more can be said about this one
            return
        before = len(self.layers)
        try:
            if node.type not in converters and self.allow_custom:
                self._keep(node)
                return
            if node.params.get(_INT8_KEY.get(node.type, -1)):
                raise ConversionError(
                    "has int8 weights, which are supported in convolutions and products alone"
                )
            if node.type not in converters:
                raise ConversionError(
                    f"fbnet has no such layer.{did_you_mean(node.type, converters)}".rstrip(".")
                )
            results = converters[node.type](Source(self, node))
            self._bind(node, [results] if isinstance(results, str) else list(results), before)
        except FileError:
            raise
        except FbnetError as error:
            self.weights.lost = True
            text = str(error)
            self.problems.append(text if text.startswith(f"{node.name} (") else f"{node}: {text}")
        except (ValueError, TypeError, LookupError, ArithmeticError, MemoryError) as error:
            self.weights.lost = True
            self.problems.append(f"{node}: {type(error).__name__}: {error}")

    def _keep(self, node: Node) -> None:
        """A node of a type that nobody knows, as a layer for a registration to come. It reads no weights: nobody knows
        how many of the .bin's numbers would be its own. Its parameters 0, 1 ... are the attributes p0, p1 ...
        """
        if any(isinstance(value, Raw) for value in node.params.values()):
            raise ConversionError("a binary .param does not tell what kind of numbers its parameters are")
        attributes = {f"p{key}": value for key, value in node.params.items()}
        inputs = [self.tensors[blob] for blob in node.inputs]
        kept = custom(node.type, *inputs, name=node.name, outputs=node.outputs, attributes=attributes)
        results = kept.infer_outputs([self.specs[name] for name in inputs])
        if isinstance(kept, Placeholder):
            self.customs.append(node.type)
        self.layers.append(kept)
        for blob, spec in zip(node.outputs, results, strict=True):
            self.tensors[blob], self.specs[blob] = blob, spec

    def _bind(self, node: Node, results: list[str], before: int) -> None:
        """Give the results the node's names, where they have none yet."""
        if len(results) != len(node.outputs):
            raise ConversionError(f"has {len(node.outputs)} outputs, but {len(results)} are known")
        for blob, tensor in zip(node.outputs, results, strict=True):
            if tensor in self._unnamed:
                self._unnamed.discard(tensor)
                self._rename(tensor, blob)
                tensor = blob
            self.tensors[blob] = tensor
        if len(self.layers) > before:
            computing = [
                i
                for i in range(before, len(self.layers))
                if self.layers[i].type not in ("Quantize", "Dequantize")
            ]
            at = computing[-1] if computing else -1
            self.layers[at] = self.layers[at].replace(name=node.name)
            self.weights.follow(self.layers[-1])

    def names_of(self, made: Sequence[str]) -> list[str]:
        """What tensors are called now that were made under these names."""
        return [self._renamed.get(name, name) for name in made]

    def _rename(self, old: str, new: str) -> None:
        self._renamed[old] = new
        self.specs[new] = self.specs.pop(old)
        if old in self.integers:
            self.integers.add(new)
        for i in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[i]
            if old in layer.outputs:
                self.layers[i] = layer.replace(outputs=[new if o == old else o for o in layer.outputs])
                break
            if any(isinstance(t, str) and t == old for t in layer.inputs):
                inputs = [new if isinstance(t, str) and t == old else t for t in layer.inputs]
                self.layers[i] = layer.replace(inputs=inputs)

    def fresh(self, wanted: str) -> str:
        """A name for a tensor or layer that is made here: `wanted`, or something like it that is not taken yet."""
        name = _fresh(wanted, self._names)
        self._unnamed.add(name)
        return name


def _fresh(wanted: str, taken: dict[str, int]) -> str:
    """`wanted`, or it with a number behind it, which is taken from now on. `taken`: name -> times asked for."""
    name = wanted
    while name in taken:
        taken[wanted] += 1
        name = f"{wanted}#{taken[wanted]}"
    taken[name] = 1
    return name


# where a type's parameters say that its weights are integers, for types of which only floats are supported
_INT8_KEY = {"Gemm": 18, "MultiHeadAttention": 18, "Embed": 18, "LSTM": 8, "GRU": 8, "RNN": 8, "SDPA": 18}
_INT8_KEY |= {"Convolution1D": 8, "ConvolutionDepthWise1D": 8}


class Source:
    """A node to be expressed: its parameters, the tensors it reads, and how layers are added for it."""

    def __init__(self, graph: Graph, node: Node):
        self.graph, self.node = graph, node
        self.integer, self.number = node.integer, node.number
        self.integers, self.numbers = node.integers, node.numbers
        self.inputs = [graph.tensors[blob] for blob in node.inputs]

    def derived(self, name: str, shape: Sequence[int], data: Callable[[], np.ndarray]) -> Tensor:
        """A constant that is worked out from the file's when it is first used."""
        spec = Spec(shape)
        return Tensor(f"{self.node.name}.{name}", spec, lambda: np.ascontiguousarray(data(), np.float32))

    @property
    def x(self) -> str:
        """The only input."""
        if len(self.inputs) != 1:
            raise ConversionError(f"reads {len(self.inputs)} blobs, but one is known")
        return self.computed(self.inputs[0])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the only input."""
        return self.shape_of(self.x)

    def shape_of(self, tensor: str) -> tuple[int, ...]:
        """The shape of a tensor; a computed one begins with the batch."""
        return self.graph.specs[tensor].shape

    def computed(self, tensor: str) -> str:
        """`tensor`, which is no constant. Raises ConversionError if it is."""
        if tensor in self.graph.constants:
            raise ConversionError(f"computes with the constant {tensor!r}, which is not supported")
        return tensor

    def image(self) -> tuple[int, int]:
        """H and W of the only input. Whoever asks makes a net for this size alone: see Graph.sizes_fixed."""
        if len(self.shape) != 4:
            raise ConversionError(f"its input is {self.graph.specs[self.x]}, but images are (N, C, H, W)")
        self.graph.sizes_fixed = True
        return self.shape[2], self.shape[3]

    def axis(self, axis: int) -> int:
        """ncnn's axis of the first input as one of ours."""
        rank = len(self.shape_of(self.inputs[0])) - 1
        if not -rank <= axis < rank:
            raise ConversionError(f"axis is {axis}, but its input is {self.graph.specs[self.inputs[0]]}")
        return axis % rank + 1

    def weight(self, name: str, shape: Sequence[int], fan_in: int = 1, tagged: bool = False) -> Tensor:
        """The next blob of the .bin, as a constant that the layer calls `name`."""
        if not all(0 < size <= MOST_ELEMENTS for size in shape) or prod(shape) > MOST_ELEMENTS:
            raise ConversionError(f"its {name} would have the shape {list(shape)}")
        source = self.inputs[0] if self.inputs else ""
        return self.graph.weights.get(self.node, name, shape, fan_in, source, tagged)

    def add(self, kind: str, *inputs: str | Tensor | None, outputs: int = 1, **attributes: Any) -> Any:
        """Append a layer that reads `inputs` (without any: the only input); the name of what it writes, or a list."""
        if kind not in layers:
            raise ConversionError(f"no layer {kind!r} is registered")
        wired = inputs or (self.x,)
        name = self.graph.fresh(f"{self.node.name}/{kind.lower()}")
        names = [name] if outputs == 1 else [self.graph.fresh(f"{name}.{i}") for i in range(outputs)]
        layer = layers[kind](*wired, name=name, outputs=names, **attributes)
        specs = [self._spec(i) for i in wired]
        results = layer.infer_outputs(specs)
        if max(r.size for r in results) > MOST_ELEMENTS:
            raise ConversionError(f"its result would be {', '.join(map(str, results))}: too large")
        self.graph.specs |= zip(names, results, strict=True)
        self.graph.layers.append(layer)
        self.graph.weights.follow(layer)
        return names[0] if outputs == 1 else names

    def _spec(self, given: str | Tensor | None) -> Spec | None:
        if given is None:
            return None
        return given.spec if isinstance(given, Tensor) else self.graph.specs[given]
