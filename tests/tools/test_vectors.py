"""Test vectors: what goes in, who says what comes out, and how a device is held to them."""

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError
from fbnet.engine.layer import layers
from fbnet.tools.vectors import checked, compared, example, picture, with_test

W = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
BODY = fbnet.Net(
    [layers["Convolution"]("x", W, name="conv"), layers["Softmax"]("conv", name="prob")],
    {"x": (1, 3, 8, 8)},
    name="small",
)


def test_a_picture_is_one():
    first, again, other = picture((2, 30, 50, 3)), picture((2, 30, 50, 3)), picture((2, 30, 50, 3), seed=1)
    assert (
        first.dtype == np.uint8 and first.shape == (2, 30, 50, 3) and first.min() < 40 and first.max() > 200
    )
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert picture((1, 12, 8)).shape == (1, 12, 8)


def test_examples_fit():
    assert example(BODY)["x"].shape == (1, 3, 8, 8)
    resized = fbnet.with_image_input(BODY)
    assert example(resized)["image"].shape == (1, 97, 131, 3)
    cut = fbnet.with_image_input(BODY, fit="cut")
    assert example(cut)["image"].shape == (1, 8, 8, 3)
    assert example(fbnet.with_image_input(BODY, pixels="I420"))["image"].shape == (1, 12, 8)


@pytest.mark.parametrize("pixels", ["RGB", "NV12"])
def test_a_net_from_nowhere_is_judged_by_its_definition(pixels):
    net = fbnet.with_answers(fbnet.with_image_input(BODY, mean=128, scale=1 / 64, pixels=pixels), argmax=True)
    made = with_test(net, BODY)
    assert made.judge == "fbnet's reference" and not made.why
    (vector,) = made.net.tests
    assert list(vector) == ["image", "classes"] and made.net.metadata["judges"] == ["fbnet's reference"]
    for device in ("cpu", "reference"):
        (row,) = checked(made.net, 0, device)
        assert row["holds"] and row["output"] == "classes" and row["judge"] == "fbnet's reference"


def test_onnxruntime_judges_the_part_that_it_knows(tmp_path):
    fbnet.save(BODY, tmp_path / "m.onnx")
    body = fbnet.convert(tmp_path / "m.onnx")
    net = fbnet.with_answers(fbnet.with_image_input(body, mean=128, scale=1 / 64), argmax=True)
    made = with_test(net, body, [tmp_path / "m.onnx"])
    assert made.judge.startswith("onnxruntime 1.") and not made.why
    np.testing.assert_array_equal(made.net.tests[0]["classes"], net.forward(**example(net))["classes"])
    assert all(row["holds"] for row in checked(made.net, 0, "cpu"))
    plain = with_test(body, body, [tmp_path / "m.onnx"])
    assert list(plain.net.tests[0]) == ["x", "prob"] and checked(plain.net, 0, "cpu")[0]["error"] < 1e-5


def test_why_a_better_judge_could_not(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"no model")
    made = with_test(BODY, BODY, [tmp_path / "m.onnx"])
    assert made.judge == "fbnet's reference" and "cannot run m.onnx" in made.why


def test_large_ones_are_left_out():
    with pytest.raises(ConversionError, match=r"small: a test vector of 768 bytes is too large"):
        with_test(BODY, BODY, most_bytes=700)
    with pytest.raises(ConversionError, match=r"a test vector of 1,344 bytes is too large"):
        with_test(BODY, BODY, most_bytes=1000)
    assert with_test(BODY, BODY, most_bytes=None).net.tests


def test_what_is_wrong_is_seen():
    right = {"y": np.float32([1, -4]), "classes": np.int64([1, 2, 3, 4])}
    rows = compared({"y": np.float32([1, -3]), "classes": np.int64([1, 2, 4, 4])}, right)
    assert [row.error for row in rows] == [0.25, 0.25] and not any(row.holds for row in rows)
    assert all(row.holds for row in compared(right, right))
    (shape,) = compared({"y": np.zeros(3, np.float32)}, {"y": np.zeros(2, np.float32)})
    assert shape.error == np.inf and not shape.holds
