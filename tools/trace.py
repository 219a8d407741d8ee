"""fbnet trace: a run of a model, layer by layer: what each wrote, its kernel, its time; and what each thread did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from ..engine.device import Span, devices
from ..engine.plan import Plan
from ..engine.steps import Steps, Visit
from .draw import write_text
from .feed import prepared, run_options
from .show import json_option, print_json, say, table, working

WRONG = 1e-3  # an error of a layer beside its reference that is pointed at


@click.command()
@click.option("--upto", metavar="LAYER", help="Stop behind this layer or tensor.")
@click.option(
    "--compare", is_flag=True, help="Run each layer's reference on the same inputs, and show the error."
)
@click.option(
    "--chrome", metavar="FILE.json", type=click.Path(path_type=Path),
    help="Write what every thread did, and when, for Perfetto or chrome://tracing.",
)  # fmt: skip
@click.option(
    "--rounds",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Runs of which times are the median.",
)
@run_options
@json_option
def trace(
    upto: str | None, compare: bool, chrome: Path | None, rounds: int, as_json: bool, **how: Any
) -> int:
    """Run MODEL once, and show one line a layer: spec, kernel, time, rate, mean|y| and range.

    Layers are those that run, folded and fused. With --compare, the exit code is 1 if one is far from its reference.

    \b
    fbnet trace net.fbnet --image cat.jpg
    fbnet trace net.fbnet --image cat.jpg --upto pool1 --compare
    fbnet trace net.fbnet --chrome trace.json
    """
    _, plan, inputs = prepared(**how)
    with working("running"):
        steps = Steps(plan, inputs, rounds)
        last = steps.layer_name(upto) if upto else None
        rows = _rows(steps, compare, last)
    spans = timeline(plan, inputs) if chrome else []
    if chrome:
        write_text(chrome, json.dumps(chrome_trace(plan, steps, spans)))
    if as_json:
        print_json(
            {"plan": str(plan).splitlines()[0], "layers": rows, "chrome": str(chrome) if chrome else None}
        )
    else:
        say(str(plan).splitlines()[0])
        _show(rows, compare)
        if chrome:
            say(
                f"{chrome}: {len(spans)} spans of {len({s.thread for s in spans})} threads; ui.perfetto.dev opens it"
            )
    return 1 if any(row["error"] is not None and not row["error"] <= WRONG for row in rows) else 0


def _rows(steps: Steps, compare: bool, last: str | None) -> list[dict[str, Any]]:
    rows = []
    for visit in steps:
        rows.append(described(visit, compare))
        if visit.name == last:
            break
    return rows


def described(visit: Visit, compare: bool = False) -> dict[str, Any]:
    """A layer of a run, for JSON."""
    mean, low, high = visit.statistics()
    return {
        "layer": visit.name, "type": visit.layer.type, "specs": [str(spec) for spec in visit.specs],
        "kernel": visit.kernel, "why": visit.why, "threads": visit.threads, "us": visit.time_us,
        "macs": visit.macs, "gflops": visit.gflops if visit.macs else None,
        "mean": mean, "min": low, "max": high, "error": visit.error() if compare else None,
    }  # fmt: skip


def _show(rows: Sequence[dict[str, Any]], compare: bool) -> None:
    """One line a layer, the error in red where it is one."""
    columns = ["layer", "type", "writes", "kernel", ">us", ">GFLOP/s", ">mean|y|", ">from", ">to"]
    cells = [
        [
            row["layer"], row["type"], ", ".join(row["specs"]), row["kernel"].split("/", 3)[-1] or "no work",
            f"{row['us']:.1f}", f"{row['gflops']:.1f}" if row["gflops"] is not None else "",
            *(f"{row[key]:.4g}" for key in ("mean", "min", "max")),
            *([f"{row['error']:.1e}{'' if row['error'] <= WRONG else ' !'}"] if compare else []),
        ]
        for row in rows
    ]  # fmt: skip
    table([*columns, ">error"] if compare else columns, cells)
    say(f"{sum(row['us'] for row in rows) / 1e3:.2f} ms in {len(rows)} layers, each run alone")


def timeline(plan: Plan, inputs: dict[str, np.ndarray]) -> list[Span]:
    """What every thread did in one run. Raises DeviceError where the device does not say."""
    device = devices[plan.device]
    handle = device.init(plan)
    try:
        device.prepare(handle, plan.shapes())
        for name, array in inputs.items():
            device.set_tensor(handle, name, array)
        return device.timeline(handle)
    finally:
        device.destroy(handle)


def chrome_trace(plan: Plan, steps: Steps, spans: Sequence[Span]) -> dict[str, Any]:
    """The Trace Event Format: a complete event ("X") for each thread's share of a step, times in microseconds."""
    types = {layer.name: layer.type for layer in steps.net.layers}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": f"fbnet: {plan.net.name}"}}
    ]
    for thread in sorted({span.thread for span in spans}):
        name = "leader" if thread == 0 else f"worker {thread}"
        events.append({"ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": {"name": name}})
    for span in spans:
        step = plan.steps[span.step]
        events.append(
            {
                "ph": "X", "name": step.layer, "cat": types.get(step.layer, "Reorder"), "pid": 1, "tid": span.thread,
                "ts": 1e6 * span.start, "dur": 1e6 * (span.end - span.start),
                "args": {
                    "kernel": step.kernel, "share": span.share, "threads at most": step.threads,
                    "why": plan.notes.get(step.layer, ""),
                },
            }
        )  # fmt: skip
    return {"traceEvents": events, "displayTimeUnit": "ns", "otherData": {"plan": str(plan).splitlines()[0]}}
