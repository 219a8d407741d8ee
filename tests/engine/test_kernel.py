"""Kernel: how its parameters are found, how its work is cut, and which kernel is chosen."""

import numpy as np
import pytest
from fbnet import CompileError, Elementwise, Layer, Net, RegistryError, check_layer, kernel, layer
from fbnet.engine.device import devices
from fbnet.engine.kernel import Call, Kernel, Packed, Scratch, Stage, View, candidates, kernels
from fbnet.engine.layer import layers
from fbnet.engine.lower import HostFallback, lower
from fbnet.engine.share import Shares
from fbnet.engine.tensor import Spec
from fbnet.layers.conv import Convolution


@pytest.fixture(autouse=True)
def forget():
    """Layers and kernels that a test registers are gone after it."""
    devices["cpu"].load_kernels()
    before = {id(r): set(r) for r in (layers, kernels)}
    yield
    for registry in (layers, kernels):
        for name in set(registry) - before[id(registry)]:
            registry.discard(name)


@pytest.fixture
def affine():
    @layer("TestAffine")
    class Affine(Layer):
        """y = w x + shift        x: (N, K), w: (K,) -> y: (N, K)"""

        shift: float = 0.0
        word: str = "a"

        def reference(self, x, w=None):
            return (x if w is None else x * w) + np.float32(self.shift)

    return Affine


def a_call(cls, n=4, k=3, w=True, **attributes):
    made = cls("x", "w" if w else None, name="me", **attributes)
    specs = {"x": Spec((n, k)), "w": Spec((k,)) if w else None, "y": Spec((n, k))}
    return Call(made, specs, {"w": np.ones(k, np.float32)} if w else {})


def entry(cls, function, **options) -> Kernel:
    kernel(cls, device="cpu", **options)(function)
    return kernels[f"cpu/fp32/{cls.type}/{function.__name__}"]


def test_parameters_are_named_after_the_layers(affine):
    def plain(x, w, y, shift, ith, nth):
        pass

    (stage,) = entry(affine, plain).stages(a_call(affine, shift=2))
    assert stage.params == {
        "x": View("x", (4, 3)),
        "w": View("w", (3,)),
        "y": View("y", (4, 3)),
        "shift": 2.0,
    }
    assert stage.split == () and stage.function is plain
    (absent,) = kernels["cpu/fp32/TestAffine/plain"].stages(a_call(affine, w=False))
    assert absent.params["w"] == View("w", (0,))


def test_an_elementwise_kernel_sees_flat_shares():
    @layer("TestFlat")
    class Flat(Elementwise):
        """y = x        x: (...) -> y: (...)"""

        def reference(self, x):
            return x

    def flat(x, y):
        pass

    found = entry(Flat, flat)
    (stage,) = found.stages(Call(Flat("x"), {"x": Spec((2, 3)), "y": Spec((2, 3))}, {}))
    assert stage.params == {"x": View("x", (6,)), "y": View("y", (6,))} and tuple(stage.split) == ("x", "y")
    assert found.inplace == ("x",) and found.elementwise


def test_bind_gives_one_stage_or_several(affine):
    def first(x, room):
        pass

    def second(y, room, w, count):
        pass

    def bind(call):
        packed = Packed(call.constants["w"] * 2)
        return [
            Stage(dict(room=Scratch((7,)))),
            Stage(dict(room=Scratch((2, 2)), w=packed, count=call.threads), ("y",), second),
        ]

    one, two = entry(affine, first, bind=bind).stages(a_call(affine))
    assert one.function is first and one.params["room"] == Scratch((7,)) and one.split == ()
    assert two.function is second and two.params["w"].data.tolist() == [2, 2, 2] and two.params["count"] == 1
    assert two.split == ("y",)


def test_views_of_a_call(affine):
    call = a_call(affine)
    assert call.shape("x") == (4, 3) and call.shape("nothing") == (0,)
    assert call.flat("x") == View("x", (12,))
    assert call.planes("x") == View("x", (1, 4, 3)) and call.planes("x", 1) == View("x", (4, 3))


def test_a_parameter_that_is_nothing(affine):
    def lost(x, y, alpha):
        pass

    message = r"^kernel cpu/fp32/TestAffine/lost: me \(TestAffine\) has no input, result or attribute 'alpha'; bind it$"
    with pytest.raises(CompileError, match=message):
        entry(affine, lost).stages(a_call(affine))


def test_what_is_cut_must_have_one_length(affine):
    def cut(x, w, y):
        pass

    with pytest.raises(CompileError, match=r"cannot split {'x': 4, 'w': 3}: lengths differ"):
        entry(affine, cut, split=("x", "w")).stages(a_call(affine))


def test_what_a_word_cannot_hold(affine):
    def wordy(x, y, word):
        pass

    entry(affine, wordy)
    message = (
        r"kernel cpu/fp32/TestAffine/wordy: layer \(TestAffine\): parameter 'word' is 'a', no number: bind it"
    )
    with pytest.raises(CompileError, match=message):
        check_layer(affine(), np.ones((2, 2), np.float32), device_names=["cpu"])


@pytest.mark.parametrize("view", [View("x", (5, 3)), View("x", (4, 3), 1), View("x", (1,), -1)])
def test_a_view_stays_inside_its_tensor(affine, view):
    def looks(x, y):
        pass

    entry(affine, looks, bind=lambda call: {"x": view})
    with pytest.raises(
        CompileError, match=r"'x' views \[.*\] from element -?\d of fp32\[4,3\], which is past its end"
    ):
        check_layer(affine(), np.ones((4, 3), np.float32), device_names=["cpu"])


@pytest.mark.parametrize(
    ("verdict", "refusal"),
    [
        (True, ""),
        (np.bool_(True), ""),
        (1, ""),
        ("too wide", "too wide"),
        (False, "cpu/fp32/TestAffine/maybe does not serve these attributes"),
        (np.bool_(False), "cpu/fp32/TestAffine/maybe does not serve these attributes"),
        ("", "cpu/fp32/TestAffine/maybe does not serve these attributes"),
    ],
)
def test_when(affine, verdict, refusal):
    def maybe(x, y):
        pass

    assert entry(affine, maybe, when=lambda call: verdict).refuses(a_call(affine)) == refusal


def test_the_highest_score_that_serves_is_chosen_and_says_why(affine):
    def small(x, y):
        pass

    def wide(x, y):
        pass

    def other(x, y):
        pass

    entry(affine, small)
    entry(affine, wide, score=3, when=lambda call: call.shape("x")[1] % 8 == 0 or "K is no multiple of 8")
    kernel(affine, device="reference")(other)
    kernel(affine, device="cpu", dtype="int8")(other)
    assert [k.function for k in candidates(affine("x"), "cpu", "fp32")] == [wide, small]

    def chosen(k):
        net = Net([affine("x", name="a")], {"x": (4, k)})
        specs = net.specs()
        shares = Shares(net, devices["cpu"], specs, 1, generous=False)
        return lower(net, devices["cpu"], "fp32", specs, shares).items[0]

    assert chosen(8).kernel.function is wide and chosen(8).why == "score 3"
    assert chosen(7).kernel.function is small
    assert chosen(7).why == "score 1; not wide: K is no multiple of 8"
    kernels.discard("cpu/fp32/TestAffine/small")
    with pytest.warns(
        HostFallback, match=r"a \(TestAffine\) runs by its numpy reference: wide: K is no multiple of 8"
    ):
        assert chosen(7).kernel is None


def test_a_compact_plan_keeps_no_weights_transformed():
    w = np.ones((32, 32, 3, 3), np.float32)
    net = Net([Convolution("x", w, None, name="y", pad=(1, 1, 1, 1))], {"x": (1, 32, 24, 24)})
    cpu, specs = devices["cpu"], net.specs()
    cpu.load_kernels()
    shares = Shares(net, cpu, specs, 1, generous=False)

    def chosen(compact):
        items = lower(net, cpu, "fp32", specs, shares, compact=compact).items
        item = next(i for i in items if i.layer.name == "y")
        return item.kernel.name.split("/")[-1], sum(stage.packed for stage in item.stages), item.why

    usual, compact = chosen(False), chosen(True)
    assert usual[0].startswith("winograd") and usual[1] >= 4 * w.nbytes  # 36 numbers of 9, or 64
    assert compact[0] == "direct" and compact[1] < 1.1 * w.nbytes  # and some sizes
    assert f"{usual[0]}: it keeps {w.nbytes:,} bytes of constants in {usual[1]:,}" in compact[2]


def test_a_kernel_is_registered_once(affine):
    def one(x, y):
        pass

    entry(affine, one)
    with pytest.raises(RegistryError, match="kernel 'cpu/fp32/TestAffine/one' is already registered by"):
        entry(affine, one)


def test_two_stages_with_scratch_compute(affine):
    """The first stage doubles x into scratch of its own; the second cannot see it, and works on y."""

    def fill(x, y, room, ith, nth):
        for i in range(x.shape[0] * ith // nth, x.shape[0] * (ith + 1) // nth):
            for j in range(x.shape[1]):
                room[i, j] = x[i, j]
                y[i, j] = room[i, j]

    def shifted(y, shift):
        for i in range(y.shape[0]):
            for j in range(y.shape[1]):
                y[i, j] += shift

    entry(
        affine,
        fill,
        bind=lambda call: [Stage({"room": Scratch(call.shape("x"))}), Stage({}, ("y",), shifted)],
    )
    for n in (0, 1, 2, 13):
        checks = check_layer(affine(shift=2), np.ones((n, 5), np.float32), device_names=["cpu"])
        assert {c.kernel for c in checks} == {"cpu/fp32/TestAffine/fill"}
