"""Blobs in all their spellings, what is missing, and what does not fit."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError, FileError, InputError
from fbnet.formats.caffe.schema import schema

NET = """
name: "small"
input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "fc" type: "InnerProduct" bottom: "bn" top: "fc" inner_product_param { num_output: 5 } }
"""


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


BLOBS = {
    "conv": [numbers(3, 2, 3, 3), numbers(3)],
    "bn": [numbers(3), abs(numbers(3)) + 1, np.float32([2.0])],
    "fc": [numbers(5, 12), numbers(5)],
}
OLD = (
    NET.replace("layer {", "layers {")
    .replace('"Convolution"', "CONVOLUTION")
    .replace('"InnerProduct"', "INNER_PRODUCT")
)


def model(**fields) -> bytes:
    """A .caffemodel with BLOBS, whose conv has one blob of these fields instead of its w."""
    made = schema()["Caffemodel"]()
    for name, arrays in BLOBS.items():
        layer = made.layer.add(name=name.encode())
        for i, array in enumerate(arrays):
            if name == "conv" and i == 0:
                layer.blobs.add(**fields)
            else:
                layer.blobs.add(data=[array.tobytes()], shape={"dim": array.shape})
    return made.SerializeToString()


def unpacked(array: np.ndarray) -> bytes:
    """A repeated float as a writer without packing puts it: a tag and four bytes a number."""
    return b"".join(b"\x2d" + number.tobytes() for number in array.ravel())


@pytest.mark.parametrize("generation", [2, 1, 0])
def test_values_of_every_generation(read, generation):
    net = read(NET, BLOBS, generation)
    np.testing.assert_array_equal(net.constants["conv.w"].data, BLOBS["conv"][0])
    np.testing.assert_array_equal(net.constants["conv.b"].data, BLOBS["conv"][1])
    np.testing.assert_array_equal(net.constants["fc.w"].data, BLOBS["fc"][0])
    np.testing.assert_array_equal(net.constants["bn.mean"].data, BLOBS["bn"][0] / 2)
    np.testing.assert_array_equal(net.constants["bn.var"].data, BLOBS["bn"][1] / 2)
    assert net.metadata["source"] == "net.prototxt + net.caffemodel"


W = BLOBS["conv"][0]
SPELLINGS = {
    "pieces": {"data": [W.tobytes()[:40], W.tobytes()[40:]], "shape": {"dim": W.shape}},
    "double": {"double_data": [W.astype("<f8").tobytes()], "shape": {"dim": W.shape}},
    "raw half": {"raw_data": W.astype("<f2").tobytes(), "raw_data_type": 2, "shape": {"dim": W.shape}},
    "raw float": {"raw_data": W.tobytes(), "raw_data_type": 1, "shape": {"dim": W.shape}},
    "legacy": {"data": [W.tobytes()], "num": 3, "channels": 2, "height": 3, "width": 3},
    "no shape": {"data": [W.tobytes()]},
    "ones": {"data": [W.tobytes()], "shape": {"dim": (1, *W.shape)}},
}


@pytest.mark.parametrize("fields", SPELLINGS.values(), ids=SPELLINGS)
def test_spellings_of_a_blob(read, fields):
    found = read(NET, model(**fields)).constants["conv.w"].data
    assert found.dtype == np.float32 and found.shape == W.shape
    np.testing.assert_allclose(found, W, rtol=1e-3 if "raw_data" in fields else 0)


def test_a_blob_that_is_not_packed(read):
    blob = unpacked(W) + b"\x3a\x06\x0a\x04" + bytes(W.shape)  # shape { dim: ... }
    layer = b"\x0a\x04conv" + b"\x3a" + bytes([len(blob) % 128 + 128, len(blob) // 128]) + blob
    layer += b"\x3a\x0e" + b"\x2a\x0c" + BLOBS["conv"][1].tobytes()
    conv = b"\xa2\x06" + bytes([len(layer) % 128 + 128, len(layer) // 128]) + layer
    rest = schema()["Caffemodel"].FromString(model(data=[W.tobytes()]))
    del rest.layer[0]
    np.testing.assert_array_equal(read(NET, conv + rest.SerializeToString()).constants["conv.w"].data, W)


def test_batch_norm_with_a_factor_of_zero(read):
    """Caffe's rule for a net that was never trained: mean and variance are 0."""
    net = read(NET, BLOBS | {"bn": [*BLOBS["bn"][:2], np.float32([0.0])]})
    assert not net.constants["bn.mean"].data.any() and not net.constants["bn.var"].data.any()


def test_transposed_inner_product(read):
    text = NET.replace("num_output: 5", "num_output: 5 transpose: true")
    net = read(text, BLOBS | {"fc": [np.ascontiguousarray(BLOBS["fc"][0].T), BLOBS["fc"][1]]})
    x = numbers(1, 2, 4, 4)
    np.testing.assert_array_equal(net.forward(data=x)["fc"], read(NET, BLOBS).forward(data=x)["fc"])


def test_all_that_is_missing_or_does_not_fit_is_listed(read):
    blobs = {"conv": [numbers(3, 3, 3, 3), numbers(3)], "fc": [numbers(12, 5)], "other": [numbers(1)]}
    with pytest.raises(ConversionError) as error:
        read(NET, blobs)
    assert sorted(error.value.problems) == [
        "bn (BatchNorm): net.caffemodel has no weights for it: factor, fp32[1], is missing",
        "bn (BatchNorm): net.caffemodel has no weights for it: mean, fp32[3], is missing",
        "bn (BatchNorm): net.caffemodel has no weights for it: var, fp32[3], is missing",
        "conv (Convolution): its w is [3, 3, 3, 3] in net.caffemodel, but fp32[3,2,3,3] is needed",
        "fc (InnerProduct): its w is [12, 5] in net.caffemodel, but fp32[5,12] is needed",
        "fc (InnerProduct): net.caffemodel has only 1 blobs for it: b, fp32[5], is missing",
    ]


def test_a_blob_too_many(read):
    """A prototxt that says bias_term: false for weights with a bias is another net."""
    text = NET.replace("kernel_size: 3", "kernel_size: 3 bias_term: false")
    with pytest.raises(
        ConversionError, match=r"conv \(Convolution\): net.caffemodel has 2 blobs for it, but it takes 1"
    ):
        read(text, BLOBS)


def test_two_layers_of_one_name(read):
    text = NET.replace('name: "fc"', 'name: "conv"')
    with pytest.raises(ConversionError, match="is called like another layer with weights"):
        read(text, BLOBS)


def test_shared_parameters(read):
    twice = (
        'layer { name: "NAME" type: "InnerProduct" bottom: "BOTTOM" top: "NAME" param { name: "w" } SHAPE }'
    )
    shape = "inner_product_param { num_output: 32 axis: 1 bias_term: false }"
    head = 'input: "data" input_dim: 1 input_dim: 2 input_dim: 4 input_dim: 4 '

    def fc(name: str, bottom: str) -> str:
        return twice.replace("NAME", name).replace("BOTTOM", bottom).replace("SHAPE", shape)

    net = read(head + fc("a", "data") + fc("b", "a"), {"a": [numbers(32, 32)]})
    assert list(net.constants) == ["a.w"]
    with pytest.raises(
        ConversionError, match=r"b \(InnerProduct\) shares 'w' as fp32\[32,5\], but a.w is fp32\[32,32\]"
    ):
        other = 'layer { name: "s" type: "Slice" bottom: "a" top: "s" top: "rest" slice_param { slice_point: 5 } }'
        read(head + fc("a", "data") + other + fc("b", "s"), {"a": [numbers(32, 32)]})


DAMAGED = {
    "a shape that is not what it holds": (
        {"data": [W.tobytes()], "shape": {"dim": [1 << 40, 1 << 40]}},
        "but 54 numbers",
    ),
    "half a float": ({"data": [b"12345"], "shape": {"dim": [1]}}, "no whole number of floats"),
    "an unknown type": ({"raw_data": b"1234", "raw_data_type": 9}, "raw_data_type 9"),
    "a negative size": ({"data": [W.tobytes()], "shape": {"dim": [-54, -1]}}, "is needed"),
}


@pytest.mark.parametrize(("fields", "said"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_blobs(read, fields, said):
    with pytest.raises((FileError, ConversionError), match=said):
        read(NET, model(**fields))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no layers"),
        (b"\x89HDF\r\n\x1a\n", "snapshot in HDF5"),
        (b"version https://git-lfs.github.com/spec/v1\n", "net.caffemodel: (is damaged|holds no layers)"),
    ],
)
def test_no_caffemodel(read, data, said):
    with pytest.raises(FileError, match=said):
        read(NET, data)


def test_a_prototxt_alone(write):
    paths = write(NET)
    with pytest.raises(
        InputError, match=r"its \.caffemodel is missing: .* random_weights=SEED .* conv, bn, fc"
    ):
        fbnet.convert(*paths)
    unknown = NET + 'layer { name: "x" type: "Foo" bottom: "fc" top: "x" }'
    with pytest.raises(
        ConversionError, match=r"1 problem in the way; x .* no such layer; its .caffemodel is missing"
    ):
        fbnet.convert(*write(unknown))
    for seed in (-1, "1", 1.5):
        with pytest.raises(InputError, match="give a seed"):
            fbnet.convert(*paths, random_weights=seed)
    weightless = (
        'input: "x" input_shape { dim: 1 dim: 2 } layer { name: "r" type: "ReLU" bottom: "x" top: "r" }'
    )
    assert len(fbnet.convert(*write(weightless))) == 1


def test_either_order(write):
    prototxt, caffemodel = write(NET, BLOBS)
    assert fbnet.convert(caffemodel, prototxt).digest == fbnet.convert(prototxt, caffemodel).digest


def test_an_odd_ending(write):
    """deploy.prototxt.txt, as one much copied face detector has it."""
    prototxt, caffemodel = write(NET, BLOBS)
    odd = prototxt.rename(prototxt.with_name("deploy.prototxt.txt"))
    assert fbnet.convert(caffemodel, odd).metadata["source"] == "deploy.prototxt.txt + net.caffemodel"


def test_labels(read, tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("n01440764 tench, Tinca tinca\n\nn2 is no id\nespresso\n")
    assert read(NET, labels=path).metadata["labels"] == ["tench, Tinca tinca", "n2 is no id", "espresso"]
    assert read(NET, labels=["a", "b"]).metadata["labels"] == ["a", "b"]
    with pytest.raises(InputError, match="labels cannot be read"):
        read(NET, labels=tmp_path / "absent.txt")
