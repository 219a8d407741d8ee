"""Numbers: small nets of every style, and the zoo's real ones, against OpenCV's reader of Caffe."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest

DATA = 'input: "data" input_shape { dim: 1 dim: 3 dim: 33 dim: 29 } '


def conv(name: str, bottom: str, params: str, top: str = "") -> str:
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top or name}"'
        f" convolution_param {{ {params} }} }} "
    )


def layer(type: str, name: str, bottoms: str, params: str = "", tops: str = "") -> str:
    bottom = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    top = " ".join(f'top: "{t}"' for t in (tops or name).split())
    return f'layer {{ name: "{name}" type: "{type}" {bottom} {top} {params} }} '


LENET = """
name: "LeNet"
layer { name: "data" type: "Input" top: "data" input_param { shape: { dim: 2 dim: 1 dim: 28 dim: 28 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" param { lr_mult: 1 } param { lr_mult: 2 }
        convolution_param { num_output: 6 kernel_size: 5 stride: 1 weight_filler { type: "xavier" } } }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip1" type: "InnerProduct" bottom: "pool1" top: "ip1" inner_product_param { num_output: 20 } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2" inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "ip2" top: "prob" }
"""

ALEXNET = (
    'name: "AlexNet" input: "data" input_dim: 1 input_dim: 3 input_dim: 67 input_dim: 67 '
    + conv("conv1", "data", "num_output: 8 kernel_size: 11 stride: 4")
    + layer("ReLU", "relu1", "conv1", tops="conv1")
    + layer("LRN", "norm1", "conv1", "lrn_param { local_size: 5 alpha: 0.01 beta: 0.75 }")
    + layer("Pooling", "pool1", "norm1", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + conv("conv2", "pool1", "num_output: 12 pad: 2 kernel_size: 5 group: 2")
    + layer("ReLU", "relu2", "conv2", tops="conv2")
    + layer("Pooling", "pool5", "conv2", "pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + layer("InnerProduct", "fc6", "pool5", "inner_product_param { num_output: 16 }")
    + layer("ReLU", "relu6", "fc6", tops="fc6")
    + layer("Dropout", "drop6", "fc6", "dropout_param { dropout_ratio: 0.5 }", tops="fc6")
    + layer("InnerProduct", "fc-rcnn", "fc6", "inner_product_param { num_output: 20 }")
)

INCEPTION = (
    DATA
    + conv("1x1", "data", "num_output: 4 kernel_size: 1")
    + layer("ReLU", "relu_1x1", "1x1", tops="1x1")
    + conv("3x3r", "data", "num_output: 3 kernel_size: 1")
    + layer("ReLU", "relu_3x3r", "3x3r", tops="3x3r")
    + conv("3x3", "3x3r", "num_output: 5 pad: 1 kernel_size: 3")
    + layer("Pooling", "pool", "data", "pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 }")
    + conv("pool_proj", "pool", "num_output: 2 kernel_size: 1")
    + layer("Concat", "output", "1x1 3x3 pool_proj")
    + layer("Pooling", "pool5", "output", "pooling_param { pool: AVE kernel_size: 7 stride: 3 pad: 2 }")
    + layer("Pooling", "gap", "output", "pooling_param { pool: AVE global_pooling: true }")
)

RESIDUAL = (
    DATA
    + conv("conv1", "data", "num_output: 8 kernel_size: 7 pad: 3 stride: 2 bias_term: false")
    + layer("BatchNorm", "bn_conv1", "conv1", "batch_norm_param { use_global_stats: true }", tops="conv1")
    + layer("Scale", "scale_conv1", "conv1", "scale_param { bias_term: true }", tops="conv1")
    + layer("ReLU", "conv1_relu", "conv1", tops="conv1")
    + conv("2a", "conv1", "num_output: 8 kernel_size: 3 pad: 1 bias_term: false")
    + layer("BatchNorm", "bn2a", "2a", "batch_norm_param { eps: 0.001 }", tops="2a")
    + layer("Scale", "scale2a", "2a", "scale_param { bias_term: true }", tops="2a")
    + layer("Eltwise", "res2a", "conv1 2a")
    + layer("ReLU", "res2a_relu", "res2a", tops="res2a")
    + conv("3a", "res2a", "num_output: 4 kernel_size: 1 stride: 2 bias_term: false")
)

DEPTHWISE = (
    DATA
    + conv("expand", "data", "num_output: 8 kernel_size: 1 bias_term: false")
    + layer("ReLU6", "relu6", "expand", tops="expand")
    + conv("dw", "expand", "num_output: 8 kernel_size: 3 pad: 1 stride: 2 group: 8 engine: CAFFE")
    + conv("linear", "dw", "num_output: 4 kernel_h: 3 kernel_w: 1 pad_h: 1 pad_w: 0 stride_h: 1 stride_w: 2")
    + conv("dilated", "linear", "num_output: 4 kernel_size: 3 dilation: 2 pad: 2")
)

FUNCTIONS = (
    DATA
    + conv("c", "data", "num_output: 6 kernel_size: 3")
    + layer("PReLU", "prelu", "c")
    + layer("PReLU", "shared", "c", "prelu_param { channel_shared: true }")
    + layer("ELU", "elu", "prelu", "elu_param { alpha: 0.5 }")
    + layer("TanH", "tanh", "elu")
    + layer("Sigmoid", "sigmoid", "shared")
    + layer("Power", "power", "sigmoid", "power_param { power: 2 scale: 0.5 shift: 1 }")
    + layer("AbsVal", "abs", "c")
    + layer("BNLL", "bnll", "c")
    + layer("ReLU", "leaky", "c", "relu_param { negative_slope: 0.1 }")
    + layer("Exp", "exp", "tanh", "exp_param { base: 2 scale: 0.5 shift: 0.25 }")
    + layer("Scale", "scaled", "leaky", "scale_param { bias_term: true }")
    + layer("MVN", "mvn", "bnll")
    + layer("Eltwise", "sum", "abs power scaled", "eltwise_param { coeff: 1 coeff: -0.5 coeff: 0.25 }")
    + layer("Eltwise", "prod", "abs power", "eltwise_param { operation: PROD }")
    + layer("Eltwise", "max", "exp tanh", "eltwise_param { operation: MAX }")
)

MOVING = (
    DATA
    + conv("c", "data", "num_output: 6 kernel_size: 3 stride: 2")
    + layer("Slice", "slice", "c", "slice_param { slice_point: 2 slice_point: 3 }", tops="a b d")
    + layer("Concat", "cat", "d a", "concat_param { concat_dim: 1 }")
    + layer("Permute", "permute", "cat", "permute_param { order: 0 order: 2 order: 3 order: 1 }")
    + layer("Flatten", "flat", "permute")
    + layer("Reshape", "rows", "flat", "reshape_param { shape { dim: 0 dim: -1 dim: 5 } }")
    + layer("Softmax", "soft", "rows", "softmax_param { axis: 2 }")
    + layer("LRN", "within", "b", "lrn_param { norm_region: WITHIN_CHANNEL local_size: 3 alpha: 0.5 }")
    + layer("Deconvolution", "up", "c", "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 }")
)

IN_PLACE = (
    DATA
    + conv("c", "data", "num_output: 4 kernel_size: 3")
    + layer("Split", "split", "c", tops="c1 c2")
    + layer("ReLU", "r1", "c1", tops="x")
    + layer("Power", "p1", "x", "power_param { scale: 2 }", tops="x")
    + layer("Sigmoid", "s1", "x", tops="x")
    + layer("Eltwise", "e", "x c2", tops="x2")
    + layer("TanH", "t1", "x2", tops="x2")
    + conv("c3", "x2", "num_output: 2 kernel_size: 1")
)

V1 = """
name: "V1" input: "data" input_dim: 1 input_dim: 3 input_dim: 33 input_dim: 33
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
         convolution_param { num_output: 8 kernel_size: 5 stride: 2 pad: 1 weight_filler { type: "gaussian" } } }
layers { name: "relu1" type: RELU bottom: "conv1" top: "conv1" }
layers { name: "norm1" type: LRN bottom: "conv1" top: "norm1" lrn_param { local_size: 3 alpha: 0.1 } }
layers { name: "pool1" type: POOLING bottom: "norm1" top: "pool1" pooling_param { pool: AVE kernel_size: 3 stride: 2 } }
layers { name: "fc" type: INNER_PRODUCT bottom: "pool1" top: "fc" inner_product_param { num_output: 10 } }
layers { name: "tanh" type: TANH bottom: "fc" top: "fc" }
layers { name: "prob" type: SOFTMAX bottom: "fc" top: "prob" }
"""

V0 = """
name: "V0" input: "data" input_dim: 1 input_dim: 3 input_dim: 33 input_dim: 33
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 8 kernelsize: 5 stride: 2 group: 1
                 weight_filler { type: "gaussian" } blobs_lr: 1. } bottom: "pad1" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.1 beta: 0.5 } bottom: "conv1" top: "norm1" }
layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 3 stride: 2 } bottom: "norm1" top: "pool1" }
layers { layer { name: "fc" type: "innerproduct" num_output: 10 } bottom: "pool1" top: "fc" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.2 } bottom: "fc" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""

NETS = {
    "lenet": LENET,
    "alexnet": ALEXNET,
    "inception": INCEPTION,
    "residual": RESIDUAL,
    "depthwise": DEPTHWISE,
    "functions": FUNCTIONS,
    "moving": MOVING,
    "in place": IN_PLACE,
}


@pytest.mark.parametrize("text", NETS.values(), ids=NETS)
def test_small_nets(opencv, text):
    opencv(text)


@pytest.mark.parametrize("generation", [2, 1])
def test_v1_prototxt_with_v1_and_v2_weights(opencv, generation):
    opencv(V1, generation)


def test_v0_prototxt(opencv):
    """OpenCV reads V0 in text but loses the blobs of a V0 .caffemodel; test_weights.py has those."""
    opencv(V0)


@pytest.mark.parametrize("shape", [(1, 3, 12, 12), (2, 3, 37, 50), (3, 3, 64, 41)])
def test_another_shape_than_the_files(opencv, shape):
    opencv(DEPTHWISE, shape=shape)


PREPARED = {  # zoo entry -> input sizes, (mean, scale)
    "squeezenet_v1.1": ([(227, 227)], ((104.0, 117.0, 123.0), 1.0)),
    "open_nsfw": ([(224, 224)], ((104.0, 117.0, 123.0), 1.0)),
    "mtcnn_det1": ([(12, 12), (37, 50), (120, 97)], (127.5, 0.0078125)),
    "mtcnn_det2": ([(24, 24)], (127.5, 0.0078125)),
    "mtcnn_det3": ([(48, 48)], (127.5, 0.0078125)),
}


@pytest.mark.parametrize("name", PREPARED)
def test_real_weights(zoo, name):
    cv2 = pytest.importorskip("cv2")
    folder = zoo(name)
    paths = [next(folder.glob(f"{name.removeprefix('mtcnn_')}{s}")) for s in (".prototxt", ".caffemodel")]
    net = fbnet.convert(*paths)
    judge = cv2.dnn.readNetFromCaffe(*map(str, paths))
    sizes, (mean, scale) = PREPARED[name]
    for photo in sorted(zoo("imagenet_photos").glob("*.jpg"))[:3]:
        pixels = (cv2.imread(str(photo)).astype(np.float32) - mean) * scale
        for h, w in sizes:
            x = np.float32(cv2.resize(pixels, (w, h)).transpose(2, 0, 1)[None])
            judge.setInput(x)
            names = judge.getUnconnectedOutLayersNames()
            wanted = dict(zip(names, judge.forward(names), strict=True))
            found = net.forward(data=x)
            assert set(found) == set(wanted)
            for output, y in found.items():
                np.testing.assert_allclose(y, wanted[output], rtol=0, atol=2e-5)
