"""Docstrings as Markdown. They are written to be read as they are; this keeps what they look like.

a paragraph            a paragraph
name   what it is      a row of a table
    indented           code
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import cleandoc

_ROW = re.compile(r"(\S(?:.*?\S)?)(?: {2,})(\S.*)")
_ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5}|[a-z-]+/\d{7})")


def markdown(text: str) -> str:
    """A docstring's text as Markdown."""
    return "\n\n".join(_block(lines) for lines in _paragraphs(cleandoc(text))) + "\n"


def linked(text: str) -> str:
    """Prose with what Markdown would take for its own escaped, and arXiv's numbers as links."""
    parts = text.split("`")  # every other one is code
    for i in range(0, len(parts), 2):
        parts[i] = parts[i].replace("*", r"\*").replace("|", r"\|").replace("<", "&lt;")
        parts[i] = _ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", parts[i])
    return "`".join(parts)


def code(text: str) -> str:
    """Text as code inside a line; in a table a bar is written so."""
    return f"`{text}`" if text else ""


def _paragraphs(text: str) -> Iterator[list[str]]:
    """Lines between blank ones; code keeps its blank lines."""
    held: list[str] = []
    for line in text.splitlines():
        is_code = line.startswith("    ") and (not held or held[-1] == "" or held[0].startswith("    "))
        if held and ((line == "" and not held[0].startswith("    ")) or _ends_code(held, line, is_code)):
            yield _stripped(held)
            held = []
        if line or held:
            held.append(line)
    if held:
        yield _stripped(held)


def _ends_code(held: list[str], line: str, is_code: bool) -> bool:
    return held[0].startswith("    ") and line != "" and not is_code


def _stripped(lines: list[str]) -> list[str]:
    while not lines[-1]:
        lines = lines[:-1]
    return lines


def _block(lines: list[str]) -> str:
    if lines[0].startswith("    "):
        text = "\n".join(line.removeprefix("    ") for line in lines)
        return f"```{'text' if _is_picture(text) else 'python'}\n{text}\n```"
    rows = _rows(lines)
    if rows is None:
        return linked(" ".join(line.strip() for line in lines))
    return "\n".join(
        [
            "| | |",
            "|---|---|",
            *(f"| {code(name.replace('|', '/'))} | {linked(what)} |" for name, what in rows),
        ]
    )


def _rows(lines: list[str]) -> list[tuple[str, str]] | None:
    """The lines as (name, meaning), a meaning's further lines joined to it; None if they are no such list."""
    rows: list[tuple[str, str]] = []
    for line in lines:
        found = _ROW.fullmatch(line)
        if found and not line.startswith(" "):
            rows.append((found[1], found[2]))
        elif rows and line.startswith("  "):
            rows[-1] = (rows[-1][0], f"{rows[-1][1]} {line.strip()}")
        else:
            return None
    return rows


def _is_picture(text: str) -> bool:
    return bool(re.search(r"[├└│→]| {6}\w", text)) and "(" not in text.splitlines()[0]
