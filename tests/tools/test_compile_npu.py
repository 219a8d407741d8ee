"""`fbnet compile --target npu` and `fbnet explain --device npu,cpu`."""

import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.tensor import Spec
from fbnet.layers.activation import ReLU
from fbnet.layers.npu.program import Program
from fbnet.layers.quantize import Dequantize, Quantize
from fbnet.layers.quantized import QuantizedConvolution


@pytest.fixture
def net():
    """x -> int8 -> a convolution of 1 x 1 -> y, real numbers at both ends."""
    w, b, factor = np.ones((8, 3, 1, 1), np.int8), np.zeros(8, np.int32), np.full(8, 0.1, np.float32)
    return Net(
        [
            Quantize("x", name="q", scale=(0.1,)),
            QuantizedConvolution("q", w, b, factor, name="c", scale=1.0),
            Dequantize("c", name="y", scale=(1.0,)),
        ],
        {"x": Spec(("N", 3, 4, 5))},
        name="tiny",
    )


def test_a_program_and_its_facts(program, net, tmp_path):
    net.save(tmp_path / "tiny.fbnet")
    out = tmp_path / "out"
    made = program.json(
        "compile", tmp_path / "tiny.fbnet", "--target", "npu", "-o", out, "--shape", "x=2,3,6,5"
    )
    (file,) = made["files"]
    assert file["file"] == str(out / "tiny.npu") and file["layers"] == ["c"] and file["macs"] == 8 * 3 * 30
    read = Program.read((out / "tiny.npu").read_bytes())
    assert [(e.name, e.shape) for e in (*read.inputs, *read.outputs)] == [
        ("q", (1, 3, 6, 5)),
        ("c", (1, 8, 6, 5)),
    ]
    assert file["commands"] == len(read.commands) and file["least_dram_bytes"] == len(read.image) + 11 * 30
    assert made["host"] == {
        "q": "it reads x, which is fp32[1,3,6,5]",
        "y": "there is no command for Dequantize: it writes y, which is fp32[1,8,6,5]",
    }
    assert (
        "left to the host" in program("compile", tmp_path / "tiny.fbnet", "--target", "npu", "-o", out).stdout
    )


def test_a_net_of_real_numbers(program, tmp_path):
    Net([ReLU("x", name="y")], {"x": (1, 4)}, name="real").save(tmp_path / "real.fbnet")
    said = program.fails("compile", tmp_path / "real.fbnet", "--target", "npu", "-o", tmp_path / "out")
    assert said == (
        "real: the npu computes none of its layers: y: it reads x, which is fp32[1,4]. "
        "Quantize it first: fbnet quantize"
    )
    assert not (tmp_path / "out").exists()


def test_the_cut_is_explained(program, net, tmp_path):
    net.save(tmp_path / "tiny.fbnet")
    found = program.json("explain", tmp_path / "tiny.fbnet", "--device", "npu+reference")
    assert [(s["device"], s["layers"]) for s in found["segments"]] == [
        ("reference", "q"),
        ("npu", "c"),
        ("reference", "y"),
    ]
    assert [(b["tensor"], b["from"], b["to"], b["bytes"]) for b in found["borders"]] == [
        ("x", "caller", "segment 0", "240"), ("q", "segment 0", "segment 1", "60"),
        ("c", "segment 1", "segment 2", "160"), ("y", "segment 2", "caller", "640"),
    ]  # fmt: skip
    assert found["layers"][0]["why"] == "on reference; npu: it reads x, which is fp32[1,3,4,5]"
    weighed = program.json("explain", tmp_path / "tiny.fbnet", "--device", "npu,cpu", "--no-tune")
    (segment,) = weighed["segments"]  # two trips of 5 us are more than these layers take on the cpu
    assert segment["device"] == "cpu" and "npu would take" in weighed["layers"][1]["why"]
