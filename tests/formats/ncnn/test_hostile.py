"""Cut and altered files: a typed error or a whole net, in no time, and never another exception."""

from __future__ import annotations

import re
import struct
import time
from collections import Counter

import fbnet
import numpy as np
import pytest

NET = """7767517
17 21
Input in 0 1 data 0=8 1=8 2=4
Split s 1 2 data a b
Convolution conv 1 1 a c 0=4 1=3 11=3 2=1 3=1 4=1 14=-233 5=1 6=144 9=2 -23310=1,0.1
BatchNorm bn 1 1 c d 0=4 1=1.0e-5
MemoryData m 0 1 m 0=4
BinaryOp add 2 1 d m e 0=0
Slice sl 1 2 e f g -23300=2,2,-233 1=0
Concat cat 2 1 g f h 0=0
ShuffleChannel sh 1 1 h i 0=2
Interp up 1 1 i j 0=2 1=2.0 2=2.0
Pooling p 1 1 j k 0=1 1=3 2=2 3=1 5=0
Crop cr 1 1 k l -23309=1,1 -23310=1,4 -23311=1,1
Padding pad 1 1 l n 0=1 1=2 2=3 3=4 8=4
Permute pe 1 1 n o 0=3
Reshape r 1 1 o q 0=-1 1=4
InnerProduct fc 1 1 q t 0=5 1=1 2=3840
Softmax prob 1 1 t prob 0=0 1=1
"""
MORE = """7767517
16 18
Input in 0 1 data 0=16 1=16 2=3
Split s 1 2 data a b
Convolution conv 1 1 a c 0=12 1=3 3=2 5=1 6=324 8=2
PriorBox pb 2 1 c b p -23300=1,6.0 -23302=1,2.0 9=-233 10=-233 11=8.0 12=8.0 13=0.5
Split s2 1 7 c c0 c1 c2 c3 c4 c5 c6
Normalize no 1 1 c0 n 0=0 3=12 4=1
Flatten fl 1 1 n f
Flatten fc 1 1 c1 g
YoloDetectionOutput yo 1 1 c2 y 0=1 1=2 2=0.1 -23304=4,1.0,2.0,3.0,1.5
Yolov3DetectionOutput yv 1 1 c3 v 0=1 1=2 -23304=4,9.0,9.0,5.0,5.0 -23305=2,0,1065353216 -23306=1,8.0
Reduction re 1 1 c4 r 0=8 1=0 -23303=2,0,1 4=1 5=1
Tile ti 1 1 c5 t -23302=2,2,3
Reshape rs 1 1 c6 q 0=7 1=84
LSTM ls 1 1 q o 0=5 1=280 2=2
BinaryOp bo 2 1 o o2 z 0=5
Flip fp 1 1 f w -23300=1,0
""".replace("LSTM ls 1 1 q o ", "LSTM ls 1 1 q l ").replace("BinaryOp bo 2 1 o o2 z", "UnaryOp bo 1 1 l z")
WORDS = [
    b"-1",
    b"0",
    b"2147483647",
    b"1e30",
    b"nan",
    b"=",
    b",",
    b'"',
    b"data",
    b"Slice",
    b"\xff\x00",
    b"-233",
    b" 0=9 ",
]


def converted(paths, **options) -> fbnet.Net:
    return fbnet.convert(*paths, **options)


@pytest.fixture
def weights(write, drawn) -> bytes:
    fbnet.convert(*write(NET), random_weights=1)
    return b"".join((b"\0\0\0\0" if tagged else b"") + t.data.tobytes() for t, tagged in drawn)


def test_the_net_itself_is_whole(write, weights, outcome):
    assert outcome(converted, write(NET, weights)) == "net"


def test_every_prefix_of_a_text(write, outcome):
    kinds = Counter(
        outcome(converted, write(NET.encode()[:end]), random_weights=1) for end in range(len(NET))
    )
    assert set(kinds) <= {"net", "FileError", "ConversionError"} and kinds["FileError"] > 100


def test_more_layers_are_whole(write, outcome):
    assert outcome(converted, write(MORE), random_weights=1) == "net"


@pytest.mark.parametrize("text", [NET, MORE], ids=["convolutions", "boxes"])
def test_mutated_texts(write, text, outcome, mutants):
    kinds = Counter(
        outcome(converted, write(m), random_weights=1) for m in mutants(text.encode(), 1000, WORDS)
    )
    assert kinds["net"] > 10 and kinds["FileError"] > 200 and kinds["ConversionError"] > 20


@pytest.mark.parametrize("text", [NET, MORE], ids=["convolutions", "boxes"])
def test_mutated_parameters(write, text, outcome):
    """One or two values of an otherwise whole file, so that layers meet what they do not expect."""
    random, found = np.random.default_rng(3), Counter()
    values = [
        "-1",
        "0",
        "1",
        "2",
        "3",
        "7",
        "-233",
        "-234",
        "1000000",
        "2147483647",
        "1e30",
        "-0.5",
        "1,2",
        "x",
    ]
    words = re.split(r"(?<==)(\S+)", text)
    places = range(1, len(words), 2)
    for _ in range(1000):
        mutant = list(words)
        for _ in range(random.integers(1, 3)):
            mutant[random.choice(places)] = values[random.integers(len(values))]
        found[outcome(converted, write("".join(mutant)), random_weights=1)] += 1
    assert found["net"] > 50 and found["FileError"] > 50 and found["ConversionError"] > 200


def test_mutated_binaries(write, binary, outcome, mutants):
    numbers = [struct.pack("<i", n) for n in (-1, 0, 1, -233, -23300, -23310, 2**31 - 1, -(2**31), 7)]
    data = binary(NET)
    assert outcome(converted, write(data), random_weights=1) == "net"
    kinds = Counter(outcome(converted, write(m), random_weights=1) for m in mutants(data, 1000, numbers))
    assert kinds["FileError"] > 200 and kinds["ConversionError"] > 20
    whole = []  # words of four bytes changed in place, so that more of the file stays readable
    random = np.random.default_rng(7)
    for _ in range(1000):
        mutant = bytearray(data)
        at = 4 * int(random.integers(len(mutant) // 4))
        mutant[at : at + 4] = numbers[random.integers(len(numbers))]
        whole.append(outcome(converted, write(bytes(mutant)), random_weights=1))
    kinds = Counter(whole)
    assert kinds["net"] > 20 and kinds["FileError"] > 50 and kinds["ConversionError"] > 50


def test_every_prefix_of_a_bin(write, weights, outcome):
    kinds = Counter(outcome(converted, write(NET, weights[:end])) for end in range(0, len(weights), 100))
    assert set(kinds) == {"FileError"}


def test_mutated_bins(write, weights, outcome, mutants):
    tags = [struct.pack("<I", t) for t in (0x01306B47, 0x000D4B38, 0x0002C056, 1, 0xFFFFFFFF)]
    kinds = Counter(outcome(converted, write(NET, m)) for m in mutants(weights, 1000, tags))
    assert kinds["net"] > 20 and kinds["FileError"] > 100
    for at in (0, len(weights) - 3840 * 4 - 5 * 4 - 4):  # where the two tags are
        found = [outcome(converted, write(NET, weights[:at] + tag + weights[at + 4 :])) for tag in tags]
        assert found == ["FileError", "ConversionError", "net", "FileError", "FileError"]


def test_absurd_files(write, outcome):
    head = "7767517\n2 2\nInput data 0 1 data 0=8 1=8 2=4\n"
    for line in (
        "Convolution c 1 1 data y 0=2147483647 1=2147483647 6=1",
        "Convolution c 1 1 data y 0=2147483647 1=1 6=4 3=2147483647",
        "Interp i 1 1 data y 0=1 1=1e30 2=1e30",
        "Interp i 1 1 data y 0=1 3=2147483647 4=2147483647",
        "Padding p 1 1 data y 0=2147483647 1=2147483647 2=2147483647 3=2147483647",
        "Pooling p 1 1 data y 1=2147483647 3=2147483646",
        "MemoryData p 0 1 y 0=2147483647 1=2147483647 2=2147483647",
        "Permute p 1 1 data y 0=-1",
        "Split p 1 99999 data y",
        "Reshape p 1 1 data y 0=-2147483648",
        "ReLU " + "z" * 10**6 + " 1 1 data y",
        "ReLU r 1 1 data y 6=" + "q" * 10**6,
        "ReLU r 1 1 data y " + "0=1 " * 10**5,
        "Concat c 1 1 data y 0=2147483647",
        "Tile t 1 1 data y 0=0 1=2147483647",
        "SPP t 1 1 data y 1=2147483647",
        "Unfold t 1 1 data y 1=1 4=2147483647",
        "Embed t 1 1 data y 0=2147483647 1=2147483647 3=1",
        "LSTM t 1 1 data y 0=2147483647 1=2147483647",
        "DetectionOutput t 3 1 data data data y 0=2147483647 3=2147483647",
        "YoloDetectionOutput t 1 1 data y 0=1 1=2147483647 -23304=2,1.0,1.0",
        "PriorBox t 1 1 data y -23300=1,1e38 9=2147483647 10=2147483647 11=1e-30 12=1e-30",
    ):
        found = outcome(converted, write(head + line + "\n"), random_weights=1)
        assert found in ("FileError", "ConversionError"), line[:60]
    many = "".join(f"ReLU r{i} 1 1 x{i} x{i + 1}\n" for i in range(3000))
    deep = f"7767517\n3001 3001\nInput x 0 1 x0 0=8\n{many}"
    start = time.process_time()
    assert len(fbnet.convert(*write(deep))) == 3000 and time.process_time() - start < 5
