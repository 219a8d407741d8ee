"""fbnet compare: two models, or a model and another engine, tensor by tensor; where they first part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, prod
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..engine.errors import InputError
from ..engine.net import Net
from ..formats.ends import reads_pixels
from .image import colors_of, opened, pixels
from .model import open_model
from .numbers import cosine, relative_error, share_that_differs, sqnr_db
from .show import json_option, print_json, say, table, working
from .sides import Side, side
from .vectors import CLOSE, example

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """A tensor on both sides.

    error     the largest difference, relative to the largest number of A; for whole numbers the share that differs
    sqnr_db   signal to noise, A being right      cosine  of the angle between the two
    """

    name: str
    type: str
    shape: tuple[int, ...]
    error: float
    sqnr_db: float
    cosine: float
    is_output: bool
    note: str = ""

    def described(self, tolerance: float) -> dict[str, Any]:
        """For JSON."""
        return {
            "tensor": self.name, "type": self.type, "shape": list(self.shape), "error": self.error,
            "sqnr_db": self.sqnr_db, "cosine": self.cosine, "output": self.is_output,
            "ok": self.error <= tolerance, "note": self.note,
        }  # fmt: skip


@click.command()
@click.argument("a", metavar="[ENGINE:]A")
@click.argument("b", metavar="[ENGINE:]B")
@click.option(
    "--input",
    "given",
    multiple=True,
    metavar="[NAME=]FILE",
    help="An .npy file, or an image; default: an example.",
)
@click.option(
    "--seed", default=0, show_default=True, help="Of the example that is made if no input is given."
)
@click.option(
    "--tolerance", type=click.FloatRange(0), default=CLOSE, show_default=True,
    help="Largest error, relative to a tensor's largest number; of whole numbers, the share that may differ.",
)  # fmt: skip
@click.option("--outputs-only", is_flag=True, help="Do not look at the tensors in between.")
@click.option("--device", default="cpu", show_default=True, help="Where our nets run, if no engine is named.")
@click.option("--threads", type=click.IntRange(1), help="Threads; default: the cores there are.")
@click.option(
    "--data", multiple=True, type=click.Path(path_type=Path), metavar="DIR",
    help="Compare over a folder of images: signal to noise of each layer, agreement, top-1; B may be quantized.",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(path_type=Path), help="With --data: a line `cat.jpg 285` for each image."
)
@click.option(
    "--least-sqnr", type=float, default=15.0, show_default=True, metavar="DB",
    help="With --data: a layer below this is bad.",
)  # fmt: skip
@json_option
def compare(
    a: str,
    b: str,
    given: tuple[str, ...],
    seed: int,
    tolerance: float,
    outputs_only: bool,
    device: str,
    threads: int | None,
    data: tuple[Path, ...],
    labels: Path | None,
    least_sqnr: float,
    as_json: bool,
) -> int:
    """Run A and B on the same input, and compare what both compute, by the names of tensors.

    A model is one file, or two with a + between. ENGINE is a device (cpu, reference), the framework of the file
    (onnxruntime, opencv, ncnn) or another engine (openvino, mnn). Exit code 0 if all is alike, 1 if not.

    \b
    fbnet compare model.onnx onnxruntime:model.onnx
    fbnet compare net.fbnet opencv:deploy.prototxt+weights.caffemodel --input cat.jpg
    fbnet compare cpu:net.fbnet reference:net.fbnet
    fbnet compare net.fbnet int8.fbnet --data photos
    """
    if data:
        from .compare_data import compare_over

        return compare_over(open_models(a), open_models(b), data, labels, least_sqnr, as_json)
    with working("reading"):
        one, other = side(a, device, threads), side(b, device, threads)
        inputs = read_inputs(one, given) if given else example(one.net, seed)
    with working("running"):
        rows, unseen = compared(one, other, inputs, outputs_only)
    apart = [row for row in rows if not row.error <= tolerance]
    first = apart[0] if apart else None
    if as_json:
        print_json(
            {
                "a": one.label, "b": other.label, "engines": [one.said or one.engine, other.said or other.engine],
                "tolerance": tolerance, "ok": first is None, "first": first.name if first else None,
                "tensors": [row.described(tolerance) for row in rows], "unmatched": unseen,
            }
        )  # fmt: skip
        return 1 if first else 0
    columns = ["tensor", "type", "shape", ">error", ">SQNR dB", ">cosine", ""]
    table(columns, [_cells(row, tolerance, first) for row in rows])
    for one_side in (one, other):
        if one_side.said:
            say(f"{one_side.label} was run by {one_side.said}")
    if unseen:
        say(f"{unseen} tensors are on one side only")
    if "quantization" in one.net.metadata.keys() ^ other.net.metadata.keys():
        say(
            "one of them computes with integers: with --data DIR its layers are compared as what they stand for"
        )
    if first:
        say(f"{first.name} ({first.type}) is the first to differ: {first.error:.1e}, more than {tolerance:g}")
    else:
        say(f"alike: no tensor of {len(rows)} differs by more than {tolerance:g}")
    return 1 if first else 0


def open_models(text: str) -> Net:
    """The model of one side, which we run ourselves. Raises InputError."""
    return open_model([Path(part) for part in text.split("+")])


def _cells(row: Row, tolerance: float, first: Row | None) -> list[str]:
    mark = "ok" if row.error <= tolerance else "FIRST" if row is first else "differs"
    sqnr = f"{row.sqnr_db:.1f}" if isfinite(row.sqnr_db) else "equal" if row.sqnr_db > 0 else ""
    notes = ", ".join(filter(None, [mark, "output" if row.is_output else "", row.note]))
    return [
        row.name,
        row.type,
        "x".join(map(str, row.shape)),
        f"{row.error:.1e}",
        sqnr,
        f"{row.cosine:.6f}",
        notes,
    ]


def read_inputs(one: Side, given: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays for a side's inputs, from files: [NAME=]x.npy or an image. Raises InputError."""
    arrays: dict[str, np.ndarray] = {}
    for text in given:
        name, equals, file = text.partition("=")
        if not equals:
            name, file = next((n for n in one.net.inputs if n not in arrays), ""), text
        if name not in one.net.inputs or name in arrays:
            raise InputError(
                f"--input {text}: {one.label} has the inputs {', '.join(one.net.inputs)}, each once"
            )
        arrays[name] = _read(one, name, Path(file))
    if missing := [n for n in one.net.inputs if n not in arrays]:
        raise InputError(f"{one.label} also reads {', '.join(missing)}: give --input {missing[0]}=x.npy")
    return arrays


def _read(one: Side, name: str, path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InputError(f"{path}: no array that can be read: {error}") from None
    if name != reads_pixels(one.net):
        raise InputError(
            f"{path}: {one.label} reads {name} {one.net.inputs[name]}: give an .npy file, or compare a model that "
            "prepares images itself (fbnet convert writes one)"
        )
    return pixels(opened(path), colors_of(one.net))


def compared(one: Side, other: Side, inputs: Arrays, outputs_only: bool = False) -> tuple[list[Row], int]:
    """(a row for each tensor that both sides compute, in A's order; how many are on one side only).

    Tensors in between must be called alike and written by layers of one type: another format may give a name to another
    tensor, as Caffe calls a convolution's result and what a ReLU makes of it in place.

    Raises FbnetError if a side cannot run.
    """
    ours = [o for layer in one.net.layers for o in layer.outputs]
    theirs = {o: layer.type for layer in other.net.layers for o in layer.outputs}
    types = {o: layer.type for layer in one.net.layers for o in layer.outputs}
    shared = [] if outputs_only else [name for name in ours if theirs.get(name) == types[name]]
    fed = _fed(one, other, inputs)
    a = one.run({n: inputs[n] for n in one.net.inputs}, shared)
    b = other.run(fed, shared)
    pairs = {name: name for name in ours if name in a and name in b}
    alone = [[n for n in s.net.outputs if n not in pairs] for s in (one, other)]
    if len(alone[0]) == len(alone[1]):  # outputs of other names are the same in order
        pairs |= dict(zip(*alone, strict=True))
    if not pairs:
        raise InputError(f"{one.label} and {other.label} have no tensor in common, by name or as outputs")
    rows = []
    for name, theirs_name in pairs.items():
        note = "" if theirs_name == name else f"{theirs_name} in B"
        is_output = name in one.net.outputs or theirs_name in other.net.outputs
        rows.append(row_of(name, types.get(name, "input"), a[name], b[theirs_name], is_output, note))
    return rows, len({*ours} - pairs.keys()) + len(theirs.keys() - set(pairs.values()))


def _fed(one: Side, other: Side, inputs: Arrays) -> dict[str, np.ndarray]:
    """B's inputs: A's of these names; tensors so called that A computes, like a prepared image; or A's in order."""
    computed = {o for layer in one.net.layers for o in layer.outputs}
    fed = {name: inputs[name] for name in other.net.inputs if name in inputs}
    for name in other.net.inputs:
        if name not in fed and name in computed:
            fed |= one.net.forward(upto=name, **inputs)
    if fed.keys() != set(other.net.inputs) and len(inputs) == len(other.net.inputs):
        fed = dict(zip(other.net.inputs, inputs.values(), strict=True))
    for name, spec in other.net.inputs.items():
        pixels_for_numbers = name in fed and (fed[name].dtype == np.uint8) != (spec.dtype.name == "uint8")
        if name not in fed or fed[name].ndim != spec.ndim or pixels_for_numbers:
            raise InputError(
                f"{other.label} reads {name} {spec}, which {one.label} neither reads nor computes"
            )
    return {name: fed[name] for name in other.net.inputs}


def row_of(
    name: str, type: str, a: np.ndarray, b: np.ndarray, is_output: bool = False, note: str = ""
) -> Row:
    """Two arrays beside each other, B brought into A's shape if that only takes axes of 1, or moving axes."""
    found, how = _alike(b, a.shape)
    note = ", ".join(filter(None, [note, how]))
    if found is None:
        return Row(name, type, a.shape, float("inf"), float("-inf"), 0.0, is_output, note)
    error = share_that_differs(found, a) if a.dtype.kind in "biu" else relative_error(found, a)
    return Row(name, type, a.shape, error, sqnr_db(found, a), cosine(found, a), is_output, note)


def _alike(b: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray | None, str]:
    """(b in this shape, how), or (None, why not)."""
    if b.shape == shape:
        return b, ""
    if b.size == prod(shape) and [s for s in b.shape if s > 1] == [s for s in shape if s > 1]:
        return b.reshape(shape), ""
    if b.ndim == len(shape) in (3, 4):
        last = (0, *range(2, b.ndim), 1), (0, b.ndim - 1, *range(1, b.ndim - 1))
        for order in last:
            if tuple(b.shape[i] for i in order) == shape:
                return b.transpose(order), "channels last" if order == last[1] else "channels first"
    return None, f"B has {list(b.shape)}"
