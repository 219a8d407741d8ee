"""The .param itself: text, binary, and what is wrong with damaged ones."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import FileError, InputError
from fbnet.formats.ncnn.param import read_param

NET = """7767517
5 6
Input            data  0 1 data -23330=4,3,8,8,2 0=8 1=8 2=2
Convolution      conv  1 1 data c 0=4 1=3 4=1 5=1 6=72 9=2 -23310=1,1.0e-1
Split            split 1 2 c a b
Pooling          pool  1 1 a p 0=1 4=1
BinaryOp         mul   2 1 b p y 0=2
"""


def test_a_binary_param_is_the_same_net(write, binary):
    text = fbnet.convert(*write(NET), random_weights=1)
    other = fbnet.convert(*write(binary(NET)), random_weights=1)
    assert [(n.type, n.attributes) for n in text.layers] == [(n.type, n.attributes) for n in other.layers]
    assert text["conv"].type == other["convolution1"].type == "ReLU"
    assert other["convolution1"].negative_slope == 0.1 and other.outputs == ("blob5",)


@pytest.mark.parametrize(
    ("written", "key", "value"),
    [
        ("0=5", 0, 5),
        ("0=-1.5e0", 0, -1.5),
        ("-23303=2,1,-3", 3, (1, -3)),
        ("-23303=0", 3, ()),
        ("3=1,-3", 3, (1, -3)),
        ("3=2.5,", 3, (2.5,)),
        ("6=size(@0,1)", 6, "size(@0,1)"),
        ('6="0w, 1h"', 6, "0w, 1h"),
        ("0=4 \t 1=5", 1, 5),
        ("0=4 1=5   ", 1, 5),
    ],
)
def test_parameters(write, written, key, value):
    (node,) = read_param(*write(f"7767517\n1 1\nInput data 0 1 data {written}\n"))
    assert node.params[key] == value and type(node.params[key]) is type(value)


def test_line_ends_blank_lines_and_surplus_lines_do_not_matter(write):
    want = read_param(*write(NET))
    assert read_param(*write(NET.replace("\n", "\r\n"))) == want
    assert read_param(*write(NET.replace("\n", "\n\n  "))) == want
    assert read_param(*write(NET + "Noop out 1 1 y z\n")) == want  # ncnn reads no more than the file says


BAD = {
    "": "begins with",
    "7767518\n1 1\n": "but a .param begins with 7767517",
    "7767517": "its second line must be the numbers of layers and blobs",
    "7767517\none 1\n": "its second line",
    "7767517\n2 1\nInput data 0 1 data 0=1\n": "says it has 2 layers, but has 1: truncated?",
    "7767517\n1 1\nInput data 0\n": "net.param:3: a layer is: type name inputs outputs",
    "7767517\n1 1\nInput data 0 x data\n": "net.param:3: a layer is",
    "7767517\n1 1\nInput data 0 2 data 0=1\n": "has 0 inputs and 2 outputs, but fewer names",
    "7767517\n1 1\nInput data 0 1 data 0=1 0=2\n": "the key 0 is out of range or given twice",
    "7767517\n1 1\nInput data 0 1 data 32=2\n": "the key 32 is out of range",
    "7767517\n1 1\nInput data 0 1 data -5=2\n": "the key -5 is out of range",
    "7767517\n1 1\nInput data 0 1 data 0=1 junk\n": "'junk' is no key=value",
    "7767517\n1 1\nInput data 0 1 data 0=\n": "'' is no number",
    "7767517\n1 1\nInput data 0 1 data 0=1_0\n": "'1_0' is no number",
    "7767517\n1 1\nInput data 0 1 data 0=1e999\n": "is out of range",
    "7767517\n1 1\nInput data 0 1 data 0=99999999999\n": "is out of range",
    "7767517\n1 1\nInput data 0 1 data -23303=3,1,2\n": "says it has 3 values, but has 2",
    "7767517\n1 1\nReLU r 1 1 x y\n": "r (ReLU) reads 'x', which is written by no layer",
    "7767517\n2 2\nReLU r 1 1 y y\nReLU s 1 1 y z\n": "written later or by itself",
    "7767517\n2 2\nInput a 0 1 x 0=3\nInput b 0 1 x 0=3\n": "b (Input) writes 'x', which a layer before it writes too",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=map(str, range(len(BAD))))
def test_a_damaged_text_is_a_file_error_that_names_the_place(write, text, message):
    with pytest.raises(FileError) as error:
        fbnet.convert(*write(text), random_weights=1)
    assert message in str(error.value) and "net.param" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("at", [4, 8, 12, 40, -8, -1])
def test_a_cut_binary_is_a_file_error(write, binary, at):
    with pytest.raises(FileError, match="truncated"):
        read_param(*write(binary(NET)[:at]))


def test_bytes_behind_a_binary_are_a_file_error(write, binary):
    with pytest.raises(FileError, match="4 bytes follow its 5 layers"):
        read_param(*write(binary(NET) + b"abcd"))


def test_what_is_neither_text_nor_binary(write, tmp_path):
    with pytest.raises(FileError, match="is no text, at byte 0"):
        read_param(*write(b"\xff\xfe\x00"))
    with pytest.raises(FileError, match="cannot be read"):
        read_param(tmp_path / "none.param")


def test_the_shape_of_an_input_may_be_given(write):
    (path,) = write("7767517\n2 2\nInput in 0 1 x\nReLU r 1 1 x y\n")
    with pytest.raises(
        fbnet.ConversionError, match=r"the shape of the input 'x': pass shapes=\{'x': \(N, C, H, W\)\}"
    ):
        fbnet.convert(path)
    assert str(fbnet.convert(path, shapes={"x": (1, 3, 4, 5)}).inputs["x"]) == "fp32[N,3,H,W]"
    with pytest.raises(InputError, match=r"has no input 'xx'\. Did you mean 'x'"):
        fbnet.convert(path, shapes={"xx": (1, 3, 4, 5)})
    with pytest.raises(InputError, match="give input names and their sizes"):
        fbnet.convert(path, shapes={"x": "3"})
    with pytest.raises(fbnet.ConversionError, match=r"has the shape \[1, 0\]"):
        fbnet.convert(path, shapes={"x": (1, 0)})


def test_images_of_any_size_need_no_shape(write):
    head, conv = "Input in 0 1 x\nSplit s 1 2 x a b\n", "Convolution c 1 1 b y 0=4 1=3 4=1 6=180\n"
    net = fbnet.convert(*write(f"7767517\n3 4\n{head}{conv}"), random_weights=1)
    assert str(net.inputs["x"]) == "fp32[N,5,H,W]" and net.inputs["x"].shape == (1, 5, 224, 224)
    fixed = "Pooling p 1 1 y p 1=2 2=2\nInnerProduct i 1 1 p i 0=2 2=32\n"
    text = f"7767517\n5 6\n{head}{conv}{fixed}"
    assert str(fbnet.convert(*write(text), random_weights=1, shapes={"x": (1, 5, 4, 4)}).inputs["x"])
    with pytest.raises(fbnet.ConversionError, match="has weights for K=16"):
        fbnet.convert(*write(text), random_weights=1)
    text = f"7767517\n4 5\n{head}{conv}Pooling p 1 1 y p 1=3 2=2 5=2\n"
    with pytest.raises(
        fbnet.ConversionError, match="is made for one image size, which the file does not tell: pass"
    ):
        fbnet.convert(*write(text), random_weights=1)


def test_metadata(write, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("cat\ndog\n")
    paths = write("7767517\n2 2\nInput in 0 1 x 0=2\nReLU r 1 1 x y\n")
    net = fbnet.convert(*paths, labels=labels, image={"size": [2, 2]})
    told = {"source": "net.param", "labels": ["cat", "dog"], "image": {"size": [2, 2]}}
    clean_up = {"nodes": 2, "layers": 1, "left": 1, "types": {}}
    assert net.name == "net" and dict(net.metadata) == told | {"clean_up": clean_up}
    np.testing.assert_array_equal(net(np.float32([[-1, 2]])), [[0, 2]])
