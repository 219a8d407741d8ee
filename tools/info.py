"""fbnet info: a model's layers, shapes, parameters, work and memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..engine.errors import FbnetError
from ..engine.net import Net
from ..engine.rewrite import apply
from ..engine.tensor import Spec
from .model import open_model
from .options import Shape, tune_option
from .show import compiling, json_option, print_json, say, table, working

LONGEST_FORMULA = 12  # characters of a symbolic size that a table shows


@click.command()
@click.argument("model", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Input shape to reckon with."
)
@click.option(
    "--device", default="cpu", show_default=True, help="Whose plan says how much memory a run takes."
)
@click.option("--threads", type=click.IntRange(1), help="Threads of that plan.")
@tune_option
@json_option
def info(model: tuple[Path, ...], shape: tuple, device: str, threads: int | None, as_json: bool) -> None:
    """Show a model's layers with their shapes, parameters and multiply-adds, and its memory.

    \b
    fbnet info net.fbnet
    fbnet info net.fbnet --shape data=8,3,227,227
    """
    with working("reading"):
        net = open_model(model)
        shapes = dict(shape)
        found = summary(net, shapes)
    with compiling("planning"):
        found |= memory(net, shapes, device, threads)
    if as_json:
        print_json(found)
        return
    say(f"{found['name']}: {', '.join(f'{k} {v}' for k, v in found['inputs'].items())}")
    rows = [
        [
            row["name"],
            row["type"],
            ", ".join(map(short, row["specs"])),
            _count(row["parameters"]),
            _count(row["macs"]),
        ]
        for row in found["layers"]
    ]
    table(["layer", "type", "writes", ">parameters", ">multiply-adds"], rows)
    if any("~" in row[2] for row in rows):
        say("~ is a size that follows from the input's, at the input's usual size; --json has the formulas")
    _show_clean_up(found["clean_up"])
    say(f"outputs        {', '.join(found['outputs'])}")
    say(f"parameters     {found['parameters']:,} in {found['weight_bytes']:,} bytes")
    say(f"multiply-adds  {found['macs']:,} at {', '.join(found['at'])}")
    if "arena_bytes" in found:
        say(
            f"memory of run  {found['peak_bytes']:,} bytes at most: {found['arena_bytes']:,} for tensors and working"
            f" memory, {found['packed_bytes']:,} for packed weights, the rest for weights as they are"
        )
    else:
        say(f"memory of run  unknown: {found['plan_error']}")
    if found["tests"]:
        say(f"test vectors   {found['tests']}: fbnet check runs them")
    if found["imported"]:
        say(f"import         {_imported(found['imported'])}")
    for key, value in found["metadata"].items():
        say(f"{key:<14} {_brief(value)}")


def summary(net: Net, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Layers, shapes, parameters and multiply-adds, at the usual input shapes or those given. Raises ShapeError."""
    specs = net.specs(shapes)
    rows = []
    for layer in net.layers:
        constants = [net.constants[i] for i in layer.inputs if i in net.constants]
        rows.append(
            {
                "name": layer.name, "type": layer.type, "inputs": [i for i in layer.inputs if i not in net.constants],
                "outputs": list(layer.outputs), "specs": [specs[o] for o in layer.outputs],
                "parameters": sum(c.spec.size for c in constants),
                "macs": int(layer.macs(*(specs.get(i) for i in layer.inputs))),
            }
        )  # fmt: skip
    return {
        "name": net.name,
        "inputs": {name: str(specs[name]) for name in net.inputs},
        "outputs": list(net.outputs),
        "at": [f"{name} {specs[name].concrete}" for name in net.inputs],
        "layers": rows,
        "parameters": sum(c.spec.size for c in net.constants.values()),
        "weight_bytes": sum(c.spec.nbytes for c in net.constants.values()),
        "macs": sum(row["macs"] for row in rows),
        "clean_up": clean_up(net),
        "tests": len(net.tests),
        "imported": net.metadata.get("clean_up", {}),
        "metadata": {key: value for key, value in net.metadata.items() if key != "clean_up"},
    }


def clean_up(net: Net) -> dict[str, Any]:
    """How many layers there are of each type, as the file has them and as they run: constants folded, layers fused."""
    lean = apply(net)
    before, after = (Counter(layer.type for layer in layers) for layers in (net.layers, lean.layers))
    fused = Counter(layer.attributes.get("activation") or "" for layer in lean.layers)
    fused -= Counter(layer.attributes.get("activation") or "" for layer in net.layers)
    return {
        "before": len(net),
        "after": len(lean),
        "types": {type: [before[type], after[type]] for type in {**before, **after}},
        "fused": {type: count for type, count in fused.items() if type},
        "parameters": sum(c.spec.size for c in lean.constants.values()),
    }


def _imported(note: Mapping[str, Any]) -> str:
    """What the importer made of the file's nodes."""
    moved = [f"{type} {before} to {after}" for type, (before, after) in note["types"].items()]
    text = f"{note['nodes']} nodes of the file became {note['layers']} layers"
    if not moved:
        return text
    return f"{text}, {note['left']} when tidied: {', '.join(sorted(moved, key=str.lower))}"


def _show_clean_up(found: Mapping[str, Any]) -> None:
    """What is left of the layers when they run, type by type where that differs."""
    changed = {type: counts for type, counts in found["types"].items() if counts[0] != counts[1]}
    if not changed:
        say(f"layers         {found['before']}, all of which run as they are written")
        return
    table(
        ["type", ">as written", ">as run", "fused into others"],
        [
            [type, str(a), str(b), f"{found['fused'][type]}" if type in found["fused"] else ""]
            for type, (a, b) in changed.items()
        ],
    )
    say(f"layers         {found['before']} as written, {found['after']} when folded and fused")


def short(spec: Spec) -> str:
    """A Spec in which a size that takes a long formula of the input's is '~' and its usual value."""
    sizes = [str(size) if len(str(size)) <= LONGEST_FORMULA else f"~{int(size)}" for size in spec.shape]
    return f"{spec.dtype}[{','.join(sizes)}]"


def memory(
    net: Net, shapes: Mapping[str, tuple[int, ...]], device: str, threads: int | None
) -> dict[str, Any]:
    """What a session allocates, by the device's plan; or why there is no plan."""
    try:
        plan = net.compile(device=device, threads=threads, shapes=shapes)
    except FbnetError as error:
        return {"plan_error": str(error)}
    sizes = {name: getattr(plan, name) for name in ("peak_bytes", "arena_bytes", "packed_bytes")}
    return sizes | {"steps": len(plan.steps)}


def _brief(value: Any) -> str:
    """A value of the metadata in one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_brief(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, (list, tuple)):
        text = " ".join(map(_brief, value[:3]))
        return text if len(value) <= 3 else f"{len(value)}: {text} ..."
    return f"{value:g}" if isinstance(value, float) else str(value)


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
