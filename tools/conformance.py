"""fbnet conformance: the ONNX backend suite on our devices, as a table, a page of the docs, or a list of what fails."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import click

from ..engine.errors import CheckError
from .onnx_classes import ORDER, class_of
from .onnx_suite import KINDS, Case, Verdict, cases, out_of_scope, verdict
from .show import json_option, print_json, progress_bar, say, table

FILE = click.Path(path_type=Path, dir_okay=False)
LISTED = "    "  # what a case's line begins with in the list of those that fail
Results = Mapping[str, Mapping[str, Verdict]]  # device -> case -> how it went


@click.command()
@click.argument("pattern", default="")
@click.option(
    "--device", multiple=True, default=("reference",), show_default=True, help="Where to run the cases."
)
@click.option("--list", "list_path", type=FILE, help="Write the cases that fail, by reason.")
@click.option(
    "--page", "page_path", type=FILE, help="Write a table by operator, as a page of the documentation."
)
@json_option
def conformance(
    pattern: str,
    device: tuple[str, ...],
    list_path: Path | None,
    page_path: Path | None,
    as_json: bool,
) -> None:
    """Run the backend suite of the ONNX project, or the cases whose name matches PATTERN.

    \b
    fbnet conformance gather
    fbnet conformance --device reference --device cpu --page docs/onnx.md
    """
    chosen = {n: c for n, c in cases().items() if re.search(pattern, n)}
    results: dict[str, dict[str, Verdict]] = {}
    for name in device:
        with progress_bar(f"conformance on {name}", len(chosen)) as advance:
            results[name] = {}
            for case in chosen.values():
                results[name][case.name] = verdict(case, name)
                advance()
    if list_path:
        list_path.write_text(list_of(results))
    if page_path:
        page_path.write_text(page_of(chosen, results))
    failed = sum(bool(v.why) for found in results.values() for v in found.values())
    if as_json:
        print_json({d: {n: asdict(v) for n, v in found.items()} for d, found in results.items()})
    elif list_path or page_path:
        say(f"{sum(map(len, results.values())) - failed} passed, {failed} failed")
    else:
        table(["case", "device", "result"], [
            [n, d, v.why or "passes"] for d, found in results.items() for n, v in found.items()
        ])  # fmt: skip
        if failed:
            raise CheckError(f"{failed} of {sum(map(len, results.values()))} cases fail")


# -- the list of what fails ------------------------------------------------------------------------------------


def read_list(path: Path) -> dict[str, str]:
    """Case -> reason. 'name on cpu' is a case that fails on that device only."""
    found, reason = {}, ""
    for line in path.read_text().splitlines():
        if line.startswith(LISTED):
            found[line.strip()] = reason
        elif line and not line.startswith("#"):
            reason = line
    return found


def list_of(results: Results) -> str:
    """What read_list reads: every case that fails, under its reason; those that fail most first."""
    reasons: dict[str, list[str]] = defaultdict(list)
    devices = list(results)
    for name, first in results[devices[0]].items():
        if first.why:
            reasons[first.why].append(name)
        for device in devices[1:] if not first.why else ():
            if why := results[device][name].why:
                reasons[why].append(f"{name} on {device}")
    lines = [
        "# The cases of the ONNX backend suite that do not pass, under the reason. The test that runs the suite holds"
    ]
    lines += ["# this list to the truth both ways; `make conformance` writes it anew."]
    for reason in sorted(reasons, key=lambda r: (-len(reasons[r]), r)):
        lines += ["", reason, *(LISTED + name for name in sorted(reasons[reason]))]
    return "\n".join(lines) + "\n"


# -- the page of the docs --------------------------------------------------------------------------------------

INTRODUCTION = """\
# ONNX

Made by `make conformance` from the ONNX project's own backend suite (package onnx {version}, opset {opset}): how many
of an operator's cases pass on each device, judged by the outputs that the suite brings along, at its tolerance.

The suite feeds everything as inputs, also what a network holds as a constant: the shape of a Reshape, the axes of a
sum. Sizes are known here before a net runs, so such inputs have to be constants; *with constants* counts the cases
that pass once all inputs but the first are; *by reference* those of the last device in which it ran some layer by its
numpy reference, having no kernel for it. Doubles and half floats are computed in fp32, and what a double has beyond
fp32 is infinite. What counts as inference is a written rule, `tools/onnx_classes.py`. Why a case does not pass is said
in `tests/formats/onnx/conformance.txt`.
"""


def page_of(chosen: Mapping[str, Case], results: Results) -> str:
    """Two tables, by kind of case and by operator."""
    import onnx

    devices = list(results)
    head = ["cases", *devices, "with constants", "by reference"]
    lines = [INTRODUCTION.format(version=onnx.__version__, opset=onnx.defs.onnx_opset_version())]
    kinds = [(kind, [n for n, c in chosen.items() if c.kind == kind]) for kind in KINDS]
    lines += _table(["kind", *head], ((k, names) for k, names in kinds if names), results)
    lines += class_table(chosen, results)
    by_operator: dict[str, list[str]] = defaultdict(list)
    for name, case in chosen.items():
        if case.kind == "node":
            by_operator[case.operator].append(name)
    return "\n".join([*lines, *_table(["operator", *head], sorted(by_operator.items()), results)])


def class_table(chosen: Mapping[str, Case], results: Results) -> list[str]:
    """Lines of a table of the cases of single operators, by what they are about; see onnx_classes."""
    classes = {
        n: class_of(c.operator, n, out_of_scope(c.model)) for n, c in chosen.items() if c.kind == "node"
    }
    lines = [f"| node cases about | cases | {' | '.join(results)} |", f"|---|{'---:|' * (1 + len(results))}"]
    for about in ORDER:
        names = [n for n, c in classes.items() if c == about]
        passed = [str(sum(not found[n].why for n in names)) for found in results.values()]
        if names:
            lines.append(f"| {about} | {len(names)} | {' | '.join(passed)} |")
    return [*lines, ""]


def _table(head: list[str], rows: Iterable[tuple[str, list[str]]], results: Results) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for what, names in rows:
        passed = [sum(not found[n].why for n in names) for found in results.values()]
        first, *_, last = [*results.values()] * 2
        bound = sum(bool(first[n].constants) and not first[n].why for n in names)
        fallen = sum(last[n].fallback and not last[n].why for n in names)
        lines.append(
            f"| {what} | {len(names)} | {' | '.join(map(str, passed))} | {bound or ''} | {fallen or ''} |"
        )
    return [*lines, ""]
