"""The field's list of benchmark networks: all are read; those of floats compute what the ncnn package does."""

from __future__ import annotations

import re
import warnings
import zipfile
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from fbnet.engine.lower import HostFallback

# from ncnn's benchmark: what each reads, width and height alike; 224 where nothing is said
SIZES = {
    "alexnet": 227, "blazeface": 128, "FastestDet": 352, "mobilenet_ssd": 300, "mobilenet_yolo": 416,
    "mobilenetv2_yolov3": 352, "nanodet_m": 320, "squeezenet": 227, "squeezenet_ssd": 300, "vision_transformer": 384,
    "yolo-fastest-1.1": 320, "yolo-fastestv2": 352, "yolov4-tiny": 416,
}  # fmt: skip
# on random weights few boxes reach the files' thresholds, and ncnn's empty result cannot be read
LOWER = {"mobilenet_yolo": ("2=4.000000e-01", "2=0.1"), "yolo-fastest-1.1": ("2=5.500000e-01", "2=0.2")}
# what is compared if not the outputs: its softmax is over an axis of one, and all of its results are 1
INSTEAD = {"vision_transformer": "cls_score"}
with zipfile.ZipFile(Path(__file__).parents[1] / "models.zip") as file:
    NAMES = sorted(Path(n).stem for n in file.namelist() if n.endswith(".param"))
FLOATS = [name for name in NAMES if "int8" not in name]


def text_of(models: Path, name: str) -> str:
    text = (models / "ncnn" / f"{name}.param").read_text()
    before, after = LOWER.get(name, ("", ""))
    assert before in text
    return text.replace(before, after) if before else text


def shapes_of(text: str, name: str) -> dict[str, tuple[int, ...]]:
    size = SIZES.get(name.removesuffix("_int8"), 224)
    return {re.search(r"^Input\s+\S+\s+0 1 (\S+)", text, re.M)[1]: (1, 3, size, size)}


def test_there_are_35():
    assert len(NAMES) == 35 and len(FLOATS) == 27


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(FLOATS)))
def test_those_of_integers_say_what_they_need(models, write, name):
    text = text_of(models, name)
    net = fbnet.convert(*write(text), random_weights=1, shapes=shapes_of(text, name))
    quantised = [
        line.split()[1] for line in text.splitlines() if re.search(r" 8=\d", line) and "Conv" in line[:9]
    ]
    assert set(quantised) <= set(net.metadata["int8"]) and set(net.metadata["int8"]) <= set(
        layer.name for layer in net
    )
    assert len(net.metadata["int8"]) >= 16


@pytest.mark.parametrize("name", FLOATS)
def test_it_computes_what_ncnn_does(models, write, drawn, name):
    """Every layer by a kernel, within a thousandth of the largest number."""
    package = pytest.importorskip("ncnn")
    text = text_of(models, name)
    paths, shapes = write(text), shapes_of(text, name)
    net = fbnet.convert(paths[0], random_weights=1, shapes=shapes)
    weights = paths[0].with_name("net.bin")
    with weights.open("wb") as file:
        for tensor, tagged in drawn:
            file.write(b"\0\0\0\0" * tagged + tensor.data.astype("<f4").tobytes())
    (entry,) = shapes
    x = np.random.default_rng(0).standard_normal(shapes[entry]).astype(np.float32)
    net = net.replace(outputs=[INSTEAD[name]]) if name in INSTEAD else net
    with warnings.catch_warnings():
        warnings.simplefilter("error", HostFallback)
        results = net(x)
    results = results if isinstance(results, dict) else {net.outputs[0]: results}
    judge = package.Net()
    for option in dir(judge.opt):
        if option.startswith(("use_fp16", "use_bf16", "use_winograd", "use_sgemm", "use_packing")):
            setattr(judge.opt, option, False)
    assert judge.load_param(str(paths[0])) == 0 and judge.load_model(str(weights)) == 0
    extractor = judge.create_extractor()
    mat = package.Mat(x[0]).clone()
    extractor.input(entry, mat)
    for output, (y,) in results.items():
        status, found = extractor.extract(output)
        wanted = np.array(found)
        assert status == 0 and wanted.std() > 1e-5, "a dead net compares equal to everything"
        if text.rstrip().splitlines()[-1].split()[0].endswith("DetectionOutput"):
            y, wanted = _rows(y[y[:, 1] > 0]), _rows(wanted[: len(y)])
            assert len(y) >= 10
        assert y.shape == wanted.shape
        assert np.abs(y - wanted).max() <= 1e-3 * np.abs(wanted).max()
    weights.unlink()


def _rows(rows: np.ndarray) -> np.ndarray:
    """Boxes in an order that does not depend on which of two equal scores comes first."""
    return rows[np.lexsort(rows.round(2).T)]


def test_a_guessed_size_that_does_not_fit_is_told(models):
    """The file's constants are for 384 x 384, but only its reader can know that."""
    with pytest.raises(ConversionError, match=r"with 'input' as fp32\[1,3,224,224\], whose size .* shapes="):
        fbnet.convert(models / "ncnn" / "vision_transformer.param", random_weights=1)
