"""The npu: its programs give the reference's very bits, at every cut, and as a device."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fbnet import CompileError, DeviceError, FileError, Net, load
from fbnet.engine.check import net_of
from fbnet.layers.activation import ReLU
from fbnet.layers.npu.assemble import assemble
from fbnet.layers.npu.commands import Conv, Load, Pool
from fbnet.layers.npu.machine import CHIP
from fbnet.layers.npu.timing import timing
from fbnet.layers.quantized import QuantizedPooling
from fbnet.layers.resize import Resize
from fbnet.tools.demo import LENET
from PIL import Image

REFUSED = {"Dequantize", "Pad", "Quantize", "QuantizedDeconvolution", "QuantizedMatMul", "Reorder"}


def differing(got, wanted):
    assert got.keys() == wanted.keys()
    return sum(int((got[name] != wanted[name]).sum()) for name in wanted)


@pytest.mark.parametrize("small", [False, True])
def test_every_layer_is_the_reference(cases, run, tiny_chip, small):
    """On the chip, and on one whose buffers hold a few rows and channels of what these cases read."""
    chip, seen, refusals, loads = tiny_chip if small else CHIP, set(), [], 0
    for case in cases:
        if not case.exact or case.layer.type in REFUSED or not case.shapes[0] or case.shapes[0][0] > 7:
            continue
        arrays = case.arrays()
        names = case.layer.replace(inputs=["?"] * len(arrays)).input_names()
        constants = [n for i, n in enumerate(names) if n in ("w", "table") or case.dtypes.get(i) != "int8"]
        net, given = net_of(case.layer, arrays, constants)
        given = {name: array[:1] for name, array in given.items()}
        net = net.replace(inputs={n: s.replace(shape=(1, *s.shape[1:])) for n, s in net.inputs.items()})
        try:
            program = assemble(net, machine=chip)
        except CompileError as error:
            refusals.append(str(error))
            continue
        assert not differing(run(program, given, chip), net.forward(**given)), case
        seen.add(case.layer.type)
        loads += sum(isinstance(command, Load) for command in program.commands)
    assert len(seen) == 14 and loads > (300 if small else 50)
    expected = ("its weights are int16", "its axis is 2", "meet otherwise than as an image and its gate",
                "by whole multiples, to the nearest", "in no fixed steps forward")  # fmt: skip
    others = [text for text in refusals if not any(why in text for why in expected)]
    assert len(others) <= 3 * small, others


def test_a_net_stays_in_the_buffers_or_is_cut(branched, run, tiny_chip):
    x = {"x": np.random.default_rng(1).integers(-128, 128, (1, 5, 23, 27)).astype(np.int8)}
    wanted, amounts = branched.forward(**x), []
    for chip in (CHIP, tiny_chip):
        program = assemble(branched, {"x": (1, 5, 23, 27)}, chip)
        assert not differing(run(program, x, chip), wanted)
        found = timing(program)
        assert max(found.array, found.bus) <= found.cycles < found.array + found.bus
        specs = branched.specs({"x": (1, 5, 23, 27)})
        macs = sum(layer.macs(*[specs.get(name) for name in layer.inputs]) for layer in branched)
        assert found.macs == macs if chip is CHIP else found.macs >= macs
        amounts.append(found.traffic)
    most, least = amounts[1], amounts[0]
    # what is joined twice goes through DRAM: s is written and read, sum written, three copies made, and all of it read
    assert least["activations"] == 7 * 48 * 42 and least["outputs"] == 40
    assert most["activations"] > least["activations"] and least["weights"] <= len(program.image)


@pytest.mark.parametrize("kind", ["dense", "each channel alone"])
def test_rows_wider_than_the_buffer_are_cut_into_strips(branched, run, tiny_chip, kind):
    """Every kind of window: strides, dilation, a residual; filters of a channel, maxima, means with padding or not."""
    spec = branched.inputs["x"].replace(shape=(1, 5, 11, 301))
    near, deep = branched["b"], branched["d"]
    weights = {name: c.data for name, c in branched.constants.items()}
    if kind == "dense":
        far = dict(dilation=(2, 5), pad=(2, 5, 2, 5), inputs=("x", *branched["c1"].inputs[1:4]))
        steps = [
            *(branched[name] for name in ("c1", "p1", "a", "b", "ab", "d", "e")),
            near.replace(name="far", outputs=("far",), **far),
        ]
        chip, wanted = replace(tiny_chip, activations=1 << 10), {"c1", "b", "e", "far"}
    else:
        weights = {name: weights[name][:5] for name in deep.inputs[1:4]}
        mean = dict(kernel=(3, 4), stride=(1, 3), pad=(1, 2, 1, 1), scale=1.0, x_zero=3, multiplier=3)
        steps = [
            deep.replace(name="d", inputs=("x", *deep.inputs[1:4]), group=5, stride=(1, 2)),
            branched["p1"].replace(inputs=("x",), pad=(1, 1, 1, 1)),
            QuantizedPooling("x", name="m", method="average", **mean),
            QuantizedPooling("x", name="n", method="average", count_pad=True, ceil=True, **mean),
        ]
        chip, wanted = replace(tiny_chip, activations=1 << 9), {"d", "p1", "m", "n"}
    net = Net(steps, {"x": spec}, weights, name="wide")
    x = {"x": np.random.default_rng(8).integers(-128, 128, spec.shape).astype(np.int8)}
    program = assemble(net, machine=chip)
    cut = {layer for layer, c in zip(program.names, program.commands, strict=True)
           if isinstance(c, (Conv, Pool)) and c.y_width < net.specs()[layer].shape[3]}  # fmt: skip
    assert cut >= wanted
    assert not differing(run(program, x, chip), net.forward(**x))


def test_what_is_too_large_is_computed_in_a_row(branched, run):
    """Wide, gated; one filter a channel; narrow, plus x: what is between is four buffers large, and never leaves it."""
    chip = replace(CHIP, activations=16 << 10)
    b, d, e = (branched[name] for name in "bde")
    w = {name: branched.constants[name].data for layer in (b, d, e) for name in layer.inputs[1:4]}
    w[b.inputs[6]] = branched.constants[b.inputs[6]].data
    wide = b.replace(name="wide", inputs=("x", *b.inputs[1:]), outputs=("wide",))
    deep = d.replace(name="deep", group=40, stride=(2, 2), inputs=("wide", *d.inputs[1:4]), outputs=("deep",))
    thin = e.replace(name="thin", inputs=("deep", *e.inputs[1:4], "", "r"), outputs=("thin",))
    cut = {name: w[name][:40] for name in d.inputs[1:4]} | {e.inputs[1]: w[e.inputs[1]][:, :40].copy()}
    spec = branched.inputs["x"]
    inputs = {"x": spec.replace(shape=(1, 12, 40, 41)), "r": spec.replace(shape=(1, 48, 20, 21))}
    net = Net([wide, deep, thin], inputs, w | cut)
    random = np.random.default_rng(6)
    given = {name: random.integers(-128, 128, s.shape).astype(np.int8) for name, s in inputs.items()}
    program = assemble(net, machine=chip)
    found = timing(program)
    assert net.specs()["wide"].nbytes > 4 * chip.activations and "activations" not in found.traffic
    assert not differing(run(program, given, chip), net.forward(**given))
    specs = net.specs()
    macs = sum(layer.macs(*[specs.get(name) for name in layer.inputs]) for layer in net)
    assert macs < found.macs < 2 * macs  # rows at the edges of tiles are computed again


def test_lenet_is_the_cpus(tmp_path):
    """Quantized here, compiled, run in the simulator: every bit of the scores, for a batch too."""
    net = load(LENET / "lenet.fbnet")
    digits = [np.asarray(Image.open(LENET / f"digit_{i}.png"))[None, ..., None] for i in range(10)]
    small = net.quantize(digits, method="minmax", adaptive=False)
    batch = np.concatenate(digits[:3])
    (name,) = small.inputs
    plan = small.compile(device="npu", threads=1, shapes={name: batch.shape})
    assert plan.device == "npu+cpu"
    assert [step.kernel for step in plan.steps] == [f"{d}/fp32/segment" for d in ("cpu", "npu", "cpu")]
    with plan.session() as session, small.compile(threads=1, shapes={name: batch.shape}).session() as cpu:
        assert not differing(session.run({name: batch}), cpu.run({name: batch}))
        session.prepare({name: batch[:1].shape})
        assert not differing(
            session.run({name: batch[:1]}), {k: v[:1] for k, v in cpu.run({name: batch}).items()}
        )
    with pytest.raises(
        CompileError, match=r"^LeNet-5: the npu refuses \d+ of \d+ layers: .*it reads .*fp32.* Quantize it"
    ):
        net.compile(device="npu")


@pytest.mark.parametrize("size", [(12, 21), (12, 10)])
def test_what_the_npu_refuses_is_cut_out(branched, size):
    """A resize in the middle: the npu repeats numbers; by 10/7 goes to the other device, and the cut says why."""
    steps = list(branched)
    steps[5:7] = [Resize("ab", name="up", size=size), steps[5].replace(inputs=("up", *steps[5].inputs[1:])),
                  steps[6].replace(inputs=("d", *steps[6].inputs[1:5], "up"))]  # fmt: skip
    steps = steps[: [step.name for step in steps].index("s") + 1]
    shapes = {"x": (2, 5, 23, 27)}
    net = Net(steps, branched.inputs, branched.constants, ["s"], name="cut")
    x = {"x": np.random.default_rng(4).integers(-128, 128, shapes["x"]).astype(np.int8)}
    plan = net.compile(device="npu+reference", shapes=shapes)
    with plan.session() as session:
        assert not differing(session.run(x), net.forward(**x))
    homes = [step.kernel.split("/")[0] for step in plan.steps]
    if size == (12, 21):
        assert homes == ["npu"]
        return
    assert homes == ["npu", "reference", "npu"]
    assert (
        plan.notes["up"] == "on reference; npu: it resizes otherwise than by whole multiples, to the nearest"
    )
    with pytest.raises(CompileError, match=r"the npu refuses 1 of \d+ layers: up \(Resize\): it resizes"):
        net.compile(device="npu", shapes=shapes)


def test_a_session_used_wrongly(branched):
    shapes = {"x": (2, 5, 23, 27)}
    session = branched.compile(device="npu", shapes=shapes).session()
    with pytest.raises(DeviceError, match=r"^branched: nobody has set x: call set_tensor before forward$"):
        session.forward()
    with pytest.raises(
        DeviceError, match=r"^input 'x' has shape \[1, 5, 23, 27\], but this plan is for int8\["
    ):
        session.set_tensor("x", np.zeros((1, 5, 23, 27), np.int8))
    with pytest.raises(DeviceError, match=r"^branched has no output 'y' yet; it has y$"):
        session.get_tensor("y")
    session.close()
    with pytest.raises(DeviceError, match=r"is closed"):
        session.forward()


def test_a_program_in_a_file(branched, tmp_path):
    """The device 'npu:net.npu' runs it, if it is of this net."""
    shapes, path = {"x": (1, 5, 23, 27)}, tmp_path / "net.npu"
    path.write_bytes(assemble(branched, shapes).write())
    x = {"x": np.random.default_rng(2).integers(-128, 128, shapes["x"]).astype(np.int8)}
    with branched.compile(device=f"npu:{path}", shapes=shapes).session() as session:
        assert not differing(session.run(x), branched.forward(**x))
    other = Net([ReLU("x", name="y")], {"x": (1, 4)})
    with pytest.raises(CompileError, match="the npu refuses 1 of 1 layers: y"):
        other.compile(device=f"npu:{path}")
    with pytest.raises(DeviceError, match=r"was not compiled from branched, which has x int8\[1,5,24,27\]"):
        branched.compile(device=f"npu:{path}", shapes={"x": (1, 5, 24, 27)})
    with pytest.raises(DeviceError, match="there is no such program"):
        branched.compile(device=f"npu:{path}x", shapes=shapes)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileError, match=r"its header says"):
        branched.compile(device=f"npu:{path}", shapes=shapes)


def test_what_does_not_fit(branched, tiny_chip):
    deep = Net(
        [branched["g"].replace(name="y", inputs=("x",), outputs=("y",))],
        {"x": branched.inputs["x"].replace(shape=(1, 1, 90, 90))},
    )
    with pytest.raises(CompileError, match=r"y .*: a result of it needs more than the 6,144 and 4,096 bytes"):
        assemble(deep, machine=tiny_chip)
    with pytest.raises(CompileError, match="have no batch in common"):
        assemble(branched, {"x": (0, 5, 23, 27)})


def test_a_residual_is_no_constant(branched):
    b = branched["b"]
    layer = b.replace(name="y", inputs=("x", *b.inputs[1:5], "r", b.inputs[6]), outputs=("y",))
    constants = {name: branched.constants[name].data for name in (*b.inputs[1:4], b.inputs[6])}
    spec = branched.inputs["x"].replace(shape=(1, 12, 6, 7))
    net = Net([layer], {"x": spec}, constants | {"r": np.zeros((1, 40, 6, 7), np.int8)})
    with pytest.raises(
        CompileError, match=r"the npu refuses y \(QuantizedConvolution\): its residual is a constant$"
    ):
        assemble(net)
