"""fbnet check-device: every layer type, in every dtype, on a device, against its reference."""

from __future__ import annotations

from dataclasses import asdict

import click

from ..engine.check_device import all_cases, device_checks, smallest
from .show import json_option, print_json, say, table


@click.command()
@click.argument("name", metavar="DEVICE")
@click.option("--quick", is_flag=True, help="One case of each layer and dtype.")
@json_option
def check_device(name: str, quick: bool, as_json: bool) -> int:
    """Run every layer type on DEVICE in fp32, with weights in fp16, and in int8, and compare with its reference.

    Exit code 0 if all are right, 1 if one is not, 2 if the device is not there.

    \b
    fbnet check-device cpu
    fbnet check-device lib
    FBNET_OPENCL=mali fbnet check-device opencl
    """
    cases = all_cases()
    rows = list(device_checks(name, smallest(cases) if quick else cases))
    right = all(row.ok for row in rows)
    if as_json:
        print_json({"device": name, "ok": right, "layers": [asdict(row) | {"ok": row.ok} for row in rows]})
        return 0 if right else 1
    table(
        ["layer", "dtype", "kernel", ">cases", ">error", ""],
        [
            [
                row.layer,
                row.dtype,
                row.kernel,
                str(row.cases),
                "" if row.refused else f"{row.error:.1e}",
                "" if row.refused else "ok" if row.ok else row.problem,
            ]
            for row in rows
        ],
    )
    refused = sum(row.refused for row in rows)
    here = sum(row.ok and row.kernel not in ("", "host", "refused") for row in rows)
    good = sum(row.ok for row in rows) - refused
    say(
        f"{good} of {len(rows)} are right on {name}, {here} of them by its own kernels"
        + (f"; {refused} are refused" if refused else "")
    )
    return 0 if right else 1
