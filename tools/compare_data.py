"""fbnet compare --data: two nets of ours over a folder of samples, layer by layer and in what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from ..engine.errors import InputError
from ..engine.net import Net
from ..engine.part import pieces
from ..engine.quantize.quality import TensorError, answers, judged_outputs, quality, tensor_errors
from ..engine.quantize.samples import body_index, body_samples, checked_samples
from .dataset import dataset_files, read_right_classes, read_samples
from .show import print_json, say, stages, table


def compare_over(
    a: Net, b: Net, places: Sequence[Path], labels: Path | None, least_sqnr: float, as_json: bool
) -> int:
    """Show how B's layers and answers differ from A's. 0 if no layer is below `least_sqnr`, else 1. Raises InputError.

    Where B says in its metadata that channels have factors of their own, as a quantizer equalises them, each channel is
    brought to A's first.
    """
    if list(a.inputs) != list(b.inputs) or list(a.outputs) != list(b.outputs):
        raise InputError(
            f"{a.name} and {b.name} have different inputs or outputs: give a net and what was made of it"
        )
    files = dataset_files(a, places)
    right = read_right_classes(labels, files) if labels else None
    samples = read_samples(a, files)
    with stages(quiet=as_json):
        given = body_samples(a, checked_samples(a, samples))
        exact, other = pieces(a)[body_index(a)], pieces(b)[body_index(b)]
        outputs = judged_outputs(exact)
        found = quality(answers(exact, outputs, given), answers(other, outputs, given), right)
        rows = tensor_errors(exact, other, given, b.metadata.get("quantization", {}).get("equalised", ()))
    bad = next((row for row in rows if row.sqnr_db < least_sqnr), None)
    if as_json:
        layers = [{**vars(row), "ok": row.sqnr_db >= least_sqnr} for row in rows]
        print_json(
            {"a": a.name, "b": b.name, "ok": bad is None, "first_bad": bad.name if bad else None} | found.described()
            | {"tensors": layers}
        )  # fmt: skip
        return 1 if bad else 0
    table(["tensor", ">SQNR dB", ">cosine", ""], [_cells(row, least_sqnr, bad) for row in rows])
    say(str(found))
    if bad:
        say(f"{bad.name} is the first below {least_sqnr:g} dB: {bad.sqnr_db:.1f}")
    else:
        say(f"no tensor of {len(rows)} is below {least_sqnr:g} dB")
    return 1 if bad else 0


def _cells(row: TensorError, least: float, bad: TensorError | None) -> list[str]:
    decibels = f"{row.sqnr_db:.1f}" if isfinite(row.sqnr_db) else "equal" if row.sqnr_db > 0 else ""
    mark = "FIRST" if row is bad else "ok" if row.sqnr_db >= least else "bad"
    return [row.name, decibels, f"{row.cosine:.6f}", mark]
