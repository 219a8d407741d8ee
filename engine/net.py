"""Net: a vector of layers, and the ten-line loop that runs it.

A Net is immutable. It holds layers in the order they run, the specs of its inputs, its constants (weights are
tensors with data), and which tensors are its outputs. Everything else, like shapes, is derived.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from .arguments import arguments
from .dtype import dtypes
from .errors import InputError, NetError, did_you_mean
from .fixed import refuse_other_sizes
from .layer import ABSENT, Layer
from .tensor import Spec, Tensor, content_digest

if TYPE_CHECKING:
    from .device import Device
    from .plan import Plan
    from .steps import Steps

Shape = Sequence["int | str"]


class Net:
    """A vector of layers.

        net = Net([Convolution("x", w, b, name="conv1"), ReLU("conv1", name="relu1")], inputs={"x": ("N", 3, 8, 8)})

    layers      in the order they run; arrays among their inputs become constants called 'conv1.w'
    inputs      name -> Spec or shape; strings in a shape are symbolic dimensions
    constants   name -> Tensor or array, for layers that name their weights
    outputs     names of the results; by default every tensor that no layer reads
    metadata    whatever travels along: labels, source, licence, image pre-processing (JSON-like values)
    tests       test vectors: each a dict of tensor name -> array, for inputs and expected outputs
    plans       compiled plans that came along, by key; see Plan

    Raises NetError if this is no net: a tensor read before it is written, written twice, or a name used twice.
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        inputs: Mapping[str, Spec | Shape],
        constants: Mapping[str, Tensor | np.ndarray] | None = None,
        outputs: Sequence[str] | None = None,
        *,
        name: str = "net",
        metadata: Mapping[str, Any] | None = None,
        tests: Sequence[Mapping[str, np.ndarray]] = (),
        plans: Mapping[str, memoryview] | None = None,
    ):
        self.name = name
        self.inputs = MappingProxyType({k: _spec(v) for k, v in inputs.items()})
        pool = {k: _constant(k, v) for k, v in (constants or {}).items()}
        self.layers = tuple(_wired(layer, i, pool) for i, layer in enumerate(layers))
        used = {i for layer in self.layers for i in layer.inputs}
        self.constants = MappingProxyType({k: v for k, v in pool.items() if k in used})
        self.metadata = MappingProxyType(dict(metadata or {}))
        self.tests = tuple(_frozen(t) for t in tests)
        self.plans = _frozen(plans or {})
        self._check_order()
        written = [o for layer in self.layers for o in layer.outputs]
        self.outputs = tuple(outputs) if outputs is not None else tuple(o for o in written if o not in used)
        for missing in set(self.outputs) - set(written) - set(self.inputs) - set(self.constants):
            raise NetError(f"{name}: no layer writes the output {missing!r}.{did_you_mean(missing, written)}")
        if len(set(self.outputs)) != len(self.outputs):
            raise NetError(f"{name}: an output is named twice: {', '.join(self.outputs)}")

    def _check_order(self) -> None:
        """Every layer reads only what exists before it (so there is no cycle), and every name is used once."""
        known = {ABSENT, *self.inputs, *self.constants}
        for clash in set(self.inputs) & set(self.constants):
            raise NetError(f"{self.name}: {clash!r} is an input and a constant")
        names: set[str] = set()
        later = {o for layer in self.layers for o in layer.outputs}
        for layer in self.layers:
            for i in layer.inputs:
                if i not in known:
                    why = (
                        "only written at or after it: a cycle, or layers out of order"
                        if i in later
                        else "missing"
                    )
                    raise NetError(f"{layer} reads {i!r}, which is {why}.{did_you_mean(i, known)}")
            for o in layer.outputs:
                if not o or o in known:
                    raise NetError(f"{layer} writes {o!r}, which is already written: a tensor has one writer")
                known.add(o)
            if layer.name in names:
                raise NetError(f"two layers are called {layer.name!r}: names are unique")
            names.add(layer.name)

    # -- running it ----------------------------------------------------------------------------------------

    def forward(self, *arrays: np.ndarray, upto: Any = None, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        """Run the layers one by one in numpy: the definition of what this net computes.

        arrays, inputs  one array a net input, in order or by name. Returns output name -> array; with `upto` (a layer's
        or tensor's name) the run stops there and returns that layer's outputs. Raises InputError, ShapeError.
        """
        tensors: dict[str, Any] = {ABSENT: None, **arguments(self, arrays, inputs)}
        tensors |= {name: constant.data for name, constant in self.computed.constants.items()}
        last = self._layer_upto(upto)
        for layer in self.layers:
            read = [tensors[i] for i in layer.inputs]
            layer.infer_outputs([None if a is None else Spec(a.shape, _dtype_name(a)) for a in read])
            tensors.update(zip(layer.outputs, layer.compute(read), strict=True))
            if layer is last:
                return {o: tensors[o] for o in layer.outputs}
        return {o: tensors[o] for o in self.outputs}

    def _layer_upto(self, upto: str | None) -> Layer | None:
        if upto is None:
            return None
        return next((layer for layer in self.layers if upto in layer.outputs), None) or self[upto]

    def __call__(self, *arrays: np.ndarray, **inputs: np.ndarray) -> Any:
        """Run the net on this machine: array in, array out; a dict when there are several outputs.

        Inputs in order or by name. Compiles on first use, and again for new shapes. From several threads at once, too.
        Raises InputError, ShapeError, CompileError.
        """
        from .session import run_once

        outputs = run_once(self, arguments(self, arrays, inputs))
        return outputs[self.outputs[0]] if len(self.outputs) == 1 else outputs

    def steps(
        self,
        *arrays: np.ndarray,
        device: str = "cpu",
        threads: int | None = None,
        rounds: int = 0,
        **inputs: np.ndarray,
    ) -> Steps:
        """The layers of one run as they run: iterate for inputs, outputs, kernel and time of each; see engine/steps.py.

        rounds  time each step as the median of so many runs, instead of once
        """
        from .steps import Steps

        given = arguments(self, arrays, inputs)
        shapes = {name: array.shape for name, array in given.items()}
        return Steps(self.compile(device=device, threads=threads, shapes=shapes), given, rounds)

    def compile(
        self,
        device: str | Device = "cpu",
        dtype: str = "fp32",
        threads: int | None = None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        **wishes: Any,
    ) -> Plan:
        """The Plan of this net for a device, dtype, number of threads and input shapes (default: the usual ones).

        `tune=False` chooses kernels by their scores and not by measuring, `max_workspace=bytes` limits the working
        memory of a step. Found in memory or on disk if it was made before. Raises RegistryError, ShapeError,
        InputError, CompileError.
        """
        from .compile import compile_net

        return compile_net(self, device, dtype, threads, shapes, **wishes)

    def quantize(self, samples: Any, method: str = "auto", **wishes: Any) -> Net:
        """This net with integer layers, calibrated on samples of what it is for; some tens are enough.

        samples    arrays, or dicts of arrays by input name; what a run of this net takes
        method     how ranges are chosen: "minmax", "percentile", "mse" or "entropy"; "auto" tries the first three
        labels     the right class of each sample
        metric     or a function that gives points to a net, more being better
        max_drop   points of either that may be lost: layers stay in fp32 until it is met
        and more   see engine/quantize

        Raises InputError, NetError, QuantizationError.
        """
        from .quantize.front import quantize_net

        return quantize_net(self, samples, method, **wishes).net

    # -- shapes --------------------------------------------------------------------------------------------

    def specs(self, shapes: Mapping[str, Shape] | None = None) -> dict[str, Spec]:
        """The Spec of every tensor, constants too. `shapes` replaces input shapes. Raises ShapeError."""
        for name in shapes or {}:
            if name not in self.inputs:
                raise InputError(f"{self.name} has no input {name!r}.{did_you_mean(name, self.inputs)}")
        refuse_other_sizes(self.name, self.inputs, self.metadata, shapes or {})
        known = {
            n: s.replace(shape=shapes[n]) if shapes and n in shapes else s for n, s in self.inputs.items()
        }
        known |= {name: constant.spec for name, constant in self.computed.constants.items()}
        for layer in self.layers:
            results = layer.infer_outputs([known.get(i) for i in layer.inputs])
            known.update(zip(layer.outputs, results, strict=True))
        return known

    def stored_as(self, dtype: str, samples: Any = None) -> Net:
        """The same net with its weights, the constants of two or more axes, stored in another dtype, like "fp16".

        Layers are folded into each other first, so that what is rounded is what is computed with; and it is rounded so
        that the weights of an output channel keep their sum. A weight with a number that the dtype cannot hold stays as
        it is, and a warning says so. So do the weights of a layer that reads or writes such numbers, or halves of them,
        on the samples, if there are any: arrays, or dicts of arrays by input name. Raises InputError for a dtype that
        does not store what fp32 computes with.
        """
        from .quantize.half import stored_as

        return stored_as(self, dtype, samples)

    @cached_property
    def computed(self) -> Net:
        """The net as it is computed: every constant in the dtype that layers see."""
        constants = {name: constant.computed for name, constant in self.constants.items()}
        same = all(constants[name] is self.constants[name] for name in constants)
        return self if same else self.replace(constants=constants)

    def loosened(self, batch: bool = True, image: Sequence[int] = (2, 3)) -> Net:
        """The same net with every input dimension symbolic that may change: N, and H and W where they can.

        Found by trying: a dimension is symbolic if the net still fits together when it is another size. `image` names
        the axes of H and W; () leaves them alone.
        """
        from .loose import loosened

        return loosened(self, batch, image)

    # -- looking at it -------------------------------------------------------------------------------------

    def replace(self, **changes: Any) -> Net:
        """A copy with other layers, inputs, constants, outputs, name, metadata or tests."""
        keys = ("layers", "inputs", "constants", "outputs", "name", "metadata", "tests", "plans")
        return Net(**({key: getattr(self, key) for key in keys} | changes))

    def save(self, path: str | Path, **options: Any) -> None:
        """Write this net to a file: whole, or not at all. Raises InputError, FileError.

        options  the format's own: a .fbnet file takes plans=[net.compile(...)], which whoever trusts the file need not
                 make again
        """
        from .format import write

        write(self, path, **options)

    def __getitem__(self, name: str) -> Layer:
        """The layer called `name`. Raises InputError."""
        try:
            return self._by_name[name]
        except KeyError:
            raise InputError(
                f"{self.name} has no layer {name!r}.{did_you_mean(name, self._by_name)}"
            ) from None

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @cached_property
    def digest(self) -> str:
        """32 hex digits that name what this net computes: its graph and its constants' contents."""
        graph = {
            "inputs": {k: [str(v.dtype), repr(v.quantization)] for k, v in self.inputs.items()},
            "layers": [[n.type, n.name, n.inputs, n.outputs, n.attributes] for n in self.layers],
            "constants": {
                k: [str(v.spec), repr(v.spec.quantization), v.digest] for k, v in self.constants.items()
            },
            "outputs": self.outputs,
        }
        return content_digest(json.dumps(graph).encode())

    def __str__(self) -> str:
        specs = self.specs()
        width = max((len(str(layer)) for layer in self.layers), default=0)
        rows = [f"{self.name}: {', '.join(f'{k} {v}' for k, v in self.inputs.items())}"]
        rows += [
            f"  {layer!s:<{width}}  {', '.join(i for i in layer.inputs if i and i not in self.constants)}"
            f" -> {', '.join(f'{o} {specs[o]}' for o in layer.outputs)}"
            for layer in self.layers
        ]
        return "\n".join([*rows, f"  -> {', '.join(self.outputs)}"])

    def _repr_html_(self) -> str:
        from .html import net_html

        return net_html(self)

    def __repr__(self) -> str:
        return f"<Net {self.name}: {len(self.layers)} layers, {', '.join(f'{k} {v}' for k, v in self.inputs.items())}>"


def _dtype_name(array: np.ndarray) -> str:
    return next((d.name for d in dtypes.values() if d.storage == array.dtype), str(array.dtype))


def _frozen(mapping: Mapping[str, Any]) -> MappingProxyType[str, Any]:
    """A read-only copy; what is read-only already stays as it is, for it may be mapped and not yet read."""
    return mapping if isinstance(mapping, MappingProxyType) else MappingProxyType(dict(mapping))


def _spec(value: Spec | Shape) -> Spec:
    return value if isinstance(value, Spec) else Spec(value)


def _constant(name: str, value: Tensor | np.ndarray) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor(name, data=np.asarray(value))


def _wired(layer: Layer, index: int, pool: dict[str, Tensor]) -> Layer:
    """`layer` with a name and named outputs; arrays among its inputs move to the pool of constants."""
    name = layer.name or f"{layer.type.lower()}{index}"
    inputs: list[str] = []
    for given, parameter in zip(layer.inputs, layer.input_names(), strict=True):
        if isinstance(given, str):
            inputs.append(given)
            continue
        constant = (
            given if isinstance(given, Tensor) else Tensor(f"{name}.{parameter}", data=np.asarray(given))
        )
        if pool.setdefault(constant.name, constant) is not constant:
            raise NetError(f"two constants are called {constant.name!r}: names are unique")
        inputs.append(constant.name)
    outputs = layer.outputs or (
        (name,) if len(layer.results) == 1 else tuple(f"{name}.{result}" for result in layer.results)
    )
    if all(isinstance(i, str) for i in layer.inputs) and (name, outputs) == (layer.name, layer.outputs):
        return layer
    return layer.replace(name=name, inputs=tuple(inputs), outputs=outputs)
