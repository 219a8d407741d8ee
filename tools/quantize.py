"""fbnet quantize: an fp32 model becomes one of integer layers, calibrated on a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..engine.errors import QuantizationError
from ..engine.quantize.front import METHODS, quantize_net
from ..engine.quantize.quantizer import Made
from ..formats.ends import reads_pixels, with_answers
from .dataset import dataset_files, read_right_classes, read_samples
from .model import open_model
from .options import image_options, recipe_changes
from .quantization_report import report_of, write_report
from .run import with_pixels
from .show import json_option, print_json, say, stages, table


@click.command()
@click.argument("model", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data", "data", multiple=True, required=True, type=click.Path(path_type=Path),
    help="A folder of images like those that the model is for, or of .npy files; some tens are enough.",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(path_type=Path),
    help="Text file with a line for each image: its name, a space, its class's number.",
)  # fmt: skip
@click.option(
    "--ctc", type=click.IntRange(-1), metavar="BLANK",
    help="MODEL reads text, (N, T, classes): samples are lines, and a line is right if it reads as in fp32. BLANK is "
    "the class of no letter, -1 for the last.",
)  # fmt: skip
@click.option(
    "--max-drop", type=click.FloatRange(0, 100), metavar="POINTS",
    help="Points of top-1 that may be lost; without --labels, of agreement with fp32; with --ctc, of lines.",
)  # fmt: skip
@click.option(
    "--max-error", type=click.FloatRange(0), metavar="PERCENT",
    help="How much the outputs may differ, for models that do not classify.",
)  # fmt: skip
@click.option(
    "--most-float", type=click.FloatRange(0, 100), default=50, show_default=True, metavar="PERCENT",
    help="The most multiply-adds that may stay in fp32 to keep within that.",
)  # fmt: skip
@click.option(
    "--method", type=click.Choice(METHODS), default="auto", show_default=True, help="How ranges are chosen."
)
@click.option("--keep", multiple=True, metavar="LAYER", help="A layer that stays in fp32.")
@click.option(
    "--adaptive/--no-adaptive", default=True, show_default=True,
    help="Round weights for the least error of sums; or to the nearest, which is faster.",
)  # fmt: skip
@click.option(
    "--calibrate", type=click.IntRange(1), default=64, show_default=True, help="The most images for ranges."
)
@click.option(
    "--report", "pages", multiple=True, type=click.Path(path_type=Path), metavar="FILE.md|FILE.html",
    help="Write what was done: ranges, histograms, errors, what stayed in fp32 and why.",
)  # fmt: skip
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .fbnet file to write."
)
@image_options
@json_option
def quantize(
    model: tuple[Path, ...],
    data: tuple[Path, ...],
    labels: Path | None,
    ctc: int | None,
    max_drop: float | None,
    max_error: float | None,
    most_float: float,
    method: str,
    keep: tuple[str, ...],
    adaptive: bool,
    calibrate: int,
    pages: tuple[Path, ...],
    output: Path,
    as_json: bool,
    **image: Any,
) -> int:
    """Make MODEL a model of integer layers, as near to fp32 as was asked for.

    \b
    fbnet quantize m.fbnet --data photos -o m8.fbnet
    fbnet quantize m.fbnet --data photos --labels right.txt --max-drop 0.5 -o m8.fbnet --report m8.html
    fbnet quantize reader.fbnet --data lines --ctc 0 --max-drop 0.5 -o reader8.fbnet
    """
    net, changes = open_model(model), recipe_changes(image)
    if changes or (not reads_pixels(net) and net.metadata.get("image")):
        net = with_pixels(net, changes)
    files = dataset_files(net, data)
    right = read_right_classes(labels, files) if labels else None
    samples = read_samples(net, files)
    judged = net if ctc is None else with_answers(net, ctc=ctc)
    try:
        with stages(quiet=as_json):
            made = quantize_net(
                judged, samples, method, labels=right, keep=keep, adaptive=adaptive, calibrate=calibrate,
                most_float=most_float / 100, max_drop=max_drop,
                max_error=None if max_error is None else max_error / 100,
            )  # fmt: skip
    except QuantizationError as refused:
        if not as_json:
            show_candidates(refused.table)
        raise
    if judged is not net:  # the text was for the judging
        read = [layer for layer in made.net if layer.type != "CTCGreedy"]
        made.net = made.net.replace(layers=read, outputs=net.outputs)
    made.net.save(output)
    with stages(quiet=as_json):
        found = report_of(made)
    for page in pages:
        write_report(found, page)
    if as_json:
        print_json(found | {"file": str(output), "bytes": output.stat().st_size})
    else:
        show(made)
        say(f"{output}: {output.stat().st_size:,} bytes")
    return 0


def show(made: Made) -> None:
    """What was kept in fp32 and why, and how near the result is."""
    if made.candidates:
        show_candidates([c.described() for c in made.candidates])
    types = {layer.name: layer.type for layer in made.exact}
    rows = [
        [name, types[name], f"{100 * made.shares.get(name, 0):.2f} %", why]
        for name, why in made.floats.items()
    ]
    table(["stays in fp32", "type", ">of the multiply-adds", "because"], rows)
    say(f"ranges by {made.method}; {100 * made.float_share:.2f} % of the multiply-adds are in fp32")
    say(str(made.quality))


def show_candidates(rows: Any) -> None:
    """What each layer costs, and which went back to fp32."""
    table(
        ["layer", ">its error alone", ">int8 saves", ">of the multiply-adds", ""],
        [
            [
                row["layer"],
                f"{100 * row['error']:.2f} %",
                f"{1e6 * row['seconds']:.0f} us",
                f"{100 * row['share']:.2f} %",
                "back to fp32" if row["kept"] else "",
            ]
            for row in rows
        ],
    )
