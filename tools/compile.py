"""fbnet compile: a model becomes a library of C calls, which runs it with no Python at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from ..engine.errors import InputError
from ..formats.ends import without_image_input
from ..layers.cpu.native.library import KINDS, THREADS, WEIGHTS, Library, Wishes, compile_library
from .compile_npu import compile_npu
from .model import open_model
from .options import Shape, tune_option
from .show import compiling, json_option, print_json, say, table


@click.command()
@click.argument("model", nargs=-1, required=True, metavar="MODEL", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The folder to write into."
)
@click.option(
    "--target",
    default="native",
    show_default=True,
    help="Where it is to run: x86_64-linux-gnu, -v2, -v3 or -v4; aarch64-linux-gnu; armv7-linux-gnueabihf; "
    "riscv64-linux-gnu; wasm32; npu.",
)
@click.option(
    "--shape",
    type=Shape(),
    multiple=True,
    metavar="NAME=N,C,H,W",
    help="An input's sizes; repeated for the same input, the library is ready for each of them.",
)
@click.option("--dtype", default="fp32", show_default=True, help="What it computes in.")
@click.option(
    "--threads", type=click.IntRange(1), default=THREADS, show_default=True,
    help="As many threads can be used, or fewer.",
)  # fmt: skip
@click.option("--kind", type=click.Choice(KINDS), default=KINDS[0], show_default=True, help="Of library.")
@click.option(
    "--weights", type=click.Choice(WEIGHTS), default=WEIGHTS[0], show_default=True,
    help="Inside the library, or in a file beside it, which is mapped.",
)  # fmt: skip
@click.option("--name", help="The library's name; default: the model's file name.")
@click.option("--prefix", default="", help="Of the calls' names, for several networks in one program.")
@click.option(
    "--compact", is_flag=True, help="Smaller and slower: no weights are kept transformed, as Winograd's are."
)
@click.option("--without-image", is_flag=True, help="Leave out the layers that prepare images.")
@click.option("--cc", default="", metavar="COMMAND", help="The C compiler for the target, with its options.")
@tune_option
@json_option
def compile(
    model: tuple[Path, ...],
    output: Path,
    target: str,
    shape: Sequence[tuple[str, tuple[int, ...]]],
    dtype: str,
    threads: int,
    kind: str,
    weights: str,
    name: str | None,
    prefix: str,
    compact: bool,
    without_image: bool,
    cc: str,
    as_json: bool,
) -> None:
    """Make a library of MODEL: its kernels, its weights and a small runtime in C, without Python.

    \b
    fbnet compile net.fbnet -o out
    fbnet compile net.fbnet -o out --target aarch64-linux-gnu --kind static
    fbnet compile net.fbnet -o out --shape image=1,480,640,3 --shape image=1,720,1280,3
    """
    with compiling():
        net = open_model(model)
        net = without_image_input(net) if without_image else net
        if target == "npu":
            compile_npu(net, output, name or called(model[0]), plans_of(shape)[0], as_json)
            return
        wishes = Wishes(name or called(model[0]), kind, weights, prefix, cc, compact)
        made = compile_library(net, output, wishes, target, dtype, threads, plans_of(shape))
    if as_json:
        print_json(facts(made))
    else:
        show(made)


def called(path: Path) -> str:
    """A library's name by its model's file: 'squeezenet_v1.1.fbnet' -> 'squeezenet_v1.1'."""
    return re.sub(r"[^A-Za-z0-9_.+-]", "_", path.stem)


def plans_of(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> list[dict[str, tuple[int, ...]]]:
    """The shapes of each plan: the n-th of those given for an input is its shape in plan n; a single one is in all.

    Raises InputError if inputs are given different numbers of shapes, more than one each.
    """
    given: dict[str, list[tuple[int, ...]]] = {}
    for name, sizes in shapes:
        given.setdefault(name, []).append(sizes)
    count = max(map(len, given.values()), default=1)
    for name, several in given.items():
        if len(several) not in (1, count):
            raise InputError(
                f"--shape: {name} has {len(several)} shapes, another input {count}: give each as many, or one"
            )
    return [
        {name: several[min(n, len(several) - 1)] for name, several in given.items()} for n in range(count)
    ]


def facts(made: Library) -> dict[str, object]:
    """What was made, for programs."""
    plan = made.plans[0]
    return {
        "target": made.platform.name,
        "processor": made.platform.processor.name,
        "files": {str(path): path.stat().st_size for path in made.files},
        "parts": made.parts,
        "inputs": [{name: list(shape) for name, shape in p.shapes().items()} for p in made.plans],
        "outputs": {name: list(plan.tensors[name][1].shape) for name in plan.net.outputs},
        "steps": [len(p.steps) for p in made.plans],
        "arena_bytes": [p.arena_bytes for p in made.plans],
        "compiler": str(made.compiler),
    }


def show(made: Library) -> None:
    """What was made, for people."""
    for plan in made.plans:
        ends = (
            ", ".join(f"{name} {plan.tensors[name][1]}" for name in names)
            for names in (plan.net.inputs, plan.net.outputs)
        )
        say(f"{' -> '.join(ends)}: {len(plan.steps)} steps, {plan.arena_bytes:,} bytes of arena a session")
    library = made.files[0]
    rows = [[part, f"{size:,}"] for part, size in _sizes(made.parts).items()]
    table(["part", ">bytes"], [*rows, [library.name, f"{library.stat().st_size:,}"]])
    say(f"for {made.platform.processor}, by {made.compiler}: {', '.join(map(str, made.files))}")


def _sizes(parts: Mapping[str, int]) -> dict[str, int]:
    return {part: size for part, size in parts.items() if size}
