"""The .fbnet file: fbnet's own. `fbnet.fbs`, beside this, is its specification; `container` is its outside.

Opening a file decodes and checks its structure and touches no constant: a Tensor's bytes are mapped, and compared
with their digest, when its data is first used. Whatever is wrong with a file raises an FbnetError that begins with
the file's name and says which field.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite, prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from ..engine.custom import custom
from ..engine.dtype import Quantization, dtype_of
from ..engine.errors import FbnetError, FileError, InputError, did_you_mean
from ..engine.format import importer
from ..engine.layer import Layer, layers
from ..engine.net import Net
from ..engine.plan import Plan
from ..engine.tensor import Dim, Spec, Tensor
from . import flexbuffer
from .container import Blob, Container, Contents, mapped, write_whole
from .flatbuffer import Malformed

MAX_BYTES = 1 << 63
MAX_NDIM = 32  # numpy's own bound before 2.0

Row = Mapping[str, Any]
T = TypeVar("T")


class StoredPlan(NamedTuple):
    """A plan as a file carries it: an artefact, made from what `key` names; `device` may be ''."""

    device: str
    key: str
    blob: bytes | memoryview


# -- writing -----------------------------------------------------------------------------------------------


def write(net: Net, path: str | Path, plans: Sequence[StoredPlan | Plan] = ()) -> None:
    """Write `net`, its plans, and other plans: the same net gives the same bytes. Also over its own old file.

    The file appears whole or not at all. Raises FileError if it cannot be written, InputError for what a file
    cannot hold, like metadata that is not made of plain values.
    """
    try:
        contents = Contents()
        root = _described(net, contents)
        given = {plan.key for plan in plans}
        stored = [StoredPlan("", key, blob) for key, blob in net.plans.items() if key not in given]
        stored += [
            StoredPlan(p.device, p.key, b"".join(p.chunks())) if isinstance(p, Plan) else p for p in plans
        ]
        root["plans"] = [
            contents.add(np.frombuffer(plan.blob, np.uint8), {"device": plan.device or None, "key": plan.key})
            for plan in stored
        ]
        write_whole(path, contents.chunks(root))
    except FbnetError as error:
        raise type(error)(f"{path}: {error}") from None


def _described(net: Net, contents: Contents) -> dict[str, Any]:
    """The root table of `net`."""

    def constant(name: str, spec: Spec, data: np.ndarray | None) -> dict[str, Any]:
        if data is None or data.shape != spec.shape or data.dtype != spec.dtype.storage:
            found = "missing" if data is None else f"{data.dtype}{list(data.shape)}"
            raise InputError(f"{name}: its data is {found} but its spec is {spec}")
        return contents.add(data, _tensor_row(name, spec))

    return {
        "name": net.name,
        "inputs": [_tensor_row(name, spec) for name, spec in net.inputs.items()],
        "layers": [_layer_row(layer) for layer in net.layers],
        "constants": [constant(name, tensor.spec, tensor.data) for name, tensor in net.constants.items()],
        "outputs": net.outputs,
        "metadata": _flexbuffer(net.metadata, "metadata"),
        "tests": [
            {
                "tensors": [
                    constant(name, _spec_of(name, array), np.asarray(array)) for name, array in test.items()
                ]
            }
            for test in net.tests
        ],
    }


def _spec_of(name: str, array: Any) -> Spec:
    """The Spec of a test vector's array."""
    array = np.asarray(array)
    try:
        return Spec(array.shape, dtype_of(array))
    except FbnetError as error:
        raise InputError(f"test vector {name!r}: {error}") from None


def _tensor_row(name: str, spec: Spec) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "dtype": spec.dtype.name,
        "shape": [int(size) for size in spec.shape],
    }
    if any(isinstance(size, Dim) for size in spec.shape):
        row["symbols"] = [size.text if isinstance(size, Dim) else "" for size in spec.shape]
    if spec.quantization is not None:
        q = spec.quantization
        scale, zero = [float(s) for s in q.scale], [int(z) for z in q.zero]
        row["quantization"] = {"scale": scale, "zero": zero, "axis": q.axis}
    return row


def _layer_row(layer: Layer) -> dict[str, Any]:
    row = {key: getattr(layer, key) for key in ("type", "name", "inputs", "outputs")}
    return row | {"attributes": _flexbuffer(layer.attributes, str(layer))}


def _flexbuffer(values: Mapping[str, Any], where: str) -> bytes | None:
    try:
        return flexbuffer.encode(values) if values else None
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


# -- reading -----------------------------------------------------------------------------------------------


@importer(".fbnet", write=write)
def read(
    *paths: str | Path, verify: str = "lazy", trust_plans: bool = False, allow_custom: bool = False
) -> Net:
    """The net in a file.

    verify        "full" compares every blob with its digest now, "lazy" when it is first used
    trust_plans   let the net have the file's plans; they are native code
    allow_custom  keep layers of types that nobody has registered as placeholders; those that the file itself calls
                  custom are kept anyway

    Raises FileError for what is damaged or no .fbnet file, other FbnetErrors for a net that is not one.
    """
    if len(paths) != 1:
        raise InputError(f"{', '.join(map(str, paths))}: a .fbnet file is complete: give one path")
    return from_buffer(mapped(paths[0]), str(paths[0]), verify, trust_plans, allow_custom)


def from_buffer(
    data: bytes | mmap.mmap,
    source: str = ".fbnet data",
    verify: str = "lazy",
    trust_plans: bool = False,
    allow_custom: bool = False,
) -> Net:
    """The net in the bytes of a .fbnet file, which errors call `source`. See `read`."""
    if verify not in ("lazy", "full"):
        raise InputError(f"{source}: verify is {verify!r}: use 'lazy' or 'full'")
    container = Container(data, source)
    try:
        net = _net(container, trust_plans, allow_custom)
    except FbnetError as error:
        raise _outward(error, source) from None
    if verify == "full":
        for blob in container.blobs:
            blob()
    return net


def read_plans(path: str | Path, device: str | None = None, key: str | None = None) -> list[StoredPlan]:
    """The plans in a file; with `device` or `key`, only theirs. Mapped, not copied, compared with their digests.

    A plan is native code: run it only if you trust the file. Raises FileError.
    """
    container = Container(mapped(path), str(path))
    try:
        rows = container.root(only=("plans",))["plans"]
        plans = _each(rows, "plans", lambda row: (row["device"] or "", row["key"], _plan(row, container)))
    except FbnetError as error:
        raise _outward(error, str(path)) from None
    return [StoredPlan(d, k, blob()) for d, k, blob in plans if device in (None, d) and key in (None, k)]


def _outward(error: FbnetError, source: str) -> FbnetError:
    """`error` with the file's name in front."""
    return (FileError if isinstance(error, Malformed) else type(error))(f"{source}: {error}")


def _net(container: Container, trust_plans: bool, allow_custom: bool) -> Net:
    """The net that a file describes, all of it checked but the contents of its blobs."""

    def constant(row: Row) -> Tensor:
        return _constant(row, container)

    root = container.root()
    inputs = _named(root["inputs"], "inputs", _spec)
    constants = _named(root["constants"], "constants", constant)
    tests = _each(root["tests"], "tests", lambda row: _named(row["tensors"], "tensors", constant))
    plans = _named(root["plans"], "plans", lambda row: _plan(row, container), "key")
    container.check_overlap()
    metadata = _values(root, "metadata")
    if not allow_custom:
        _check_types(root["layers"], metadata.get("custom"))
    return Net(
        _each(root["layers"], "layers", _layer),
        inputs,
        constants,
        root["outputs"],
        name=root["name"],
        metadata=metadata,
        tests=[MappingProxyType(_Lazy(test, lambda tensor: tensor.data)) for test in tests],
        plans=MappingProxyType(_Lazy(plans if trust_plans else {}, lambda blob: blob())),
    )


def _each(rows: Sequence[Row] | None, field: str, make: Callable[[Row], T]) -> list[T]:
    """What `make` makes of each row; its errors say which row it was."""
    made: list[T] = []
    try:
        for row in rows or ():
            made.append(make(row))
    except Malformed as error:
        raise error.within(f"{field}[{len(made)}]") from None
    except FbnetError as error:
        raise type(error)(f"{field}[{len(made)}]: {error}") from None
    return made


def _named(
    rows: Sequence[Row] | None, field: str, make: Callable[[Row], T], key: str = "name"
) -> dict[str, T]:
    """What `make` makes of each row, by the row's name, which is unique."""
    made: dict[str, T] = {}

    def enter(row: Row) -> None:
        name = row[key]
        if not name or name in made:
            raise Malformed(f"{name!r} is used twice" if name else "it is empty").within(key)
        made[name] = make(row)

    _each(rows, field, enter)
    return made


def _spec(row: Row) -> Spec:
    """The Spec of a Tensor table."""
    shape, symbols, quantization = row["shape"], row["symbols"], row["quantization"]
    if symbols is not None:
        if len(symbols) != len(shape):
            raise Malformed(f"there are {len(symbols)} for {len(shape)} sizes").within("symbols")
        shape = [Dim(text, size) if text else size for text, size in zip(symbols, shape, strict=True)]
    spec = Spec(shape, row["dtype"])
    if len(shape) > MAX_NDIM or prod(size or 1 for size in row["shape"]) * spec.dtype.itemsize >= MAX_BYTES:
        raise Malformed(f"{spec} is too large, or has more than {MAX_NDIM} sizes").within("shape")
    if quantization is None:
        return spec
    axis, scale, zero = (quantization[key] for key in ("axis", "scale", "zero"))
    slices = 1 if axis is None else spec.shape[spec.axis(axis)]
    if not len(scale) == len(zero) == slices or not all(map(isfinite, scale)):
        problem = f"{spec} needs {slices} finite scales and zeros, but has {len(scale)} and {len(zero)}"
        raise Malformed(problem).within("quantization")
    return spec.replace(quantization=Quantization(scale, zero, axis))


def _constant(row: Row, container: Container) -> Tensor:
    """The Tensor, with data, of a Tensor table."""
    spec = _spec(row)
    if row["digest"] is None:
        raise Malformed("it is missing").within("digest")
    if row["nbytes"] != spec.nbytes:
        raise Malformed(f"it is {row['nbytes']}, but {spec} takes {spec.nbytes}").within("nbytes")
    blob = container.blob(row, row["name"])
    shape, storage = row["shape"], spec.dtype.storage
    return Tensor(row["name"], spec, lambda: np.ndarray(shape, storage, blob()), row["digest"])


def _plan(row: Row, container: Container) -> Blob:
    return container.blob(row, f"plan {row['key']}")


def _check_types(rows: Sequence[Row], called_custom: Any) -> None:
    """Refuse layer types that nobody has registered, all of them at once; but those that the file calls custom."""
    known = called_custom if isinstance(called_custom, list) else ()
    unknown = {
        row["type"]: row["name"] for row in rows if row["type"] not in layers and row["type"] not in known
    }
    if unknown:
        hints = {type: did_you_mean(type, layers) for type in unknown}
        listed = [
            f"{t!r} of layer {n!r}" + (f" ({hints[t].strip()})" if hints[t] else "")
            for t, n in unknown.items()
        ]
        raise FileError(f"layers: not registered: {', '.join(listed)}. Import the package that has them")


def _layer(row: Row) -> Layer:
    """The Layer of a Layer table."""
    if not row["name"]:
        raise Malformed("it is empty").within("name")
    attributes = _values(row, "attributes")
    try:
        if row["type"] not in layers:
            wiring = {"name": row["name"], "outputs": row["outputs"], "attributes": attributes}
            return custom(row["type"], *row["inputs"], **wiring)
        return layers[row["type"]](*row["inputs"], name=row["name"], outputs=row["outputs"], **attributes)
    except FbnetError:
        raise
    except Exception as error:  # from a layer's own check, on values that its author did not think of
        problem = f"{row['name']} ({row['type']}) does not take {attributes!r:.200}: {error!r}"
        raise Malformed(problem).within("attributes") from error


def _values(row: Row, field: str) -> dict[str, Any]:
    """The map in a FlexBuffer field; {} if it is absent."""
    if row[field] is None:
        return {}
    try:
        values = flexbuffer.decode(row[field])
        if not isinstance(values, dict):
            raise Malformed(f"it must be a map but is {values!r:.80}")
    except Malformed as error:
        raise error.within(field) from None
    return values


class _Lazy(Mapping[str, Any], Generic[T]):
    """A mapping whose values are fetched when they are asked for: mapped arrays and plans, checked at first use."""

    def __init__(self, sources: Mapping[str, T], fetch: Callable[[T], Any]):
        self._sources, self._fetch = sources, fetch

    def __getitem__(self, name: str) -> Any:
        return self._fetch(self._sources[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._sources)

    def __len__(self) -> int:
        return len(self._sources)
