"""fbnet convert: another framework's model becomes one .fbnet file, with labels and image preparation in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..engine.errors import CheckError, FbnetError, InputError
from ..engine.net import Net
from ..engine.part import pieces
from ..engine.plan import Plan
from ..engine.rewrite import apply
from ..formats import load, save
from ..formats.ends import checked as checked_recipe
from ..formats.ends import with_answers, with_image_input
from .dataset import dataset_files, read_samples
from .model import convert_with
from .options import PlanFor, Shape, Sizes, image_options, read_labels, recipe_changes, tune_option
from .show import compiling, json_option, print_json, stages, table, warn, working
from .vectors import checked, with_test

FLOATS_TOLD = 4  # layers that are named


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SRC [SRC2]", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .fbnet file to write."
)
@click.option("--labels", type=click.Path(path_type=Path), help="Text file with one class name a line.")
@image_options
@click.option("--softmax", is_flag=True, help="The last scores become probabilities.")
@click.option("--top", type=click.IntRange(1), metavar="N", help="Outputs are the N best classes.")
@click.option("--argmax", is_flag=True, help="The output is the best class of each place: a mask.")
@click.option("--ctc", type=click.IntRange(-1), metavar="BLANK", help="The output is the text that is read.")
@click.option(
    "--boxes",
    type=click.Choice(["rows", "yolov8"]),
    help="The output is boxes in the image's pixels: rows of an SSD's or ncnn's, or found among YOLOv8's.",
)
@click.option(
    "--confidence", type=float, default=0.25, show_default=True, help="Least score of YOLOv8's boxes."
)
@click.option("--overlap", type=float, default=0.45, show_default=True, help="Most that two of them share.")
@click.option("--random-weights", type=int, metavar="SEED", help="Make up the weights that a prototxt lacks.")
@click.option(
    "--shape", type=Shape(), multiple=True, metavar="NAME=N,C,H,W", help="Input shape, if the file has none."
)
@click.option(
    "--allow-custom", is_flag=True, help="Keep layers of unknown types, for a registration to come."
)
@click.option(
    "--example",
    "examples",
    type=Sizes(),
    multiple=True,
    metavar="N,C,H,W",
    help="What to call a torch module with; once for each of its inputs.",
)
@click.option(
    "--weights", type=click.Path(path_type=Path), help="A state dict for the torch module; only tensors are read."
)  # fmt: skip
@click.option(
    "--store",
    type=click.Choice(["fp32", "fp16", "bf16"]),
    default="fp32",
    show_default=True,
    help="What weights are stored in.",
)
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="With --store: images to run; layers whose numbers grow too large for it stay fp32.",
)
@click.option("--no-test", is_flag=True, help="Leave the test vector out that `fbnet check` runs.")
@click.option(
    "--plan",
    "plans",
    type=PlanFor(),
    multiple=True,
    metavar="DEVICE[:THREADS]",
    help="Put this device's plan in.",
)
@tune_option
@json_option
def convert(
    sources: tuple[Path, ...],
    output: Path,
    labels: Path | None,
    softmax: bool,
    top: int | None,
    argmax: bool,
    ctc: int | None,
    boxes: str | None,
    confidence: float,
    overlap: float,
    random_weights: int | None,
    shape: tuple[tuple[str, tuple[int, ...]], ...],
    allow_custom: bool,
    examples: tuple[tuple[int, ...], ...],
    weights: Path | None,
    store: str,
    data: tuple[Path, ...],
    no_test: bool,
    plans: tuple[tuple[str, int | None], ...],
    as_json: bool,
    **image: Any,
) -> int:
    """Turn a model into one .fbnet file.

    With image options the net reads pixels, uint8 (N, H, W, C) of any size, and prepares them itself.

    \b
    fbnet convert deploy.prototxt weights.caffemodel -o net.fbnet --labels names.txt \\
        --mean 104,117,123 --input-color bgr --resize 256 --crop 224 --softmax --top 5
    fbnet convert model.onnx -o net.fbnet
    fbnet convert package.module:factory --weights state.pth --example 1,3,224,224 -o net.fbnet
    fbnet convert net.fbnet -o half.fbnet --store fp16
    fbnet convert net.fbnet -o shipped.fbnet --plan cpu:1 --plan cpu:2
    """
    if output.suffix.lower() != ".fbnet":
        raise InputError(f"{output}: the file to write must end in .fbnet")
    names = read_labels(labels) if labels else []
    options: dict[str, Any] = {} if random_weights is None else {"random_weights": random_weights}
    options |= {"shapes": dict(shape)} if shape else {}
    options |= {"allow_custom": True} if allow_custom else {}
    options |= {"example": examples} if examples else {}
    options |= {"weights": weights} if weights else {}
    with working("converting"):
        body = convert_with(sources, labels=names, **options)
        answers: dict[str, Any] = {"softmax": softmax, "top": top or 0, "argmax": argmax, "ctc": ctc}
        answers |= {"boxes": boxes, "confidence": confidence, "overlap": overlap} if boxes else {}
        net = with_ends(body, recipe_changes(image), **answers)
    if store != "fp32":
        samples = read_samples(net, dataset_files(net, data)) if data else None
        with stages(quiet=as_json):
            net = net.stored_as(store, samples)
    elif data:
        raise InputError("--data is for --store fp16 or bf16; int8 is made by fbnet quantize")
    lean = apply(net)
    classes = _classes(body)
    if names and top and classes not in (None, len(names)):
        warn(f"{labels} has {len(names)} labels, but {body.outputs[0]} has {classes} classes")
    judge, problem = ("its source", "") if net.tests else ("", "left out")
    if no_test:
        net, judge = net.replace(tests=()), ""
    elif not net.tests:
        with working("making a test vector"):
            net, judge, problem = tested(net, body, sources)
    made = []
    for device, threads in plans:
        with compiling(f"planning for {device}"):
            made += [piece.compile(device=device, threads=threads) for piece in pieces(net)]
    with working("writing"):
        save_checked(net, output, made)
    rows = []
    if judge:
        with working("checking"):
            rows = checked(net, len(net.tests) - 1, "cpu")
    right = all(row["holds"] for row in rows)
    error = max((row["error"] for row in rows), default=0.0)
    before = sum(path.stat().st_size for path in (*sources, *filter(None, [weights])) if path.is_file())
    after = output.stat().st_size
    parameters = sum(constant.spec.size for constant in net.constants.values())
    if as_json:
        print_json(
            {
                "sources": [str(source) for source in sources], "source_bytes": before,
                "output": str(output), "bytes": after, "name": net.name,
                "layers": len(net), "layers_fused": len(lean), "parameters": parameters,
                "inputs": {name: str(spec) for name, spec in net.inputs.items()},
                "outputs": list(net.outputs), "labels": len(net.metadata.get("labels", ())),
                "test": {"judge": judge, "error": error, "ok": right, "note": problem}, "plans": len(made),
            }
        )  # fmt: skip
        return 0 if right else 1
    table(
        ["", "before", "after"],
        [
            ["file", " + ".join(source.name for source in sources), str(output)],
            ["bytes", f"{before:,}", f"{after:,}"],
            ["layers", f"{len(net)} as written", f"{len(lean)} when folded and fused"],
            ["weights", f"{parameters:,}", f"{sum(c.spec.size for c in lean.constants.values()):,}"],
            ["reads", "", ", ".join(f"{name} {spec}" for name, spec in net.inputs.items())],
            ["writes", "", ", ".join(net.outputs)],
            ["labels", "", str(len(net.metadata.get("labels", ()))) or "none"],
            [
                "test",
                judge or problem,
                f"cpu differs by {error:.1e}: {'ok' if right else 'WRONG'}" if judge else "",
            ],
            *([["stays fp32", "", stays]] if (stays := _stays_in_fp32(net)) else []),
            *([["plans", "", ", ".join(f"{d}:{t or 'all'}" for d, t in plans)]] if plans else []),
        ],
    )
    if problem and judge:
        warn(f"the test vector is judged by {judge}: {problem}")
    return 0 if right else 1


def _stays_in_fp32(net: Net) -> str:
    """Of a net in integers, what is not, and why."""
    told = net.metadata.get("quantization", {})
    floats = [f"{name} ({why})" for name, why in told.get("floats", {}).items()]
    more = (
        f" and {len(floats) - FLOATS_TOLD} more, which fbnet info shows" if len(floats) > FLOATS_TOLD else ""
    )
    share = f"{100 * told.get('float_share', 0):.1f} % of the multiply-adds: "
    return share + ", ".join(floats[:FLOATS_TOLD]) + more if floats else ""


def with_ends(net: Net, image: Mapping[str, Any] | None = None, **answers: Any) -> Net:
    """The net with layers that prepare images, if `image` says how (what it leaves open, the net's metadata says), and
    with those that `answers` ask for. Raises InputError, AttributeValueError, ShapeError.
    """
    if image:
        net = with_image_input(net, **checked_recipe(dict(net.metadata.get("image", {})) | dict(image)))
    asked = any(value for key, value in answers.items() if key != "ctc") or answers.get("ctc") is not None
    return with_answers(net, **answers) if asked else net


def _classes(net: Net) -> int | None:
    """How many classes the net's only output has; None if that cannot be told."""
    shapes = [net.specs()[output].shape for output in net.outputs]
    return int(shapes[0][1]) if len(shapes) == 1 and len(shapes[0]) > 1 else None


def tested(net: Net, body: Net, sources: Sequence[Path]) -> tuple[Net, str, str]:
    """(the net with a test vector if it gets one, who judged it, what kept a better judge from it)."""
    try:
        made = with_test(net, body, sources)
    except FbnetError as error:
        return net, "", str(error)
    return made.net, made.judge, made.why


def save_checked(net: Net, path: Path, plans: Sequence[Plan] = ()) -> None:
    """Write the net, open the file again, and see that it holds the same net. Raises FileError, CheckError."""
    save(net, path, plans=plans)
    if load(path).digest != net.digest:
        raise CheckError(f"{path} was written but holds another net than it should: report this")
