"""part and pieces: a net between some of its tensors, and cut where an image's size stops to matter."""

import numpy as np
import pytest
from fbnet import Dim, InputError, Net, Spec
from fbnet.engine.compile import _Kept
from fbnet.engine.part import part, pieces
from fbnet.layers.activation import ReLU, Sigmoid
from fbnet.layers.conv import Convolution
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.image import BoxesToImage, ImageResize, ImageToTensor
from fbnet.layers.pool import Pooling
from fbnet.layers.reshape import Flatten
from fbnet.tools.model import Runner

RNG = np.random.default_rng(0)
W = RNG.standard_normal((4, 3, 3, 3)).astype(np.float32)
PIXELS = Spec((Dim("N"), Dim("H", 9), Dim("W", 9), 3), "uint8")


def photo_net(size=(8, 8), **attributes) -> Net:
    layers = [
        ImageResize("photo", name="resize", size=size, **attributes),
        ImageToTensor("resize", name="x"),
        Convolution("x", W, name="conv"),
        ReLU("conv", name="relu"),
    ]
    return Net(layers, {"photo": PIXELS}, name="photos")


def test_a_part_computes_what_the_whole_does():
    net = photo_net()
    photo = RNG.integers(0, 256, (2, 11, 13, 3), np.uint8)
    x = net.forward(upto="x", photo=photo)["x"]
    rest = part(net, ["x"], ["relu", "conv"])
    assert [layer.name for layer in rest] == ["conv", "relu"] and list(rest.constants) == ["conv.w"]
    np.testing.assert_array_equal(rest.forward(x=x)["relu"], net.forward(photo=photo)["relu"])
    first = part(net, ["photo"], ["x"])
    assert not first.constants and first.inputs["photo"] == PIXELS
    np.testing.assert_array_equal(first.forward(photo=photo)["x"], x)


def test_parts_that_are_none():
    two = Net([ReLU("a", name="r"), Eltwise("r", "b", name="sum")], {"a": (1, 2), "b": (1, 2)})
    with pytest.raises(InputError, match=r"sum also depends on the input 'b'"):
        part(two, ["a"], ["sum"])
    with pytest.raises(InputError, match=r"net has no tensor 'summ'. Did you mean 'sum'"):
        part(two, ["a", "b"], ["summ"])


@pytest.mark.parametrize(
    "attributes", [{}, {"fit": "letterbox"}, {"fit": "crop", "filter": "antialias"}], ids=str
)
def test_new_sizes_cost_a_plan_of_the_first_layers_only(attributes):
    net = photo_net(**attributes)
    head, body = pieces(net)
    assert [layer.name for layer in head] == ["resize"]
    assert [layer.name for layer in body] == ["x", "conv", "relu"] and pieces(net)[1] is body
    for h, w in ((9, 9), (9, 20), (31, 17), (8, 8)):
        photo = RNG.integers(0, 256, (h, w, 3), np.uint8)
        np.testing.assert_allclose(net(photo), net.forward(photo=photo)["relu"], rtol=1e-5, atol=1e-3)
    assert len(_Kept.of(head).plans) == 4 and len(_Kept.of(body).plans) == 1
    assert not _Kept.of(net).plans


def test_last_layers_that_follow_the_image_again():
    """Boxes are brought back to the image's pixels: three pieces, of which the long one is compiled once."""
    layers = [
        *photo_net().layers,
        Flatten("relu", name="flat", axis=2),
        BoxesToImage("flat", "photo", name="boxes", size=(8, 8)),
    ]
    net = photo_net().replace(layers=layers, outputs=["boxes"])
    assert [len(piece) for piece in pieces(net)] == [1, 4, 1]
    for h, w in ((9, 9), (9, 20)):
        photo = RNG.integers(0, 256, (2, h, w, 3), np.uint8)
        np.testing.assert_allclose(net(photo), net.forward(photo=photo)["boxes"], rtol=1e-4, atol=1e-2)
    assert len(_Kept.of(pieces(net)[1]).plans) == 1
    with Runner(net) as runner:
        tensors = runner.first({"photo": photo})
        assert set(tensors) == {"photo", "resize"}
        np.testing.assert_array_equal(runner.rest(tensors)["boxes"], net(photo))


def test_nets_that_stay_whole():
    fixed = photo_net().replace(inputs={"photo": Spec((1, 9, 9, 3), "uint8")})
    every = photo_net(size=(4, 4), fit="multiple")  # its results follow the image, too
    weights = Net(
        [
            Convolution("x", W, name="conv"),
            Pooling("conv", name="p", global_pooling=True),
            Sigmoid("p", name="y"),
        ],
        {"x": ("N", 3, Dim("H", 8), Dim("W", 8))},
    )
    for net in (fixed, every, weights):
        assert pieces(net) == (net,)


def test_pixels_are_whole_numbers_and_need_no_batch():
    net = photo_net()
    photo = RNG.integers(0, 256, (9, 9, 3), np.uint8)
    photo[0, 0, :2] = 0, 255
    np.testing.assert_array_equal(net(photo), net(photo[None]))
    np.testing.assert_array_equal(net(photo.astype(np.float32)), net(photo))
    np.testing.assert_array_equal(net(photo.tolist()), net(photo))
    for wrong in (photo / 255, photo.astype(np.int64) - 1, photo.astype(np.int32) + 1):
        with pytest.raises(
            InputError, match=r"'photo' is uint8\[N,H,W,3\], whole numbers from 0 to 255, but got"
        ):
            net(wrong)
    with pytest.raises(InputError, match=r"give it 4 dimensions"):
        net(photo[0])
    with pytest.raises(
        InputError, match=r"has shape \[1, 9, 9, 2\] but is uint8\[N,H,W,3\]: its channels differ"
    ):
        net(photo[..., :2])
