"""Every type of ncnn's that becomes layers, against the ncnn package on the same weights."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError

CONV = "1 1 data y 0=4 1=3"
WINDOWS = [
    f"Convolution c {CONV} 5=1 6=216",
    f"Convolution c {CONV} 11=1 2=2 12=1 3=2 13=3 4=2 14=0 15=1 16=3 6=72",
    f"Convolution c {CONV} 3=2 4=-233 5=1 6=216",
    f"Convolution c {CONV} 3=3 4=-234 6=216",
    f"Convolution c {CONV} 4=-233 6=216",
    f"ConvolutionDepthWise c {CONV} 4=1 5=1 6=108 7=2",
    "ConvolutionDepthWise c 1 1 data y 0=6 1=5 3=2 4=2 5=1 6=150 7=6",
    "Deconvolution c 1 1 data y 0=4 1=4 3=2 4=1 5=1 6=384",
    "Deconvolution c 1 1 data y 0=4 1=3 11=2 3=2 13=3 18=1 19=2 6=144",
    "Deconvolution c 1 1 data y 0=4 1=4 3=2 4=-233 20=14 21=18 6=384",
    "Deconvolution c 1 1 data y 0=4 1=3 3=2 4=-234 20=14 21=18 6=216",
    "DeconvolutionDepthWise c 1 1 data y 0=4 1=4 3=2 4=1 5=1 6=192 7=2",
    "DeconvolutionDepthWise c 1 1 data y 0=6 1=2 3=2 6=24 7=6",
    *[f"Convolution c {CONV} 6=216 9={kind}" for kind in (1, 4, 5)],
    f"Convolution c {CONV} 6=216 9=2 -23310=1,0.1",
    f"Convolution c {CONV} 6=216 9=3 10=-0.5,0.5",
    f"Convolution c {CONV} 6=216 9=6 -23310=2,0.2,0.4",
    *[f"Pooling p 1 1 data y 0={kind} 1=3 2=2 5={mode}" for kind in (0, 1) for mode in (0, 1, 2, 3)],
    *[f"Pooling p 1 1 data y 0=1 1=3 2=2 3=1 5={mode} 6={counts}" for mode in (0, 1) for counts in (0, 1)],
    "Pooling p 1 1 data y 1=2 2=2 3=0 14=1 15=1 5=1",
    "Pooling p 1 1 data y 1=2 3=1",
    "Pooling p 1 1 data y 0=1 1=3 11=3 2=1 12=3 3=1 13=0 6=1",
    *[f"Pooling p 1 1 data y 0={kind} 4=1" for kind in (0, 1)],
    *[
        f"Pooling p 1 1 data y 0={kind} 7=1 8={w} 18={h}"
        for kind in (0, 1)
        for w, h in ((1, 1), (7, 3), (5, 4))
    ],
    "Interp i 1 1 data y 0=1 1=2.0 2=3.0",
    "Interp i 1 1 data y 0=2 1=2.0 2=3.0",
    "Interp i 1 1 data y 0=2 1=0.33333334 2=1.0",
    "Interp i 1 1 data y 0=2 3=5 4=20 6=1",
    "Interp i 1 1 data y 0=1 3=5 4=20",
    "Interp i 1 1 data y 0=3 1=2.0 2=3.0",
    "Interp i 1 1 data y 0=3 3=5 4=20 6=1",
    "Padding p 1 1 data y 0=1 1=2 2=3 3=0 5=0.5",
    "Padding p 1 1 data y 0=1 1=0 2=0 3=2 7=1 8=2",
    "Padding p 1 1 data y 0=1 1=2 2=3 3=0 4=1",
    "Padding p 1 1 data y 0=1 1=2 2=3 3=0 4=2",
    "PixelShuffle p 1 1 c y 0=2",
    "PixelShuffle p 1 1 c y 0=2 1=1",
    "Unfold u 1 1 data y 1=3 4=1",
    "Unfold u 1 1 data y 1=3 11=2 2=2 12=1 3=2 13=3 4=2 14=0 15=1 16=3",
]
FUNCTIONS = [
    *[f"{t} f 1 1 data y" for t in ("Sigmoid", "TanH", "AbsVal", "BNLL", "Mish", "Swish", "Softplus")],
    *[f"{t} f 1 1 data y" for t in ("ReLU", "ELU", "SELU", "Clip", "HardSigmoid", "HardSwish", "GELU")],
    "ReLU f 1 1 data y 0=0.1",
    "ELU f 1 1 data y 0=0.5",
    "Clip f 1 1 data y 0=-0.5 1=1.5",
    "HardSigmoid f 1 1 data y 0=0.3 1=0.4",
    "HardSwish f 1 1 data y 0=0.16666667",
    "GELU f 1 1 data y 0=1",
    "Power f 1 1 data y 0=2.0 1=0.5 2=1.0",
    "Exp f 1 1 data y 0=2.0 1=0.5 2=1.0",
    "Dropout f 1 1 data y",
    "Dropout f 1 1 data y 0=0.5",
    *[f"UnaryOp f 1 1 data y 0={op}" for op in (0, 1, 2, 3, 4, 7, 9, 10, 11, 14, 16, 18, 19)],
    *[f"BinaryOp f 1 1 data y 0={op} 1=1 2=1.5" for op in (0, 1, 2, 3, 4, 5, 7, 9, 10, 11)],
    "CELU f 1 1 data y 0=1.5",
    "Erf f 1 1 data y",
    "Threshold f 1 1 data y 0=0.25",
    *[f"GLU f 1 1 data y 0={axis}" for axis in (0, -3)],
    "Softmax f 1 1 data y",
    "Softmax f 1 1 data y 0=-1 1=1",
    "Softmax f 1 1 data y 0=1 1=1",
]
NORMS = [
    "BatchNorm n 1 1 data y 0=6 1=1.0e-5",
    "Scale n 1 1 data y 0=6 1=1",
    "Scale n 1 1 data y 0=6",
    "Bias n 1 1 data y 0=6",
    "PReLU n 1 1 data y 0=6",
    "PReLU n 1 1 data y 0=1",
    "LRN n 1 1 data y 1=3 2=0.1 3=0.5 4=2.0",
    "LRN n 1 1 data y 0=1 1=3 2=0.1",
    "MVN n 1 1 data y 0=1",
    "MVN n 1 1 data y 0=1 1=1",
    "MVN n 1 1 data y",
    "InstanceNorm n 1 1 data y 0=6",
    "InstanceNorm n 1 1 data y 0=6 1=0.1 2=0",
    "LayerNorm n 1 1 data y 0=7 1=1.0e-5",
    "LayerNorm n 1 1 data y 0=63 1=1.0e-5",
    "LayerNorm n 1 1 data y 0=7 2=0",
    *[f"Reduction n 1 1 data y 0={op} 1=0 -23303=2,1,-1 4={keep} 5=1" for op in (3, 4) for keep in (0, 1)],
    "Reduction n 1 1 data y 0=3 1=0 2=2.5 -23303=2,1,2 5=1",
    *[f"Reduction n 1 1 data y 0={op} 1=1 5=1" for op in (0, 1, 2, 3, 4, 5, 7, 8)],
    *[
        f"Reduction n 1 1 data y 0={op} 1=0 -23303=1,{axis} 4={axis & 1} 5=1"
        for op in range(9)
        for axis in (0, 1, -1)
    ],
    "Reduction n 1 1 data y 0=10 1=0 -23303=1,0 5=1",
    "Reduction n 1 1 data y 0=0 1=1 2=0.5 4=1 5=1",
    *[
        f"Normalize n 1 1 data y 0={s} 1={one} 2=0.01 3={1 if one else 6} 4={c} 9={mode}"
        for s, c, one, mode in ((0, 1, 0, 0), (0, 1, 1, 1), (1, 1, 0, 2), (1, 0, 0, 0), (1, 1, 1, 1))
    ],
    "GroupNorm n 1 1 data y 0=2 1=6 2=0.1",
    "GroupNorm n 1 1 data y 0=3 1=6 3=0",
    "RMSNorm n 1 1 data y 0=7",
    "RMSNorm n 1 1 data y 0=63 1=0.1",
    "CumulativeSum n 1 1 data y 0=1",
    "CumulativeSum n 1 1 data y 0=-1",
    "InnerProduct n 1 1 data y 0=5 1=1 2=1890",
    "InnerProduct n 1 1 data y 0=5 2=1890 9=1",
]
MOVES = [
    *[f"Permute m 1 1 data y 0={kind}" for kind in range(1, 6)],
    "Flatten m 1 1 data y",
    "Reshape m 1 1 data y 0=-1",
    "Reshape m 1 1 data y 0=-1 1=6",
    "Reshape m 1 1 data y 0=0 1=-1 2=2",
    "Reshape m 1 1 data y 0=0 1=-1",
    "ShuffleChannel m 1 1 data y 0=2",
    "ShuffleChannel m 1 1 data y 0=2 1=1",
    "Reorg m 1 1 even y 0=2",
    "Reorg m 1 1 even y 0=2 1=1",
    "Tile m 1 1 data y 0=1 1=3",
    "Tile m 1 1 data y -23302=2,2,3",
    "Tile m 1 1 data y -23302=3,2,1,3",
    "Flip m 1 1 data y -23300=1,0",
    "Flip m 1 1 data y -23300=2,1,2",
    "Crop m 1 1 data y -23309=1,2 -23310=1,5 -23311=1,0",
    "Crop m 1 1 data y -23309=2,1,-3 -23310=2,-1,-233 -23311=2,1,-1",
    "Crop m 1 1 data y 0=1 1=2 2=3 3=4 4=5 5=2",
    "Crop m 1 1 data y 0=1 1=2 2=1 3=-233 4=-233 5=-233 6=1 7=2 8=3",
]


@pytest.mark.parametrize("line", [*WINDOWS, *FUNCTIONS, *NORMS, *MOVES])
def test_one_layer_is_ncnns(same, line):
    before = ["Convolution c 1 1 data c 0=8 1=1 6=48"] if " c y " in line else []
    before += ["Crop c 1 1 data even 3=6 4=8 5=6"] if " even y " in line else []
    same(*before, line)


PAIRS = [
    "Split s 1 2 data a b",
    "Convolution c 1 1 a c 0=6 1=3 4=1 6=324",
]


@pytest.mark.parametrize("op", [0, 1, 2, 4, 5, 7, 10, 11])
def test_two_tensors_of_one_shape(same, op):
    same(*PAIRS, f"BinaryOp o 2 1 b c y 0={op}")


@pytest.mark.parametrize("op", [0, 1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("shape", ["3=1 4=9 5=6", "3=7 4=1 5=6", "3=7 4=9 5=1", "3=7 4=1 5=1"])
@pytest.mark.parametrize("first", [True, False])
def test_two_tensors_that_are_broadcast(same, op, shape, first):
    lines = ["Split s 1 2 data a b", f"Crop c 1 1 a c {shape}", "Exp e 1 1 c e"]
    same(*lines, f"BinaryOp o 2 1 {'b e' if first else 'e b'} y 0={op}")


def test_powers_of_tensors(same):
    lines = ["Split s 1 2 data a b", "Exp e 1 1 a e"]
    same(*lines, "BinaryOp o 2 1 e b y 0=6")
    same(*lines, "BinaryOp o 2 1 b e y 0=9")


@pytest.mark.parametrize("op", [0, 1, 2])
def test_eltwise(same, op):
    same(*PAIRS, f"Eltwise o 2 1 b c y 0={op}" + (" -23301=2,0.5,-2.0" if op == 1 else ""))


def test_division(same):
    same(*PAIRS, "Exp e 1 1 c e", "BinaryOp o 2 1 b e y 0=3")
    same(*PAIRS, "Exp e 1 1 c e", "BinaryOp o 2 1 e b y 0=8")


@pytest.mark.parametrize("op", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shape", ["vector", "image"])
def test_a_number_for_each_channel(same, op, first, shape):
    """Squeeze and excitation: (C) or (C, 1, 1) with (C, H, W)."""
    if op == 3 and not first:
        op = 8  # the small one is the dividend
    lines = ["Split s 1 2 data a b", "Pooling p 1 1 a p 0=1 4=1", "Sigmoid g 1 1 p g"]
    lines += ["Reshape r 1 1 g r 0=1 1=1 2=6"] if shape == "image" else ["Noop r 1 1 g r"]
    same(*lines, f"BinaryOp o 2 1 {'b r' if first else 'r b'} y 0={op}")


def test_a_scale_by_another_blob(same):
    same("Split s 1 2 data a b", "Pooling p 1 1 a p 0=1 4=1", "Scale o 2 1 b p y 0=-233")


HEAD = ["Input data 0 1 data 0=7 1=9 2=6", "Exp e 1 1 data e"]


@pytest.mark.parametrize("op", [0, 1, 2, 3, 7, 8])
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("shape", ["0=6", "0=7", "0=9 1=6", "0=7 1=9 2=6", "0=7 1=1 2=1", "0=1 1=1 2=6"])
def test_constants(same, op, first, shape):
    net = same(f"MemoryData m 0 1 m {shape}", *HEAD, f"BinaryOp o 2 1 {'e m' if first else 'm e'} y 0={op}")
    assert {layer.type for layer in net.layers} <= {"Exp", "Power", "Bias", "Scale"}


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat_and_slice(same, axis):
    same(
        f"Slice s 1 3 data a b c -23300=3,2,-233,-233 1={axis}",
        f"Concat o 3 1 c a b y 0={axis}",
    )
    same(f"Slice s 1 2 data a b -23302=1,-2 1={axis}", f"Concat o 2 1 b a y 0={axis}")


@pytest.mark.parametrize("place", [0, 1])
def test_concat_with_a_constant(same, place):
    names = ["m r", "r m"][place]
    net = same(
        "MemoryData m 0 1 m 0=63 1=2",
        "Input data 0 1 data 0=7 1=9 2=6",
        "Reshape r 1 1 data r 0=-1 1=6",
        f"Concat o 2 1 {names} y",
    )
    assert str(net.specs()["y"]) == "fp32[N,8,63]"


def test_two_crops_of_one_blob_are_one_slice(same):
    net = same(
        "Split s 1 2 data a b",
        "Crop l 1 1 a left -23309=1,0 -23310=1,2 -23311=1,0",
        "Crop r 1 1 b right -23309=1,2 -23310=1,6 -23311=1,0",
    )
    assert [layer.type for layer in net.layers] == ["Slice"] and net.outputs == ("left", "right")


def test_crop_and_interp_like_another(same):
    lines = ["Split s 1 3 data a b c", "Pooling p 1 1 a p 1=3 2=3", "Split s2 1 2 p p0 p1"]
    same(*lines, "Crop o 2 1 b p0 y 0=1 1=2 2=0", "Interp i 2 1 p1 c z 0=1 5=1")


@pytest.mark.parametrize("direction", [0, 1, 2])
@pytest.mark.parametrize(("kind", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_sequences(same, kind, gates, direction):
    weights = gates * 5 * 7 * (2 if direction == 2 else 1)
    net = same("Reshape r 1 1 data r 0=7 1=54", f"{kind} s 1 1 r y 0=5 1={weights} 2={direction}")
    assert str(net.specs()["y"]) == f"fp32[N,54,{10 if direction == 2 else 5}]"


def test_a_sequence_that_goes_on(same):
    heads = ["Input x 0 1 x 0=7 1=4", "Input h 0 1 h 0=5 1=1", "Input c 0 1 c 0=5 1=1"]
    same(*heads, "LSTM s 3 3 x h c y ht ct 0=5 1=140 2=0")
    same(*heads[:2], "GRU s 2 2 x h y ht 0=5 1=105")


def test_words(read):
    """Numbers of words are floats here, as all inputs are; ncnn looks at the bits of integers."""
    words = np.float32([[0, 6, 3, 3]])
    net = read("Input words 0 1 words 0=4", "Embed e 1 1 words y 0=5 1=7 2=1 3=35")
    table, bias = (net.constants[f"e.{name}"].data for name in ("w", "b"))
    np.testing.assert_array_equal(net.forward(words=words)["y"], table[[[0, 6, 3, 3]]] + bias)


def test_squeeze_and_expand(same):
    lines = ["Reduction n 1 1 data r 0=3 1=0 -23303=2,1,2 4=1 5=1"]
    same(*lines, "Squeeze s 1 1 r y -23303=2,1,2")
    same(*lines, "Squeeze s 1 1 r y 0=1")
    same(*lines, "Squeeze s 1 1 r q -23303=2,1,2", "ExpandDims e 1 1 q y -23303=2,0,-1")


def test_matrices(same):
    rows = ["Reshape r 1 1 data r 0=9 1=42"]
    same(*rows, "Permute p 1 1 r y 0=1")
    same(*rows, "InnerProduct n 1 1 r y 0=5 1=1 2=45 9=1")
    same(*rows, "Gemm g 1 1 r y 3=1 5=1 6=1 8=5 9=9 10=4")
    same(*rows, "Gemm g 1 1 r y 0=2.0 1=0.5 5=1 6=1 8=5 9=9 10=0")
    same(*rows, "Gemm g 1 1 r y 5=1 6=1 8=5 9=9 10=-1")
    same(*rows, "Split s 1 2 r a b", "Permute p 1 1 b c 0=1", "MatMul m 2 1 a c y")
    same(*rows, "Split s 1 2 r a b", "MatMul m 2 1 a b y 0=1")


@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_attention(same, inputs):
    lines = ["Reshape r 1 1 data r 0=9 1=42", "Split s 1 3 r a b c"]
    names = " ".join("abc"[:inputs])
    net = same(*lines, f"MultiHeadAttention m {inputs} 1 {names} y 0=12 1=3 2=108 3=9 4=9")
    assert str(net.specs()["y"]) == "fp32[N,42,9]"


def test_a_convolution_of_a_vector(same):
    same("Pooling p 1 1 data p 0=1 4=1", "InnerProduct i 1 1 p i 0=6 1=1 2=36", "ReLU r 1 1 i y")


def test_what_does_nothing_is_not_there(same):
    lines = [
        "ReLU r 1 1 data r",
        "Permute p 1 1 r p",
        "Pooling a 1 1 p a 7=1 8=-233",
        "Crop c 1 1 a c 3=-233 4=9 5=6",
    ]
    net = same(*lines, "Concat d 1 1 c d", "Split e 1 1 d e", "Sigmoid g 1 1 e y")
    assert [layer.type for layer in net.layers] == ["ReLU", "Sigmoid"]


def test_outputs_are_what_nobody_reads_and_noops_are_not_there(same):
    net = same("Split s 1 2 data a b", "ReLU r 1 1 a r", "Sigmoid g 1 1 b g", "Noop n 2 1 r g out")
    assert net.outputs == ("r", "g") and len(net) == 2


REFUSED = {
    "Convolution c 1 1 data y 0=4 1=3 6=216 18=0.5": "pad_value is 0.5",
    "Convolution c 1 1 data y 0=4 1=3 6=216 19=1": "dynamic_weight",
    "Convolution c 1 1 data y 0=4 1=3 6=215": "says that it has 215 weights, but its shapes need 216",
    "Convolution c 1 1 data y 0=0 1=3 6=216": "num_output is 0",
    "Convolution c 1 1 data y 0=4 1=3 6=216 9=99": "activation_type is 99",
    "Convolution c 1 1 data y 0=4 1=3 6=216 9=2": "activation_type is 2 with []",
    "Pooling p 1 1 data y 0=2 1=3": "pooling_type is 2",
    "Pooling p 1 1 data y 7=1 8=0": "adaptive pooling of (6, 9, 7) to (0, 0)",
    "Interp i 1 1 data y 0=4 1=2.0 2=2.0": "resize_type is 4",
    "Padding p 1 1 data y 0=1 4=3": "type is 3: only 0 (a constant)",
    "UnaryOp f 1 1 data y 0=20": "op_type is 20",
    "BinaryOp f 1 1 data y 0=12 1=1 2=1.0": "op_type 12 is not supported",
    "Reduction n 1 1 data y 0=11": "operation is 11",
    "CELU f 1 1 data y 0=-1.0": "alpha is -1",
    "GLU f 1 1 data y 0=1": "cannot halve axis 2",
    "Tile f 1 1 data y 1=0": "repeats are [0, 1, 1]",
    "Reorg f 1 1 data y 0=2 1=2": "mode 2",
    "Normalize n 1 1 data y 3=5": "scale_data_size 5",
    "SPP n 1 1 data y 0=2": "pooling_type is 2",
    "LSTM n 1 1 data y 0=5 1=140": "reads fp32[1,6,9,7]",
    "Embed n 1 1 data y 0=5 1=7 3=35": "reads fp32[1,6,9,7]",
    "InnerProduct n 1 1 data y 0=5 2=15": "has weights for K=3, but its input is fp32[1,6,9,7]",
    "BatchNorm n 1 1 data y 0=5": "is for 5 channels, but its input is fp32[1,6,9,7]",
    "LayerNorm n 1 1 data y 0=5": "affine_size is 5",
    "Permute m 1 1 data y 0=6": "order_type is 6",
    "ShuffleChannel m 1 1 data y 0=4": "group is 4",
    "Reshape m 1 1 data y 0=5": "numbers do not fill 5",
    "Crop m 1 1 data y -23309=1,5 -23310=1,3 -23311=1,0": "takes 5 to 3 of fp32[1,6,9,7], axis 1",
    "Sofmax f 1 1 data y": "fbnet has no such layer. Did you mean 'Softmax'?",
    "Proposal f 1 1 data y": "fbnet has no such layer",
}


@pytest.mark.parametrize(("line", "message"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_expressed_says_so(read, line, message):
    with pytest.raises(ConversionError) as error:
        read(line)
    assert message in str(error.value) and line.split()[1] in str(error.value)
    assert "\n" not in str(error.value) and len(error.value.problems) == 1


def test_everything_that_is_in_the_way_is_told_at_once(read):
    with pytest.raises(ConversionError) as error:
        read("Proposal a 1 1 data p", "ReLU r 1 1 p q", "ROIAlign b 1 1 q s", "UnaryOp c 1 1 q y 0=9")
    assert [p.split(":")[0] for p in error.value.problems] == ["a (Proposal)", "b (ROIAlign)"]


def test_squeeze_and_excitation_is_two_inner_products_and_a_scale(read):
    net = read(
        "Split s 1 2 data a b",
        "Pooling p 1 1 a p 0=1 4=1",
        "InnerProduct f 1 1 p f 0=3 1=1 2=18 9=1",
        "InnerProduct g 1 1 f g 0=6 1=1 2=18 9=4",
        "BinaryOp o 2 1 b g y 0=2",
    )
    types = [layer.type for layer in net.layers]
    assert types == ["Pooling", "Flatten", "InnerProduct", "ReLU", "InnerProduct", "Sigmoid", "Scale"]
    assert net.layers[-1].axis == 0 and net.outputs == ("y",) and net["f"].type == "ReLU"
    assert str(net.inputs["data"]) == "fp32[N,6,H,W]"
    x = np.ones((2, 6, 5, 4), np.float32)
    assert net(x).shape == x.shape
