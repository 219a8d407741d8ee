"""The pages of the documentation that are made from the code: `pages()` is all of them, for docs/hook.py.

    layers     a page for every layer type, and their index
    api        every public name, from its docstring
    commands   every command, from its --help
    coverage   which operators of which formats become layers
    messages   what errors can say
    reading    the way of one forward, front door to kernel, in the source's own words
    examples   examples/*.py with their pictures, and as notebooks
    others     the repository's own texts that are pages, too: the speed tables, the changelog

A page is Markdown under the address that it has in the site: {"layers/ReLU.md": "# ReLU ..."}.
"""

from __future__ import annotations

from . import api, commands, coverage, examples, layers, messages, others, reading


def pages() -> dict[str, str]:
    """Address -> content, of every page and file that is made from the code."""
    return {
        **layers.pages(),
        **examples.notebooks(),
        **others.pages(),
        "examples.md": examples.page(),
        "reference/api.md": api.page(),
        "reference/commands.md": commands.page(),
        "reference/coverage.md": coverage.page(),
        "reference/messages.md": messages.page(),
        "reading.md": reading.page(),
    }
