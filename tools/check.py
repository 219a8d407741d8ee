"""fbnet check: a model's own test vectors, on a device."""

from __future__ import annotations

from pathlib import Path

import click

from ..engine.errors import InputError
from .model import open_model
from .show import json_option, print_json, progress_bar, say, table
from .vectors import CLOSE, checked


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, reference, ...")
@click.option("--threads", type=click.IntRange(1), help="Threads; default: the cores there are.")
@click.option(
    "--trust-plans", is_flag=True, help="Use the plans in the file. They are code: only from files you trust."
)
@click.option(
    "--tolerance", type=click.FloatRange(0), default=CLOSE, show_default=True,
    help="Largest error, relative to an output's largest number; of classes, the share that may differ.",
)  # fmt: skip
@json_option
def check(
    model: Path, device: str, threads: int | None, trust_plans: bool, tolerance: float, as_json: bool
) -> int:
    """Run the test vectors that travel in MODEL, and compare.

    Exit code 0 if all outputs are right, 1 if one is not, 2 if there is nothing to run.

    \b
    fbnet check squeezenet.fbnet
    fbnet check squeezenet.fbnet --device reference
    """
    net = open_model([model], trust_plans)
    if not net.tests:
        raise InputError(f"{model} has no test vector: fbnet convert writes one")
    with progress_bar("checking", len(net.tests), quiet=len(net.tests) < 2) as advance:
        rows = []
        for number in range(len(net.tests)):
            rows += checked(net, number, device, threads, tolerance)
            advance(1)
    right = all(row["holds"] for row in rows)
    if as_json:
        print_json(
            {"model": str(model), "device": device, "tests": len(net.tests), "ok": right, "outputs": rows}
        )
    else:
        table(
            ["test", "output", "", ">error", "", "judged by"],
            [
                [str(row["test"]), row["output"], row["spec"], f"{row['error']:.1e}",
                 "ok" if row["holds"] else "WRONG", row["judge"]]
                for row in rows
            ],
        )  # fmt: skip
        say(
            f"{sum(row['holds'] for row in rows)} of {len(rows)} outputs are right on {device}, within {tolerance:g}"
        )
    return 0 if right else 1
