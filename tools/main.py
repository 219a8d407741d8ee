"""The program `fbnet`: finds the command and says errors in one line.

Exit code 0: all is well; 1: a check failed, or something could not be fetched; 2: bad input; 130: interrupted.
A command's file is imported when the command runs, so that help and short commands start at once.
"""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import click

from ..engine.errors import CheckError, FbnetError, FetchError, InputError, did_you_mean
from ..engine.settings import setting
from .show import prepare_streams, warn

COMMANDS = {  # each is the function of its name in the file of its name, with _ for -
    "demo": "Read ten digits and name two photos.",
    "zoo": "Networks and data known to run: list and get.",
    "convert": "Turn a Caffe, ONNX or ncnn model into one .fbnet file.",
    "compare": "Compare two models, or two engines, tensor by tensor.",
    "check": "Run the test vectors that travel in a model.",
    "check-device": "Run every layer, in every dtype, on a device.",
    "compile": "Make a library of a model, which runs without Python.",
    "quantize": "Make a model one of integer layers, calibrated on images.",
    "export": "Write a model as ONNX, for other engines and tools.",
    "info": "Show a model's layers, shapes, work and memory.",
    "draw": "Draw a model: SVG, Mermaid or DOT.",
    "report": "Write a page about a model: graph, layers, time, memory.",
    "run": "Run a model on images.",
    "trace": "Run a model, and show what every layer wrote, and when.",
    "explain": "Show which kernel computes each layer, and why.",
    "layers": "List every layer type, with its formula.",
    "new-layer": "Write a layer of your own to begin with, and its test.",
    "conformance": "Run the ONNX project's own backend suite.",
    "grade": "The course's exercises: list, read, have yours graded.",
    "bench": "Show how fast a model runs, also beside other engines.",
}


class Commands(click.Group):
    """A click group that imports a command when it is used."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        place = name.replace("-", "_")
        return getattr(import_module(f".{place}", __package__), place)

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            context.fail(f"there is no command {args[0]!r}.{did_you_mean(args[0], COMMANDS)}")
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, *args: Any, **options: Any) -> Any:
        """Run, and exit with the code that says how it went."""
        prepare_streams()
        options["standalone_mode"] = False
        try:
            with warnings.catch_warnings():
                warnings.showwarning = lambda message, *_args, **_options: warn(str(message))
                code = super().main(*args, **options)
        except (KeyboardInterrupt, click.Abort):
            warn("interrupted")
            code = 130
        except Exception as error:
            if isinstance(error, click.UsageError) and error.message.startswith("Usage:"):
                click.echo(error.message, err=True)  # no arguments: click makes all of the help an error
                sys.exit(2)
            if setting("DEBUG", ""):
                raise
            text, code = _told(error)
            warn(" ".join(text.split()))
        sys.exit(code if isinstance(code, int) else 0)


def _told(error: Exception) -> tuple[str, int]:
    """What to say of an error, and the exit code."""
    if isinstance(error, FbnetError):
        return str(error), 1 if isinstance(error, (CheckError, FetchError)) else 2
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "fbnet"
        return f"{error.format_message()} See `{command} --help`", 2
    if isinstance(error, click.ClickException):
        return error.format_message(), 2
    return f"unexpected {type(error).__name__}: {error} (FBNET_DEBUG=1 shows where)", 1


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="fbnet", message="%(prog)s %(version)s")
@click.option(
    "--import", "modules", multiple=True, metavar="FILE.py", type=click.Path(path_type=Path),
    help="First import this file: layers, kernels, importers of one's own.",
)  # fmt: skip
def main(modules: tuple[Path, ...]) -> None:
    """Run trained networks.

    \b
    fbnet zoo get squeezenet_v1.1 -o squeezenet.fbnet
    fbnet run squeezenet.fbnet photo.jpg
    """
    for path in modules:
        imported(path)


def imported(path: Path) -> None:
    """Import a file, once a process. Raises InputError."""
    name = path.stem
    spec = spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise InputError(f"--import {path}: there is no such Python file")
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == spec.origin:
            return
        raise InputError(f"--import {path}: a module {name!r} is there already: call the file otherwise")
    module = module_from_spec(spec)
    sys.modules[name] = module  # plans are keyed by the text of whoever registers something
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, FbnetError):
            raise
        raise InputError(f"--import {path}: {type(error).__name__}: {error}") from error


if __name__ == "__main__":
    main(prog_name="fbnet")
