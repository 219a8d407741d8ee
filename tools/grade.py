"""fbnet grade: the course's exercises. A student's layer is held to what it has to compute, and timed beside ours."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import numpy as np

from ..engine.check import check_layer
from ..engine.errors import FbnetError, InputError
from ..engine.kernel import kernels
from ..engine.layer import Elementwise, Layer, layers
from ..engine.lower import HostFallback
from ..engine.net import Net
from ..engine.tensor import Dim, Spec
from .exercises import Exercise, exercise, exercises
from .numbers import relative_error
from .show import json_option, print_json, say, table

RUNS = 15  # of each, in turn, of which the fastest counts
TOLERANCE = 1e-5


@click.command()
@click.argument("name", required=False)
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
def grade(name: str | None, file: Path | None, as_json: bool) -> int:
    """The course's exercises: list them, read one, or have your solution graded.

    \b
    fbnet grade
    fbnet grade softsign
    fbnet grade softsign my_softsign.py
    """
    if name is None:
        rows = [[key, e.type, e.formula, e.lesson] for key, e in exercises().items()]
        if as_json:
            print_json([dict(zip(("name", "type", "formula", "lesson"), row, strict=True)) for row in rows])
        else:
            table(["exercise", "layer", "formula", "lesson"], rows)
        return 0
    chosen = exercise(name)
    if file is None:
        _show_task(name, chosen)
        return 0
    marks = graded(chosen, file)
    if as_json:
        print_json(marks)
    else:
        table(["", "what", "how"], [[_sign(m["passed"]), m["what"], m["how"]] for m in marks])
        passed = sum(m["passed"] is not False for m in marks)
        say(f"{passed} of {len(marks)}" + (": right." if passed == len(marks) else "."))
    return 0 if all(m["passed"] is not False for m in marks) else 1


def _sign(passed: bool | None) -> str:
    return {True: "ok", False: "NO", None: ""}[passed]


def _show_task(name: str, task: Exercise) -> None:
    attributes = "".join(f"\n  {key}: {type(v).__name__}, an attribute" for key, v in task.attributes.items())
    for line in f"{task.type}\n  {task.formula}{attributes}\n{task.hint}".splitlines():
        say(line)
    say(f'Write a file with a class under @fbnet.layer("{task.type}"), and a kernel for device="cpu"; then')
    say(f"  fbnet grade {name} FILE.py")


def graded(task: Exercise, file: Path) -> list[dict[str, Any]]:
    """What was looked at, in order: {"what", "passed" (None: only told), "how"}; ends where going on makes no sense.

    The file is run. Raises InputError if it cannot be.
    """
    from .main import imported

    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    imported(file)
    marks: list[dict[str, Any]] = []
    for what, look in (
        ("registered", _registered),
        ("documented", _documented),
        ("computes", _computes),
        ("keeps sizes open", _keeps_names),
        ("every kernel, 1 to 3 threads", _checked),
        ("has a kernel", _has_kernel),
        ("speed", _raced),
    ):
        try:
            passed, how = look(task)
        except FbnetError as error:
            passed, how = False, str(error)
        if passed is not None or how:
            marks.append({"what": what, "passed": passed, "how": how})
        if passed is False and look in (_registered, _computes):
            break
    return marks


Verdict = tuple["bool | None", str]


def _layer(task: Exercise) -> Layer:
    return layers[task.type](**task.attributes)


def _registered(task: Exercise) -> Verdict:
    layer = _layer(task)
    return True, f"{layer!r} from {type(layer).__module__}"


def _documented(task: Exercise) -> Verdict:
    first = (layers[task.type].__doc__ or "").strip().partition("\n")[0]
    if "=" in first and "->" in first:
        return True, first.partition("    ")[0]
    return (
        False,
        "the first line of the docstring is the formula and the shapes: y = ...        x: (...) -> y: (...)",
    )


def _computes(task: Exercise) -> Verdict:
    for shapes in task.shapes:
        arrays = task.arrays(shapes)
        with np.errstate(all="ignore"):
            try:
                got, wanted = _layer(task).compute(arrays)[0], task.wanted(arrays)
            except (ValueError, IndexError, TypeError, ArithmeticError) as error:
                return False, f"reference fails for {_text(shapes)}: {error}"
        if got.shape != wanted.shape or got.dtype != wanted.dtype:
            return False, (
                f"for {_text(shapes)}: {got.dtype}{list(got.shape)}, wanted {wanted.dtype}{list(wanted.shape)}"
            )
        exact = wanted.dtype.kind == "i"
        if not np.array_equal(got, wanted) if exact else not relative_error(got, wanted) <= TOLERANCE:
            place = np.unravel_index(np.argmax(np.abs(got.astype(np.float64) - wanted)), wanted.shape)
            return (
                False,
                f"for {_text(shapes)}: at {list(map(int, place))} {got[place]}, wanted {wanted[place]}",
            )
    return True, f"reference is right for {len(task.shapes)} shapes"


def _keeps_names(task: Exercise) -> Verdict:
    layer, shapes = _layer(task), task.shapes[1]
    if isinstance(layer, Elementwise):
        return None, ""
    specs = [Spec(shape, dtype) for shape, dtype in zip(shapes, _dtypes(task, len(shapes)), strict=True)]
    specs[0] = specs[0].replace(shape=(Dim("N", int(shapes[0][0])), *shapes[0][1:]))
    (result,) = layer.infer_outputs(specs)
    if isinstance(result.shape[0], Dim):
        return True, f"{', '.join(map(str, specs))} -> {result}"
    return False, f"{specs[0]} -> {result}: N is lost. Write `infer`, with shapes as they come"


def _dtypes(task: Exercise, count: int) -> list[str]:
    return ["int8" if task.dtype == "int8" else "fp32"] * count


def _checked(task: Exercise) -> Verdict:
    checks = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallback)
        for shapes in task.shapes:
            checks += check_layer(_layer(task), *task.arrays(shapes), device_names=["cpu"])
    return True, f"{len(checks)} comparisons, largest error {max(c.error for c in checks):.0e}"


def _has_kernel(task: Exercise) -> Verdict:
    mine = [k.name for k in kernels.values() if k.layer == task.type and k.device == "cpu"]
    return (
        (True, ", ".join(mine)) if mine else (False, "none: it runs by its reference, and a warning says so")
    )


def _raced(task: Exercise) -> Verdict:
    arrays = task.arrays(task.race)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HostFallback)
        times = _times([_runner(layer, arrays) for layer in (_layer(task), task.yardstick())])
    mine, ours = (1e6 * t for t in times)
    return (
        None,
        f"{mine:.0f} us on one thread; fbnet's {task.ours[0]} {ours:.0f} us: {ours / mine:.2f} times its speed",
    )


def _runner(layer: Layer, arrays: list[np.ndarray]) -> Callable[[], None]:
    """A function that runs a net of this one layer, the other inputs its weights, on one thread."""
    x, *weights = arrays
    net = Net([layer.replace(inputs=["x", *weights], name="y")], {"x": Spec(x.shape, _name_of(x))})
    session = net.compile(threads=1, tune=False).session()
    session.set_tensor("x", x)
    return session.forward


def _name_of(x: np.ndarray) -> str:
    return "int8" if x.dtype == np.int8 else "fp32"


def _times(runs: list[Callable[[], None]]) -> list[float]:
    """The fastest of RUNS runs of each, in turn, in seconds."""
    found = [[_time(run) for run in runs] for _ in range(RUNS)]
    return [min(column) for column in zip(*found, strict=True)]


def _time(run: Callable[[], None]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def _text(shapes: Any) -> str:
    return ", ".join(str(list(shape)) for shape in shapes)
