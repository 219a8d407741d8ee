"""The net that grows while an importer walks over a file's nodes: layers, names, and what could not be expressed.

An operator's function of an importer gets this graph, its node, and a Value for each input. It adds layers and returns
the Value of each result; layers of constants alone are computed at once. What it cannot express it refuses by raising
Unsupported with the reason. The walk goes on after that, so that a conversion reports everything at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ..engine.custom import Placeholder, custom
from ..engine.errors import ConversionError, FbnetError
from ..engine.layer import Layer, layers
from ..engine.net import Net
from ..engine.tensor import Dim, Spec, Tensor
from .value import Node, Unsupported, Value, as_stored, spec_of

MOST_ELEMENTS = 1 << 31  # of one tensor: an 8 GB activation is a damaged or hostile file, not a network
MOST_MACS = 1 << 30  # of a layer of constants, which is computed while the file is read
# Layers that compute with fp32 and say nothing about other dtypes.
FLOATING = (
    "AbsVal", "BNLL", "BatchNorm", "Bias", "Clip", "Convolution", "Deconvolution", "ELU", "Eltwise", "Exp", "GELU",
    "HardSigmoid", "HardSwish", "InnerProduct", "LRN", "LayerNorm", "Log", "MVN", "MatMul", "Mish", "PReLU", "Pooling",
    "Power", "ReLU", "Resize", "Scale", "Sigmoid", "Softmax", "Swish", "TanH",
)  # fmt: skip
MISTAKES = (FbnetError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, AttributeError)


class Graph:
    """The net so far: layers, what each name of the file stands for, and what could not be expressed.

    names    every name that the file uses, so that a name made here is new
    outputs  the names of the results
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
        self.allow_custom = False
        self.weight_scales: list[Sequence[float]] = []  # that constants were dequantized with
        self.customs: list[str] = []  # types that nobody knows, kept as placeholders
        self.sizes_fixed = False  # True once a result depends on an H or W that the file gives as a number
        self.fixed_by = ""  # the node that did that first
        self._names = dict.fromkeys(names, 1)  # name -> how often it was asked for
        self._layer_names: dict[str, int] = {}
        self._budget = self._left = budget
        self._node: Node | None = None

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
        specs = [spec_of(i) for i in inputs]
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
        return [Value(n, s) for n, s in zip(layer.outputs, results, strict=True)]

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
        return [Value.of(n, a) for n, a in zip(layer.outputs, made, strict=True)]

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

    # -- what a node becomes --------------------------------------------------------------------------------

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
        for value in self._appended(kept, [spec_of(v) for v in values]):
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
        self.rename(value.name, output, writer)
        for key, held in self.values.items():
            if held.name == value.name:
                self.values[key] = replace(held, name=output)

    def rename(self, old: str, new: str, writer: int) -> None:
        """Call a tensor otherwise, in its layer and in all after that."""
        for i, layer in enumerate(self.layers[writer:], writer):
            if old in layer.outputs or any(_same_name(t, old) for t in layer.inputs):
                self.layers[i] = layer.replace(
                    inputs=[new if t is not None and _same_name(t, old) else t for t in layer.inputs],
                    outputs=[new if t == old else t for t in layer.outputs],
                )

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
