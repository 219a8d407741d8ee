import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import InputError
from fbnet.tools.image import colors_of, opened, pixels
from PIL import Image


def image(pixels, mode=None) -> Image.Image:
    return (
        Image.fromarray(np.asarray(pixels, np.uint8), mode)
        if mode is None
        else Image.frombytes(mode, *pixels)
    )


def test_shape_dtype_and_channel_order():
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    rgb, bgr = pixels(image(array)), pixels(image(array), "BGR")
    for found in (rgb, bgr):
        assert found.shape == (1, 2, 4, 3) and found.dtype == np.uint8 and found.flags.c_contiguous
    assert np.array_equal(rgb[0], array) and np.array_equal(bgr, rgb[..., ::-1])
    assert pixels(image(array), "GRAY").shape == (1, 2, 4, 1)
    rgba = pixels(image(array), "RGBA")
    assert np.array_equal(rgba[..., :3], rgb) and (rgba[..., 3] == 255).all()
    assert np.array_equal(pixels(image(array), "BGRA"), rgba[..., [2, 1, 0, 3]])


def test_grey_palette_bilevel_and_cmyk_become_rgb():
    for made in (image([[9]]), image([[9]]).convert("P"), image([[[9, 9, 9]]]).convert("CMYK")):
        y = pixels(made)
        assert y.shape == (1, 1, 1, 3) and np.allclose(y, 9, atol=1), made.mode
    assert pixels(Image.new("1", (1, 1), 1)).ravel().tolist() == [255.0] * 3
    assert pixels(image([[[0, 0, 255]]]), "GRAY").item() == 29  # ITU-R 601


def test_transparent_pixels_are_on_white():
    rgba = image([[[200, 0, 0, 0], [200, 0, 0, 255]]])
    assert pixels(rgba)[0, 0].tolist() == [[255, 255, 255], [200, 0, 0]]
    assert pixels(image([[[0, 0]]], None).convert("LA")).ravel().tolist() == [255.0] * 3
    palette = image([[[200, 0, 0]]]).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert pixels(palette).ravel().tolist() == [255.0] * 3


def test_sixteen_bits_become_eight():
    wide = Image.fromarray(np.array([[0, 257, 65535]], np.uint16))
    assert pixels(wide, "GRAY").ravel().tolist() == [0, 1, 255]
    floats = Image.fromarray(np.array([[-5.0, 7.0, 300.0, np.nan]], np.float32))
    assert pixels(floats, "GRAY").ravel().tolist() == [0, 7, 255, 0]


def test_the_camera_may_have_been_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise by 90 degrees to see it upright
    image([[1, 2, 3]]).save(tmp_path / "turned.png", exif=exif)
    y = pixels(opened(tmp_path / "turned.png"), "GRAY")
    assert y[0, ..., 0].tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp", "ppm"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"photo.{suffix}"
    image(np.full((8, 8, 3), 90)).save(path)
    np.testing.assert_allclose(pixels(opened(path)), np.full((1, 8, 8, 3), 90.0), atol=2)


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
            pixels(opened(damaged))
        except InputError as error:
            assert str(error).startswith(str(damaged))


def test_a_bomb(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"photo\.png: damaged: Image size .* exceeds limit"):
        opened(photo)


@pytest.mark.parametrize(
    ("shape", "told", "wanted"),
    [
        (("N", "H", "W", 3), None, "RGB"),
        (("N", "H", "W", 1), None, "GRAY"),
        (("N", "H", "W", 4), None, "RGBA"),
        (("N", "H", "W", 3), "BGR", "BGR"),
    ],
)
def test_colors_of_a_net(shape, told, wanted):
    layer = fbnet.engine.layer.layers["ImageToTensor"]("image", name="x")
    metadata = {"image": {"pixels": told}} if told else {}
    net = fbnet.Net([layer], {"image": fbnet.Spec(shape, "uint8")}, metadata=metadata)
    assert colors_of(net) == wanted


def test_nets_that_read_no_photo():
    layers = fbnet.engine.layer.layers
    floats = fbnet.Net([layers["ReLU"]("x")], {"x": (1, 3, 8, 8)})
    with pytest.raises(InputError, match=r"net reads no pixels: with_image_input makes it so"):
        colors_of(floats)
    frames = fbnet.with_image_input(floats, pixels="NV12")
    with pytest.raises(InputError, match=r"reads image uint8\[1,R,W\], NV12 pixels: no photo has them"):
        colors_of(frames)
