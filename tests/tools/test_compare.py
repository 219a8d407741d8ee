"""fbnet compare: what is alike, what is not, and where it begins."""

from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layers
from fbnet.tools.compare import row_of
from fbnet.tools.numbers import cosine, share_that_differs, sqnr_db

LENET = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"
RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)


def net(slope=0.0, last="Softmax", name="prob") -> fbnet.Net:
    steps = [
        layers["Convolution"]("x", W, name="conv"),
        layers["ReLU"]("conv", name="relu", negative_slope=slope),
        layers[last]("relu", name=name),
    ]
    return fbnet.Net(steps, {"x": ("N", 3, fbnet.Dim("H", 8), fbnet.Dim("W", 8))}, name="small")


@pytest.fixture
def models(tmp_path) -> Path:
    pytest.importorskip("onnx")
    fbnet.save(net(), tmp_path / "a.fbnet")
    fbnet.save(net(), tmp_path / "a.onnx")
    fbnet.save(net(slope=0.5), tmp_path / "other.fbnet")
    fbnet.save(net(name="answer"), tmp_path / "renamed.fbnet")
    fbnet.save(fbnet.with_image_input(net(), mean=128, scale=1 / 64), tmp_path / "pixels.fbnet")
    return tmp_path


def test_a_model_with_itself(program, models):
    found = program.json("compare", models / "a.fbnet", f"reference:{models / 'a.fbnet'}")
    assert found["ok"] and found["first"] is None and found["unmatched"] == 0
    assert [row["tensor"] for row in found["tensors"]] == ["conv", "relu", "prob"]
    assert [row["output"] for row in found["tensors"]] == [False, False, True]
    assert all(row["error"] < 1e-5 and row["cosine"] > 0.9999 for row in found["tensors"])


def test_with_the_files_own_engine(program, models):
    found = program.json("compare", models / "a.onnx", f"onnxruntime:{models / 'a.onnx'}")
    assert found["ok"] and len(found["tensors"]) == 3 and found["engines"][1].startswith("onnxruntime 1.")
    assert all(row["sqnr_db"] is None or row["sqnr_db"] > 100 for row in found["tensors"])


def test_with_a_peer_by_way_of_onnx(program, models):
    found = program.json("compare", models / "a.fbnet", f"onnxruntime:{models / 'a.fbnet'}")
    assert found["ok"] and [row["tensor"] for row in found["tensors"]] == ["prob"]


def test_where_they_part(program, models):
    result = program("compare", models / "a.fbnet", models / "other.fbnet")
    assert result.exit_code == 1 and "relu (ReLU) is the first to differ" in result.stdout
    result = program("compare", models / "a.fbnet", models / "other.fbnet", "--json")
    assert result.exit_code == 1 and '"first": "relu"' in result.stdout
    assert program("compare", models / "a.fbnet", models / "other.fbnet", "--tolerance", 9).exit_code == 0
    result = program("compare", models / "a.fbnet", models / "other.fbnet", "--outputs-only")
    assert result.exit_code == 1 and "prob (Softmax) is the first" in result.stdout


def test_outputs_of_other_names(program, models):
    found = program.json("compare", models / "a.fbnet", models / "renamed.fbnet")
    assert found["ok"] and found["tensors"][-1]["note"] == "answer in B" and found["unmatched"] == 0


def test_what_one_side_prepares_the_other_gets(program, models, photo):
    with_photo = program.json(
        "compare", models / "pixels.fbnet", f"onnxruntime:{models / 'a.onnx'}", "--input", photo
    )
    assert with_photo["ok"] and with_photo["tensors"][-1]["tensor"] == "prob" and with_photo["unmatched"] == 2
    assert program("compare", models / "pixels.fbnet", models / "a.fbnet").exit_code == 0
    line = program.fails("compare", models / "a.fbnet", models / "pixels.fbnet")
    assert "reads image uint8[N,H,W,3], which" in line and "neither reads nor computes" in line


def test_inputs_from_files(program, models, photo, tmp_path):
    x = tmp_path / "x.npy"
    np.save(x, RNG.standard_normal((2, 3, 9, 7)).astype(np.float32))
    same = (models / "a.fbnet", models / "a.fbnet")
    assert program.json("compare", *same, "--input", x)["tensors"][0]["shape"] == [2, 4, 7, 5]
    assert program.json("compare", *same, "--input", f"x={x}")["ok"]
    assert "has the inputs x, each once" in program.fails("compare", *same, "--input", x, "--input", x)
    assert "has the inputs x, each once" in program.fails("compare", *same, "--input", f"y={x}")
    assert "give an .npy file" in program.fails("compare", *same, "--input", photo)
    x.write_bytes(b"no array")
    assert "x.npy: no array that can be read" in program.fails("compare", *same, "--input", x)


def test_engines_that_are_none(program, models):
    assert "there is no engine 'onxruntime'. Did you mean 'onnxruntime'" in program.fails(
        "compare", models / "a.fbnet", f"onxruntime:{models / 'a.onnx'}"
    )
    line = program.fails("compare", models / "a.fbnet", f"opencv:{models / 'a.fbnet'}")
    assert "opencv runs .prototxt and .caffemodel files, not a.fbnet" in line
    assert "there is no such file" in program.fails("compare", models / "a.fbnet", models / "nope.onnx")
    assert "'gpu9'" in program.fails("compare", models / "a.fbnet", models / "a.fbnet", "--device", "gpu9")


def test_models_with_nothing_in_common(program, models):
    two = fbnet.Net([layers["Slice"]("x", outputs=["a", "b"], name="s")], {"x": ("N", 4, 8, 8)})
    one = fbnet.Net([layers["ReLU"]("x", name="y")], {"x": ("N", 4, 8, 8)})
    fbnet.save(two, models / "two.fbnet")
    fbnet.save(one, models / "one.fbnet")
    assert "no tensor in common" in program.fails("compare", models / "two.fbnet", models / "one.fbnet")


def test_a_tensor_that_lies_otherwise():
    a = RNG.standard_normal((1, 3, 4, 5)).astype(np.float32)
    assert row_of("y", "T", a, a.transpose(0, 2, 3, 1)).note == "channels last"
    assert row_of("y", "T", a.transpose(0, 2, 3, 1), a).note == "channels first"
    assert row_of("y", "T", a, a[0]).error == 0 and row_of("y", "T", a[:, :, :1], a[:, :, 0]).error == 0
    apart = row_of("y", "T", a, a[:, :2])
    assert apart.error == np.inf and apart.note == "B has [1, 2, 4, 5]"
    assert row_of("y", "T", np.int64([1, 2]), np.int64([1, 3])).error == 0.5


def test_figures():
    a, b = np.float32([3, 4]), np.float32([3, 4.5])
    assert sqnr_db(b, a) == pytest.approx(20) and sqnr_db(a, a) == np.inf
    assert sqnr_db(b, np.zeros(2, np.float32)) == -np.inf
    assert cosine(a, 2 * a) == pytest.approx(1) and cosine(a, np.float32([4, -3])) == pytest.approx(0)
    assert cosine(0 * a, 0 * a) == 1 and cosine(a, 0 * a) == 0
    assert share_that_differs(a, b) == 0.5 and share_that_differs(a, b[:1]) == 1
