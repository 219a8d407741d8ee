"""The examples, as a page with their pictures and as notebooks. They are programs in cells, which begin with `# %%`."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SETUP = "%pip install -q 'fbnet[caffe,onnx]'"


def programs() -> list[Path]:
    """examples/*.py, of the checkout that the documentation is made from."""
    return sorted((ROOT / "examples").glob("*.py"))


def page() -> str:
    """examples.md."""
    parts = [
        "# Examples",
        "Programs of at most 30 lines, run by the tests. What they need, the zoo fetches once. Their cells begin with "
        "`# %%`, so editors run them one by one; each is a notebook, too.",
        "```bash\npip install 'fbnet[caffe,onnx]'\n```",
    ]
    for path in programs():
        text = path.read_text("utf-8")
        about = (ast.get_docstring(ast.parse(text)) or "").strip()
        title = path.stem.replace("_", " ").capitalize()
        parts += [
            f"## {title}",
            about,
            f"![{about}](pictures/{path.stem}.jpg)",
            f"```python\n{text.strip()}\n```",
            f"[{path.stem}.ipynb](examples/{path.stem}.ipynb), the same as a notebook.",
        ]
    return "\n\n".join(parts) + "\n"


def notebooks() -> dict[str, str]:
    """Address -> notebook, nbformat 4."""
    return {f"examples/{path.stem}.ipynb": _notebook(path) for path in programs()}


def _notebook(path: Path) -> str:
    head, *cells = re.split(r"^# %%", path.read_text("utf-8"), flags=re.M)
    made = [_cell("markdown", ast.get_docstring(ast.parse(head)) or ""), _cell("code", SETUP)]
    for cell in cells:
        said, _, code = cell.partition("\n")
        made += [_cell("markdown", said.strip()), _cell("code", code.strip())]
    made.append(_cell("code", f'Image.open("{path.stem}.jpg")'))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return json.dumps({"nbformat": 4, "nbformat_minor": 4, "metadata": kernel, "cells": made}, indent=1)


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text}
    return cell | {"execution_count": None, "outputs": []} if kind == "code" else cell
