"""The .onnx format, in and out. The package `onnx` reads and checks the file; it is an extra: pip install fbnet[onnx].

    file         the file: decoded, checked, its constants as arrays
    functions    operators that are defined by others, and If and Loop
    graph        the walk over the nodes, and the table that operators are entered in
    fold         what is known before the net runs: constants, and the arithmetic of shapes
    arithmetic, convolution, detection, elementwise, frame, moving, norm, pooling, product, quantized,
    quantized_by_microsoft, recurrent, reduce, select
                 the operators, each a small function
    export       the way out, Net -> .onnx, with its own walk and tables

The graph that grows on the way, and what most operators are made of, are shared with other formats: `..graph`,
`..value`, `..shape`, `..arithmetic`. So are the clean-ups after the walk: `..layout` removes transposes, `..padding`
joins padding with the layer behind it, `..patterns` finds the layers that were meant where an exporter wrote parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...engine.errors import ConversionError, FbnetError, FileError, InputError, did_you_mean
from ...engine.fixed import fixed
from ...engine.format import importer
from ...engine.net import Net
from ...engine.tensor import Dim, Spec
from ..clean import cleaned
from ..value import Node, Value
from . import (  # noqa: F401  they enter their operators
    arithmetic,
    convolution,
    detection,
    elementwise,
    frame,
    moving,
    norm,
    pooling,
    product,
    quantized,
    quantized_by_microsoft,
    recurrent,
    reduce,
    select,
)
from .centred import with_centred
from .export import write
from .file import array_of, load
from .fold import fold
from .functions import Functions, names_read, node_of
from .graph import DTYPES, OnnxGraph

if TYPE_CHECKING:
    import onnx

USUAL = 224  # the usual value of a size that a file leaves open, but for the batch
# What constants made here may take, besides twice the size of the file. A test model in 9 KB fills VGG-19's 575 MB.
MADE_BYTES = 640 << 20


@importer(".onnx", write=write)
def read(
    path: Path,
    *more: Path,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    allow_custom: bool = False,
) -> Net:
    """The net in an ONNX file, for inference.

    shapes        input name -> shape, in place of what the file declares; text is a size that may change
    allow_custom  keep operators of unknown types as layers, for a registration to come; see engine/custom

    Sizes that the file leaves open are symbolic. So are those that may change as far as the net goes, even where the
    file gives a number. Raises FileError for a damaged file, and one ConversionError that lists every node that
    cannot be expressed.
    """
    path = Path(path)
    if more:
        raise InputError(f"{path}: an ONNX model is one file; there is no place for {more[0]}")
    model = load(path)
    try:
        net, fixed_by = _convert(model, path, shapes or {}, allow_custom)
    except ConversionError:
        raise
    except FbnetError as error:
        raise type(error)(f"{path}: {error}") from None
    loose = net.loosened()
    inputs = {name: _freed(net.inputs[name], loose.inputs[name], bool(fixed_by)) for name in net.inputs}
    net = net.replace(inputs=inputs)
    axes = range(1, max((spec.ndim for spec in inputs.values()), default=1))
    why = f"{fixed_by} is right for it alone: convert with shapes= for another"
    return fixed(net, axes, why) if fixed_by else net


def _convert(
    model: onnx.ModelProto, path: Path, shapes: Mapping[str, Sequence[int | str]], allow_custom: bool
) -> tuple[Net, str]:
    """The net, and the node that makes it one for no other image size than the file's; '' if there is none."""
    source, folder = model.graph, path.parent
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    outputs = [o.name for o in source.output]
    nodes = _needed(with_centred([node_of(n, opset, folder) for n in source.node]), outputs)
    names = {name for n in nodes for name in (*names_read(n.source), *n.outputs)} | {
        i.name for i in source.input
    }
    stored = {t.name: t for t in source.initializer}
    size = path.stat().st_size + sum(_outside_bytes(t) for t in source.initializer)
    g = OnnxGraph(names | set(stored), outputs, MADE_BYTES + 2 * size)
    g.allow_custom = allow_custom
    g.body_of = Functions(model, folder).body
    for n in nodes:
        for i in names_read(n.source):
            g.consumers.setdefault(i, []).append(n)
            if i in stored and i not in g.values:
                array = array_of(stored[i], folder)
                g.values[i] = Value.of(i, array)
    for name in shapes:
        if name not in {i.name for i in source.input}:
            raise InputError(
                f"the model has no input {name!r}.{did_you_mean(name, [i.name for i in source.input])}"
            )
    for declared in source.input:
        if declared.name not in stored:
            spec = _spec(declared, shapes.get(declared.name))
            g.inputs[declared.name] = spec
            g.values[declared.name] = Value(declared.name, spec)
    g.problems += [f"{t.values.name}: a sparse constant" for t in source.sparse_initializer]
    shadows: dict[str, Value] | None = None
    for n in nodes:
        if not g.visit(n, fold):
            shadows = _shadows(model, g.inputs) if shadows is None else shadows
            g.values |= {o: shadows[o] for o in n.outputs if o in shadows}
    for output in outputs:
        if output not in g.values and not g.problems:
            raise FileError(f"nothing computes the output {output!r}")
    producer = f"{model.producer_name} {model.producer_version}".strip()
    about = f"{path.name}, ONNX opset {opset}" + (f", {producer}" if producer else "")
    net = g.net(path.stem, {"source": about})
    return cleaned(net, len(source.node), g.weight_scales), g.fixed_by


def _needed(nodes: Sequence[Node], outputs: Iterable[str]) -> list[Node]:
    """The nodes that the outputs depend on, in their order."""
    wanted, kept = set(outputs), []
    for n in reversed(nodes):
        if any(o in wanted for o in n.outputs):
            wanted |= names_read(n.source)
            kept.append(n)
    return kept[::-1]


def _outside_bytes(tensor: onnx.TensorProto) -> int:
    """The bytes of a tensor that lies in another file; what it claims is checked when it is read."""
    return max(0, *(int(e.value) for e in tensor.external_data if e.key == "length" and e.value.isdigit()), 0)


def _spec(declared: onnx.ValueInfoProto, shape: Sequence[int | str] | None) -> Spec:
    """The Spec of an input. A size that the file leaves open is a Dim: batch 1, others 224 as their usual value."""
    kind = declared.type
    if not kind.HasField("tensor_type") or kind.tensor_type.elem_type not in DTYPES:
        raise ConversionError(
            f"the input {declared.name!r} is no tensor of numbers: ONNX type {_type_name(kind)}"
        )
    if shape is None:
        if not kind.tensor_type.HasField("shape"):
            raise ConversionError(f"the input {declared.name!r} declares no shape: give one with shapes=")
        shape = [d.dim_value if d.dim_value > 0 else d.dim_param for d in kind.tensor_type.shape.dim]
    sizes = [
        Dim(_letters(s, axis, len(shape)), USUAL if axis else 1) if isinstance(s, str) else s
        for axis, s in enumerate(shape)
    ]
    return Spec(sizes, DTYPES[kind.tensor_type.elem_type])


def _type_name(kind: onnx.TypeProto) -> str:
    return f"{kind.WhichOneof('value')} {kind.tensor_type.elem_type}"


def _letters(name: str, axis: int, rank: int) -> str:
    """The name of a symbolic size. It has a letter in it: a text of digits alone means a number in `fold`."""
    if not name:
        return "NCHW"[axis] if rank == 4 or axis == 0 else f"D{axis}"
    return name if any(c.isalpha() for c in name) else f"d{name}"


def _freed(spec: Spec, loose: Spec, sizes_fixed: bool) -> Spec:
    """`spec` with the sizes that turned out to be free, but under the file's own names where it has them."""
    shape = [
        size if isinstance(size, Dim) or (axis and sizes_fixed) else free
        for axis, (size, free) in enumerate(zip(spec.shape, loose.shape, strict=True))
    ]
    return spec.replace(shape=shape)


def _has_axes(graph: onnx.GraphProto) -> bool:
    """Whether every axis may be one. ONNX's own inference takes it for one, and a process does not survive that."""
    return all(
        (a.name != "axis" or -64 <= a.i < 64) and (not a.HasField("g") or _has_axes(a.g))
        for n in graph.node
        for a in n.attribute
    )


def _shadows(model: onnx.ModelProto, inputs: Mapping[str, Spec]) -> dict[str, Value]:
    """What ONNX itself infers of every tensor, so that the walk can go on behind a node that failed.

    Only tensors whose every size is known, as a number or as a size of an input.
    """
    from onnx import shape_inference

    if not _has_axes(model.graph):
        return {}
    try:
        inferred = shape_inference.infer_shapes(model).graph
    except Exception:  # whatever its C++ throws; the walk then says less, and that is all
        return {}
    named = {str(size): size for spec in inputs.values() for size in spec.shape if isinstance(size, Dim)}
    found: dict[str, Value] = {}
    for info in (*inferred.value_info, *inferred.output):
        kind = info.type.tensor_type
        shape = [d.dim_value if d.dim_value > 0 else named.get(d.dim_param) for d in kind.shape.dim]
        if kind.HasField("shape") and kind.elem_type in DTYPES and None not in shape:
            spec = Spec([size for size in shape if size is not None], DTYPES[kind.elem_type])
            found[info.name] = Value(info.name, spec)
    return found
