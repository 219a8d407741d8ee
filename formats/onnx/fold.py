"""Constants and sizes: what an ONNX graph computes before any input is there.

Exporters write shapes as sub-graphs: Shape, Gather, Unsqueeze, Concat, Reshape. Here they are carried out while
the graph is read. A size that may change stays symbolic on the way (engine Dim), so that what comes out is
'N, then whatever is left' and not the numbers of one example. Arithmetic on weights is left to ONNX's own reference
evaluator, for operators of a list, with the size of the result known before it is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from ...engine.tensor import Dim
from ..graph import Graph
from ..value import Node, Unsupported, Value, as_stored

INTEGERS = (6, 7)  # TensorProto.INT32, INT64

Fold = Callable[..., Any]  # (node, *arrays) -> array, or a list of them; None if this case is not covered
folds: dict[str, Fold] = {}

# What onnx.reference may compute: unary operators, those that broadcast, those that reduce.
UNARY = "Abs Ceil Cos Erf Exp Floor HardSigmoid Log Neg Not Reciprocal Relu Round Sigmoid Sign Sin Softplus Sqrt Tanh"
BROADCAST = (
    "Add And Div Equal Expand Greater GreaterOrEqual Less LessOrEqual"
    " Max Mean Min Mod Mul Or Pow Sub Sum Where Xor"
)
REDUCING = "ArgMax ArgMin ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum"
OTHERS = "Cast Clip ConstantOfShape CumSum NonZero Range Tile"
EVALUATED = frozenset(f"{UNARY} {BROADCAST} {REDUCING} {OTHERS}".split())


def fold(g: Graph, node: Node, values: Sequence[Value | None]) -> list[np.ndarray] | None:
    """The results of a node that are known now, or None if it has to run. Raises Unsupported."""
    first = values[0] if values else None
    if node.type == "Shape" and first:
        return [_shape(node, first)]
    if node.type == "Size" and first and not any(isinstance(s, Dim) for s in first.shape):
        return [np.array(prod(first.shape), np.int64)]
    if node.type == "Constant":
        return [_constant(node)]
    if any(v is not None and v.array is None for v in values):
        return None
    arrays = [None if v is None else v.array for v in values]
    symbolic = any(a is not None and a.dtype == object for a in arrays)
    result = None
    if node.type in folds:
        g.claim(_moved(node, arrays))
        try:
            result = folds[node.type](node, *arrays)
        except Unsupported:
            if not symbolic:
                raise  # else perhaps with the sizes that the file gives
            result = folds[node.type](node, *(None if v is None else g.numbers(v) for v in values))
    elif symbolic and node.type in sizes and all(a is None or a.dtype.kind in "Oiu" for a in arrays):
        result = sizes[node.type](node, *(None if a is None else a.astype(object) for a in arrays))
    if result is not None:
        return [_settled(a) for a in (result if isinstance(result, list) else [result])]
    if node.type not in EVALUATED:
        return None
    return _evaluated(g, node, _one_float([None if v is None else g.numbers(v) for v in values]))


def _one_float(arrays: list[Any]) -> list[Any]:
    """Floats of several widths, of the file and made here, as fp32: every one is that in the net."""
    kinds = {a.dtype for a in arrays if a is not None and a.dtype.kind not in "iub"}
    return (
        arrays
        if len(kinds) < 2
        else [a if a is None or a.dtype not in kinds else as_stored(a) for a in arrays]
    )


def _shape(node: Node, value: Value) -> np.ndarray:
    """The sizes of a tensor. Those that a file gives as numbers but another call may change are Dims with digits."""
    known = value.array is not None
    made = [
        size if known or isinstance(size, Dim) or axis == 1 else Dim(str(size), size)
        for axis, size in enumerate(value.shape)
    ]
    start, end = node.get("start", 0), node.get("end", len(made))
    return _settled(np.array([*made[start:end], None], object)[:-1])  # with None numpy guesses no dtype


def _constant(node: Node) -> np.ndarray:
    for key in ("value", "value_float", "value_floats", "value_int", "value_ints"):
        if key in node.attributes:
            given = node.attributes[key]
            return np.asarray(given, None if key == "value" else np.float32 if "float" in key else np.int64)
    raise Unsupported(f"a constant given as {', '.join(node.attributes) or 'nothing'}")


def _settled(array: Any) -> np.ndarray:
    """An array of objects without a symbolic size among them is an array of int64."""
    array = np.asarray(array, object) if isinstance(array, (Dim, int)) else np.asarray(array)
    if array.dtype == object and not any(isinstance(a, Dim) for a in array.flat):
        return array.astype(np.int64)
    return array


# -- arithmetic on weights: onnx.reference ---------------------------------------------------------------------


def _evaluated(g: Graph, node: Node, arrays: Sequence[Any]) -> list[np.ndarray]:
    """What ONNX's reference evaluator computes, refused before if it would take too much memory."""
    from onnx.reference import ReferenceEvaluator

    g.claim(_result_bytes(node, arrays))
    if node.type == "Range":  # exporters, and ONNX's own definitions, hand it vectors of one number
        arrays = [a.reshape(()) for a in arrays]
    feeds = {name: a for name, a in zip(node.inputs, arrays, strict=True) if a is not None}
    try:
        with np.errstate(all="ignore"):
            results = ReferenceEvaluator(node.source, opsets={"": node.opset}).run(None, feeds)
    except Exception as error:  # the evaluator's errors have no common kind
        raise Unsupported(f"cannot be computed from its constants: {error}") from None
    return [np.asarray(r) for r in results]


def _result_bytes(node: Node, arrays: Sequence[Any]) -> int:
    """An upper bound of the bytes that a node's result takes."""
    shapes = [a.shape for a in arrays if a is not None]
    match node.type:
        case "ConstantOfShape":
            return prod(arrays[0].tolist()) * np.asarray(node.get("value", np.float32(0))).itemsize
        case "Expand":
            return prod(np.broadcast_shapes(shapes[0], tuple(arrays[1].tolist()))) * arrays[0].itemsize
        case "Tile":
            return prod(arrays[1].tolist()) * arrays[0].nbytes
        case "Range":
            start, limit, step = (float(a.item()) for a in arrays)
            return (max(0, int((limit - start) / step)) + 1) * 8
        case "NonZero":
            return arrays[0].size * max(1, arrays[0].ndim) * 8
    broadcast = node.type in BROADCAST.split()
    elements = prod(np.broadcast_shapes(*shapes)) if broadcast else sum(map(prod, shapes))
    return elements * max(a.itemsize for a in arrays if a is not None)


# -- moving: numpy says it in a line, for numbers and for sizes ------------------------------------------------


def _fold(*types: str) -> Callable[[Fold], Fold]:
    return lambda function: folds.update(dict.fromkeys(types, function)) or function


def _moved(node: Node, arrays: Sequence[Any]) -> int:
    """How many bytes a fold copies; the others only look at their constant in another way."""
    data = arrays[0]
    match node.type:
        case "Concat":
            return sum(a.nbytes for a in arrays)
        case "Gather":
            return arrays[1].size * data.nbytes // max(1, data.shape[node.get("axis", 0)])
        case "Reshape" | "Flatten":
            return data.nbytes
    return 0


@_fold("Identity")
def _identity(node, data):
    return data


@_fold("Gather")
def _gather(node, data, indices):
    return np.take(data, _ints(indices), axis=node.get("axis", 0))


@_fold("Concat")
def _concat(node, *arrays):
    return np.concatenate([a.astype(object) if any(b.dtype == object for b in arrays) else a for a in arrays],
                          axis=node.get("axis", 1))  # fmt: skip


@_fold("Unsqueeze")
def _unsqueeze(node, data, axes=None):
    return np.expand_dims(data, tuple(axes_of(node, axes) or ()))


@_fold("Squeeze")
def _squeeze(node, data, axes=None):
    axes = axes_of(node, axes)
    return np.squeeze(data, None if axes is None else tuple(axes))


@_fold("Reshape")
def _reshape(node, data, shape):
    wanted = _ints(shape).tolist()
    if not node.get("allowzero", 0):
        wanted = [data.shape[i] if s == 0 else s for i, s in enumerate(wanted)]
    return data.reshape(wanted)


@_fold("Flatten")
def _flatten(node, data):
    axis = node.get("axis", 1) % (data.ndim + 1)
    return data.reshape(prod(data.shape[:axis]), prod(data.shape[axis:]))


@_fold("Transpose")
def _transpose(node, data):
    return data.transpose(node.get("perm"))


@_fold("Slice")
def _slice(node, data, *inputs):
    index = [slice(None)] * data.ndim
    for axis, start, end, step in ranges_of(node, data.ndim, *inputs):
        # an end before the first element, for a negative step, has no other spelling in Python
        index[axis] = slice(start, None if step < 0 and end < -data.shape[axis] else end, step)
    return data[tuple(index)]


@_fold("Split")
def _split(node, data, split=None):
    axis, parts = node.get("axis", 0), split_of(node, split)
    return np.split(data, np.cumsum(parts_of(data.shape[axis], parts, len(node.outputs)))[:-1], axis)


# -- arithmetic on sizes ---------------------------------------------------------------------------------------

sizes: dict[str, Fold] = {
    "Add": lambda node, a, b: a + b,
    "Sub": lambda node, a, b: a - b,
    "Mul": lambda node, a, b: a * b,
    "Div": lambda node, a, b: a // b,  # ONNX truncates; sizes are not negative
    "Cast": lambda node, a: a if node.get("to") in INTEGERS else None,
    "ReduceProd": lambda node, a, axes=None: (
        np.full((1,) if node.get("keepdims", 1) else (), prod(a.tolist()), object) if a.ndim == 1 else None
    ),
}


# -- what operators and folds both read: an attribute in one opset, an input in the next ---------------------------


def axes_of(node: Node, axes: np.ndarray | None, key: str = "axes") -> list[int] | None:
    """The axes that a node names, by attribute or input; None if it names none."""
    given = node.get(key) if axes is None else _ints(axes).reshape(-1).tolist()
    return None if given is None else [int(a) for a in given]


def ranges_of(
    node: Node,
    rank: int,
    starts: np.ndarray | None = None,
    ends: np.ndarray | None = None,
    axes: np.ndarray | None = None,
    steps: np.ndarray | None = None,
) -> list[tuple[int, int, int, int]]:
    """What a Slice node cuts: (axis, start, end, step) for each axis that it names."""
    begin, stop = axes_of(node, starts, "starts"), axes_of(node, ends, "ends")
    if begin is None or stop is None:
        raise Unsupported("needs starts and ends")
    named = axes_of(node, axes) or list(range(len(begin)))
    step = axes_of(node, steps, "steps") or [1] * len(begin)
    if 0 in step:
        raise Unsupported("a step of 0")
    return [(a % rank, b, e, s) for a, b, e, s in zip(named, begin, stop, step, strict=True)]


def split_of(node: Node, split: np.ndarray | None) -> list[int] | None:
    """The lengths that a Split node names, or None for equal parts."""
    return axes_of(node, split, "split")


def parts_of(size: int, parts: list[int] | None, count: int) -> list[int]:
    """The lengths of `count` parts of an axis: as named, or equal with a shorter last one."""
    if parts is None:
        each = -(-size // count)
        parts = [each] * (size // each) + ([size % each] if size % each else [])
    if sum(parts) != size or len(parts) != count:
        raise Unsupported(f"cannot split {size} into {count} parts {parts}")
    return parts


def _ints(array: np.ndarray) -> np.ndarray:
    """An array that has to be plain integers: indices, axes, a shape for constants."""
    if array.dtype == object:
        raise Unsupported("an index or axis depends on a size of the input: give numbers with shapes=")
    return array.astype(np.int64)
