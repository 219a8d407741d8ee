"""Files as ncnn2int8 writes them: integer layers by the file's own scales, beside ncnn's own run."""

from __future__ import annotations

import numpy as np
import pytest

INT8 = 0x000D4B38
RNG = np.random.default_rng(5)


def stored(w: np.ndarray) -> bytes:
    """Weights as a .bin has them: int8, or fp32."""
    if w.dtype == np.int8:
        return INT8.to_bytes(4, "little") + w.tobytes() + b"\0" * (-w.size % 4)
    return bytes(4) + w.astype("<f4").tobytes()


def blobs(w: np.ndarray, *others: object) -> bytes:
    return stored(w) + b"".join(np.asarray(o, "<f4").tobytes() for o in others)


def whole(count: int) -> np.ndarray:
    return RNG.integers(-127, 128, count).astype(np.int8)


LINES = (
    "Convolution c1 1 1 data c1 0=16 1=3 4=1 5=1 6=864 8=102 9=1",  # gives int8 to the next
    "ConvolutionDepthWise d1 1 1 c1 d1 0=16 1=3 3=2 4=1 5=1 6=144 7=16 8=101 9=1",
    "Convolution c2 1 1 d1 c2 0=16 1=1 5=1 6=256 8=2",
    "Split s 1 2 c2 c2a c2b",
    "Convolution c3 1 1 c2a c3 0=16 1=3 4=1 5=0 6=2304 8=2 9=2 -23310=1,1.000000e-01",
    "BinaryOp add 2 1 c2b c3 add 0=0",  # in floats: c2 is read as integers and as floats
    "ConvolutionDepthWise g 1 1 add g 0=8 1=1 5=1 6=32 7=4 8=1",
    "Pooling p 1 1 g p 0=1 4=1",
    "InnerProduct f 1 1 p f 0=5 1=1 2=40 8=2",
)


def weights() -> bytes:
    bias = RNG.uniform(-1, 1, 16)
    return b"".join(
        [
            blobs(whole(864), bias, RNG.uniform(300, 500, 16), [40], [21]),
            blobs(whole(144), bias, RNG.uniform(60, 90, 16), [21], [25]),
            blobs(whole(256), bias, RNG.uniform(300, 500, 16), [25]),
            blobs(
                RNG.uniform(-0.1, 0.1, 2304), RNG.uniform(1200, 1270, 16), [30]
            ),  # rounded as they are read
            blobs(whole(32), bias[:8], [300, 200, 400, 250], [20]),
            blobs(whole(40), bias[:5], RNG.uniform(200, 300, 5), [60]),
        ]
    )


def test_a_file_of_ncnn2int8_gives_ncnns_integers(read, tmp_path):
    package = pytest.importorskip("ncnn")
    data = weights()
    net = read(*LINES, weights=data)
    kinds = [layer.type for layer in net.layers]
    assert kinds.count("QuantizedConvolution") == 5 and kinds.count("QuantizedInnerProduct") == 1
    assert not {"Convolution", "InnerProduct"} & set(kinds)
    assert net.metadata["quantization"]["float_share"] < 0.05
    given = [layer.to for layer in net.layers if layer.type == "QuantizedConvolution"]
    assert given == ["int8", "int8", "fp32", "fp32", "fp32"]
    judge = package.Net()
    for option in ("use_fp16_storage", "use_fp16_packed", "use_fp16_arithmetic", "use_bf16_storage"):
        setattr(judge.opt, option, False)
    param, bin_file = tmp_path / "net.param", tmp_path / "net.bin"
    assert judge.load_param(str(param)) == 0 and judge.load_model(str(bin_file)) == 0
    integers = [layer.outputs[0] for layer in net.layers if layer.type == "QuantizedConvolution"][:2]
    shown = net.replace(outputs=[*integers, "c2", "add", "f"])
    for _ in range(3):
        x = RNG.uniform(-3.4, 3.4, (1, 6, 9, 7)).astype(np.float32)
        got = shown.forward(data=x)
        extractor = judge.create_extractor()
        mat = package.Mat(x[0]).clone()
        extractor.input("data", mat)
        for name, blob in zip(got, ("c1", "d1", "c2a", "add", "f"), strict=True):
            wanted, y = np.array(extractor.extract(blob)[1]), got[name][0].astype(np.float32)
            assert np.ptp(wanted) > 1 and wanted.shape == y.shape
            if got[name].dtype == np.int8:  # a half is rounded away from 0 there, and to even here
                assert np.abs(y - wanted).max() <= 1 and (y != wanted).mean() < 0.01
            np.testing.assert_allclose(y, wanted, rtol=0, atol=0.01 * np.ptp(wanted), err_msg=blob)


def test_what_lies_between_moves_integers(read):
    """The largest of windows, and parts joined: quantized before or behind is the same."""
    lines = (
        "Convolution c1 1 1 data c1 0=8 1=1 5=0 6=48 8=2 9=1",
        "Pooling p 1 1 c1 p 0=0 1=2 2=2",
        "Split s 1 2 p pa pb",
        "Concat j 2 1 pa pb j",
        "Convolution c2 1 1 j c2 0=4 1=1 5=0 6=64 8=2",
    )
    data = blobs(whole(48), np.full(8, 400), [40]) + blobs(whole(64), np.full(4, 400), [30])
    net = read(*lines, weights=data)
    kinds = [layer.type for layer in net.layers]
    assert kinds == [
        "Clip",
        "Quantize",
        "QuantizedConvolution",
        "QuantizedPooling",
        "Concat",
        "QuantizedConvolution",
    ]


@pytest.mark.parametrize("term", [1, 2, 101, 102])
@pytest.mark.parametrize("integers", [True, False])
def test_scales_of_a_depthwise_convolution(read, term, integers):
    """Behind weights and bias come their scales, one for all with 2, and those of what is read and, above 100, written.
    Weights that are floats in the file are rounded by them."""
    line = f"ConvolutionDepthWise c 1 1 data c 0=6 1=1 5=1 6=12 7=3 8={term}"
    scales = np.float32([2, 4, 8]) if term % 100 == 1 else np.float32([4])
    each = np.repeat(np.broadcast_to(scales, 3), 4)
    w = np.arange(-6, 6, dtype=np.int8)
    file = w if integers else (w / each).astype(np.float32)
    more = [10, 5] if term > 100 else [10]
    net = read(line, weights=blobs(file, np.arange(6), scales, more))
    (layer,) = [layer for layer in net.layers if layer.type == "QuantizedConvolution"]
    np.testing.assert_array_equal(net.constants[layer.inputs[1]].data.ravel(), w)
    steps = np.repeat(0.1 / np.broadcast_to(scales, 3), 2) / (0.2 if term > 100 else 1)
    np.testing.assert_allclose(net.constants[layer.inputs[3]].data, steps, rtol=1e-6)
    assert net.metadata["int8"]["c"] == pytest.approx({"input": 0.1, "output": 0.2 if term > 100 else None})
