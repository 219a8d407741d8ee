"""The frameworks that files come from, running them: what they show of a net is what we compute."""

from importlib import metadata

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from fbnet.tools.catalogue import entry
from fbnet.tools.sources import SOURCES, judged, source_of
from fbnet.tools.vectors import checked, with_test

CASES = {
    "onnxruntime": ("open_nsfw_onnx", ["open_nsfw.onnx"]),
    "opencv": ("mtcnn_det1", ["det1.prototxt", "det1.caffemodel"]),
    "ncnn": ("squeezenet_v1.1_ncnn", ["squeezenet_v1.1.param", "squeezenet_v1.1.bin"]),
}


@pytest.mark.parametrize("name", CASES)
def test_they_show_inner_tensors(zoo, name):
    engine = SOURCES[name]
    try:
        next(v for v in map(metadata.version, engine.packages))
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    entry, files = CASES[name]
    paths = [zoo(entry) / file for file in files]
    assert source_of(paths) is engine
    net = fbnet.convert(*paths)
    (x,) = net.inputs
    inputs = {x: np.random.default_rng(0).standard_normal(net.inputs[x].concrete.shape).astype(np.float32)}
    inner = [layer.outputs[0] for layer in net.layers][:9]
    who, found = judged(engine, paths, net, inputs, [*inner, *net.outputs])
    assert who.startswith(f"{name} ") and {*net.outputs} <= found.keys() and len(found) >= 8
    ours = net.replace(outputs=list(found)).forward(**inputs)
    for tensor, theirs in found.items():
        wanted = theirs.transpose(0, 3, 1, 2) if theirs.shape != ours[tensor].shape else theirs
        np.testing.assert_allclose(ours[tensor], wanted, atol=1e-4 * np.abs(wanted).max(), rtol=0)


def test_what_they_cannot_run(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ConversionError, match=r"onnxruntime 1\.\S+ cannot run m\.onnx: "):
        judged(SOURCES["onnxruntime"], [path], fbnet.Net([], {"x": (1,)}), {}, ["x"])
    absent = SOURCES["onnxruntime"]._replace(name="torchish", packages=("no-such-package",))
    with pytest.raises(ConversionError, match=r"torchish is not installed: pip install no-such-package"):
        judged(absent, [path], fbnet.Net([], {"x": (1,)}), {}, ["x"])
    assert source_of([tmp_path / "m.fbnet"]) is None


@pytest.mark.parametrize(("name", "judge"), [("blazeface", "litert"), ("yolov3_tiny", "opencv for Darknet")])
def test_the_zoos_vectors_are_judged_by_their_frameworks(zoo, name, judge):
    """TensorFlow Lite's runtime; OpenCV, told to leave no probability out."""
    paths = [zoo(name) / file for file in entry(name).model]
    if judge.startswith("opencv") and not hasattr(pytest.importorskip("cv2").dnn, "readNetFromDarknet"):
        pytest.skip("this OpenCV reads no Darknet")
    net = fbnet.convert(*paths)
    made = with_test(net, net, paths, most_bytes=None)
    assert made.judge.startswith(judge), made.why
    assert all(row["holds"] and row["error"] < 1e-4 for row in checked(made.net, 0, "reference"))
