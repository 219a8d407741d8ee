"""Types that find boxes, against the ncnn package: the same rows in the same order, and zeros behind them."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError

RANDOM = np.random.default_rng(4)
IMAGE = ("Input data 0 1 data 0=48 1=40 2=3", "Split s 1 2 data a b", "Pooling p 1 1 a p 0=0 1=8 2=8")
PRIORS = [
    "-23300=1,6.0 -23302=2,2.0,3.0 9=-233 10=-233 13=0.5",
    "-23300=2,6.0,8.0 -23301=2,9.0,12.0 -23302=1,2.0 7=0 8=1 9=-233 10=-233 13=0.5",
    "-23300=1,6.0 -23302=1,2.0 9=60 10=50 11=7.0 12=9.0 3=0.3 4=0.4 5=0.5 6=0.6",
]


@pytest.mark.parametrize("params", PRIORS)
def test_prior_boxes(same, params):
    same(*IMAGE, f"PriorBox o 2 1 p b y {params}")


def rows_of(package, paths, inputs, output="y"):
    """ncnn's rows; none if it found nothing, where reading its result would crash."""
    net = package.Net()
    assert net.load_param(str(paths[0])) == 0 and net.load_model(str(paths[1])) == 0
    extractor = net.create_extractor()
    mats = {name: package.Mat(array[0]).clone() for name, array in inputs.items()}
    for name, mat in mats.items():
        extractor.input(name, mat)
    _status, mat = extractor.extract(output)
    return np.array(mat) if mat.dims else np.zeros((0, 6), np.float32)


def lines(*lines: str) -> str:
    blobs = sum(int(line.split()[3]) for line in lines)
    return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines, ""])


@pytest.mark.parametrize(("top", "keep", "threshold"), [(100, 50, 0.2), (8, 12, 0.4), (100, 50, 0.999)])
def test_ssd(write, top, keep, threshold):
    package = pytest.importorskip("ncnn")
    low = RANDOM.uniform(0, 0.7, (30, 2))
    boxes = np.concatenate([low, low + RANDOM.uniform(0.05, 0.3, (30, 2))], 1)
    prior = (
        np.stack([boxes, np.broadcast_to([0.1, 0.1, 0.2, 0.2], (30, 4))])
        .reshape(1, 2, 120)
        .astype(np.float32)
    )
    inputs = {
        "loc": RANDOM.standard_normal((1, 120)).astype(np.float32),
        "conf": RANDOM.dirichlet([0.5] * 4, 30).reshape(1, 120).astype(np.float32),
        "prior": prior,
    }
    heads = ["Input l 0 1 loc 0=120", "Input c 0 1 conf 0=120", "Input p 0 1 prior 0=120 1=2"]
    params = f"0=4 1=0.4 2={top} 3={keep} 4={threshold}"
    paths = write(lines(*heads, f"DetectionOutput o 3 1 loc conf prior y {params}"), b"")
    wanted = rows_of(package, paths, inputs)
    net = fbnet.convert(paths[0])
    y = net.forward(**inputs)["y"][0]
    assert y.shape == (keep, 6) and not y[len(wanted) :].any()
    np.testing.assert_allclose(y[: len(wanted)], wanted, rtol=1e-5, atol=1e-5)
    assert bool(len(wanted)) == (threshold < 0.9)


YOLO = "YoloDetectionOutput o 2 1 a b y 0=3 1=2 2=0.1 3=0.45 -23304=4,1.0,1.5,2.0,0.5"
# a text file gives the bits of the mask's floats as integers: 1.0 and 2.0 for a, 0.0 and 1.0 for b
YOLO3 = (
    "Yolov3DetectionOutput o 2 1 a b y 0=3 1=2 2=0.3 3=0.45 -23304=6,10.0,13.0,16.0,30.0,33.0,23.0"
    " -23305=4,1065353216,1073741824,0,1065353216 -23306=2,16.0,8.0"
)


@pytest.mark.parametrize("line", [YOLO, YOLO3], ids=["v2", "v3"])
def test_yolo(write, line):
    package = pytest.importorskip("ncnn")
    inputs = {
        "a": RANDOM.standard_normal((1, 16, 5, 6)).astype(np.float32),
        "b": RANDOM.standard_normal((1, 16, 10, 12)).astype(np.float32),
    }
    heads = ["Input a 0 1 a 0=6 1=5 2=16", "Input b 0 1 b 0=12 1=10 2=16"]
    paths = write(lines(*heads, line), b"")
    wanted = rows_of(package, paths, inputs)
    y = fbnet.convert(paths[0]).forward(**inputs)["y"][0]
    found = y[y[:, 1] > 0]
    assert len(found) == len(wanted) > 10
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_mask_of_a_binary_file_is_floats(write, binary):
    text = lines("Input a 0 1 a 0=6 1=5 2=8", "Input b 0 1 b 0=6 1=5 2=8", YOLO3.replace("1=2", "1=1"))
    plain, packed = fbnet.convert(write(text)[0]), fbnet.convert(write(binary(text))[0])
    assert [n.attributes for n in plain.layers] == [n.attributes for n in packed.layers]
    assert [n.anchors for n in plain.layers if n.type == "YoloBox"] == [(16.0, 30.0), (33.0, 23.0)]


REFUSED = {
    "PriorBox o 1 1 data y -23300=1,6.0 9=-233 10=-233": "MXNet",
    "PriorBox o 1 1 data y 9=60 10=50": "needs a min_size",
    "PriorBox o 1 1 data y -23300=1,6.0 9=60 10=50 11=7.0": "only one of them",
    "DetectionOutput o 1 1 data y 0=-233": "MXNet",
    "YoloDetectionOutput o 1 1 data y 0=3 1=2 -23304=4,1.0,1.5,2.0,0.5": "2 boxes of 3 classes are wanted",
    "YoloDetectionOutput o 1 1 data y 0=1 1=1": "but it has the biases []",
    "Yolov3DetectionOutput o 1 1 data y 0=1 1=1 -23304=2,1.0,1.0 -23305=1,1065353216 -23306=1,8.0": "mask [1]",
    "Yolov3DetectionOutput o 1 1 data y 0=1 1=1 -23304=2,1.0,1.0 -23305=1,-1 -23306=1,8.0": "numbers of anchors",
    "Yolov3DetectionOutput o 1 1 data y 0=1 1=1 -23304=2,1.0,1.0 -23305=1,0 -23306=1,0.0": "scales [0.0]",
}


@pytest.mark.parametrize(("line", "said"), REFUSED.items(), ids=REFUSED)
def test_what_they_refuse(read, line, said):
    with pytest.raises(ConversionError) as error:
        read(line)
    (problem,) = error.value.problems
    assert problem.startswith("o (") and said in problem
