import numpy as np
import pytest
from fbnet.engine.errors import InputError
from fbnet.tools.image import Recipe, opened, prepare
from PIL import Image


def image(pixels, mode=None) -> Image.Image:
    return (
        Image.fromarray(np.asarray(pixels, np.uint8), mode)
        if mode is None
        else Image.frombytes(mode, *pixels)
    )


def gray(pixels, **recipe) -> np.ndarray:
    """`prepare` of grey pixels, as a matrix."""
    return prepare(image(pixels), Recipe(order="GRAY", **recipe))[0, 0]


def test_shape_dtype_and_channel_order():
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    rgb = prepare(image(pixels), Recipe())
    assert rgb.shape == (1, 3, 2, 4) and rgb.dtype == np.float32 and rgb.flags.c_contiguous
    assert np.array_equal(rgb[0].transpose(1, 2, 0), pixels)
    bgr = prepare(image(pixels), Recipe(order="BGR"))
    assert np.array_equal(bgr[0, ::-1], rgb[0]) and bgr.flags.c_contiguous


def test_mean_then_scale_in_the_order_of_the_net():
    pixels = np.full((1, 1, 3), (10, 20, 30), np.uint8)
    y = prepare(image(pixels), Recipe(order="BGR", mean=(1.0, 2.0, 3.0), scale=(1.0, 0.5, 2.0)))
    assert y.ravel().tolist() == [29.0, 9.0, 14.0]
    assert gray([[100]], mean=(50.0,), scale=(0.5,)).item() == 25.0


def test_bilinear_by_hand():
    assert gray([[0, 100]], size=(1, 4)).tolist() == [[0, 25, 75, 100]]
    assert gray([[0, 10, 20, 30]], size=(1, 2)).tolist() == [[5, 25]]
    assert gray([[0, 100], [200, 40]], size=(1, 1)).item() == 85
    assert gray([[0], [90]], size=(3, 1)).ravel().tolist() == [0, 45, 90]
    assert gray([[7]], size=(2, 3)).tolist() == [[7] * 3] * 2


@pytest.mark.parametrize("size", [(5, 9), (20, 31), (40, 60), (64, 37)])
def test_bilinear_is_opencvs(size):
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")
    pixels = np.random.default_rng(1).integers(0, 256, (20, 31, 3), np.uint8)
    theirs = cv2.resize(pixels.astype(np.float32), size[::-1], interpolation=cv2.INTER_LINEAR)
    ours = prepare(image(pixels), Recipe(size=size))[0].transpose(1, 2, 0)
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_antialias_is_pillows():
    pixels = np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8)
    theirs = np.asarray(image(pixels).resize((6, 5), Image.Resampling.BILINEAR))
    assert np.array_equal(gray(pixels, size=(5, 6), filter="antialias"), theirs)
    assert np.array_equal(gray(pixels, size=(20, 30), filter="antialias"), pixels)


@pytest.mark.parametrize("filter", ["bilinear", "antialias"])
def test_center_crop(filter):
    pixels = np.arange(24).reshape(4, 6)
    assert gray(pixels, size=(2, 2), crop="center", resize=4, filter=filter).tolist() == [[8, 9], [14, 15]]
    assert np.array_equal(
        gray(pixels, size=(4, 4), crop="center", filter=filter), pixels[:, 1:5]
    )  # least that covers
    assert gray(pixels.T, size=(2, 4), crop="center", resize=4, filter=filter).shape == (2, 4)


def test_center_crop_is_a_crop_of_the_whole_resize():
    pixels = np.random.default_rng(2).integers(0, 256, (30, 50), np.uint8)
    whole = gray(pixels, size=(20, 33))
    assert np.array_equal(gray(pixels, size=(16, 16), crop="center", resize=20), whole[2:18, 8:24])


def test_a_resize_that_does_not_cover():
    with pytest.raises(InputError, match=r"6x4 resized to 3x2 does not cover 4x4"):
        gray(np.zeros((4, 6)), size=(4, 4), crop="center", resize=2)


def test_no_size_keeps_the_photos_own():
    assert prepare(image(np.zeros((3, 5, 3))), Recipe()).shape == (1, 3, 3, 5)


def test_grey_palette_bilevel_and_cmyk_become_rgb():
    for made in (image([[9]]), image([[9]]).convert("P"), image([[[9, 9, 9]]]).convert("CMYK")):
        y = prepare(made, Recipe())
        assert y.shape == (1, 3, 1, 1) and np.allclose(y, 9, atol=1), made.mode
    assert prepare(Image.new("1", (1, 1), 1), Recipe()).ravel().tolist() == [255.0] * 3
    assert prepare(image([[[0, 0, 255]]]), Recipe(order="GRAY")).item() == 29  # ITU-R 601


def test_transparent_pixels_are_on_white():
    rgba = image([[[200, 0, 0, 0], [200, 0, 0, 255]]])
    assert prepare(rgba, Recipe())[0, :, 0].T.tolist() == [[255, 255, 255], [200, 0, 0]]
    assert prepare(image([[[0, 0]]], None).convert("LA"), Recipe()).ravel().tolist() == [255.0] * 3
    palette = image([[[200, 0, 0]]]).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert prepare(palette, Recipe()).ravel().tolist() == [255.0] * 3


def test_sixteen_bits_become_eight():
    wide = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    assert prepare(wide, Recipe(order="GRAY")).ravel().tolist() == [0, 1, 255]
    floats = Image.fromarray(np.array([[-5.0, 7.0, 300.0, np.nan]], np.float32))
    assert prepare(floats, Recipe(order="GRAY")).ravel().tolist() == [0, 7, 255, 0]


def test_the_camera_may_have_been_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to see it upright
    image([[1, 2, 3]]).save(tmp_path / "turned.png", exif=exif)
    y = prepare(opened(tmp_path / "turned.png"), Recipe(order="GRAY"))
    assert y[0, 0].tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp", "ppm"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    image(np.full((8, 8, 3), 90)).save(path)
    np.testing.assert_allclose(prepare(opened(path), Recipe()), np.full((1, 3, 8, 8), 90), atol=2)


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"crop": "middle"}, "crop is 'middle'; use stretch or center"),
        ({"filter": 3}, "filter is 3; use bilinear or antialias"),
        ({"order": ["RGB"]}, "order is ['RGB']; use RGB or BGR or GRAY"),
        ({"size": [3]}, "size is [3], but must be 2 sizes"),
        ({"size": [0, 3]}, "must be 2 sizes"),
        ({"size": [3, 1 << 20]}, "must be 2 sizes"),
        ({"size": [2.5, 3]}, "must be 2 sizes"),
        ({"size": "33"}, "must be 2 sizes"),
        ({"resize": -1}, "resize is -1, but must be 1 size"),
        ({"mean": [1, 2]}, "mean is [1, 2], but must be 1 or 3 numbers"),
        ({"mean": [1, 2, 3], "order": "GRAY"}, "must be 1 number"),
        ({"scale": [1, float("nan"), 2]}, "must be 1 or 3 numbers"),
        ({"scale": True}, "must be 1 or 3 numbers"),
        ({"zoom": 1}, "image preparation has no 'zoom'"),
    ],
    ids=str,
)
def test_recipes_that_make_no_sense(metadata, says):
    with pytest.raises(InputError) as caught:
        Recipe.of(metadata)
    assert says in str(caught.value)


def test_recipe_of_metadata():
    metadata = {
        "size": [2, 3],
        "resize": None,
        "mean": 0.5,
        "scale": [1, 2, 3],
        "order": "BGR",
        "crop": "center",
    }
    assert Recipe.of(metadata) == Recipe((2, 3), "center", None, "bilinear", "BGR", (0.5,), (1.0, 2.0, 3.0))
    assert Recipe.of({}) == Recipe()


def test_files_that_are_no_images(tmp_path, photo):
    with pytest.raises(InputError, match=r"nope\.png: there is no such file"):
        opened(tmp_path / "nope.png")
    with pytest.raises(InputError, match=r": damaged: "):
        opened(tmp_path)  # a folder
    text = tmp_path / "text.png"
    text.write_text("no image")
    with pytest.raises(InputError, match=r"text\.png: no image of a known kind"):
        opened(text)


def test_damaged_images(tmp_path, photo):
    whole = photo.read_bytes()
    rng = np.random.default_rng(3)
    damaged = tmp_path / "damaged.png"
    for trial in range(150):
        data = bytearray(whole[: int(rng.integers(len(whole)))] if trial % 2 else whole)
        for _ in range(trial % 7):
            if data:
                data[int(rng.integers(len(data)))] = int(rng.integers(256))
        damaged.write_bytes(data)
        try:
            prepare(opened(damaged), Recipe(size=(4, 4)))
        except InputError as error:
            assert str(error).startswith(str(damaged))


def test_a_bomb(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"photo\.png: damaged: Image size .* exceeds limit"):
        opened(photo)
