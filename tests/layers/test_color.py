"""ImageColor: against OpenCV and Pillow, to the bit."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.color import ImageColor
from PIL import Image

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("target", ["RGB", "BGR"])
@pytest.mark.parametrize("source", ["NV12", "NV21", "I420"])
def test_frames_are_opencvs(source, target):
    cv2 = pytest.importorskip("cv2")
    frames = RNG.integers(0, 256, (3, 30, 44), np.uint8)
    found = ImageColor(source=source, target=target).reference(frames)
    for frame, y in zip(frames, found, strict=True):
        np.testing.assert_array_equal(y, cv2.cvtColor(frame, getattr(cv2, f"COLOR_YUV2{target}_{source}")))


def test_a_frames_grey_is_its_y():
    cv2 = pytest.importorskip("cv2")
    frame = RNG.integers(0, 256, (30, 44), np.uint8)
    found = ImageColor(source="NV12", target="GRAY").reference(frame[None])
    np.testing.assert_array_equal(found[0, ..., 0], cv2.cvtColor(frame, cv2.COLOR_YUV2GRAY_NV12))


@pytest.mark.parametrize(("source", "mode"), [("RGB", "RGB"), ("RGBA", "RGBA"), ("GRAY", "L")])
@pytest.mark.parametrize(("target", "wanted"), [("RGB", "RGB"), ("GRAY", "L")])
def test_packed_pixels_are_pillows(source, mode, target, wanted):
    x = RNG.integers(0, 256, (9, 13, len(mode)), np.uint8)
    theirs = Image.fromarray(x.squeeze(-1) if mode == "L" else x).convert(wanted)
    found = ImageColor(source=source, target=target).reference(x[None])[0]
    np.testing.assert_array_equal(found.squeeze(-1) if wanted == "L" else found, theirs)


def test_blue_first():
    x = RNG.integers(0, 256, (1, 3, 5, 3), np.uint8)
    np.testing.assert_array_equal(ImageColor(source="BGR").reference(x), x[..., ::-1])
    np.testing.assert_array_equal(ImageColor(source="BGR", target="BGR").reference(x), x)
    np.testing.assert_array_equal(
        ImageColor(source="BGR", target="GRAY").reference(x),
        ImageColor(source="RGB", target="GRAY").reference(x[..., ::-1]),
    )


def test_symbolic_sizes():
    frame = Spec((Dim("N"), Dim("R", 30), Dim("W", 44)), "uint8")
    assert str(ImageColor(source="NV12").infer(frame)) == "uint8[N,(R//3)*2,W,3]"


@pytest.mark.parametrize(
    ("shape", "source", "says"),
    [
        ((1, 4, 4, 4), "RGB", r"x is uint8\[1,4,4,4\] but images in RGB are \(N, H, W, 3\)"),
        ((1, 4, 4), "NV12", r"a frame in NV12 is \(N, 3 H / 2, W\), W even"),
        ((1, 6, 5), "I420", r"W even"),
    ],
)
def test_shapes_that_do_not_fit(shape, source, says):
    with pytest.raises(ShapeError, match=says):
        ImageColor(source=source).infer(Spec(shape, "uint8"))


def test_messages():
    with pytest.raises(AttributeValueError, match=r"source is 'YUYV' and target 'RGB'; colours are RGB, BGR"):
        ImageColor(source="YUYV")
    with pytest.raises(ShapeError, match=r"x is fp32\[1,4,4,3\] but pixels are uint8"):
        ImageColor(source="RGB").infer(Spec((1, 4, 4, 3)))
