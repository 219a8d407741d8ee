"""Plan: what is written down, kept as bytes, and read again or refused."""

import dataclasses
import mmap

import fbnet
import numpy as np
import pytest
from fbnet import FileError, Net
from fbnet.engine.compile import How, plan_key
from fbnet.engine.device import devices
from fbnet.engine.dtype import Quantization
from fbnet.engine.lower import MAX_WORKSPACE
from fbnet.engine.memory import ALIGN
from fbnet.engine.plan import ARENA, Place, Plan, Step
from fbnet.engine.tensor import Spec
from fbnet.layers.activation import ReLU, Sigmoid
from fbnet.layers.conv import Convolution
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.reshape import Flatten
from hypothesis import given
from hypothesis import strategies as st

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


NET = Net(
    [
        Convolution("x", array(7, 3, 3, 3), array(7), name="conv"),
        ReLU("conv", name="relu"),
        Flatten("relu", name="flat"),
        InnerProduct("flat", array(5, 7 * 36), name="fc"),
    ],
    {"x": ("N", 3, 8, 8)},
    name="small",
)
X = array(1, 3, 8, 8)


@pytest.fixture(scope="module")
def plan():
    return NET.compile(threads=2)


@pytest.fixture(scope="module")
def data(plan):
    return b"".join(plan.chunks())


def answer(plan, x=X):
    with plan.session() as session:
        return session.run({"x": x})["fc"]


def test_what_it_holds(plan):
    assert (plan.device, plan.dtype, plan.threads, plan.target) == ("cpu", "fp32", 2, devices["cpu"].target)
    assert [(s.layer, s.kernel) for s in plan.steps] == [
        ("conv", "cpu/fp32/Convolution/direct_from_plain"),  # x has fewer channels than fill a block
        ("relu@plain from blocked", "cpu/fp32/Reorder/unblock"),
        ("fc", "cpu/fp32/InnerProduct/rows"),
    ]
    assert plan.shapes() == {"x": (1, 3, 8, 8)} and plan.net is NET and set(plan.tensors) == {"x", "fc"}
    assert plan.arena_bytes % ALIGN == 0 and plan.arena_bytes >= X.nbytes + 7 * 36 * 4
    why = plan.notes["conv"]
    assert why.startswith("score 5; not depthwise: ") and "; not winograd4: " in why
    for step in plan.steps:
        for index, region in step.relocations:
            assert 0 <= region <= len(plan.constants) and 0 <= index < len(step.words)
    assert [c for c in plan.constants if isinstance(c, str)] == [
        "fc.w"
    ]  # a weight that is used as it is, is not kept twice
    assert plan.packed_bytes == sum(c.nbytes for c in plan.constants if not isinstance(c, str)) > 0


def test_it_prints_as_its_steps(plan):
    first, *rest = str(plan).splitlines()
    assert first.startswith(f"plan for cpu ({plan.target}), fp32, 2 threads: 3 steps, arena ")
    assert [line.split("  ")[1] for line in rest] == [step.layer for step in plan.steps]
    assert [line.split()[-1] for line in rest] == [step.kernel for step in plan.steps]
    assert repr(plan) == "<Plan of small on cpu: 3 steps>"


def test_bytes_and_back(plan, data):
    again = Plan.read(NET, memoryview(data))
    for field in dataclasses.fields(Plan):
        if field.name not in ("constants", "objects", "idle", "net"):
            assert getattr(again, field.name) == getattr(plan, field.name), field.name
    assert [bytes(o) for o in again.objects] == [bytes(o) for o in plan.objects]
    for a, b in zip(again.constants, plan.constants, strict=True):
        assert isinstance(a, str) == isinstance(b, str)
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(answer(again), answer(plan))
    np.testing.assert_allclose(answer(again), NET.forward(x=X)["fc"], rtol=1e-4, atol=1e-5)


def test_constants_are_mapped_and_aligned(data, tmp_path):
    (tmp_path / "plan").write_bytes(data)
    with open(tmp_path / "plan", "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    again = Plan.read(NET, memoryview(mapped))
    packed = [c for c in again.constants if not isinstance(c, str)]
    assert packed and all(c.ctypes.data % ALIGN == 0 and not c.flags.owndata for c in packed)
    np.testing.assert_array_equal(answer(again), answer(Plan.read(NET, memoryview(data))))


@given(st.data())
def test_a_plan_cut_short_is_refused(data, draw):
    cut = draw.draw(st.integers(0, len(data) - 64))
    with pytest.raises(FileError, match=r"^a stored plan cannot be read: "):
        Plan.read(NET, memoryview(data[:cut]))


@given(st.data())
def test_a_changed_header_or_code_is_refused(plan, data, draw):
    packed = sum(-(-c.nbytes // ALIGN) * ALIGN for c in plan.constants if not isinstance(c, str))
    code = len(data) - 64 - packed  # what comes before the constants
    at, bit = draw.draw(st.integers(0, code - 1)), draw.draw(st.integers(0, 7))
    changed = bytearray(data)
    changed[at] ^= 1 << bit
    try:
        again = Plan.read(NET, memoryview(changed))
    except FileError:
        return
    assert again.chunks() == Plan.read(NET, memoryview(data)).chunks()  # it was padding


@pytest.mark.parametrize("junk", [b"", b"FBPLAN01", b"FBPLAN99" + bytes(1000), b"FBPLAN01" + b"\xff" * 1000])
def test_junk_is_refused(junk):
    with pytest.raises(FileError):
        Plan.read(NET, memoryview(junk))


@pytest.mark.parametrize("dtype", ["fp16", "int8", "uint8", "int32", "int64", "bool", "fp32"])
@pytest.mark.parametrize("shape", [(3, 5), (0, 4), ()])
def test_constants_of_every_dtype(plan, dtype, shape):
    spec = Spec(shape, dtype)
    packed = np.ones(shape, spec.dtype.storage)
    odd = dataclasses.replace(
        plan, constants=[packed, "fc.w", packed.copy()], steps=[Step("a", "k", 0, (-1, 2**62), ((0, 1),))]
    )
    again = Plan.read(NET, memoryview(b"".join(odd.chunks())))
    for index in (0, 2):
        assert again.constant(index).dtype == packed.dtype and again.constant(index).shape == shape
        np.testing.assert_array_equal(again.constant(index), packed)
    assert again.constant(1) is NET.constants["fc.w"].data and again.steps == odd.steps


def test_places():
    assert ARENA == 0 and Place(0, 64) == Place(ARENA, 64)


def test_a_plan_that_came_with_the_net(plan, data, empty_cache):
    """Its key says what it is for: with it nothing is compiled, and a damaged one is made again."""
    key = plan_key(NET, devices["cpu"], How("fp32", 2, False, MAX_WORKSPACE), {"x": (1, 3, 8, 8)})
    assert key == plan.key
    whole = NET.replace(plans={key: memoryview(data)})
    found = whole.compile(threads=2)
    assert not empty_cache.exists()
    np.testing.assert_array_equal(answer(found), answer(plan))
    damaged = NET.replace(plans={key: memoryview(data[:500])})
    np.testing.assert_array_equal(answer(damaged.compile(threads=2)), answer(plan))
    assert len(list((empty_cache / "plans").glob("*.fbplan"))) == 1


def test_idle_sessions_are_put_to_rest():
    net = Net([Sigmoid("x", name="s")], {"x": (1, 3)})
    net(array(1, 3))
    plan = net.compile()
    assert len(plan.idle) == 1
    session = plan.idle[0]
    plan.rest()
    assert not plan.idle and session._handle is None
    net(array(1, 3))
    assert len(plan.idle) == 1


def test_plans_are_saved_with_the_net(tmp_path):
    plans = [NET.compile(threads=1), NET.compile(threads=2)]
    NET.save(tmp_path / "m.fbnet", plans=plans)
    trusted = fbnet.load(tmp_path / "m.fbnet", trust_plans=True)
    assert set(trusted.plans) == {plan.key for plan in plans}
    with pytest.raises(fbnet.InputError, match=r"m\.onnx: this format does not take plans"):
        NET.save(tmp_path / "m.onnx", plans=plans)


def test_quantization_is_kept():
    """Of int8 inputs and outputs, in a plan that was read: scale, zero, and the axis of several."""
    along = Quantization((0.5, 0.25), (0, -3), 1)
    net = Net([ReLU("x", name="y")], {"x": Spec((1, 2), "int8", along)})
    plan = NET.compile(threads=1)
    specs = {"x": Spec((1, 2), "int8", along), "fc": Spec((1, 5), "int8", Quantization((0.1,), (7,)))}
    kept = dataclasses.replace(plan, tensors={name: (Place(ARENA, 0), spec) for name, spec in specs.items()})
    again = Plan.read(NET, memoryview(b"".join(kept.chunks())))
    assert {name: spec for name, (_, spec) in again.tensors.items()} == specs
    other = Net(net.layers, {"x": Spec((1, 2), "int8")})
    assert other.digest != net.digest  # else a stored plan would be another net's
