"""The page of every command, from its --help."""

from __future__ import annotations

from collections.abc import Iterator

import click

from ..main import COMMANDS, main

WIDTH = 100


def page() -> str:
    """reference/commands.md."""
    parts = [
        "# Commands",
        "Every command takes `--json`, says errors in one line, and exits with 0 when all is well, 1 when a check "
        "failed or something could not be fetched, and 2 on bad input. `FBNET_DEBUG=1` shows where an error comes "
        "from.",
        f"```text\n{_help(main, 'fbnet')}\n```",
    ]
    context = main.make_context("fbnet", [], resilient_parsing=True)
    for name in COMMANDS:
        command = main.get_command(context, name)
        assert command is not None
        parts += _sections(command, f"fbnet {name}")
    return "\n\n".join(parts) + "\n"


def _sections(command: click.Command, path: str) -> Iterator[str]:
    yield f"## {path}"
    yield f"```text\n{_help(command, path)}\n```"
    if isinstance(command, click.Group):
        for name, part in sorted(command.commands.items()):
            yield from _sections(part, f"{path} {name}")


def _help(command: click.Command, path: str) -> str:
    """What `path --help` prints. A command remembers its first context's names of this option: -h is among them."""
    settings = {**main.context_settings, "max_content_width": WIDTH, "terminal_width": WIDTH}
    context = click.Context(command, info_name=path, **settings)
    return command.get_help(context)
