"""How the programs speak: results on stdout for people or programs, progress on stderr, errors in one line.

rich draws; it is imported when something is drawn, and leaves colour and boxes away in pipes. Text is plain ASCII
or is replaced where a terminal cannot show it, so that no output ever fails for its encoding.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import TYPE_CHECKING, Any

import click

from ..engine.progress import listening

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160  # columns when nobody watches: wide enough that no table is cut

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def prepare_streams() -> None:
    """Make stdout and stderr replace what their encoding cannot express, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def console(stderr: bool = False) -> Console:
    """A rich console on stdout or stderr, as they are now."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False
    )


def unicode_works() -> bool:
    """Whether stdout can show blocks and lines."""
    return (getattr(sys.stdout, "encoding", "") or "").lower().startswith("utf")


_bar_above: list[Console] = []  # the console of a bar that is shown on the terminal that results go to


def say(text: str) -> None:
    """One line of a result, on stdout."""
    _write_line(printable(text))


def _write_line(line: str) -> None:
    if _bar_above:
        from rich.text import Text

        _bar_above[-1].print(Text(line), soft_wrap=True)
    else:
        click.echo(line)


def warn(text: str) -> None:
    """One line about something that is wrong, on stderr."""
    click.echo(f"fbnet: {printable(text)}", err=True)


def print_json(value: Any) -> None:
    """One JSON value, on one line. JSON has no nan and no infinity: they become null."""
    _write_line(json.dumps(_finite(value), default=str, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def printable(text: str) -> str:
    """Text from a file, without the control characters that could play tricks on a terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def bar(share: float, width: int = 12) -> str:
    """A share from 0 to 1 as a bar of `width` characters."""
    share = min(max(share, 0.0), 1.0) if share == share else 0.0  # a score may be anything, even nan
    if not unicode_works():
        return ("#" * round(share * width)).ljust(width)
    eighths = round(share * width * 8)
    return ("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()).ljust(width)


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Rows under headings; columns whose heading begins with '>' are aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE if unicode_works() else None, pad_edge=False, show_edge=False)
    for heading in columns:
        right = heading.startswith(">")
        drawn.add_column(heading.lstrip(">"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))  # Text: fp32[1,3] is no markup
    console().print(drawn)


@contextmanager
def progress_bar(
    text: str, total: int | None, unit: str = "", quiet: bool = False
) -> Iterator[Callable[..., None]]:
    """A bar on stderr while the block runs; gives a function advance(amount, note=""). Silent where nobody watches.

    unit "B" counts bytes.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda amount=1, note="": None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    count = DownloadColumn() if unit == "B" else MofNCompleteColumn()
    note_column = TextColumn("{task.fields[note]}", markup=False)
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn(), note_column)
    with Progress(*columns, console=console(stderr=True), transient=True, redirect_stdout=False) as shown:
        task = shown.add_task(text, total=total, note="")
        if sys.stdout.isatty():  # else results go where nobody sees the bar
            _bar_above.append(shown.console)
        try:
            yield lambda amount=1, note="": shown.update(task, advance=amount, note=printable(note))
        finally:
            _bar_above.clear()


@contextmanager
def compiling(text: str = "compiling", quiet: bool = False) -> Iterator[None]:
    """While plans are made in the block: which layer is at work, and how many there are, where somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(text, spinner="line") as status:

        def tell(what: str, done: int, total: int) -> None:
            status.update(f"{text}, {done} of {total}: {printable(what)}")

        with listening(tell):
            yield


@contextmanager
def stages(quiet: bool = False) -> Iterator[None]:
    """While long work is done in the block: a bar for each of its stages, where somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    what = TextColumn("{task.description}", markup=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), what)
    with Progress(*columns, console=console(stderr=True), transient=True, redirect_stdout=False) as shown:
        task = shown.add_task("", total=None)
        with listening(
            lambda what, done, total: shown.update(task, description=what, completed=done, total=total)
        ):
            yield


@contextmanager
def working(text: str, quiet: bool = False) -> Iterator[None]:
    """A sign of life on stderr while the block runs, where somebody watches."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(text, spinner="line"):
        yield
