"""Caffe's layers that move numbers, look some up, or need several of ours, against OpenCV or by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fbnet.engine.errors import ConversionError

INPUT = 'input: "data" input_shape { dim: 2 dim: 4 dim: 8 dim: 10 } '
X = np.random.default_rng(0).standard_normal((2, 4, 8, 10)).astype(np.float32)


def layer(type: str, bottoms: str = "data", params: str = "", tops: str = "y") -> str:
    bottom = " ".join(f'bottom: "{b}"' for b in bottoms.split())
    top = " ".join(f'top: "{t}"' for t in tops.split())
    return f'layer {{ name: "{tops.split()[0]}" type: "{type}" {bottom} {top} {params} }} '


CONV = layer("Convolution", "data", "convolution_param { num_output: 6 kernel_size: 3 }", "c")
OPENCVS = {
    "crop": CONV + layer("Crop", "data c", "crop_param { axis: 2 offset: 1 }"),
    "interp": CONV + layer("Interp", "c", "interp_param { height: 11 width: 9 }"),
    "zoom": CONV + layer("Interp", "c", "interp_param { zoom_factor: 3 }"),
    "shuffle": CONV + layer("ShuffleChannel", "c", "shuffle_channel_param { group: 3 }"),
    "swish": CONV + layer("Swish", "c", "swish_param { beta: 1 }"),
    "normalize": CONV + layer("Normalize", "c", "norm_param { across_spatial: false channel_shared: false }"),
    "normalize all": CONV + layer("Normalize", "c", "norm_param { eps: 0.5 }"),
}


@pytest.mark.parametrize("name", OPENCVS)
def test_opencvs(opencv, name):
    opencv(INPUT + OPENCVS[name])


def test_places_of_a_poolings_maxima_are_opencvs(read, caffe_run):
    text = "pooling_param { kernel_size: 3 stride: 2 pad: 1 }"
    found = read(INPUT + layer("Pooling", "data", text, "y places")).forward(data=X)
    wanted = caffe_run(f'type: "Pooling" {text}', X, outputs=2)
    np.testing.assert_array_equal(found["y"], wanted[0])
    np.testing.assert_array_equal(found["places"], wanted[1])


def test_segnets_pooling_and_upsampling(read):
    """The maxima come back to where they were, and all else is 0."""
    pool = layer("Pooling", "data", "pooling_param { kernel_size: 2 stride: 2 }", "p m")
    for params in ("scale: 2", "upsample_h: 8 upsample_w: 10", "scale_h: 2 scale_w: 2"):
        net = read(INPUT + pool + layer("Upsample", "p m", f"upsample_param {{ {params} }}"))
        (y,) = net.forward(data=X).values()
        assert y.shape == X.shape and (y != 0).sum() == X.size // 4
        np.testing.assert_array_equal(y[y != 0], X[y != 0])
    cut = read(INPUT + pool + layer("Upsample", "p m", "upsample_param { scale: 2 pad_out_h: true }"))
    assert cut.specs()["y"].shape == (2, 4, 7, 10)


def test_upsampling_without_places(read):
    (y,) = read(INPUT + layer("Upsample", "data", "upsample_param { scale: 2 }")).forward(data=X).values()
    np.testing.assert_array_equal(y, X.repeat(2, 2).repeat(2, 3))


WEIGHS = layer("Pooling", params="pooling_param { pool: AVE global_pooling: true }", tops="a")


def test_what_numpy_knows(read):
    flat = X.reshape(2, -1)
    order = np.argsort(-flat, 1, kind="stable")[:, :3]
    best = np.take_along_axis(flat, order, 1)
    channels = np.argsort(-X, 1, kind="stable")[:, :2]
    table = {
        layer("Tile", params="tile_param { axis: 2 tiles: 3 }"): np.tile(X, (1, 1, 3, 1)),
        layer("Reduction", params="reduction_param { operation: MEAN axis: 1 }"): X.mean((1, 2, 3)),
        layer("Reduction", params="reduction_param { operation: SUMSQ axis: -1 coeff: 0.5 }"): 0.5
        * (X * X).sum(3),
        layer("Reduction", params="reduction_param { operation: ASUM }"): np.abs(X).sum(),
        layer("Threshold", params="threshold_param { threshold: 0.25 }"): np.float32(X > 0.25),
        layer("ArgMax", params="argmax_param { top_k: 3 }"): order[:, None],
        layer("ArgMax", params="argmax_param { top_k: 3 out_max_val: true }"): np.stack([order, best], 1),
        layer("ArgMax", params="argmax_param { axis: 1 top_k: 2 }"): channels,
        layer("ArgMax", params="argmax_param { axis: 1 top_k: 2 out_max_val: true }"): -np.sort(-X, 1)[:, :2],
        layer("Im2col", params="convolution_param { kernel_size: 1 stride: 2 }"): X[:, :, ::2, ::2],
        layer("SPP", params="spp_param { pyramid_height: 1 pool: AVE }"): X.mean((2, 3)),
        layer("Interp", params="interp_param { shrink_factor: 7 }"): X[:, :, ::7, ::9],
        WEIGHS + layer("Axpy", "a data data"): X.mean((2, 3), keepdims=True) * X + X,
        layer("Interp", params="interp_param { pad_beg: -1 pad_end: -2 }"): X[:, :, 1:-2, 1:-2],
    }
    for text, wanted in table.items():
        (y,) = read(INPUT + text).forward(data=X).values()
        assert y.dtype == np.float32 and y.shape == wanted.shape, text
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5, err_msg=text)


def test_embed(read):
    text = 'input: "data" input_shape { dim: 3 dim: 2 } ' + layer(
        "Embed", params="embed_param { num_output: 5 input_dim: 7 }"
    )
    w, b = np.float32(np.arange(35).reshape(7, 5)), np.float32([1, 0, -1, 0, 2])
    words = np.float32([[0, 6], [3, 3], [1, 2]])
    (y,) = read(text, {"y": [w, b]}).forward(data=words).values()
    np.testing.assert_array_equal(y, w[words.astype(int)] + b)
    (y,) = read(text.replace("7 }", "7 bias_term: false }"), {"y": [w]}).forward(data=words).values()
    np.testing.assert_array_equal(y, w[words.astype(int)])


def test_images_in_another_order(read):
    text = INPUT + 'input: "order" input_shape { dim: 3 } ' + layer("BatchReindex", "data order")
    (y,) = read(text).forward(data=X, order=np.float32([1, 1, 0])).values()
    np.testing.assert_array_equal(y, X[[1, 1, 0]])


def test_images_that_are_selected(read):
    text = INPUT + 'input: "s" input_shape { dim: 2 } ' + layer("Filter", "data s")
    (y,) = read(text).forward(data=X, s=np.float32([0, 1])).values()
    np.testing.assert_array_equal(y, np.stack([X[1], 0 * X[1]]))


def test_a_parameter_is_a_constant(read):
    text = INPUT + layer("Parameter", "", "parameter_param { shape { dim: 4 dim: 8 dim: 10 } }", "p")
    text += layer("Bias", "data p")
    p = np.float32(np.arange(320).reshape(4, 8, 10))
    (y,) = read(text, {"p": [p]}).forward(data=X).values()
    np.testing.assert_array_equal(y, X + p)


def test_a_scale_inside_a_batch_norm(read):
    """NVIDIA's BatchNorm has it; so has BN of other forks, where statistics may be left out."""
    rng = np.random.default_rng(1)
    mean, scale, bias = rng.standard_normal((3, 4)).astype(np.float32)
    var, one = rng.random(4, np.float32) + 1, np.ones(1, np.float32)

    def wide(a):
        return a.reshape(-1, 1, 1)

    whole = (X - wide(mean)) / np.sqrt(wide(var) + 1e-5) * wide(scale) + wide(bias)
    for text, blobs, wanted in (
        (
            layer("BatchNorm", params="batch_norm_param { scale_bias: true }"),
            [mean, var, one, scale, bias],
            whole,
        ),
        (layer("BN"), [scale, bias, mean, var], whole),
        (layer("BN"), [scale, bias], X * wide(scale) + wide(bias)),
    ):
        (y,) = read(INPUT + text, {"y": blobs}).forward(data=X).values()
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


def test_a_size_that_was_worked_out_stays(read):
    zoomed = read(INPUT + layer("Interp", params="interp_param { zoom_factor: 2 }"))
    assert str(zoomed.inputs["data"]) == "fp32[N,4,8,10]"
    assert (
        str(read(INPUT + layer("SPP", params="spp_param { pyramid_height: 2 }")).inputs["data"])
        == "fp32[N,4,H,W]"
    )


REFUSED = [
    (layer("Interp", params="interp_param { pad_beg: 1 }"), "only cutting"),
    (layer("Interp", params="interp_param { zoom_factor: 0 }"), "zoom_factor 0"),
    (layer("Tile", params="tile_param { tiles: 0 }"), "tiles is 0"),
    (layer("SPP", params="spp_param { pyramid_height: 9 }"), "levels"),
    (layer("SPP", params="spp_param { pyramid_height: 2 pool: STOCHASTIC }"), "pool is STOCHASTIC"),
    (layer("Embed"), "num_output is 0"),
    (layer("Axpy", "data data"), "takes a, x and y"),
    (layer("BatchReindex", "data data"), "list of their numbers"),
    (layer("ArgMax", params="argmax_param { top_k: 999 }"), "no 999 numbers"),
    (layer("Crop", "data data", "crop_param { axis: 2 offset: 3 }"), "reaches past"),
    (layer("Im2col"), "has no kernel_size"),
    (layer("Parameter", ""), "its shape is []"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED)
def test_what_they_refuse(read, text, said):
    with pytest.raises(ConversionError) as error:
        read(INPUT + text)
    assert said in error.value.problems[0]
