"""ImageResize and ImageToTensor: against Pillow, OpenCV and onnxruntime; windows; messages."""

import numpy as np
import pytest
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Dim, Spec
from fbnet.layers.image import BoxesToImage, ImageResize, ImageToTensor
from PIL import Image

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (40, 62, 3), np.uint8)


def resized(pixels, size=(0, 0), **attributes) -> np.ndarray:
    """One image (H, W, C), or grey pixels (H, W), in another size."""
    x = np.asarray(pixels, np.uint8)
    y = ImageResize(size=size, **attributes).reference(x.reshape(1, *x.shape[:2], -1))[0]
    return y[..., 0] if x.ndim == 2 else y


def test_bilinear_by_hand():
    assert resized([[0, 100]], (1, 4)).tolist() == [[0, 25, 75, 100]]
    assert resized([[0, 10, 20, 30]], (1, 2)).tolist() == [[5, 25]]
    assert resized([[0, 100], [200, 40]], (1, 1)).item() == 85
    assert resized([[0], [90]], (3, 1)).ravel().tolist() == [0, 45, 90]
    assert resized([[7]], (2, 3)).tolist() == [[7] * 3] * 2
    assert resized([[0, 90]], (1, 4), filter="corners").tolist() == [[0, 30, 60, 90]]


@pytest.mark.parametrize("size", [(5, 9), (20, 31), (40, 62), (80, 124), (64, 37)])
def test_bilinear_is_opencvs(size):
    cv2 = pytest.importorskip("cv2")
    theirs = cv2.resize(PHOTO.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(resized(PHOTO, size), theirs, atol=2e-3)


@pytest.mark.parametrize("size", [(5, 9), (64, 37), (1, 1)])
def test_corners_are_onnxruntimes(onnx_run, size):
    planes = PHOTO.astype(np.float32).transpose(2, 0, 1)[None]
    theirs = onnx_run(
        "Resize", planes, None, None, np.int64([1, 3, *size]),
        mode="linear", coordinate_transformation_mode="align_corners",
    )  # fmt: skip
    np.testing.assert_allclose(
        resized(PHOTO, size, filter="corners").transpose(2, 0, 1), theirs[0], atol=1e-3
    )


@pytest.mark.parametrize("name", ["antialias", "antialias_cubic"])
def test_antialias_is_pillows_to_the_bit(name):
    filter = {"antialias": Image.Resampling.BILINEAR, "antialias_cubic": Image.Resampling.BICUBIC}[name]
    for _ in range(100):
        h, w, oh, ow = map(int, RNG.integers(1, 90, 4))
        x = RNG.integers(0, 256, (h, w, 3), np.uint8)
        # across, then down; in one call Pillow 13 turns it round where that is faster
        theirs = Image.fromarray(x).resize((ow, h), filter).resize((ow, oh), filter)
        np.testing.assert_array_equal(resized(x, (oh, ow), filter=name), theirs)


FILTERS = ["bilinear", "antialias", "antialias_cubic"]


@pytest.mark.parametrize("filter", FILTERS)
def test_a_crop_is_the_middle_of_the_whole_resize(filter):
    whole = resized(PHOTO, (20, 31), filter=filter)
    found = resized(PHOTO, (16, 18), fit="crop", shorter=20, filter=filter)
    np.testing.assert_array_equal(found, whole[2:18, 6:24])
    covering = resized(PHOTO, (20, 20), fit="crop", filter=filter)  # the least that covers
    np.testing.assert_array_equal(covering, whole[:, 5:25])


@pytest.mark.parametrize("filter", FILTERS)
def test_a_cut_is_the_middle_of_the_image(filter):
    np.testing.assert_array_equal(resized(PHOTO, (16, 18), fit="cut", filter=filter), PHOTO[12:28, 22:40])


@pytest.mark.parametrize(("at_corner", "top"), [(False, 11), (True, 0)])
@pytest.mark.parametrize("filter", FILTERS)
def test_a_letterbox_is_the_whole_resize_with_a_frame(filter, at_corner, top):
    y = resized(PHOTO, (64, 64), fit="letterbox", filter=filter, fill=114, at_corner=at_corner)
    np.testing.assert_array_equal(y[top : top + 41], resized(PHOTO, (41, 64), filter=filter))
    assert (np.delete(y, slice(top, top + 41), 0) == 114).all()
    tall = resized(PHOTO.transpose(1, 0, 2), (64, 64), fit="letterbox", filter=filter, fill=114)
    assert (tall[:, [0, 10, 52, 63]] == 114).all() and not (tall[:, 11] == 114).all()


def test_letterbox_is_that_of_yolos_authors():
    """OpenCV resizes, and a border is put round it, rounded as they round it."""
    cv2 = pytest.importorskip("cv2")
    for h, w in RNG.integers(5, 90, (20, 2)):
        photo = RNG.integers(0, 256, (h, w, 3), np.uint8)
        r = min(64 / h, 64 / w)
        nh, nw = round(h * r), round(w * r)
        dh, dw = (64 - nh) / 2, (64 - nw) / 2
        top, bottom, left, right = (round(v) for v in (dh - 0.1, dh + 0.1, dw - 0.1, dw + 0.1))
        middle = cv2.resize(photo.astype(np.float32), (nw, nh), interpolation=cv2.INTER_LINEAR)
        border = (cv2.BORDER_CONSTANT, None, (114, 114, 114))
        theirs = cv2.copyMakeBorder(middle, top, bottom, left, right, *border)
        np.testing.assert_allclose(resized(photo, (64, 64), fit="letterbox", fill=114), theirs, atol=2e-3)


def test_sizes_that_follow_the_image():
    assert resized(PHOTO, (32, 32), fit="multiple").shape == (64, 64, 3)
    assert resized(PHOTO, (20, 31), fit="multiple").shape == (40, 62, 3)
    assert resized(PHOTO, (48, 0)).shape == (48, 75, 3)  # 74.4
    assert resized(PHOTO, (0, 31)).shape == (20, 31, 3)


def test_symbolic_sizes():
    x = Spec((Dim("N"), Dim("H", 40), Dim("W", 62), 3), "uint8")
    assert str(ImageResize(size=(48, 0)).infer(x)) == "fp32[N,48,(W*48+H-1)//H,3]"
    assert (
        str(ImageResize(size=(32, 32), fit="multiple").infer(x))
        == "fp32[N,((H+31)//32)*32,((W+31)//32)*32,3]"
    )
    for fit in ("stretch", "crop", "cut", "letterbox"):
        assert str(ImageResize(size=(8, 9), fit=fit, filter="antialias").infer(x)) == "uint8[N,8,9,3]"
    assert str(ImageToTensor(order=(0,)).infer(x)) == "fp32[N,1,H,W]"


def test_mean_then_scale_in_the_order_of_the_net():
    pixel = np.full((1, 1, 1, 3), (10, 20, 30), np.uint8)
    y = ImageToTensor(order=(2, 1, 0), mean=(1, 2, 3), scale=(1, 0.5, 2)).reference(pixel)
    assert y.shape == (1, 3, 1, 1) and y.ravel().tolist() == [29.0, 9.0, 14.0]
    assert ImageToTensor(mean=(10,), scale=(0.5,)).reference(pixel).ravel().tolist() == [0, 5, 10]


def test_it_is_opencvs_blob():
    cv2 = pytest.importorskip("cv2")
    mean, scale = (104.0, 117.0, 123.0), 0.017
    theirs = cv2.dnn.blobFromImage(PHOTO[..., ::-1].copy(), scale, None, mean, swapRB=False)
    ours = ImageToTensor(order=(2, 1, 0), mean=mean, scale=(scale,)).reference(PHOTO[None])
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize(
    "way",
    [
        {"fit": "letterbox"},
        {"fit": "letterbox", "at_corner": True},
        {"fit": "crop", "shorter": 40},
        {"fit": "cut"},
        {"fit": "stretch"},
        {"fit": "multiple"},
    ],
    ids=str,
)
def test_boxes_go_back_to_where_they_are_in_the_image(way, relative):
    """A white box in a dark photo is found where it came from."""
    photo = np.zeros((1, 120, 200, 1), np.uint8)
    photo[:, 50:80, 90:110] = 255
    resize = ImageResize(size=(32, 32), **way)
    small = resize.reference(photo)[0, ..., 0]
    rows, columns = (np.flatnonzero((small > 127).any(axis)) for axis in (1, 0))
    box = np.float32([[[0.5, columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]]])
    if relative:
        box[..., 1:] /= np.float32([*small.shape[::-1]] * 2)
    found = BoxesToImage(size=(32, 32), relative=relative, **way).reference(box, photo)
    step = 120 / 40 if "shorter" in way else 200 / 32
    np.testing.assert_allclose(found[0, 0, 1:], [90, 50, 110, 80], atol=step)
    assert found[0, 0, 0] == 0.5


def test_boxes_are_cut_at_the_images_edges():
    found = BoxesToImage(size=(10, 10)).reference(np.float32([[[-5, -5, 20, 20]]]), np.zeros((1, 30, 40, 3)))
    assert found.tolist() == [[[0, 0, 40, 30]]]
    with pytest.raises(AttributeValueError, match=r"fit is 'letterbox', which needs a size"):
        BoxesToImage(fit="letterbox")
    with pytest.raises(ShapeError, match=r"rows have to end in \[left, top, right, bottom\]"):
        BoxesToImage().infer(Spec((1, 3)), Spec((1, 8, 8, 3)))
    with pytest.raises(ShapeError, match=r"image is fp32\[1,0,8,3\], but images"):
        BoxesToImage().infer(Spec((1, 3, 4)), Spec((1, 0, 8, 3)))


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"size": (8,)}, "size is [8]; give [height, width], each above 0"),
        ({"size": (0, 0)}, "size is [0, 0]; give [height, width]"),
        ({"size": (0, 8), "fit": "crop"}, "each above 0"),
        ({"size": (8, 1 << 20)}, "give [height, width]"),
        ({"size": (8, 8), "fit": "middle"}, "fit is 'middle'; use stretch, crop, cut, letterbox, multiple"),
        ({"size": (8, 8), "filter": "area"}, "filter is 'area'; use bilinear, corners, antialias"),
        ({"size": (8, 8), "shorter": 9}, "shorter is 9; give a size, with fit crop, not stretch"),
        ({"size": (8, 8), "fill": 300}, "fill is 300.0; give a pixel's value, from 0 to 255"),
        ({"size": (8, 8), "fill": 0.5, "filter": "antialias"}, "give a pixel's value"),
    ],
    ids=str,
)
def test_senseless_attributes(attributes, says):
    with pytest.raises(AttributeValueError) as caught:
        ImageResize(**attributes)
    assert says in str(caught.value)


def test_senseless_channels():
    with pytest.raises(AttributeValueError, match=r"order is \[-1\]; channels count from 0"):
        ImageToTensor(order=(-1,))
    with pytest.raises(AttributeValueError, match=r"mean is \[1.0, 2.0\]; give one number, or one for each"):
        ImageToTensor(order=(0, 1, 2), mean=(1, 2))
    with pytest.raises(AttributeValueError, match=r"scale is \[nan\]"):
        ImageToTensor(scale=(float("nan"),))
    x = Spec((1, 2, 2, 3), "uint8")
    with pytest.raises(ShapeError, match=r"but order \[3\] asks for channel 3"):
        ImageToTensor(order=(3,)).infer(x)
    with pytest.raises(ShapeError, match=r"mean has 2 numbers, but there are 3 channels"):
        ImageToTensor(mean=(1, 2)).infer(x)


@pytest.mark.parametrize(
    ("layer", "spec", "says"),
    [
        (ImageResize(size=(8, 8), fit="cut"), Spec((1, 6, 9, 3)), "6x9 (height x width), resized to 6x9, does not"),
        (ImageResize(size=(8, 8), fit="crop", shorter=7), Spec((1, 9, 9, 3)), "to 7x7, does not cover 8x8"),
        (ImageResize(size=(8, 8)), Spec((1, 0, 9, 3)), "are uint8 or fp32 (N, H, W, C), not empty"),
        (ImageResize(size=(8, 8)), Spec((9, 9, 3), "uint8"), "x is uint8[9,9,3] but images"),
        (ImageResize(size=(8, 8), filter="antialias"), Spec((1, 9, 9, 3)), "images to resize are uint8 (N"),
        (ImageToTensor(), Spec((1, 9, 9, 3), "int64"), "x is int64[1,9,9,3] but pixels are uint8 or fp32"),
        (ImageToTensor(), Spec((9, 9, 3)), "x is fp32[9,9,3] but pixels are"),
    ],
    ids=str,
)  # fmt: skip
def test_shapes_that_do_not_fit(layer, spec, says):
    with pytest.raises(ShapeError) as caught:
        layer.infer(spec)
    assert says in str(caught.value)
