"""Pixels in, answers out: layers before and behind a net, against numpy's formulas and OpenCV's blobs."""

import fbnet
import numpy as np
import pytest
from fbnet import AttributeValueError, Dim, InputError, ShapeError, Spec
from fbnet.engine.layer import layers
from fbnet.formats.ends import checked, reads_pixels, without_image_input
from PIL import Image

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (12, 15, 3), np.uint8)


def net_of(*shape, dtype="fp32") -> fbnet.Net:
    """A net that writes what it reads."""
    return fbnet.Net([layers["Power"]("data", name="y")], {"data": Spec(shape, dtype)}, name="small")


def test_pixels_become_what_the_net_reads():
    net = fbnet.with_image_input(net_of("N", 3, 12, 15), mean=[1, 2, 3], scale=0.5, order="BGR")
    assert str(net.inputs["image"]) == "uint8[N,H,W,3]" and list(net.inputs) == ["image"]
    wanted = (PHOTO[..., ::-1].astype(np.float32) - np.float32([1, 2, 3])) * np.float32(0.5)
    np.testing.assert_array_equal(net(PHOTO)[0], wanted.transpose(2, 0, 1))
    assert [layer.name for layer in net] == ["image.resize", "image.tensor", "y"]
    assert net["y"].inputs == ("data",), "the net's own tensors keep their names"


def test_it_is_opencvs_blob():
    cv2 = pytest.importorskip("cv2")
    net = fbnet.with_image_input(net_of(1, 3, 8, 8), mean=[104, 117, 123], scale=0.017, order="BGR")
    resized = cv2.resize(PHOTO[..., ::-1].astype(np.float32), (8, 8))
    np.testing.assert_allclose(
        net(PHOTO), cv2.dnn.blobFromImage(resized, 0.017, None, (104, 117, 123)), atol=1e-4
    )


def test_a_crop_is_torchvisions():
    """Resize(9), CenterCrop(8), ToTensor and Normalize are these steps with Pillow: what torchvision's nets are fed."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    filter = Image.Resampling.BILINEAR
    resized = Image.fromarray(PHOTO).resize((11, 12), filter).resize((11, 9), filter).crop((1, 0, 9, 8))
    theirs = (np.asarray(resized) / 255 - mean) / std
    net = fbnet.with_image_input(
        net_of(1, 3, 8, 8), mean=255 * mean, scale=1 / (255 * std), fit="crop", shorter=9, filter="antialias"
    )
    np.testing.assert_allclose(net(PHOTO)[0].transpose(1, 2, 0), theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("pixels", "channels", "order", "same"),
    [
        ("RGB", 3, "RGB", lambda p: p),
        ("RGB", 3, "BGR", lambda p: p[..., ::-1]),
        ("BGR", 3, "BGR", lambda p: p),
        ("BGR", 3, "RGB", lambda p: p[..., ::-1]),
        ("GRAY", 1, "RGB", lambda p: np.repeat(p, 3, -1)),
        ("GRAY", 1, "GRAY", lambda p: p),
        ("RGBA", 4, "BGR", lambda p: p[..., 2::-1]),
        ("BGRA", 4, "BGR", lambda p: p[..., :3]),
    ],
)
def test_colors(pixels, channels, order, same):
    net = fbnet.with_image_input(
        net_of("N", len(same(np.zeros((1, channels)))[0]), "H", "W"), order=order, pixels=pixels
    )
    photo = RNG.integers(0, 256, (7, 5, channels), np.uint8)
    np.testing.assert_array_equal(net(photo)[0].transpose(1, 2, 0), same(photo))
    assert net.metadata["image"] == {"pixels": pixels}


def test_a_camera_and_a_grey_net():
    cv2 = pytest.importorskip("cv2")
    frame = RNG.integers(0, 256, (18, 16), np.uint8)
    net = fbnet.with_image_input(net_of("N", 3, "H", "W"), pixels="NV12", order="BGR")
    assert str(net.inputs["image"]) == "uint8[N,R,W]"
    np.testing.assert_array_equal(
        net(frame)[0].transpose(1, 2, 0), cv2.cvtColor(frame, cv2.COLOR_YUV2BGR_NV12)
    )
    grey = fbnet.with_image_input(net_of("N", 1, "H", "W"), pixels="RGB")
    theirs = cv2.cvtColor(PHOTO, cv2.COLOR_RGB2GRAY)
    np.testing.assert_allclose(grey(PHOTO)[0, 0], theirs, atol=1)  # they round otherwise


def test_channels_last():
    net = fbnet.with_image_input(net_of("N", 12, 15, 3), order="BGR")
    np.testing.assert_array_equal(net(PHOTO)[0], PHOTO[..., ::-1])


def test_size_comes_from_the_net_or_the_image():
    assert fbnet.with_image_input(net_of(1, 3, 8, 9))["image.resize"].size == (8, 9)
    usual = net_of(1, 3, Dim("H", 8), Dim("W", 9))
    assert fbnet.with_image_input(usual)["image.resize"].size == (8, 9)
    own = fbnet.with_image_input(usual, size=())
    assert len(own) == 2 and own(PHOTO).shape == (1, 3, 12, 15)
    named = fbnet.with_image_input(net_of("N", 3, "H", "W"))
    assert len(named) == 2
    multiple = fbnet.with_image_input(usual, size=(8, 8), fit="multiple")
    assert multiple(PHOTO).shape == (1, 3, 16, 16)


def test_one_of_several_inputs():
    two = fbnet.Net([layers["Eltwise"]("image", "b", name="y")], {"image": (1, 3, 2, 2), "b": (1, 3, 2, 2)})
    net = fbnet.with_image_input(two, input="b")
    assert list(net.inputs) == ["image", "image'"], "the name was taken"
    assert reads_pixels(net) == "image'" and not reads_pixels(two)
    photo = RNG.integers(0, 256, (2, 2, 3), np.uint8)
    found = net(image=np.ones((1, 3, 2, 2)), **{"image'": photo})
    np.testing.assert_array_equal(found, 1.0 + photo.transpose(2, 0, 1)[None])


def test_it_survives_the_file(tmp_path):
    net = fbnet.with_answers(fbnet.with_image_input(net_of("N", 3, 1, 1), mean=[1, 2, 3]), top=2)
    fbnet.save(net, tmp_path / "m.fbnet")
    again = fbnet.load(tmp_path / "m.fbnet")
    assert again.digest == net.digest
    found = again(np.uint8([[[1, 5, 4]]]))
    assert found["scores"].tolist() == [[3, 1]] and found["classes"].tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("net", "options", "says"),
    [
        (net_of(1, 100), {}, "fp32[1,100], which is no image: (N,3,H,W) or (N,1,H,W) is"),
        (net_of(1, 4, 8, 8), {}, "which is no image"),
        (net_of(1, 8, 8, 3, dtype="uint8"), {}, "it prepares images itself already"),
        (net_of(1, 3, 8, 8), {"input": "dta"}, "has no input 'dta'. Did you mean 'data'? It has: data"),
        (net_of(1, 3, 8, 8), {"order": "GRAY"}, "GRAY has the wrong number of channels"),
        (net_of(1, 1, 8, 8), {"order": "BGR"}, "BGR has the wrong number of channels"),
        (net_of(1, 3, 8, 8), {"order": "YUV"}, "order is 'YUV' and pixels 'RGB': a net's order is RGB, BGR, GRAY"),
        (net_of(1, 3, 8, 8), {"pixels": "YUYV"}, "pixels 'YUYV'"),
        (net_of(1, 3, 8, 8), {"size": (9, 9)}, "size [9, 9] does not fit"),
        (net_of(1, 3, 8, 8), {"size": "big"}, "size is 'big'; give [height, width]"),
        (net_of(1, 3, "H", "W"), {"fit": "letterbox"}, "fit letterbox needs a size"),
        (net_of(1, 3, 8, 8), {"fit": "crop", "shorter": 7}, "does not cover 8x8"),
        (net_of(1, 3, 8, 8), {"mean": [1, 2]}, "mean is [1.0, 2.0]; give one number, or one for each channel"),
        (net_of(1, 3, 8, 8), {"mean": "high"}, "'high' is no number, nor one for each channel"),
        (net_of(1, 3, 8, 8), {"filter": "area"}, "filter is 'area'; use bilinear"),
    ],
    ids=str,
)  # fmt: skip
def test_what_does_not_fit(net, options, says):
    with pytest.raises((InputError, AttributeValueError, ShapeError)) as caught:
        fbnet.with_image_input(net, **options)
    assert says in str(caught.value)


def test_recipes():
    assert checked({"size": [2, 3], "shorter": None, "mean": 0.5}) == {"size": [2, 3], "mean": 0.5}
    with pytest.raises(InputError, match=r"image preparation has no 'means'\. Did you mean 'mean'"):
        checked({"means": 3})


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (1, 8, 8, 3)])
@pytest.mark.parametrize("pixels", ["RGB", "NV12", "GRAY"])
def test_without_the_layers_that_prepare_images(shape, pixels):
    net = net_of(*shape)
    bare = without_image_input(fbnet.with_image_input(net, pixels=pixels))
    assert bare.digest == net.digest and bare.inputs == net.inputs and without_image_input(net) is net
    own = fbnet.Net([layers["Cast"]("image", to="fp32", name="y")], {"image": Spec((1, 8, 8, 3), "uint8")})
    assert without_image_input(own) is own, "its first layers are its own"


# -- answers -------------------------------------------------------------------------------------------------

SCORES = RNG.standard_normal((2, 5)).astype(np.float32)


def probabilities(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_the_best_classes_as_probabilities():
    net = fbnet.with_answers(net_of("N", 5), softmax=True, top=3)
    assert net.outputs == ("scores", "classes")
    found = net(SCORES)
    order = np.argsort(-SCORES, 1)[:, :3]
    np.testing.assert_array_equal(found["classes"], order)
    np.testing.assert_allclose(
        found["scores"], np.take_along_axis(probabilities(SCORES), order, 1), rtol=1e-5
    )


def test_caffes_planes_of_one_place_are_flattened():
    net = fbnet.with_answers(net_of("N", 5, 1, 1), top=9)
    assert [str(net.specs()[o]) for o in net.outputs] == ["fp32[N,5]", "int64[N,5]"], "there are only five"


def test_a_softmax_is_not_put_behind_another():
    soft = fbnet.Net([layers["Softmax"]("data", name="prob")], {"data": ("N", 5)})
    assert fbnet.with_answers(soft, softmax=True) is soft


def test_a_mask():
    x = RNG.standard_normal((2, 4, 3, 5)).astype(np.float32)
    net = fbnet.with_answers(net_of("N", 4, "H", "W"), softmax=True, argmax=True)
    assert net.outputs == ("classes",)
    np.testing.assert_array_equal(net(x), x.argmax(1))


def test_text():
    net = fbnet.with_answers(net_of("N", "T", 4), ctc=-1)
    found = net(np.eye(4, dtype=np.float32)[[[1, 1, 3, 1, 3, 0]]])
    assert net.outputs == ("classes", "scores") and found["classes"].tolist() == [[1, 1, 0, -1, -1, -1]]


def test_boxes_of_yolov8():
    """Against OpenCV's non-maximum suppression of the same candidates, in pixels of a photo that was letterboxed."""
    cv2 = pytest.importorskip("cv2")
    count = 60
    center, size = RNG.uniform(5, 59, (2, count)), RNG.uniform(4, 20, (2, count))
    scores = RNG.uniform(0, 1, (3, count)) ** 4
    raw = np.concatenate([center, size, scores]).astype(np.float32)[None]
    steps = [
        layers["Pooling"]("x", name="p", global_pooling=True),
        layers["Reshape"]("p", name="zero", shape=(-1, 3, 1)),
        layers["Reduction"]("zero", name="none", axes=(1,), keep_dims=True, coeff=0.0),
        layers["Binary"]("none", "raw", name="y", operation="add"),
    ]
    body = fbnet.Net(steps, {"x": (1, 3, 64, 64)}, {"raw": raw})
    net = fbnet.with_image_input(body, fit="letterbox")
    net = fbnet.with_answers(net, boxes="yolov8", confidence=0.3, overlap=0.5, most=9)
    photo = RNG.integers(
        0, 256, (100, 200, 3), np.uint8
    )  # of which 32 rows remain, and 16 above and below them
    (rows,) = net(photo)
    assert net.outputs == ("boxes",) and rows.shape == (9, 6)
    low = center - size / 2
    best = scores.max(0)
    kept = cv2.dnn.NMSBoxes(np.concatenate([low, size]).T.tolist(), best.tolist(), 0.3, 0.5)[:9]
    np.testing.assert_allclose(rows[: len(kept), 1], best[kept], rtol=1e-5)
    np.testing.assert_array_equal(rows[: len(kept), 0], scores.argmax(0)[kept])
    edges = np.concatenate([low, low + size])[:, kept].T - np.array([0, 16, 0, 16])
    wanted = (edges * (200 / 64)).clip(0, [200, 100, 200, 100])
    np.testing.assert_allclose(rows[: len(kept), 2:], wanted, rtol=1e-4, atol=1e-3)
    assert not rows[len(kept) :, :2].any()


def test_rows_of_boxes_in_shares_of_the_image():
    rows = np.float32([[[[0, 1, 0.9, 0.25, 0.5, 0.75, 1]]]])
    steps = [
        layers["Reduction"]("x", name="none", keep_dims=True, coeff=0.0),
        layers["Binary"]("none", "rows", name="y", operation="add"),
    ]
    body = fbnet.Net(steps, {"x": (1, 3, 8, 8)}, {"rows": rows})
    net = fbnet.with_answers(fbnet.with_image_input(body), boxes="rows")
    found = net(np.zeros((40, 100, 3), np.uint8))
    np.testing.assert_allclose(found.ravel(), [0, 1, 0.9, 25, 20, 75, 40], rtol=1e-6)
    assert fbnet.with_answers(body, boxes="rows") is body, "without an image there is nothing to measure in"


def test_boxes_that_are_none():
    with pytest.raises(InputError, match=r"boxes is 'yolov9': give 'rows' or 'yolov8'"):
        fbnet.with_answers(net_of("N", 5), boxes="yolov9")
    with pytest.raises(InputError, match=r"y is fp32\[N,5\], but yolov8's is \(N, 4 \+ classes, P\)"):
        fbnet.with_answers(net_of("N", 5), boxes="yolov8")


def test_other_outputs_stay():
    two = fbnet.Net([layers["Slice"]("data", outputs=["a", "b"], name="s")], {"data": ("N", 4)})
    assert fbnet.with_answers(two, output="a", top=1).outputs == ("scores", "classes", "b")
    with pytest.raises(InputError, match=r"net has no output ''\. It has: a, b"):
        fbnet.with_answers(two, top=1)


def test_answers_that_make_no_sense():
    with pytest.raises(InputError, match=r"give one of top, argmax, ctc and boxes"):
        fbnet.with_answers(net_of("N", 5), top=1, argmax=True)
    with pytest.raises(InputError, match=r"y is fp32\[N,5\], in which no axis 2 holds classes"):
        fbnet.with_answers(net_of("N", 5), ctc=0)
    with pytest.raises(ShapeError, match=r"with blank 7 among its C classes"):
        fbnet.with_answers(net_of("N", "T", 5), ctc=7)
