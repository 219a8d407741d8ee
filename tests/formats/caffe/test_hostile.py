"""Cut and altered files: a typed error or a whole net, in no time, and never another exception."""

from __future__ import annotations

import pytest

TEXTS = {
    "V2": """
name: "a"
layer { name: "in" type: "Input" top: "data" input_param { shape: { dim: 1 dim: 2 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" param { name: "w" lr_mult: 1 }
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 group: 2 dilation: 1 } }
layer { name: "b" type: "BatchNorm" bottom: "c" top: "c" batch_norm_param { use_global_stats: true } }
layer { name: "s" type: "Scale" bottom: "c" top: "c" scale_param { bias_term: true axis: 1 } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" include { phase: TEST stage: "deploy" } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "sl" type: "Slice" bottom: "p" top: "q" top: "t" slice_param { slice_point: 1 } }
layer { name: "cat" type: "Concat" bottom: "t" bottom: "q" top: "u" concat_param { axis: 1 } }
layer { name: "rs" type: "Reshape" bottom: "u" top: "v" reshape_param { shape { dim: 0 dim: -1 } axis: 0 } }
layer { name: "fc" type: "InnerProduct" bottom: "v" top: "fc" inner_product_param { num_output: 5 axis: 1 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
""",
    "V1": """
input: "data" input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 8
layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
layers { layer { name: "p" type: "pool" pool: AVE kernelsize: 2 stride: 2 } bottom: "c" top: "p" }
layers { name: "n" type: LRN bottom: "p" top: "n" lrn_param { local_size: 3 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "n" top: "fc" inner_product_param { num_output: 5 } }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
""",
}
TEXTS["SSD"] = """
input: "data" input_shape { dim: 1 dim: 3 dim: 16 dim: 16 }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 8 kernel_size: 3 } }
layer { name: "n" type: "Normalize" bottom: "c" top: "n" norm_param { across_spatial: false channel_shared: false } }
layer { name: "pb" type: "PriorBox" bottom: "n" bottom: "data" top: "pb" prior_box_param { min_size: 4 max_size: 6
        aspect_ratio: 2 flip: true clip: false variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 step: 8 } }
layer { name: "loc" type: "Convolution" bottom: "n" top: "loc" convolution_param { num_output: 16 kernel_size: 1 } }
layer { name: "conf" type: "Convolution" bottom: "n" top: "conf" convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "lp" type: "Permute" bottom: "loc" top: "lp" permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "lf" type: "Flatten" bottom: "lp" top: "lf" }
layer { name: "cf" type: "Flatten" bottom: "conf" top: "cf" }
layer { name: "out" type: "DetectionOutput" bottom: "lf" bottom: "cf" bottom: "pb" top: "out" detection_output_param {
        num_classes: 2 keep_top_k: 9 code_type: CENTER_SIZE nms_param { nms_threshold: 0.4 top_k: 20 } } }
layer { name: "i" type: "Interp" bottom: "c" top: "i" interp_param { zoom_factor: 2 } }
layer { name: "sp" type: "SPP" bottom: "c" top: "sp" spp_param { pyramid_height: 2 } }
layer { name: "am" type: "ArgMax" bottom: "c" top: "am" argmax_param { top_k: 2 out_max_val: true } }
layer { name: "ti" type: "Tile" bottom: "c" top: "ti" tile_param { axis: 1 tiles: 2 } }
layer { name: "im" type: "Im2col" bottom: "c" top: "im" convolution_param { kernel_size: 2 stride: 2 } }
"""
TEXTS["LSTM"] = """
input: "x" input_shape { dim: 3 dim: 2 dim: 4 } input: "cont" input_shape { dim: 3 dim: 2 }
layer { name: "e" type: "Embed" bottom: "cont" top: "e" embed_param { num_output: 4 input_dim: 5 } }
layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 6 } }
layer { name: "r" type: "RNN" bottom: "h" bottom: "cont" top: "o" recurrent_param { num_output: 5 } }
layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 5 } } }
layer { name: "b" type: "Bias" bottom: "o" bottom: "p" top: "b" bias_param { axis: 2 } }
layer { name: "s" type: "Reduction" bottom: "b" top: "s" reduction_param { operation: MEAN axis: 2 } }
"""
TEXTS["V2"] = TEXTS["V2"].replace('bottom: "label" ', "")
WORDS = [
    b"-1",
    b"0",
    b"2147483648",
    b"1e30",
    b"nan",
    b"{",
    b"}",
    b'"',
    b"MAX",
    b"data",
    b"Slice",
    b"\xff\x00",
    b"dim: 9 ",
]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_prefix_of_a_prototxt(read, text, outcome):
    data = text.encode()
    kinds = {outcome(read, data[:end]) for end in range(len(data))}
    assert kinds <= {"net", "FileError", "ConversionError"} and "FileError" in kinds


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_mutated_prototxts(read, text, outcome, mutants):
    kinds = [outcome(read, mutant) for mutant in mutants(text.encode(), 1000, WORDS)]
    assert kinds.count("net") > 20 and kinds.count("FileError") > 100 and kinds.count("ConversionError") > 50


@pytest.fixture
def weights(read, blobs_of, caffemodel) -> bytes:
    return caffemodel(blobs_of(read(TEXTS["V2"])))


def test_every_prefix_of_a_caffemodel(read, weights, outcome):
    kinds = [outcome(read, TEXTS["V2"], weights[:end]) for end in range(len(weights) + 1)]
    assert set(kinds) == {"FileError", "ConversionError", "net"} and kinds.count("net") == 1


def test_mutated_caffemodels(read, weights, outcome, mutants):
    lengths = [
        b"\xff\xff\xff\xff\x7f",
        b"\x00",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\x2a\x04abcd",
        b"\xa2\x06",
    ]
    kinds = [outcome(read, TEXTS["V2"], mutant) for mutant in mutants(weights, 1000, lengths)]
    assert kinds.count("net") > 20 and kinds.count("FileError") > 100


def test_nesting_without_end(read, outcome):
    deep = b"\x12" + b"\x7f" * 3
    for data in (deep * 20000, b"\x0b" * 100000, b"\xa2\x06\x02\x3a\x00" * 50000):
        assert outcome(read, TEXTS["V2"], data) in ("FileError", "ConversionError")
    for text in (
        "layer { " * 50000,
        "a: [" * 50000,
        'x { y: "' + "z" * 10**6,
        "layer { } " * 5000,
        "z" * 10**6,
    ):
        assert outcome(read, text) in ("FileError", "ConversionError", "net")


BOMBS = [
    ("Tile", "tile_param { axis: 1 tiles: 2000000000 }"),
    ("Interp", "interp_param { height: 2000000000 width: 2000000000 }"),
    ("Interp", "interp_param { zoom_factor: 2000000000 }"),
    ("Upsample", "upsample_param { scale: 1e30 }"),
    ("SPP", "spp_param { pyramid_height: 4000000000 }"),
    ("Im2col", "convolution_param { kernel_size: 1 pad: 2000000000 }"),
    ("ArgMax", "argmax_param { top_k: 4000000000 }"),
    ("Embed", "embed_param { num_output: 4000000000 input_dim: 4000000000 }"),
    ("Parameter", "parameter_param { shape { dim: 4000000000 dim: 4000000000 } }"),
    ("Reduction", "reduction_param { axis: 2147483647 }"),
]


@pytest.mark.parametrize(("type", "params"), BOMBS)
def test_what_would_take_all_memory_is_refused_before(read, type, params, outcome):
    bottom = "" if type == "Parameter" else 'bottom: "data"'
    text = 'input: "data" input_shape { dim: 1 dim: 2 dim: 8 dim: 8 } '
    text += f'layer {{ name: "a" type: "{type}" {bottom} top: "a" {params} }}'
    text += 'layer { name: "b" type: "Bias" bottom: "data" bottom: "a" top: "b" }' if not bottom else ""
    assert outcome(read, text) == "ConversionError"
    deep = (
        'input: "x" input_shape { dim: 9000 dim: 1 dim: 1 } input: "cont" input_shape { dim: 9000 dim: 1 } '
    )
    deep += 'layer { name: "l" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param { num_output: 1 } }'
    assert outcome(read, deep) == "ConversionError"
