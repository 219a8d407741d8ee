"""The documentation is run: every snippet of every page, as printed, with the output that it claims."""

from pathlib import Path

import fbnet
import pytest

ROOT = Path(fbnet.__file__).parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_snippet_runs(page: Path, run_page) -> None:
    run_page(page.read_text(), str(page.relative_to(ROOT)))
