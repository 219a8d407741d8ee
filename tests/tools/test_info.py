import gc
import tracemalloc
from pathlib import Path

import fbnet
import numpy as np
from fbnet.engine.device import devices
from fbnet.engine.layer import layers
from fbnet.tools.info import memory, short

LENET = Path(fbnet.__file__).parent / "tools" / "lenet" / "lenet.fbnet"


def test_lenet(program):
    found = program.json("info", LENET, "--device", "reference")
    assert found["inputs"] == {"image": "uint8[N,H,W,1]"} and found["outputs"] == ["prob"]
    assert found["parameters"] == 431_080 and found["weight_bytes"] == 4 * 431_080
    assert found["macs"] == 288_000 + 1_600_000 + 400_000 + 5_000
    assert [row["type"] for row in found["layers"]][:3] == ["ImageResize", "ImageToTensor", "Convolution"]
    assert found["layers"][2] == {
        "name": "conv1", "type": "Convolution", "inputs": ["data"], "outputs": ["conv1"],
        "specs": ["fp32[N,20,24,24]"], "parameters": 520, "macs": 288_000,
    }  # fmt: skip
    assert found["peak_bytes"] >= found["arena_bytes"] > 0 and found["tests"] == 1


def test_before_and_after_cleaning_up(program):
    found = program.json("info", LENET, "--device", "reference")["clean_up"]
    assert (found["before"], found["after"]) == (10, 9) and found["types"]["ReLU"] == [1, 0]
    assert found["types"]["InnerProduct"] == [2, 2] and found["fused"] == {"ReLU": 1}
    shown = program("info", LENET, "--device", "reference").stdout
    assert "10 as written, 9 when folded and fused" in shown and "test vectors   1" in shown


def test_nothing_to_clean_up(program, tmp_path):
    fbnet.save(fbnet.Net([layers["ReLU"]("x", name="y")], {"x": (1, 4)}), tmp_path / "m.fbnet")
    shown = program("info", tmp_path / "m.fbnet", "--device", "reference").stdout
    assert "layers         1, all of which run as they are written" in shown


def test_another_shape(program):
    found = program.json("info", LENET, "--device", "reference", "--shape", "image=3,30,40,1")
    assert found["macs"] == 3 * 2_293_000 and found["at"] == ["image uint8[3,30,40,1]"]
    assert "no input 'data'" in program.fails("info", LENET, "--shape", "data=1,1,28,28")
    program.fails("info", LENET, "--shape", "image=1,0,28,1")


def test_peak_bytes_are_what_is_allocated(monkeypatch, tmp_path):
    """By Python's own count of what numpy allocates, from a net that nobody has compiled to its second run."""
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path))
    monkeypatch.setenv("FBNET_TUNE", "0")
    rng = np.random.default_rng(0)
    w = [rng.standard_normal(shape, dtype=np.float32) for shape in ((64, 3, 3, 3), (64, 64, 3, 3), (50, 64))]
    chain = [
        layers["Convolution"]("x", w[0], pad=(1,) * 4, name="a"), layers["Convolution"]("a", w[1], name="b"),
        layers["Pooling"]("b", global_pooling=True, name="c"), layers["InnerProduct"]("c", w[2], name="y"),
    ]  # fmt: skip
    net = fbnet.Net(chain, {"x": (1, 3, 64, 64)})
    net.digest, devices["cpu"].load_kernels()
    tracemalloc.start()
    try:
        plan = net.compile(threads=2)
        with plan.session() as session:
            for _ in range(2):
                session.set_tensor("x", rng.random((1, 3, 64, 64), dtype=np.float32))
                session.forward()
            gc.collect()
            arrays = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
            found = tracemalloc.take_snapshot().filter_traces(
                [arrays, tracemalloc.Filter(False, "*/numba/*")]
            )
    finally:
        tracemalloc.stop()
    allocated = sum(trace.size for trace in found.traces)
    told = memory(net, {}, "cpu", 2)
    used_as_they_are = told["peak_bytes"] - told["arena_bytes"] - told["packed_bytes"]
    assert used_as_they_are == w[2].nbytes and told["peak_bytes"] > 2_000_000
    # and 64 bytes to align the arena, the steps' argument blocks, a control block
    assert 0 < allocated - (told["peak_bytes"] - used_as_they_are) < 5_000


def test_for_people(program):
    result = program("info", LENET, "--device", "reference")
    assert result.exit_code == 0
    for text in (
        "LeNet-5: image uint8[N,H,W,1]",
        "conv1",
        "431,080 in 1,724,320 bytes",
        "2,293,000",
        "pixels GRAY",
    ):
        assert text in result.stdout


def test_no_plan_is_said_not_fatal(program):
    found = program.json("info", LENET, "--device", "gpu")
    assert "gpu" in found["plan_error"] and found["parameters"] == 431_080


def test_long_formulas_are_short():
    spec = fbnet.Spec(("N", 3, fbnet.Dim("((H+1)//2+1)//2", 56), fbnet.Dim("(W-1)//2", 113)))
    assert short(spec) == "fp32[N,3,~56,(W-1)//2]"


def test_control_characters_of_a_file_do_not_reach_the_terminal(program, tmp_path):
    net = fbnet.load(LENET)
    fbnet.save(net.replace(name="evil\x1b[2J", metadata={"source": "a\x07b\nc"}), tmp_path / "evil.fbnet")
    output = program("info", tmp_path / "evil.fbnet", "--device", "reference").stdout
    assert "\x1b" not in output and "\x07" not in output and "a b c" in output
    assert np.all([line.isprintable() for line in output.splitlines()])
