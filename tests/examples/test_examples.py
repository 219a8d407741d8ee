"""The examples run, are short, and make the pictures that the documentation shows."""

import runpy
from pathlib import Path

import fbnet
import numpy as np
import pytest
from PIL import Image

ROOT = Path(fbnet.__file__).parent
NEEDS = {
    "classify": ["squeezenet_v1.1", "photos"],
    "detect_faces": ["res10_ssd", "photos"],
    "read_text": ["ppocr_v4_rec", "photos"],
    "upscale": ["span_x2", "photos"],
}


def test_all_of_them_are_tested() -> None:
    assert {path.stem for path in (ROOT / "examples").glob("*.py")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_an_example(name: str, zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / "examples" / f"{name}.py"
    assert len(path.read_text().splitlines()) <= 30
    for entry in NEEDS[name]:
        zoo(entry)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    made = Image.open(f"{name}.jpg").convert("RGB")
    shown = Image.open(ROOT / "docs" / "pictures" / f"{name}.jpg").convert("RGB")
    assert made.size == shown.size
    difference = np.abs(np.asarray(made, np.float32) - np.asarray(shown, np.float32))
    assert difference.mean() < 0.5  # of 255: fonts and JPEG may differ a little, boxes and words may not
