"""Cut and altered files: a typed error or a whole net, in no time, and never another exception."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fbnet.engine.errors import FbnetError

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


def outcome(read, *args, **options) -> str:
    """'net' or the error's kind. Anything but an FbnetError gets out of here; so does a net that does not hold."""
    start = time.process_time()
    try:
        net = read(*args, **options)
        net.specs()
        assert len(net) and all(np.isfinite(c.spec.nbytes) for c in net.constants.values())
        found = "net"
    except FbnetError as error:
        assert "\n" not in str(error)
        found = type(error).__name__
    assert time.process_time() - start < 1
    return found


def mutants(data: bytes, count: int, words: list[bytes]) -> list[bytes]:
    """Seeded copies of `data` with a few bytes changed, inserted, removed, moved, or a word put in."""
    random, made = np.random.default_rng(count), []
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(random.integers(1, 4)):
            at, to = sorted(random.integers(0, len(mutant) + 1, 2))
            match random.integers(0, 5):
                case 0:
                    mutant[at : at + 1] = random.bytes(1)
                case 1:
                    mutant[at:at] = words[random.integers(len(words))]
                case 2:
                    del mutant[at : min(to, at + 40)]
                case 3:
                    mutant[at:at] = mutant[at : min(to, at + 60)]
                case 4:
                    mutant[at : at + 2] = words[random.integers(len(words))]
        made.append(bytes(mutant))
    return made


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_every_prefix_of_a_prototxt(read, text):
    data = text.encode()
    kinds = {outcome(read, data[:end]) for end in range(len(data))}
    assert kinds <= {"net", "FileError", "ConversionError"} and "FileError" in kinds


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_mutated_prototxts(read, text):
    kinds = [outcome(read, mutant) for mutant in mutants(text.encode(), 1000, WORDS)]
    assert kinds.count("net") > 20 and kinds.count("FileError") > 200 and kinds.count("ConversionError") > 50


@pytest.fixture
def weights(read, blobs_of, caffemodel) -> bytes:
    return caffemodel(blobs_of(read(TEXTS["V2"])))


def test_every_prefix_of_a_caffemodel(read, weights):
    kinds = [outcome(read, TEXTS["V2"], weights[:end]) for end in range(len(weights) + 1)]
    assert set(kinds) == {"FileError", "ConversionError", "net"} and kinds.count("net") == 1


def test_mutated_caffemodels(read, weights):
    lengths = [
        b"\xff\xff\xff\xff\x7f",
        b"\x00",
        b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
        b"\x2a\x04abcd",
        b"\xa2\x06",
    ]
    kinds = [outcome(read, TEXTS["V2"], mutant) for mutant in mutants(weights, 1000, lengths)]
    assert kinds.count("net") > 20 and kinds.count("FileError") > 100


def test_nesting_without_end(read):
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
