"""torch modules, in: `convert(module, example)`. No ONNX on the way; torch is an extra: pip install fbnet[torch].

    source     where the module comes from, its weights, its example
    exported   torch.export: the module as a graph of ATen operators
    nodes      what torch calls its operators, and the modules that they were traced in
    sizes      the sizes that torch left open, as N, H and W
    tensors    its constants and dtypes
    view       what reshaping and transposing do, kept as arithmetic
    graph      the walk over the nodes; `fold` computes those of constants
    table      the table that operators are entered in; `simple` asks it whether a program can be walked as it is

The others hold the operators, each a small function.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...engine.errors import CheckError, ConversionError, FbnetError, InputError
from ...engine.fixed import fixed
from ...engine.net import Net
from ...engine.tensor import Spec
from ..clean import cleaned
from . import (  # noqa: F401  they enter their operators
    activation,
    arithmetic,
    convolution,
    frame,
    moving,
    norm,
    pooling,
    product,
    recurrent,
)
from .exported import Exported, export, open_sizes
from .graph import TorchGraph, Value
from .nodes import is_number, titles_of
from .simple import is_simple
from .sizes import Fixed, Sizes
from .source import as_example, module_at, with_weights
from .tensors import as_value, name_of_dtype
from .view import plain

TOLERANCE = 1e-2  # of the largest number: no module comes near that but by a mistake, or in half precision
TEST_BYTES = 16 << 20  # an example that is larger, with its result, does not travel in the net


def read(
    source: Any,
    example: Any = None,
    *,
    weights: str | Path | None = None,
    check: bool = True,
    allow_custom: bool = False,
) -> Net:
    """The net of a torch module, for inference.

    source   a torch.nn.Module, an ExportedProgram, or 'package.module:factory': a module, or a function that makes one
    example  what to call it with: a tensor, an array, or a shape; a tuple of them for several inputs
    weights  the path of a state dict to load first; only tensors are read from it, never code
    check    False: do not hold the net's own results for the example to torch's
    allow_custom  keep operators of unknown types as layers, for a registration to come; see engine/custom

    Sizes of the inputs that the module allows to change are symbolic. The example and what torch makes of it travel in
    the net as its test. Raises InputError, FileError, CheckError if the net does not give torch's numbers, and one
    ConversionError that lists every module with an operator that cannot be expressed.
    """
    module = module_at(str(source)) if isinstance(source, (str, Path)) else source
    tensors = as_example(example)
    if weights is not None:
        if not hasattr(module, "load_state_dict"):
            raise InputError(f"{type(module).__name__} takes no weights")
        with_weights(module, Path(weights))
    exported = export(module, tensors, is_simple)
    nodes = exported.inputs
    shapes = {name: tuple(t.shape) for name, t in exported.example.items()}
    sizes = Sizes(open_sizes(nodes), shapes)
    name = type(module).__name__
    while True:
        try:
            net, results = _walked(exported, sizes, name, allow_custom)
            if not (stuck := sizes.stuck(net)):
                break
            by = "a layer"
        except Fixed as needed:
            stuck, by = needed.symbols, needed.by
        if not sizes.fix(stuck, by):  # the walk is done again with numbers in the place of these
            raise ConversionError(f"{name}: a size that torch leaves open is needed as a number")
    sequences = any(layer.type in recurrent.LAYERS.values() for layer in net.layers)
    for input_name, traced in open_sizes(nodes).items():
        for axis, size in enumerate(traced):
            if not (sequences and is_number(size)):  # torch traces them for one size, whatever they stand
                net = fixed(net, (axis,), sizes.why(size), input_name)
    vector = _vector(net, exported, results)
    if check and not net.metadata.get("custom"):
        _check(net, vector)
    small = sum(array.nbytes for array in vector.values()) <= TEST_BYTES
    return net.replace(tests=[vector] if small else [])


def _walked(
    exported: Exported, sizes: Sizes, name: str, allow_custom: bool
) -> tuple[Net, list[tuple[str, int]]]:
    """The net, with these sizes, and (name, place among torch's results) of its outputs.

    Raises ConversionError; Fixed if a size has to be a number.
    """
    program = exported.program
    signature = program.graph_signature
    nodes = [n for n in program.graph.nodes if n.op == "placeholder" or n.users or n.op == "output"]
    titles = titles_of(program.graph.nodes)
    results = _outputs(exported, titles)
    g = TorchGraph(exported, sizes, [title for title, _ in results], titles)
    g.allow_custom = allow_custom
    stored = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    stored |= signature.inputs_to_lifted_tensor_constants
    tensors = {**dict(program.named_parameters()), **dict(program.named_buffers()), **program.constants}
    for n in nodes:
        if n.op == "placeholder" and n.name in stored:
            if n.users:
                g.values[titles[n.name]] = as_value(stored[n.name], tensors[stored[n.name]])
        elif n.op == "placeholder":
            meta = n.meta["val"]
            if not hasattr(meta, "shape"):
                continue  # a number that was given with the example
            spec = Spec(sizes.shape(meta.shape), name_of_dtype(meta.dtype))
            g.inputs[titles[n.name]] = spec
            g.values[titles[n.name]] = Value(titles[n.name], spec)
        elif n.op == "call_function":
            g.run(n)
    return _finished(g, exported, name, results)


def _outputs(exported: Exported, titles: dict[str, str]) -> list[tuple[str, int]]:
    """(title, place among the results) of every result that is a tensor, each tensor once.

    Where the module returns a dict, its keys become the titles.
    """
    names = exported.names
    places: dict[str, int] = {}  # torch's name of a tensor -> its first place
    for place, node in enumerate(exported.returned):
        if not hasattr(node, "meta") or not hasattr(node.meta.get("val"), "shape") or node.name in places:
            continue
        places[node.name] = place
        if names[place] and names[place] not in titles.values() and node.op == "call_function":
            titles[node.name] = names[place]
    return [(titles[name], place) for name, place in places.items()]


def _finished(
    g: TorchGraph, exported: Exported, name: str, results: list[tuple[str, int]]
) -> tuple[Net, list[tuple[str, int]]]:
    """The net of a graph that is walked, tidied, and its outputs."""
    import torch

    if not results and not g.problems:
        raise ConversionError(f"{name} returns no tensor")
    if not g.problems:
        results = [(_published(g, title, _shape(g, exported, place)), place) for title, place in results]
        g.outputs = tuple(title for title, _ in results)
    net = g.net(name, {"source": f"{name}, torch {torch.__version__}"})
    try:
        net = cleaned(net, sum(n.op == "call_function" for n in exported.program.graph.nodes))
        net.specs()
    except FbnetError as error:
        raise type(error)(f"{name}: {error}") from None
    return net, results


def _published(g: TorchGraph, title: str, shape: Sequence[int]) -> str:
    """The name of a result: its node's, unless what that computes is still to be repeated."""
    value = g.full(plain(g, g.values[title]), shape)
    taken = any(title in layer.outputs for layer in g.layers) and value.name != title
    g.values[value.name if taken else title] = value
    return value.name if taken else title


def _shape(g: TorchGraph, exported: Exported, place: int) -> tuple[int, ...]:
    """The shape that torch traced of a result."""
    return g.sizes.shape(exported.returned[place].meta["val"].shape)


def _vector(net: Net, exported: Exported, results: Sequence[tuple[str, int]]) -> dict[str, np.ndarray]:
    """The example and what torch makes of it, by the names of the net."""
    given = {name: exported.example[name] for name in net.inputs}
    wanted = {title: exported.results[place] for title, place in results}
    values = {name: as_value(name, tensor).array for name, tensor in (given | wanted).items()}
    return {name: array for name, array in values.items() if array is not None}


def _check(net: Net, vector: Mapping[str, np.ndarray]) -> None:
    """Hold the layers' definitions to torch. Raises CheckError."""
    with np.errstate(all="ignore"):
        found = net.forward(**{name: vector[name] for name in net.inputs})
    for name, array in found.items():
        wanted = vector[name]
        if array.dtype.kind != "f" or not np.isfinite(wanted).all() or not wanted.size:
            continue  # places of maxima may differ by rounding
        error = float(np.abs(array - wanted).max() / max(1e-6, np.abs(wanted).max()))
        if not error <= TOLERANCE:
            raise CheckError(
                f"{net.name}: {name} differs from torch by {error:.1e} of the largest number. Is there chance in the"
                " module, or does it change itself when called? Else report this; check=False converts all the same"
            )
