"""Texts of the repository that lie outside docs/ and are pages of the site, with their links put right."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXTS = {
    "CHANGELOG.md": "changelog.md",
    "bench/RESULTS.md": "bench/RESULTS.md",
    "bench/GPU.md": "bench/GPU.md",
}

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#:\s]+)(#[^)]*)?\)")


def pages() -> dict[str, str]:
    """Address -> Markdown."""
    return {
        address: on_site(address, (ROOT / path).read_text("utf-8"), path)
        for path, address in TEXTS.items()
        if (ROOT / path).is_file()
    }


def on_site(address: str, text: str, path: str = "") -> str:
    """The text with each link that leaves docs/ put right: to a page of the site, or, for a source file, to its name.

    address  of the page in the site; path: of the text in the repository, if that is not docs/`address`
    """
    here = Path(path or f"docs/{address}").parent

    def put_right(found: re.Match[str]) -> str:
        target = _normal(here / found[2])
        site = target.removeprefix("docs/") if target.startswith("docs/") else TEXTS.get(target)
        if site is None:  # a file that is no page of the site
            return f"`{target}`" if found[1] != target else f"`{found[1]}`"
        up = "../" * address.count("/")
        return f"[{found[1]}]({up}{site}{found[3] or ''})"

    return _LINK.sub(put_right, text)


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts = parts[:-1]
        elif part != ".":
            parts.append(part)
    return "/".join(parts)
