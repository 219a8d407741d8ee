"""Well-known networks: every definition is read and runs on the cpu, on weights from a seed."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.lower import HostFallback

# what only a database tells: training files that have nothing but its name
SHAPES = {
    "cifar10_full_sigmoid_train_test_bn": (1, 3, 32, 32),
    "lenet_train_test": (1, 1, 28, 28),
    "mnist_autoencoder": (1, 1, 28, 28),
}
with zipfile.ZipFile(Path(__file__).parents[1] / "models.zip") as file:
    NAMES = sorted(Path(n).stem for n in file.namelist() if n.endswith(".prototxt"))


def converted(models: Path, name: str) -> fbnet.Net:
    shapes = {"data": SHAPES[name]} if name in SHAPES else None
    return fbnet.convert(models / "caffe" / f"{name}.prototxt", random_weights=1, shapes=shapes)


def test_there_are_24():
    assert len(NAMES) == 24


@pytest.mark.parametrize("name", NAMES)
def test_it_runs(models, name):
    """Every layer by a kernel; and the result is neither dead nor infinite."""
    net = converted(models, name)
    inputs = {
        n: np.random.default_rng(0).standard_normal((1, *map(int, s.shape[1:])), np.float32)
        for n, s in net.inputs.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error", HostFallback)
        results = net(**inputs)
    results = results if isinstance(results, dict) else {net.outputs[0]: results}
    specs = net.specs({n: a.shape for n, a in inputs.items()})
    for output, y in results.items():
        assert y.shape == specs[output].shape and np.isfinite(y).all() and y.std() > 1e-5


def test_an_ssd_of_random_weights_finds_what_opencv_finds(models, blobs_of, caffemodel):
    cv2 = pytest.importorskip("cv2")
    net = converted(models, "mobilenet_ssd_voc_deploy")
    x = np.random.default_rng(1).standard_normal((1, 3, 300, 300)).astype(np.float32)
    text = (models / "caffe" / "mobilenet_ssd_voc_deploy.prototxt").read_bytes()
    weights = caffemodel(blobs_of(net))
    judge = cv2.dnn.readNetFromCaffe(np.frombuffer(text, np.uint8), np.frombuffer(weights, np.uint8))
    judge.setInput(x)
    wanted, y = judge.forward(), net(x)
    found, wanted = y[y[..., 0] >= 0], wanted[wanted[..., 2] > 0]
    assert len(found) == len(wanted) > 20
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)
