"""Old spellings become today's: V0 and V1 layers, `input:`; and files that are no prototxt."""

from __future__ import annotations

import fbnet
import pytest
from fbnet.engine.errors import FileError, InputError
from fbnet.formats.caffe.prototxt import read_prototxt

V2 = """
name: "same"
layer { name: "input" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 20 dim: 20 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 bias_term: false } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 } }
layer { name: "drop" type: "Dropout" bottom: "norm" top: "norm" dropout_param { dropout_ratio: 0.4 } }
layer { name: "cat" type: "Concat" bottom: "pool" bottom: "norm" top: "cat" concat_param { axis: 1 } }
layer { name: "fc" type: "InnerProduct" bottom: "cat" top: "fc" inner_product_param { num_output: 5 } }
layer { name: "tanh" type: "TanH" bottom: "fc" top: "fc" }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""

V1 = """
name: "same"
input: "data" input_dim: 1 input_dim: 3 input_dim: 20 input_dim: 20
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 weight_decay: 0
         convolution_param { num_output: 4 kernel_size: 3 pad: 1 stride: 2 bias_term: false } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layers { name: "norm" type: LRN bottom: "pool" top: "norm" lrn_param { local_size: 3 alpha: 0.1 beta: 0.5 } }
layers { name: "drop" type: DROPOUT bottom: "norm" top: "norm" dropout_param { dropout_ratio: 0.4 } }
layers { name: "cat" type: CONCAT bottom: "pool" bottom: "norm" top: "cat" concat_param { concat_dim: 1 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "cat" top: "fc" inner_product_param { num_output: 5 } }
layers { name: "tanh" type: TANH bottom: "fc" top: "fc" }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
"""

V0 = """
name: "same"
input: "data" input_dim: 1 input_dim: 3 input_dim: 20 input_dim: 20
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "padded" }
layers { layer { name: "conv" type: "conv" num_output: 4 kernelsize: 3 stride: 2 biasterm: false }
         bottom: "padded" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: AVE kernelsize: 2 stride: 2 } bottom: "conv" top: "pool" }
layers { layer { name: "norm" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 } bottom: "pool" top: "norm" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.4 } bottom: "norm" top: "norm" }
layers { layer { name: "cat" type: "concat" concat_dim: 1 } bottom: "pool" bottom: "norm" top: "cat" }
layers { layer { name: "fc" type: "innerproduct" num_output: 5 } bottom: "cat" top: "fc" }
layers { layer { name: "tanh" type: "tanh" } bottom: "fc" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""


@pytest.mark.parametrize("old", [V1, V0], ids=["V1", "V0"])
def test_old_spellings_are_the_same_net(read, old):
    assert read(old).digest == read(V2).digest


def test_every_v1_type(write):
    """V1's enum becomes V2's type names, irregular ones too."""
    words = {"ABSVAL": "AbsVal", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data", "SOFTMAX_LOSS": "SoftmaxWithLoss"}
    words |= {
        "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
        "INNER_PRODUCT": "InnerProduct",
        "MVN": "MVN",
    }
    words |= {"IM2COL": "Im2col", "PRELU": "PReLU", "MY_LAYER": "MyLayer", "ARGMAX": "ArgMax", "NONE": ""}
    text = "".join(f'layers {{ name: "n" type: {word} }} ' for word in words)
    assert [layer.type for layer in read_prototxt(write(text)[0]).layer] == list(words.values())


def test_v1_carries_rules_and_shared_names(write):
    text = 'layers { name: "a" type: RELU include { phase: TRAIN } param: "w" param: "b" }'
    layer = read_prototxt(write(text)[0]).layer[0]
    assert [rule.phase for rule in layer.include] == [0]
    assert [p.name for p in layer.param] == ["w", "b"]


def test_inputs(write):
    text = 'input: "a" input: "b" input_shape { dim: 2 dim: 3 } input_shape { dim: 4 } layer { name: "x" type: "ReLU" }'
    layer = read_prototxt(write(text)[0]).layer[0]
    assert (layer.type, list(layer.top)) == ("Input", ["a", "b"])
    assert [list(s.dim) for s in layer.input_param.shape] == [[2, 3], [4]]


def test_comments_in_any_encoding(read):
    gbk = "# 输入\n".encode("gbk") + V2.encode()
    assert read(gbk).digest == read("\ufeff" + V2).digest == read(V2).digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"\x0a\x04test\x00", "is binary"),
        (b"", "holds no layers"),
        (b'net: "train_val.prototxt" base_lr: 0.01', "holds no layers"),
        (b'layer { name: "a" } layers { name: "b" }', "both"),
        (b'input: "a" input: "b" input_dim: 1 layer { name: "a" }', "2 inputs, but 1 shapes"),
        (
            b'layers { layer { type: "padding" } bottom: "d" top: "x" }'
            b'layers { layer { name: "r" type: "relu" } bottom: "x" }',
            "r: only conv",
        ),
        (b" " * (9 << 20), "which no prototxt is"),
    ],
)
def test_no_net(write, text, said):
    with pytest.raises(FileError, match=said):
        fbnet.convert(*write(text), random_weights=1)


def test_paths(write, tmp_path):
    prototxt, caffemodel = write(V2, {})
    for paths in ([caffemodel], [prototxt, caffemodel, caffemodel], [prototxt, prototxt, caffemodel]):
        with pytest.raises(InputError, match=r"one \.prototxt and one \.caffemodel"):
            fbnet.convert(*paths)
    with pytest.raises(FileError, match="cannot be read"):
        fbnet.convert(tmp_path / "absent.prototxt", random_weights=1)
    with pytest.raises(FileError, match="cannot be read"):
        fbnet.convert(prototxt, tmp_path / "absent.caffemodel")
