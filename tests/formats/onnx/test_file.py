"""Files that are damaged, foreign, hostile, or whose data lies elsewhere; and real ones, from the zoo."""

from __future__ import annotations

import sys
import time

import fbnet
import numpy as np
import onnx
import pytest
from fbnet.engine.errors import ConversionError, FbnetError, FileError
from onnx import helper, numpy_helper

N = helper.make_node
X = {"x": (2, 4, 7, 9)}
WB = {"w": (6, 4, 3, 3), "b": (6,)}


@pytest.fixture
def small(model) -> bytes:
    """A small model with a bit of everything: the seed of damaged ones."""
    nodes = [
        N("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2], auto_pad="NOTSET"),
        N("BatchNormalization", ["a", "s", "b", "b", "s"], ["c"]),
        N("Relu", ["c"], ["d"]),
        N("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], ceil_mode=1),
        N("Transpose", ["e"], ["t"], perm=[0, 2, 3, 1]),
        N("Mul", ["t", "s"], ["u"]),
        N("Shape", ["x"], ["shape"]),
        N("Constant", [], ["zero"], value=numpy_helper.from_array(np.array([0]))),
        N("Gather", ["shape", "zero"], ["batch"], axis=0),
        N("Constant", [], ["rest"], value=numpy_helper.from_array(np.array([-1]))),
        N("Concat", ["batch", "rest"], ["target"], axis=0),
        N("Reshape", ["u", "target"], ["f"]),
        N("Gemm", ["f", "fc", "fb"], ["g"], transB=1, alpha=0.5),
        N("Softmax", ["g"], ["y"], axis=1),
    ]
    constants = {"w": (4, 2, 3, 3), "b": (4,), "s": (4,), "fc": (5, 36), "fb": (5,)}
    return model(nodes, {"x": (1, 2, 7, 7)}, constants, opset=11, low=0.5).SerializeToString()


def outcome(path) -> str:
    """What converting a file leads to: 'net', or the kind of FbnetError; anything else is raised."""
    try:
        fbnet.convert(path)
    except FbnetError as error:
        assert "\n" not in str(error), "a message is one line"
        return type(error).__name__
    return "net"


def test_prefixes(small, tmp_path):
    path = tmp_path / "damaged.onnx"
    path.write_bytes(small)
    assert outcome(path) == "net"
    outcomes = set()
    for size in range(0, len(small), len(small) // 300):
        path.write_bytes(small[:size])
        outcomes.add(outcome(path))
    assert outcomes <= {"FileError", "ConversionError"}


@pytest.mark.filterwarnings("ignore")  # of numpy: a mutated weight may be anything
def test_mutations(small, tmp_path):
    path = tmp_path / "damaged.onnx"
    outcomes: dict[str, int] = {}
    for seed in range(1000):
        random = np.random.default_rng(seed)
        damaged = bytearray(small)
        for _ in range(random.integers(1, 6)):
            damaged[random.integers(len(damaged))] = random.integers(256)
        path.write_bytes(damaged)
        kind = outcome(path)
        outcomes[kind] = outcomes.get(kind, 0) + 1
    assert set(outcomes) <= {"net", "FileError", "ConversionError", "NetError"}, outcomes
    assert outcomes["FileError"] > 100


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileError, match="cannot be read: No such file"):
        fbnet.convert(tmp_path / "missing.onnx")
    for content in (b"", b"not a model", b"\x00" * 100, b"\x08"):
        (tmp_path / "foreign.onnx").write_bytes(content)
        with pytest.raises(FileError, match=r"foreign\.onnx: "):
            fbnet.convert(tmp_path / "foreign.onnx")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(FileError, match="cannot be read"):
        fbnet.convert(tmp_path / "folder.onnx")


def test_without_the_library(small, tmp_path, monkeypatch):
    (tmp_path / "tiny.onnx").write_bytes(small)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConversionError, match=r"pip install fbnet\[onnx\]"):
        fbnet.convert(tmp_path / "tiny.onnx")


def test_many_nodes_of_one_name(model, tmp_path):
    """Time grows with the number of nodes, and no faster."""
    count = 3000
    nodes = [N("Selu", [f"t{i}"], [f"t{i + 1}"], name="same") for i in range(count)]
    path = tmp_path / "long.onnx"
    path.write_bytes(model(nodes, {"t0": (1, 2)}, outputs=[f"t{count}"]).SerializeToString())
    start = time.process_time()
    assert len(fbnet.convert(path)) == 2 * count
    assert time.process_time() - start < 10


def test_a_tensor_that_lies_about_its_size(convert, model):
    made = model(N("Conv", ["x", "w"], ["y"]), X, {"w": (6, 4, 3, 3)})
    for size in (2**40, 2**62, 5):
        made.graph.initializer[0].dims[0] = size
        with pytest.raises(FileError, match=r"tensor .*\bw\b"):
            convert(made)


@pytest.fixture
def outside(model, tmp_path):
    """A model whose weights lie in another file, and its path."""
    path = tmp_path / "model" / "outside.onnx"
    path.parent.mkdir()
    made = model(N("Conv", ["x", "w", "b"], ["y"]), X, WB)
    onnx.save(made, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    return onnx.load(path, load_external_data=False), path


def test_data_outside_the_file(outside, expected):
    _, path = outside
    x = np.random.default_rng(5).random((2, 4, 7, 9), np.float32)
    net = fbnet.convert(path)
    assert isinstance(net.constants["w"].data.base, np.memmap)
    np.testing.assert_allclose(net.forward(x=x)["y"], expected(path, {"x": x})["y"], atol=1e-5)


@pytest.mark.parametrize(
    "location", ["../secret.bin", "/etc/hostname", "link.bin", "sub/../../secret.bin", ""]
)
def test_data_outside_the_folder_is_refused(location, outside, tmp_path):
    made, path = outside
    (tmp_path / "secret.bin").write_bytes(bytes(4096))
    (path.parent / "sub").mkdir()
    (path.parent / "link.bin").symlink_to(tmp_path / "secret.bin")
    made.graph.initializer[0].external_data[0].value = location
    path.write_bytes(made.SerializeToString())
    with pytest.raises(FileError, match=r"outside\.onnx"):
        fbnet.convert(path)


WRONG = [("offset", "900"), ("offset", "-4"), ("offset", "x"), ("length", "8"), ("length", str(1 << 60))]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_data_outside_that_does_not_fit(key, value, outside):
    made, path = outside
    next(e for e in made.graph.initializer[0].external_data if e.key == key).value = value
    path.write_bytes(made.SerializeToString())
    with pytest.raises(FileError, match=r"outside\.onnx"):
        fbnet.convert(path)


def test_data_outside_that_is_missing(outside):
    _, path = outside
    (path.parent / "weights.bin").unlink()
    with pytest.raises(FileError, match=r"outside\.onnx"):
        fbnet.convert(path)


# entry of the zoo: (file, shapes of its image to try, number of Permute layers that may be left)
ZOO = {
    "open_nsfw_onnx": ("open_nsfw.onnx", [(1, 224, 224, 3), (2, 224, 224, 3)], 1),
    "mtcnn_pnet_onnx": ("pnet.onnx", [(1, 12, 12, 3), (1, 61, 84, 3), (3, 40, 33, 3)], 3),
    "mtcnn_rnet_onnx": ("rnet.onnx", [(1, 24, 24, 3), (5, 24, 24, 3)], 1),
    "mtcnn_onet_onnx": ("onet.onnx", [(1, 48, 48, 3), (3, 48, 48, 3)], 1),
}


@pytest.mark.parametrize("name", ZOO)
def test_zoo(name, zoo, expected, types):
    """Real networks give onnxruntime's numbers; of their transposes only those at inputs and outputs are left."""
    file, shapes, permutes = ZOO[name]
    path = zoo(name) / file
    net = fbnet.convert(path)
    assert types(net).count("Permute") == permutes
    assert "Pad" not in types(net)
    (image,) = net.inputs
    for shape in shapes:
        feeds = {image: np.random.default_rng(6).normal(size=shape).astype(np.float32)}
        wanted = expected(path, feeds)
        for output, array in net.forward(**feeds).items():
            np.testing.assert_allclose(array, wanted[output], atol=1e-5)
