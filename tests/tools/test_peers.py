"""The other engines, each on a tiny net if it is installed; and how those fail that are not, or cannot."""

import sys
from importlib import metadata

import pytest
from fbnet import ConversionError
from fbnet.engine.errors import RegistryError
from fbnet.tools import peers
from fbnet.tools.numbers import random_inputs, relative_error

pytest.importorskip("onnx")
EVERY = ("onnxruntime", "openvino", "ncnn", "mnn")


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", EVERY)
def test_a_peer_computes_the_same(small_net, small_model, tmp_path, name, batch, capfd):
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        pytest.skip(f"{name} is not installed")
    version, run = peers.load(name, small_model(batch), 1, tmp_path)
    assert version == metadata.version(name)
    inputs = random_inputs(small_net.replace(inputs={"data": (batch, 3, 8, 8)}).inputs)
    wanted = small_net.forward(**inputs)
    for _ in range(2):
        got = run(inputs)
        assert list(got) == ["pool"] and relative_error(got["pool"], wanted["pool"]) < 1e-5
    inputs["data"] = 2 * inputs["data"]  # what comes out is computed from what goes in, each time
    assert relative_error(run(inputs)["pool"], small_net.forward(**inputs)["pool"]) < 1e-5
    assert "MNN" not in capfd.readouterr().out  # what engines print while they load would spoil JSON


def test_every_peer_is_known():
    assert list(peers.peers) == list(EVERY)
    with pytest.raises(RegistryError, match="Did you mean 'ncnn'"):
        peers.load("ncn", None, 1, None)


def test_one_that_is_not_installed(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(peers.metadata, "version", missing)
    with pytest.raises(ConversionError, match=r"^openvino is not installed: pip install openvino$"):
        peers.load("openvino", None, 1, None)


def test_one_that_throws(tmp_path, monkeypatch):
    def fails(model, threads, folder):
        import os

        os.write(1, b"C++ says why\n")
        raise RuntimeError("cannot\nload")

    monkeypatch.setitem(peers.peers._entries, "onnxruntime", fails)
    monkeypatch.setattr(peers.metadata, "version", lambda name: "1.0")
    with pytest.raises(
        ConversionError, match=r"^onnxruntime 1\.0 cannot load it: cannot load C\+\+ says why$"
    ):
        peers.load("onnxruntime", None, 1, tmp_path)


def test_a_converter_that_fails(tmp_path):
    program = "import sys; print('first'); sys.exit('no such operator')"
    with pytest.raises(ValueError, match="its converter failed: first no such operator"):
        peers.convert([sys.executable, "-c", program], tmp_path / "made")
    with pytest.raises(ValueError, match="exit code 0"):
        peers.convert([sys.executable, "-c", ""], tmp_path / "made")


def test_the_converter_that_calls_home_is_not_used():
    """MNN's program `mnnconvert` installs a package and contacts a server when its module is imported."""
    assert "MNN" not in peers._MNN_CONVERT.replace("mnn", "") and "_tools" in peers._MNN_CONVERT
