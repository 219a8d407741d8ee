"""A walk through a run: the same numbers as the reference's, in the layers that run, whatever they overwrite."""

import numpy as np
import pytest
from fbnet import DeviceError, InputError, Net, Spec, debug
from fbnet.engine.device import Device, devices
from fbnet.engine.dtype import Quantization
from fbnet.engine.layer import layers
from fbnet.engine.layout import BLOCKED, PLAIN, plain
from fbnet.engine.memory import aligned
from fbnet.engine.plan import Plan
from fbnet.engine.steps import Visit, as_run

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


NET = Net(
    [
        layers["Convolution"]("x", array(12, 3, 3, 3), array(12), name="conv", pad=(1, 1, 1, 1)),
        layers["ReLU"]("conv", name="relu"),
        layers["Pooling"]("relu", kernel=(2, 2), stride=(2, 2), name="pool"),
        layers["Sigmoid"]("pool", name="gate"),
        layers["Concat"]("pool", "gate", name="both"),
        layers["Flatten"]("both", name="flat"),
        layers["InnerProduct"]("flat", array(5, 24 * 16), name="fc"),
        layers["Slice"]("fc", axis=1, points=(2,), name="cut", outputs=("left", "right")),
        layers["Softmax"]("right", name="prob"),
    ],
    {"x": ("N", 3, 8, 8)},
    name="small",
)  # fmt: skip
X = array(2, 3, 8, 8)


@pytest.mark.parametrize("device", ["cpu", "reference"])
def test_every_tensor_is_what_the_reference_computes(device):
    visits = list(NET.steps(X, device=device, threads=1))
    seen = {}
    for visit in visits:
        for name, y in visit.outputs.items():
            np.testing.assert_allclose(y, NET.forward(X, upto=name)[name], rtol=1e-4, atol=1e-5)
            seen[name] = y
        assert visit.error() < 1e-5 and visit.seconds >= 0
    wanted = {o for layer in NET.layers for o in layer.outputs} - ({"conv"} if device == "cpu" else set())
    assert seen.keys() == wanted
    types = [visit.layer.type for visit in visits if visit.layer.type != "Reorder"]
    fused = ["Convolution", "Pooling", "Sigmoid", "Concat", "Flatten", "InnerProduct", "Slice", "Softmax"]
    assert types == (fused if device == "cpu" else [layer.type for layer in NET.layers])


def test_what_a_visit_knows():
    conv = NET.steps(X, threads=1)["conv"]
    assert conv.name == "conv" and conv.kernel.startswith("cpu/fp32/Convolution/") and conv.why
    assert list(conv.inputs) == ["x", "w", "b"] and np.array_equal(conv.inputs["x"], X)
    assert conv.output.shape == (2, 12, 8, 8) and [str(s) for s in conv.specs] == ["fp32[2,12,8,8]"]
    assert conv.macs == 2 * 8 * 8 * 12 * 27 and conv.gflops == pytest.approx(2e-9 * conv.macs / conv.seconds)
    y = conv.output.astype(np.float64)
    assert conv.statistics() == pytest.approx((np.abs(y).mean(), y.min(), y.max()))
    for word in ("conv (Convolution)", "fp32[2,12,8,8]", "us", "GFLOP/s", "mean|y|"):
        assert word in str(conv)
    flat = NET.steps(X, threads=1)["flat"]
    assert flat.kernel == "" and flat.seconds == 0 and "no work" in str(flat)


def test_a_layer_is_found_by_its_name_and_by_its_tensors():
    steps = NET.steps(X, threads=1)
    assert steps["relu"].name == "conv", "fused: the convolution writes that tensor"
    assert steps["left"].name == "cut"
    with pytest.raises(InputError, match=r"cut .Slice. writes left, right: ask for"):
        _ = steps["cut"].output
    with pytest.raises(InputError, match=r"no layer 'pol'. Did you mean 'pool'\? Layers may be fused"):
        _ = steps["pol"]


def test_the_name_of_a_layers_output():
    assert NET["conv"].output == "conv" and layers["ReLU"](NET["pool"].output, name="r").inputs == ("pool",)
    with pytest.raises(InputError, match="left, right"):
        _ = NET["cut"].output
    with pytest.raises(InputError, match="nothing yet"):
        _ = layers["ReLU"]("x").output


def test_forward_by_position_and_up_to_a_layer():
    assert NET.forward(X, upto="pool")["pool"].shape == (2, 12, 4, 4)
    assert list(NET.forward(X, upto="cut")) == ["left", "right"]
    with pytest.raises(InputError, match=r"no layer 'pol'. Did you mean 'pool'\?"):
        NET.forward(X, upto="pol")
    with pytest.raises(InputError, match="takes 1 inputs, but got 2"):
        NET.forward(X, X)
    with pytest.raises(InputError, match="x by position and by name"):
        NET.steps(X, x=X)


def test_times_of_many_rounds():
    visits = list(NET.steps(X, threads=1, rounds=3))
    assert all(visit.seconds > 0 for visit in visits if visit.kernel)


def test_where_tensors_lie_is_kept_with_the_plan():
    plan = NET.compile(threads=1, shapes={"x": X.shape})
    again = Plan.read(NET, memoryview(b"".join(plan.chunks())))
    assert list(again.stored) == list(plan.stored)
    names = [s.tensor for s in plan.stored]
    assert set(names) - {""} == {"x"} | {o for layer in as_run(plan).layers for o in layer.outputs}
    own = [s for s in plan.stored if not s.within]
    for a in own:
        assert a.place.offset + a.nbytes <= plan.arena_bytes and a.first <= a.last <= len(plan.notes)
        for b in own:  # what lives at the same time lies apart
            if a is not b and a.first <= b.last and b.first <= a.last:
                a_end, b_end = a.place.offset + aligned(a.nbytes), b.place.offset + aligned(b.nbytes)
                assert a_end <= b.place.offset or b_end <= a.place.offset
    inside = {s.tensor: s.within for s in plan.stored if s.within}
    assert inside["flat"].startswith(("both", "flat"))


@pytest.mark.parametrize("channels", [1, 7, 8, 20])
def test_blocks_made_plain_again(channels):
    x = array(2, channels, 3, 5)
    padded = np.zeros((2, -(-channels // 8) * 8, 3, 5), np.float32)
    padded[:, :channels] = x
    blocked = padded.reshape(2, -1, 8, 3, 5).transpose(0, 1, 3, 4, 2)
    assert np.array_equal(plain(blocked, x.shape, BLOCKED), x)
    assert np.array_equal(plain(x, x.shape, PLAIN), x)


def test_devices_that_cannot_be_looked_at(monkeypatch):
    monkeypatch.setattr(type(devices["cpu"]), "can_step", False)
    with pytest.raises(DeviceError, match=r"device 'cpu' cannot be stepped through: .*\breference\b.* can"):
        NET.steps(X)
    with pytest.raises(DeviceError, match="does not write down what its threads do"):
        Device().timeline(None)


@pytest.mark.parametrize(("level", "heads"), [(2, 5), (3, 7), (4, 8)])
def test_the_ladder(capsys, level, heads):
    with debug(level):
        NET(X)
    lines = [
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith(("layer ", "conv (", "prob ("))
    ]
    assert len(lines) == 3
    columns = ["layer", "writes", "kernel", "us", "GFLOP/s", "mean|y|", "range", "error"][:heads]
    assert lines[0].split() == columns
    if level == 4:
        assert float(lines[1].split()[-1]) < 1e-5
    with debug(0):
        NET(X)
    assert capsys.readouterr().err == ""


def test_a_kernel_that_is_wrong_is_seen():

    steps = NET.steps(X, threads=1)
    visit = steps["prob"]
    wrong = type(visit)(
        visit.layer, visit.inputs, {"prob": visit.output + 0.5}, visit.specs, "k", "", 1, 1e-6, 0
    )
    assert wrong.error() > 0.4


def test_numbers_that_are_quantised_are_told_as_real_ones():
    spec = Spec((4,), "int8", Quantization((0.5,), (10,)))
    stored = np.array([10, 12, 0, 14], np.int8)
    visit = Visit(
        layers["ReLU"]("x", name="r", outputs=("r",)), {}, {"r": stored}, (spec,), "", "", 1, 0.0, 0
    )
    assert visit.statistics() == (2.0, -5.0, 2.0) and visit.real()["r"].tolist() == [0, 1, -5, 2]
