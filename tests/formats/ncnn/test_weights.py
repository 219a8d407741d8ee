"""Weights from a .bin, as it stores them, and from a seed."""

from __future__ import annotations

import fbnet
import numpy as np
import pytest
from fbnet.engine.errors import ConversionError, FileError, InputError

LINES = ("Convolution c 1 1 data y 0=3 1=1 5=1 6=18", "PReLU p 1 1 y z 0=3")
W, B, S = np.linspace(-1, 1, 18, dtype=np.float32), np.float32([1, 2, 3]), np.float32([4, 5, 6])
FP16 = 0x01306B47


def stored(tag: int, weights: bytes) -> bytes:
    return tag.to_bytes(4, "little") + weights + b"\0" * (-len(weights) % 4)


def behind(weights: bytes) -> bytes:
    return weights + B.tobytes() + S.tobytes()


def test_fp32(read):
    for tag in (0, 0x0002C056):
        net = read(*LINES, weights=behind(stored(tag, W.tobytes())))
        np.testing.assert_array_equal(net.constants["c.w"].data, W.reshape(3, 6, 1, 1))
        np.testing.assert_array_equal(net.constants["c.b"].data, B)
        np.testing.assert_array_equal(net.constants["p.slope"].data, S)


def test_fp16(read):
    net = read(*LINES, weights=behind(stored(FP16, W.astype("<f2").tobytes())))
    found = net.constants["c.w"].data
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.ravel(), W.astype(np.float16))


def test_an_odd_number_of_halves_is_filled_up(read):
    lines = ("Input data 0 1 data 0=9", "InnerProduct c 1 1 data y 0=1 1=1 2=9")
    net = read(*lines, weights=stored(FP16, W[:9].astype("<f2").tobytes()) + B[:1].tobytes())
    np.testing.assert_array_equal(net.constants["c.w"].data[0], W[:9].astype(np.float16))
    assert net.constants["c.b"].data == [1]


def test_a_table_of_256_numbers(read):
    table = np.linspace(-1, 1, 256, dtype=np.float32)
    net = read(*LINES, weights=behind(stored(1, table.tobytes() + bytes(range(100, 118)))))
    np.testing.assert_array_equal(net.constants["c.w"].data.ravel(), table[100:118])


def test_fp16_and_tables_are_what_ncnn_reads(write, tmp_path):
    package = pytest.importorskip("ncnn")
    table = np.linspace(-1, 1, 256, dtype=np.float32)
    param = "7767517\n2 2\nInput data 0 1 data 0=9\nInnerProduct c 1 1 data y 0=2 2=18\n"
    x = np.arange(9, dtype=np.float32)
    for data in (stored(FP16, W.astype("<f2").tobytes()), stored(1, table.tobytes() + bytes(range(18)))):
        paths = write(param, data)
        judge = package.Net()
        judge.opt.use_fp16_storage = judge.opt.use_fp16_packed = judge.opt.use_bf16_storage = False
        assert judge.load_param(str(paths[0])) == 0 and judge.load_model(str(paths[1])) == 0
        extractor = judge.create_extractor()
        extractor.input("data", package.Mat(x).clone())
        wanted = np.array(extractor.extract("y")[1])
        np.testing.assert_allclose(fbnet.convert(*paths)(x[None])[0], wanted, rtol=1e-5)


def test_int8_without_scales_is_told(read):
    with pytest.raises(
        ConversionError, match=r"c \(Convolution\): its w is int8, but the \.param does not say"
    ):
        read(*LINES, weights=behind(stored(0x000D4B38, bytes(18))))


def test_int8_nets_say_what_is_not_read(read):
    with pytest.raises(ConversionError) as error:
        read("Reshape r 1 1 data r 0=7 1=54", "LSTM l 1 1 r y 0=5 1=140 8=1")
    (problem,) = error.value.problems
    assert problem.startswith(
        "l (LSTM): has int8 weights, which are supported in convolutions and products alone"
    )


@pytest.mark.parametrize("end", [0, 2, 4, 75, 76, 87, 99])
def test_a_cut_bin_is_a_file_error(read, end):
    data = behind(stored(0, W.tobytes()))
    assert len(data) == 100
    with pytest.raises(FileError, match=r"net\.bin: .*(c|p) \(.*truncated, or of another net"):
        read(*LINES, weights=data[:end])


def test_a_bin_of_another_net_is_a_file_error(read):
    with pytest.raises(FileError, match="has 8 bytes more than the net needs: it is of another net"):
        read(*LINES, weights=behind(stored(0, W.tobytes())) + bytes(8))


def test_files_come_in_either_order_and_under_any_name(write, tmp_path):
    text = "7767517\n2 2\nInput data 0 1 data 0=3\nPReLU p 1 1 data z 0=3\n"
    param, weights = write(text, S.tobytes())
    net = fbnet.convert(param, weights)
    assert net.metadata["source"] == "net.param + net.bin"
    odd = tmp_path / "weights.param"
    odd.write_bytes(S.tobytes())
    assert fbnet.convert(odd, param).digest == net.digest


def test_missing_files(write, tmp_path):
    text = "7767517\n2 2\nInput data 0 1 data 0=3\nPReLU p 1 1 data z 0=3\n"
    param, weights = write(text, S.tobytes())
    with pytest.raises(InputError, match=r"its \.bin is missing: .*1 layers need weights: p$"):
        fbnet.convert(param)
    with pytest.raises(FileError, match=r"none\.bin: cannot be read"):
        fbnet.convert(param, tmp_path / "none.bin")
    with pytest.raises(InputError, match=r"one of them has to be a \.param"):
        fbnet.convert(param.rename(tmp_path / "a.param"), (tmp_path / "a.param"))
    with pytest.raises(InputError, match=r"an ncnn model is a \.param and a \.bin"):
        fbnet.convert(tmp_path / "a.param", weights, weights)


def test_seeds(read):
    assert read(*LINES).digest == read(*LINES).digest != read(*LINES, random_weights=2).digest
    with pytest.raises(InputError, match="random_weights is -1: give a seed"):
        read(*LINES, random_weights=-1)


def test_random_weights_have_a_limit(read):
    with pytest.raises(ConversionError, match="too many random weights"):
        read("InnerProduct i 1 1 data y 0=1000000 2=378000000")


@pytest.mark.parametrize("function", ["ReLU", "HardSwish", "Swish", "Mish", "GELU", "Sigmoid", "Clip"])
def test_signals_neither_die_nor_explode(read, function):
    """40 blocks of squeeze and excitation with a residual sum."""
    lines = ["Input x0 0 1 x0 0=5 1=5 2=8"]
    clip = " 0=0.0 1=6.0" if function == "Clip" else ""
    for i in range(40):
        lines += [
            f"Split s{i} 1 2 x{i} a{i} r{i}",
            f"ConvolutionDepthWise d{i} 1 1 a{i} d{i} 0=8 1=3 4=1 5=1 6=72 7=8",
            f"{function} f{i} 1 1 d{i} f{i}{clip}",
            f"Split t{i} 1 2 f{i} b{i} c{i}",
            f"Pooling p{i} 1 1 b{i} p{i} 0=1 4=1",
            f"InnerProduct i{i} 1 1 p{i} i{i} 0=8 1=1 2=64 9=4",
            f"BinaryOp m{i} 2 1 c{i} i{i} m{i} 0=2",
            f"Convolution e{i} 1 1 m{i} e{i} 0=8 1=1 5=1 6=64",
            f"BinaryOp o{i} 2 1 r{i} e{i} x{i + 1}",
        ]
    net = read(*lines)
    y = net.forward(x0=np.random.default_rng(0).standard_normal((1, 8, 5, 5), np.float32))["x40"]
    assert 0.05 < y.std() < 30
