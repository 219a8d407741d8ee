"""Models in 8-bit integers run in integers, by the file's own scales; the judge is TensorFlow Lite's runtime.

Its plain kernels multiply sums by a fraction of 31 bits where we multiply by an fp32: a number that falls near a half
may become the next one.
"""

import numpy as np
import pytest

REAL = {"Convolution", "InnerProduct", "Pooling", "Eltwise", "Sigmoid"}


@pytest.fixture
def net_and_file(build, convert, ops):
    """A stem, a depthwise block with a sum around it, a mean, a classifier; all of it int8, or uint8 at its ends."""

    def make(outside: str):
        rng = np.random.default_rng(11)
        offset = 128 if outside == "uint8" else 0
        constants, told, kinds = {}, {}, {}

        def tensor(name: str, scale: float, zero: int, kind: str = "int8") -> None:
            told[name], kinds[name] = ([scale], [zero], 0), kind

        def weighted(layer: str, shape, scale, source: float, axis: int) -> None:
            constants[f"w{layer}"] = rng.integers(-127, 128, shape).astype(np.int8)
            m = shape[axis]
            each = np.broadcast_to(np.float32(scale), (m,)).astype(np.float64)
            constants[f"b{layer}"] = rng.integers(-900, 900, m).astype(np.int32)
            told[f"w{layer}"] = each.tolist(), [0] * m, axis
            told[f"b{layer}"] = (each * source).tolist(), [0] * m, 0

        tensor("x", 0.0313, 5 + offset, outside)
        tensor("q", 0.0313, 5)
        weighted("a", (16, 3, 3, 3), rng.uniform(0.002, 0.004, 16), 0.0313, 0)
        tensor("a", 0.0217, -128)
        weighted("d", (1, 3, 3, 16), rng.uniform(0.002, 0.006, 16), 0.0217, 3)
        tensor("d", 0.0393, -9)
        weighted("p", (16, 1, 1, 16), 0.0031, 0.0393, 0)
        tensor("p", 0.0271, 13)
        tensor("s", 0.0419, -50)
        tensor("m", 0.0419, -50)
        tensor("g", 0.0102, -30)
        tensor("r", 0.0102, -30)
        weighted("f", (10, 16), 0.0107, 0.0102, 0)
        tensor("f", 0.0511, 4)
        tensor("y", 1 / 256, -128 + offset, outside)
        op = ops.Op
        conv = {"options": "Conv2DOptions", "padding": 0, "version": 3, "strideW": 1, "strideH": 1}
        layers = [
            *([op("QUANTIZE", "x", "q")] if outside == "uint8" else []),
            op("CONV_2D", "q wa ba" if outside == "uint8" else "x wa ba", "a", **conv | {
                "strideW": 2, "strideH": 2, "fusedActivationFunction": 3}),
            op("DEPTHWISE_CONV_2D", "a wd bd", "d", options="DepthwiseConv2DOptions", padding=0, strideW=1, strideH=1,
               depthMultiplier=1, version=3),
            op("CONV_2D", "d wp bp", "p", **conv),
            op("ADD", "p a", "s", options="AddOptions", version=2),
            op("MAX_POOL_2D", "s", "m", options="Pool2DOptions", padding=1, strideW=2, strideH=2, filterWidth=2,
               filterHeight=2, version=2),
            op("AVERAGE_POOL_2D", "m", "g0", options="Pool2DOptions", padding=1, strideW=3, strideH=2, filterWidth=3,
               filterHeight=2, version=2),
            op("QUANTIZE", "g0", "g"),
            op("RESHAPE", "g shape", "r", options="ReshapeOptions", newShape=[1, 16]),
            op("FULLY_CONNECTED", "r wf bf", "f", options="FullyConnectedOptions", version=4),
            op("LOGISTIC", "f", "y0" if outside == "uint8" else "y", version=2),
            *([op("QUANTIZE", "y0", "y")] if outside == "uint8" else []),
        ]  # fmt: skip
        tensor("g0", 0.0419, -50)
        if outside == "uint8":
            tensor("y0", 1 / 256, -128)
        else:
            del told["q"], kinds["q"]
        constants["shape"] = np.array([1, 16], np.int32)
        shapes = {
            "q": (1, 9, 13, 3),
            "a": (1, 5, 7, 16),
            "d": (1, 5, 7, 16),
            "p": (1, 5, 7, 16),
            "s": (1, 5, 7, 16),
        }
        shapes |= {"m": (1, 2, 3, 16), "g0": (1, 1, 1, 16), "g": (1, 1, 1, 16), "r": (1, 16), "f": (1, 10)}
        shapes |= {"y": (1, 10), "y0": (1, 10)}
        file = build(
            layers, {"x": (1, 9, 13, 3)}, constants, "y", types=kinds, quantization=told, shapes=shapes
        )
        return convert(file), file

    return make


@pytest.mark.parametrize("outside", ["int8", "uint8"])
def test_a_quantised_model_runs_in_integers_with_the_runtimes_numbers(net_and_file, judge, outside):
    net, file = net_and_file(outside)
    assert not REAL & {layer.type for layer in net.layers}
    assert str(net.inputs["x"].dtype) == outside and str(net.specs()["y"].dtype) == outside
    between = {"Quantize", "Dequantize"} & {layer.type for layer in net.layers}
    assert not between if outside == "int8" else between  # nothing comes between integers
    limits = np.iinfo(outside)
    rng = np.random.default_rng(2)
    for _ in range(5):
        x = rng.integers(limits.min, limits.max + 1, (1, 9, 13, 3)).astype(outside)
        (got,), (wanted,) = net.forward(x=x).values(), judge(file, {"x": x}).values()
        difference = np.abs(got.astype(int) - wanted)
        assert np.ptp(wanted.astype(int)) > 50
        assert got.dtype == wanted.dtype and difference.max() <= 2 and (difference > 1).mean() <= 0.1
        np.testing.assert_array_equal(net(x), got)
