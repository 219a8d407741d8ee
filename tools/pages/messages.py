"""The page of every message that fbnet's errors can have, by kind, read from the sources."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from .docstring import code

FOLDERS = ("engine", "layers", "formats", "tools")


def messages() -> dict[str, list[tuple[str, str]]]:
    """Kind of error -> (message, file), sorted; what is filled in at run time stands in braces."""
    package = import_module(__name__.split(".")[0])
    root = Path(package.__file__ or "").parent
    kinds = {name for name in package.__all__ if name.endswith("Error")}
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            for kind, message in _raised(ast.parse(path.read_text("utf-8")), kinds):
                found[kind].add((message, str(path.relative_to(root))))
    return {kind: sorted(found[kind]) for kind in sorted(found)}


def _raised(tree: ast.AST, kinds: set[str]) -> Iterator[tuple[str, str]]:
    """What is said where one of these kinds is made."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in kinds
            and node.args
        ):
            text = " ".join(_text(node.args[0]).split())
            if len(text.replace("{}", "").strip()) > 3:
                yield node.func.id, text


def _text(node: ast.expr) -> str:
    """A string as its source has it, with the names of what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        name = ast.unparse(node.value)
        return f"{{{name}}}" if name.replace(".", "").isidentifier() else "{...}"
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return "{...}" if not isinstance(node, ast.Name) else "{}"


def page() -> str:
    """reference/messages.md."""
    parts = [
        "# Messages",
        "Every message of every kind of error, from the sources. What stands in braces is filled in when it happens. "
        "[Errors](../errors.md) says what causes each kind, and what helps.",
    ]
    for kind, rows in messages().items():
        table = "\n".join(f"| {code(_cell(message))} | {code(file)} |" for message, file in rows)
        parts += [f"## {kind}", f"| message | where |\n|---|---|\n{table}"]
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "¦").replace("`", "'")
