"""One Caffe layer, one layer of fbnet: attributes, refusals, and the complete list of what is in the way."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError

INPUT = 'input: "data" input_shape { dim: 1 dim: 4 dim: 8 dim: 10 } '


def one(type: str, params: str = "", tops: str = "y", bottoms: str = "data") -> str:
    bottom = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    top = " ".join(f'top: "{t}"' for t in tops.split())
    return f'layer {{ name: "one" type: "{type}" {bottom} {top} {params} }} '


CONV = "convolution_param { num_output: 6 "

TABLE = [
    # Caffe -> type, attributes that differ from the defaults, constants' shapes
    (one("Convolution", CONV + "kernel_size: 3 }"), "Convolution", {}, [(6, 4, 3, 3), (6,)]),
    (
        one("Convolution", CONV + "kernel_size: [3, 5] pad: [1, 2] stride: [2, 1] dilation: 2 dilation: 1 }"),
        "Convolution",
        {"pad": (1, 2, 1, 2), "stride": (2, 1), "dilation": (2, 1)},
        [(6, 4, 3, 5), (6,)],
    ),
    (
        one("Convolution", CONV + "kernel_h: 3 kernel_w: 1 pad_h: 1 stride_h: 2 stride_w: 3 group: 2 }"),
        "Convolution",
        {"pad": (1, 0, 1, 0), "stride": (2, 3), "group": 2},
        [(6, 2, 3, 1), (6,)],
    ),
    (one("Convolution", CONV + "kernel_size: 3 axis: -3 }"), "Convolution", {}, [(6, 4, 3, 3), (6,)]),
    (
        one("ConvolutionDepthwise", "convolution_param { num_output: 4 kernel_size: 3 bias_term: false }"),
        "Convolution",
        {"group": 4},
        [(4, 1, 3, 3)],
    ),
    (
        one("DepthwiseConvolution", "convolution_param { num_output: 8 kernel_size: 3 group: 4 }"),
        "Convolution",
        {"group": 4},
        [(8, 1, 3, 3), (8,)],
    ),
    (
        one("Deconvolution", CONV + "kernel_size: 4 stride: 2 pad: 1 group: 2 }"),
        "Deconvolution",
        {"stride": (2, 2), "pad": (1, 1, 1, 1), "group": 2},
        [(4, 3, 4, 4), (6,)],
    ),
    (one("InnerProduct", "inner_product_param { num_output: 5 }"), "InnerProduct", {}, [(5, 320), (5,)]),
    (
        one("InnerProduct", "inner_product_param { num_output: 5 axis: -1 transpose: true bias_term: false }"),
        "InnerProduct",
        {"axis": 3},
        [(5, 10)],
    ),
    (
        one("Pooling", "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"),
        "Pooling",
        {"kernel": (3, 3), "stride": (2, 2), "pad": (1, 1, 1, 1), "ceil": True},
        [],
    ),
    (
        one("Pooling", "pooling_param { pool: AVE kernel_h: 2 kernel_w: 3 round_mode: FLOOR }"),
        "Pooling",
        {"method": "average", "kernel": (2, 3)},
        [],
    ),
    (one("Pooling", "pooling_param { kernel_size: 2 ceil_mode: false }"), "Pooling", {"kernel": (2, 2)}, []),
    (
        one("Pooling", "pooling_param { pool: AVE global_pooling: true }"),
        "Pooling",
        {"method": "average", "global_pooling": True},
        [],
    ),
    (one("ReLU", "relu_param { negative_slope: 0.5 }"), "ReLU", {"negative_slope": 0.5}, []),
    (one("ReLU6"), "Clip", {"min": 0.0, "max": 6.0}, []),
    (one("Clip", "clip_param { min: -1 max: 2 }"), "Clip", {"min": -1.0, "max": 2.0}, []),
    (one("PReLU"), "PReLU", {}, [(4,)]),
    (one("PReLU", "prelu_param { channel_shared: true }"), "PReLU", {}, [(1,)]),
    (one("ELU", "elu_param { alpha: 0.5 }"), "ELU", {"alpha": 0.5}, []),
    (one("Power", "power_param { power: 2 scale: 3 }"), "Power", {"power": 2.0, "scale": 3.0}, []),
    (one("Power", "power_param { shift: 0.1 }"), "Power", {"shift": 0.1}, []),
    (one("Exp", "exp_param { base: 2 shift: 1 }"), "Exp", {"base": 2.0, "shift": 1.0}, []),
    (one("Log", "log_param { base: 10 scale: 2 }"), "Log", {"base": 10.0, "scale": 2.0}, []),
    *[(one(type), type, {}, []) for type in ("Sigmoid", "TanH", "AbsVal", "BNLL", "Dropout")],
    *[(one(type), type, {}, []) for type in ("LRN", "MVN", "Softmax", "Flatten", "Exp", "Log", "Power")],
    (one("Dropout", "dropout_param { dropout_ratio: 0.25 }"), "Dropout", {"ratio": 0.25}, []),
    (
        one("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.5 k: 2 norm_region: WITHIN_CHANNEL }"),
        "LRN",
        {"local_size": 3, "alpha": 0.5, "beta": 0.5, "k": 2.0, "region": "within"},
        [],
    ),
    (
        one("MVN", "mvn_param { normalize_variance: false across_channels: true }"),
        "MVN",
        {"normalize_variance": False, "across_channels": True},
        [],
    ),
    (one("BatchNorm", "batch_norm_param { use_global_stats: true eps: 0.5 }"), "BatchNorm", {"eps": 0.5}, [(4,), (4,)]),
    (one("Scale"), "Scale", {}, [(4,)]),
    (one("Scale", "scale_param { bias_term: true axis: 2 num_axes: -1 }"), "Scale", {"axis": 2}, [(8, 10), (8, 10)]),
    (one("Scale", "scale_param { num_axes: 0 }"), "Scale", {}, [()]),
    (one("Scale", "scale_param { axis: 0 }", bottoms="data data"), "Scale", {"axis": 0}, []),
    (
        one("Scale", "scale_param { axis: 0 bias_term: true }", bottoms="data data"),
        "Scale",
        {"axis": 0},
        [(1, 4, 8, 10)],
    ),
    (one("Bias", "bias_param { axis: -1 }"), "Bias", {"axis": 3}, [(10,)]),
    (one("Bias", "bias_param { axis: 0 }", bottoms="data data"), "Bias", {"axis": 0}, []),
    (one("Softmax", "softmax_param { axis: -1 }"), "Softmax", {"axis": 3}, []),
    (one("Eltwise", "eltwise_param { coeff: [1, -0.1] }", bottoms="data data"), "Eltwise", {"coeff": (1, -0.1)}, []),
    (one("Eltwise", "eltwise_param { coeff: 1 coeff: 1 }", bottoms="data data"), "Eltwise", {}, []),
    (one("Eltwise", "eltwise_param { operation: MAX }", bottoms="data data"), "Eltwise", {"operation": "max"}, []),
    (one("Concat", "concat_param { axis: -2 }", bottoms="data data"), "Concat", {"axis": 2}, []),
    (one("Concat", "concat_param { concat_dim: 0 }", bottoms="data data"), "Concat", {"axis": 0}, []),
    (one("Slice", "slice_param { slice_point: 1 slice_point: 3 }", "a b c"), "Slice", {"points": (1, 3)}, []),
    (one("Slice", "slice_param { slice_dim: 2 }", "a b"), "Slice", {"axis": 2}, []),
    (one("Flatten", "flatten_param { axis: 2 end_axis: 3 }"), "Flatten", {"axis": 2, "end_axis": 3}, []),
    (
        one("Reshape", "reshape_param { shape { dim: 2 dim: -1 } axis: 1 num_axes: 2 }"),
        "Reshape",
        {"shape": (2, -1), "axis": 1, "num_axes": 2},
        [],
    ),
    (one("Permute", "permute_param { order: 0 order: 2 }"), "Permute", {"order": (0, 2, 1, 3)}, []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "type", "attributes", "constants"), TABLE)
def test_table(read, text, type, attributes, constants):
    net = read(INPUT + text)
    (layer,) = net.layers
    changed = {k: v for k, v in layer.attributes.items() if v != layer.declared[k].default}
    assert (layer.type, changed) == (type, attributes)
    assert [net.constants[i].data.shape for i in layer.inputs if i in net.constants] == constants
    shapes = [net.specs()[o].shape for o in layer.outputs]
    y = net.forward(data=np.random.default_rng(0).random((1, 4, 8, 10), np.float32))
    assert [y[o].shape for o in layer.outputs] == shapes


REFUSED = [
    (
        one("Pooling", "pooling_param { pool: STOCHASTIC kernel_size: 2 }"),
        "pool is STOCHASTIC: only MAX and AVE",
    ),
    (one("Pooling", "pooling_param { pool: MEDIAN kernel_size: 2 }"), "pool is MEDIAN"),
    (one("Pooling", "pooling_param { kernel_size: 2 round_mode: NEAREST }"), "round_mode is NEAREST"),
    (one("Pooling", "pooling_param { pool: AVE kernel_size: 2 }", "y mask"), "names 2"),
    (one("Pooling", "pooling_param { }"), "has no kernel_size"),
    (one("Pooling", "pooling_param { kernel_size: 20 }"), "smaller than the kernel"),
    (one("Convolution", CONV + "}"), "has no kernel_size"),
    (one("Convolution", "convolution_param { kernel_size: 3 }"), "num_output is 0"),
    (one("Convolution", CONV + "kernel_size: 3 group: 4 }"), "they must divide"),
    (one("Convolution", CONV + "kernel_size: 3 group: 0 }"), "they must divide"),
    (one("Convolution", CONV + "kernel_size: 3 axis: 2 }"), "axis is 2"),
    (one("Convolution", CONV + "kernel_size: 3 kernel_size: 3 kernel_size: 3 }"), "3 axes"),
    (one("Convolution", CONV + "kernel_size: 3 stride: 0 }"), "stride is"),
    (one("Convolution", CONV + "kernel_size: 30 }"), "but the filter needs 30"),
    (one("Convolution", CONV + "kernel_size: 3 }", bottoms="data data"), "reads 2 blobs"),
    (one("InnerProduct"), "num_output is 0"),
    (one("InnerProduct", "inner_product_param { num_output: 1 axis: 7 }"), "axis 7"),
    (one("BatchNorm", "batch_norm_param { use_global_stats: false }"), "use_global_stats is false"),
    (one("LRN", "lrn_param { norm_region: EVERYWHERE }"), "norm_region is EVERYWHERE"),
    (one("Scale", "scale_param { num_axes: 9 }"), "has no 9 axes"),
    (one("Eltwise", "eltwise_param { operation: MIN }", bottoms="data data"), "operation is MIN"),
    (one("Eltwise", "eltwise_param { coeff: 2 }", bottoms="data data"), "coeff has 1"),
    (one("Clip"), "needs min and max"),
    (one("Permute", "permute_param { order: 9 }"), "order is"),
    (one("Reshape", "reshape_param { shape { dim: 7 dim: -1 } }"), "do not fill"),
    (one("Slice", "slice_param { slice_point: 9 }", "a b"), "ends at 4"),
    (one("ReLU", tops="a b"), "names 2"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_a_known_layer_does_not_do(read, text, said):
    with pytest.raises(ConversionError) as error:
        read(INPUT + text)
    (problem,) = error.value.problems
    assert problem.startswith("one (") and problem.count("one (") == 1
    assert said in problem


def test_all_unknown_layers_are_listed(read):
    """As in an SSD: layers behind an unknown one are not in the way themselves, but unknown ones are, wherever."""
    text = (
        INPUT
        + one("Convolution", CONV + "kernel_size: 1 }", "c")
        + 'layer { name: "prior" type: "PriorBox" bottom: "c" bottom: "data" top: "p" prior_box_param { min_size: 6 } }'
        + 'layer { name: "f" type: "Flatten" bottom: "p" top: "f" }'
        + 'layer { name: "typo" type: "Convolutoin" bottom: "data" top: "t" }'
        + 'layer { name: "s" type: "Pooling" bottom: "data" top: "s" pooling_param { pool: STOCHASTIC } }'
        + 'layer { name: "out" type: "DetectionOutput" bottom: "f" bottom: "t" bottom: "s" top: "out"'
        + "         detection_output_param { num_classes: 21 nms_param { top_k: 9 } code_type: CENTER_SIZE } }"
    )
    with pytest.raises(ConversionError) as error:
        read(text)
    assert error.value.problems == (
        "typo (Convolutoin): fbnet has no such layer. Did you mean 'Convolution'?",
        "s (Pooling): pool is STOCHASTIC: only MAX and AVE are known",
    )
    assert "2 problems" in str(error.value)


def test_unknown_v1_types_are_listed(read):
    text = 'input: "data" input_dim: 1 input_dim: 1 input_dim: 2 input_dim: 2'
    text += ' layers { name: "a" type: MY_LAYER bottom: "data" top: "a" }'
    text += ' layers { name: "b" type: LSTM_STEP bottom: "a" top: "b" }'
    with pytest.raises(ConversionError) as error:
        read(text)
    assert error.value.problems == (
        "a (MyLayer): fbnet has no such layer",
        "b (LstmStep): fbnet has no such layer. Did you mean 'LSTM'?",
    )


def test_a_result_that_is_too_large(read):
    huge = "convolution_param { num_output: 1000000000 kernel_size: 1 }"
    with pytest.raises(ConversionError, match="too large"):
        read(INPUT + one("Convolution", huge))
