"""The file: how constants are stored, what is refused and how it is listed, and files that are damaged or hostile."""

from __future__ import annotations

import resource
import struct
import time
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet.engine.dtype import Quantization
from fbnet.engine.errors import ConversionError, FbnetError, FileError, InputError
from fbnet.formats.tflite.file import load
from fbnet.formats.tflite.file import schema as our_schema
from fbnet.formats.tflite.sparse import dense

IMAGE = {"x": (1, 6, 5, 3)}


@pytest.fixture
def read(tmp_path: Path):
    """read(bytes) -> the file's Model"""

    def run(model: bytes):
        path = tmp_path / "tiny.tflite"
        path.write_bytes(model)
        return load(path)

    return run


def conv(ops, w="w", b="b", x="x", y="y"):
    return ops.Op("CONV_2D", f"{x} {w} {b}", y, options="Conv2DOptions", padding=0, strideH=1, strideW=1)


def test_names_are_the_files(agree, ops):
    net = agree(
        [conv(ops, y="blob"), ops.Op("RELU", "blob")],
        IMAGE,
        {"w": ops.weights(4, 3, 3, 3), "b": ops.weights(4)},
    )
    assert [n.name for n in net if n.type != "Permute"] == ["blob", "y"]
    assert net.outputs == ("y",) and net.name == "tiny"
    assert net.metadata["source"] == "tiny.tflite, TensorFlow Lite, tiny"


def test_outputs_that_are_inputs_constants_and_twice_the_same(agree, ops):
    nodes = [ops.Op("RELU", "x", "y"), ops.Op("RESHAPE", "y s", "z"), ops.Op("EXP", "c", "e")]
    agree(nodes, {"x": (2, 4)}, {"s": np.int32([2, 4]), "c": ops.weights(3)}, outputs="y z e")


def test_weights_of_half_precision(agree, ops):
    constants = {"h": ops.weights(4, 3, 3, 3).astype(np.float16), "b": ops.weights(4)}
    net = agree([ops.Op("DEQUANTIZE", "h", "w"), conv(ops)], IMAGE, constants)
    assert [n.type for n in net] == ["Permute", "Convolution", "Permute"]


def test_weights_of_eight_bits_become_real(agree, convert, build, ops):
    """A net that computes with fp32: the runtime would round the images too, so the numbers are ours to check."""
    q = np.arange(-54, 54).astype(np.int8).reshape(4, 3, 3, 3)
    scale = np.float32([0.1, 0.2, 0.3, 0.4])
    nodes = [ops.Op("DEQUANTIZE", "q", "w"), conv(ops)]
    quantization = {"q": (scale, [0, 0, 0, 0], 0)}
    agree(nodes, IMAGE, {"q": q, "b": ops.weights(4)}, quantization=quantization, tolerance=1e-4)
    direct = convert(build(conv(ops, w="q"), IMAGE, {"q": q, "b": ops.weights(4)}, quantization=quantization))
    w = next(t for t in direct.constants.values() if t.spec.ndim == 4)
    np.testing.assert_allclose(w.data, (q * scale.reshape(4, 1, 1, 1)).transpose(0, 3, 1, 2))
    one = convert(
        build(conv(ops, w="q"), IMAGE, {"q": q, "b": ops.weights(4)}, quantization={"q": ([0.5], [3], 0)})
    )
    w = next(t for t in one.constants.values() if t.spec.ndim == 4)
    np.testing.assert_allclose(w.data, ((q - 3.0) * 0.5).transpose(0, 3, 1, 2))


def levels(schema, *rows):
    """A sparse tensor's levels: ('dense', size) or ('sparse', segments, indices)."""
    made = []
    for kind, *numbers in rows:
        level = schema.DimensionMetadataT()
        if kind == "dense":
            level.format, (level.denseSize,) = 0, numbers
        else:
            level.format = 1
            for name, values in zip(("arraySegments", "arrayIndices"), numbers, strict=True):
                vector = schema.Uint8VectorT()
                vector.values = np.uint8(values)
                setattr(level, name, vector)
                setattr(level, f"{name}Type", schema.SparseIndexVector.Uint8Vector)
        made.append(level)
    return made


def test_sparse_weights(agree, schema, ops):
    """Stored as MediaPipe does: the last axis compressed. The runtime's DENSIFY is the judge."""
    w = ops.weights(4, 1, 1, 3) * np.float32([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]).reshape(4, 1, 1, 3)
    sparsity = schema.SparsityParametersT()
    sparsity.traversalOrder = [0, 1, 2, 3]
    sparsity.dimMetadata = levels(
        schema, ("dense", 4), ("dense", 1), ("dense", 1), ("sparse", [0, 2, 2, 3, 6], [0, 2, 1, 0, 1, 2])
    )
    nodes = [ops.Op("DENSIFY", "s", "w", options="DensifyOptions"), conv(ops)]
    constants = {"s": w[w != 0], "b": ops.weights(4)}
    net = agree(nodes, IMAGE, constants, sparsity={"s": sparsity}, shapes={"s": w.shape, "w": w.shape})
    assert [n.type for n in net] == ["Permute", "Convolution", "Permute"]


def test_sparse_blocks():
    """A 4 x 6 matrix in blocks of 2 x 3, two of the four stored, each row by row."""
    array = np.zeros((4, 6), np.float32)
    array[0:2, 3:6], array[2:4, 0:3] = np.arange(1, 7).reshape(2, 3), np.arange(7, 13).reshape(2, 3)
    vector = {"array_segments": {"values": (0, 1, 2)}, "array_indices": {"values": (1, 0)}}
    sparsity = {
        "traversal_order": (0, 1, 2, 3),
        "block_map": (0, 1),
        "dim_metadata": (
            {"format": 0, "dense_size": 2}, {"format": 1, "dense_size": 0, **vector},
            {"format": 0, "dense_size": 2}, {"format": 0, "dense_size": 3},
        ),
    }  # fmt: skip
    np.testing.assert_array_equal(dense(sparsity, np.arange(1, 13, dtype=np.float32), (4, 6), "w"), array)
    for broken in (
        {"traversal_order": (0, 1, 2, 2)},
        {"block_map": (0, 2)},
        {"block_map": (0, 0)},
        {"dim_metadata": ()},
    ):
        with pytest.raises(FileError, match="sparse tensor 'w'"):
            dense(sparsity | broken, np.arange(12, dtype=np.float32), (4, 6), "w")
    for numbers, shape in ((11, (4, 6)), (12, (4, 7)), (12, (4, 6, 1))):
        with pytest.raises(FileError, match="sparse tensor 'w'"):
            dense(sparsity, np.arange(numbers, dtype=np.float32), shape, "w")


def test_four_bits(read, build, ops):
    """Two in a byte, the first in the low half."""
    stored = {"constants": {"c": np.uint8([0x21, 0x8F, 0x07])}, "shapes": {"c": (5,)}, "types": {"c": "int4"}}
    (constant,) = (
        t for t in read(build(ops.Op("RELU", "x"), {"x": (1, 4)}, **stored)).tensors if t.name == "c"
    )
    assert constant.type == "INT4" and constant.array.tolist() == [1, 2, -1, -8, 7]


# -- what is refused -------------------------------------------------------------------------------------------


def test_everything_that_cannot_be_expressed_is_listed(build, convert, ops):
    nodes = [
        ops.Op("RELU", "x", "a"),
        ops.Op("SVDF", "a w w", "b"),
        ops.Op("RELU", "b", "c"),
        ops.Op("MyOwn", "a", "d", custom=b"?"),
        ops.Op("CONV_2D", "a a a", "e", options="Conv2DOptions", strideH=1, strideW=1),
        ops.Op("RESHAPE", "a s", "f"),
        ops.Op("CONV_2D", "x k k", "g", options="Pool2DOptions"),
    ]
    constants = {"w": ops.weights(3), "s": np.int32([7, 7]), "k": ops.weights(4, 3, 3, 3)}
    with pytest.raises(ConversionError) as caught:
        convert(build(nodes, IMAGE, constants, outputs="b c d e f g"))
    assert [p.split(":")[0] for p in caught.value.problems] == [
        "b (SVDF)", "d (MyOwn)", "e (CONV_2D)", "f (RESHAPE)", "g (CONV_2D)",
    ]  # fmt: skip
    assert "there is no layer for this operator, version 1" in str(caught.value)
    assert "cannot reshape [1, 6, 5, 3] to [7, 7]" in str(caught.value)
    assert "tiny.tflite: 5 nodes cannot be converted" in str(caught.value) and "\n" not in str(caught.value)


def test_a_net_in_16_bits_is_refused_and_its_parameters_can_be_read(build, convert, read, ops):
    quantization = {
        "x": ([0.5], [3], 0), "a": ([0.25], [-2], 0), "y": ([0.1], [0], 0), "w": ([0.1, 0.2, 0.3, 0.4], [0] * 4, 0),
    }  # fmt: skip
    nodes = [conv(ops, y="a"), ops.Op("RELU", "a")]
    constants = {"w": np.zeros((4, 3, 3, 3), np.int8), "b": np.zeros(4, np.int32)}
    model = build(nodes, IMAGE, constants, types=dict.fromkeys("xay", "int16"), quantization=quantization)
    with pytest.raises(ConversionError) as caught:
        convert(model)
    assert len(caught.value.problems) == 3
    assert "a (CONV_2D): it computes with quantised numbers: int16[] (scale 0.25, zero -2)" in str(
        caught.value
    )
    found = {t.name: t.quantization for t in read(model).tensors}
    assert found["x"] == Quantization((0.5,), (3,))
    assert found["w"] == Quantization(tuple(np.float32([0.1, 0.2, 0.3, 0.4]).tolist()), (0,) * 4, 0)


def test_one_file_it_is(tmp_path, build, ops):
    path = tmp_path / "a.tflite"
    path.write_bytes(build(ops.Op("RELU", "x"), IMAGE))
    with pytest.raises(InputError, match=r"there is no place for other\.bin"):
        fbnet.convert(path, "other.bin")


# -- damaged and hostile files ---------------------------------------------------------------------------------


def test_what_is_no_such_file(tmp_path):
    for content, problem in (
        (b"", "no .tflite file"),
        (b"TFL3TFL3", "lies past the end"),
        (b"\0" * 400, "no .tflite file"),
    ):
        path = tmp_path / "a.tflite"
        path.write_bytes(content)
        with pytest.raises(FileError, match=problem):
            fbnet.convert(path)
    with pytest.raises(FileError, match="there is no such file"):
        fbnet.convert(tmp_path / "none.tflite")


def test_tensors_that_nothing_computes(build, convert, ops):
    later = [ops.Op("RELU", "b", "a"), ops.Op("RELU", "x", "b")]
    with pytest.raises(FileError, match=r"a \(RELU\) reads 'b', which nothing before it computes"):
        convert(build(later, IMAGE, outputs="a"))
    with pytest.raises(FileError, match=r"a \(RELU\) writes 'a', which is there already"):
        convert(build([ops.Op("RELU", "x", "a"), ops.Op("RELU", "x", "a")], IMAGE, outputs="a"))
    unread = [ops.Op("RELU", "x", "a"), ops.Op("SPLIT", "axis x", "b z", options="SplitOptions")]
    assert "z" in convert(build(unread, {"x": (1, 4)}, {"axis": np.int32(1)}, outputs="z")).outputs


def test_a_constant_of_the_wrong_size(build, convert, ops):
    model = build(
        conv(ops), IMAGE, {"w": ops.weights(4, 3, 3, 2), "b": ops.weights(4)}, shapes={"w": (4, 3, 3, 3)}
    )
    with pytest.raises(FbnetError, match="has 108 numbers but 72 are stored"):
        convert(model)


def test_absurd_sizes_take_no_memory(build, convert, ops):
    wide = ops.Op("RESIZE_BILINEAR", "x s", options="ResizeBilinearOptions")
    with pytest.raises(ConversionError, match="absurdly large"):
        convert(build(wide, IMAGE, {"s": np.int32([1 << 19, 1 << 19])}))
    with pytest.raises(ConversionError, match=r"absurdly large|refused"):
        convert(build(ops.Op("TILE", "c r", "y"), IMAGE, {"c": ops.weights(99), "r": np.int32([1 << 30])}))
    with pytest.raises(ConversionError, match="refused"):
        convert(
            build(ops.Op("FILL", "s v", "y"), IMAGE, {"s": np.int32([1 << 15, 1 << 14]), "v": np.float32(0)})
        )
    with pytest.raises(ConversionError, match="refused"):
        convert(
            build(
                ops.Op("RANGE", "a b c", "y"),
                IMAGE,
                {"a": np.int32(0), "b": np.int32(1 << 30), "c": np.int32(1)},
            )
        )
    with pytest.raises(FileError, match="no tensor has the shape"):
        convert(build(ops.Op("RELU", "x"), {"x": (1 << 20, 1 << 20)}))


@pytest.fixture
def whole(build, ops) -> bytes:
    """A file that has something of everything."""
    nodes = [
        ops.Op("DEQUANTIZE", "h", "w"),
        ops.Op(
            "CONV_2D", "x w b", "c", options="Conv2DOptions", strideH=2, strideW=2, fusedActivationFunction=1
        ),
        ops.Op(
            "MAX_POOL_2D",
            "c",
            "p",
            options="Pool2DOptions",
            strideH=1,
            strideW=1,
            filterHeight=2,
            filterWidth=2,
        ),
        ops.Op("PAD", "p pads", "q"),
        ops.Op("ADD", "q q", "r", options="AddOptions"),
        ops.Op("STRIDED_SLICE", "r lo hi st", "t", options="StridedSliceOptions"),
        ops.Op("Convolution2DTransposeBias", "t w2 b2", "u", custom=struct.pack("<3i", 1, 2, 2)),
        ops.Op("MEAN", "u axes", "m", options="ReducerOptions"),
        ops.Op("SOFTMAX", "m", "y", options="SoftmaxOptions", beta=1.0),
    ]
    constants = {
        "h": ops.weights(4, 3, 3, 3).astype(np.float16), "b": ops.weights(4),
        "pads": np.int32([[0, 0], [1, 0], [0, 1], [0, 0]]),
        "lo": np.int32([0, 1, 0, 0]), "hi": np.int32([1, 4, 3, 4]), "st": np.int32([1, 1, 1, 1]),
        "w2": ops.weights(2, 2, 2, 4), "b2": ops.weights(2), "axes": np.int32([1, 2]),
    }  # fmt: skip
    return build(nodes, IMAGE, constants)


@pytest.fixture
def outcome(tmp_path: Path):
    """outcome(bytes) -> 'net' or the error's kind. Anything but an FbnetError gets out of here."""

    def run(data: bytes) -> str:
        path = tmp_path / "mutant.tflite"
        path.write_bytes(data)
        start = time.process_time()
        try:
            net = fbnet.convert(path)
            net.specs()
            found = "net"
        except FbnetError as error:
            assert "\n" not in str(error)
            found = type(error).__name__
        assert time.process_time() - start < 2
        return found

    return run


def test_every_prefix(whole, outcome):
    kinds = [outcome(whole[:end]) for end in (*range(600), *range(600, len(whole), 5))]
    assert set(kinds) <= {"net", "FileError"} and kinds.count("FileError") > 0.9 * len(kinds)
    assert outcome(whole) == "net"


@pytest.mark.parametrize("seed", range(4))
def test_mutants(whole, outcome, seed):
    """4 x 500 copies with a few bytes changed: single bytes, whole words, and words that are moved."""
    random, kinds = np.random.default_rng(seed), []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    odd = [struct.pack("<i", n) for n in (-1, 0, 1, 2**31 - 1, -(2**31), 1 << 16, 127)]
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            at = int(random.integers(0, len(data) - 4))
            word = at // 4 * 4
            match random.integers(0, 3):
                case 0:
                    data[at] = random.integers(0, 256)
                case 1:
                    data[word : word + 4] = odd[random.integers(len(odd))]
                case 2:
                    other = int(random.integers(0, len(data) // 4)) * 4
                    data[word : word + 4] = data[other : other + 4]
        kinds.append(outcome(bytes(data)))
    assert set(kinds) <= {"net", "FileError", "ConversionError", "ShapeError", "NetError"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < before + 300_000  # kilobytes
    assert kinds.count("net") > 20 and kinds.count("FileError") > 50 and kinds.count("ConversionError") > 20


def test_the_schema_is_tensorflow_lites(schema):
    """Operators, types, options and fields have the numbers that TensorFlow Lite's generated code has."""
    for name in (
        "BuiltinOperator",
        "TensorType",
        "Padding",
        "ActivationFunctionType",
        "MirrorPadMode",
        "DimensionType",
    ):
        for number, member in our_schema().enums[name].items():
            assert getattr(getattr(schema, name), member) == number, member
    for name in ("BuiltinOptions", "SparseIndexVector", "QuantizationDetails"):
        for number, member in our_schema().unions[name].items():
            assert getattr(getattr(schema, name), member) == number, member
    for table, fields in our_schema().tables.items():
        builder = RecordingBuilder()
        for number, field in enumerate(fields):
            add = getattr(schema, f"{table}Add{field.name.title().replace('_', '')}", None)
            if add is None:
                assert field.name in ("new_height", "new_width")
                continue
            add(builder, 0)
            assert builder.slots.pop() == (number, field.default or 0), (table, field.name)


class RecordingBuilder:
    """Stands for a flatbuffers.Builder: notes which slot is written, and its default."""

    def __init__(self) -> None:
        self.slots: list[tuple[int, float]] = []

    def __getattr__(self, name: str):
        return lambda slot, value, default: self.slots.append((slot, default))
