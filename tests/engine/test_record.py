"""record: however tensors share memory, in place, by alias or one after the other, nobody loses what is still read."""

import random
import warnings

import numpy as np
import pytest
from fbnet import CompileError, HostFallback, Layer, Net, Spec, layer
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.layer import layers
from fbnet.layers.activation import Clip, Dropout, Power, ReLU
from fbnet.layers.concat import Concat, Slice
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.reshape import Flatten, Permute, Reshape
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.fixture(scope="module", autouse=True)
def mirror():
    """A layer type without a kernel, which runs on the host between the others."""

    @layer("TestMirror")
    class Mirror(Layer):
        """y, z = x's last axis mirrored, x + 1        x: (...) -> y: (...), z: (...)"""

        results = ("y", "z")

        def reference(self, x):
            return x[..., ::-1], x + 1

    yield
    layers.discard("TestMirror")


def random_net(choose: random.Random) -> Net:
    """A graph of up to 14 layers that have kernels in place, aliases, several outputs, or no kernel."""
    shapes = {"x0": (2, 3, 4), "x1": (2, 3, 4)}
    steps: list[Layer] = []

    def add(made, *results):
        name = f"t{len(steps)}"
        outputs = [f"{name}.{i}" for i in range(len(results))]
        steps.append(made.replace(name=name, outputs=outputs))
        shapes.update(zip(outputs, results, strict=True))

    for _ in range(choose.randint(1, 14)):
        source = choose.choice(list(shapes))
        shape = shapes[source]
        like = [t for t, s in shapes.items() if s == shape]
        kind = choose.choice(
            ["relu", "power", "clip", "sum", "max", "flat", "shape", "drop", "join", "cut", "host", "turn"]
        )
        if kind == "relu":
            add(ReLU(source, negative_slope=choose.choice([0.0, 0.5])), shape)
        elif kind == "power":
            add(Power(source, scale=choose.choice([1.0, -1.0]), shift=choose.choice([0.0, 1.0])), shape)
        elif kind == "clip":
            add(Clip(source, min=-1.0), shape)
        elif kind in ("sum", "max"):
            add(Eltwise(source, *choose.choices(like, k=choose.randint(1, 3)), operation=kind), shape)
        elif kind == "flat":
            add(Flatten(source), (shape[0], int(np.prod(shape[1:]))))
        elif kind == "shape":
            add(Reshape(source, shape=(-1, shape[0])), (int(np.prod(shape[1:])), shape[0]))
        elif kind == "drop":
            add(Dropout(source), shape)
        elif kind == "join":
            others = choose.choices(like, k=choose.randint(0, 2))
            add(Concat(source, *others, axis=-1), (*shape[:-1], shape[-1] * (1 + len(others))))
        elif kind == "cut" and shape[-1] > 1:
            at = choose.randint(1, shape[-1] - 1)
            add(
                Slice(source, axis=-1, points=(at,), outputs="ab"),
                (*shape[:-1], at),
                (*shape[:-1], shape[-1] - at),
            )
        elif kind == "host":
            add(layers["TestMirror"](source), shape, shape)
        elif kind == "turn":
            add(Permute(source, order=tuple(range(len(shape)))[::-1]), shape[::-1])
    outputs = choose.sample(list(shapes), k=choose.randint(1, min(4, len(shapes))))
    return Net(steps, {"x0": shapes["x0"], "x1": shapes["x1"]}, outputs=outputs)


@settings(max_examples=120)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2]), st.booleans())
def test_random_graphs(seed, threads, rewritten):
    net = random_net(random.Random(seed))
    rng = np.random.default_rng(seed)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        if rewritten:
            plan = net.compile(threads=threads)
        else:
            plan = plan_as_written(
                net, devices["cpu"], "fp32", threads, {n: s.shape for n, s in net.inputs.items()}
            )
    hosts = {n.name for n in net if n.type == "TestMirror"}
    assert {str(w.message).split()[0] for w in said} == hosts and {w.category for w in said} <= {HostFallback}
    assert {s.layer for s in plan.steps if s.entry < 0} == hosts
    with plan.session() as session:
        for _ in range(2):
            fed = {n: rng.integers(-4, 5, s.shape).astype(np.float32) for n, s in net.inputs.items()}
            wanted = net.forward(**fed)
            for _ in range(2):
                got = session.run(fed)
                assert list(got) == list(wanted)
                for name, array in got.items():  # small whole numbers: sums are exact in any order
                    np.testing.assert_array_equal(array, wanted[name], err_msg=f"{name} of\n{net}")


def plan_of(*steps, outputs=None, **inputs):
    net = Net(steps, inputs or {"x": (4, 64)}, outputs=outputs)
    return plan_as_written(net, devices["cpu"], "fp32", 1, {n: s.shape for n, s in net.inputs.items()})


KB = 1024


@pytest.mark.parametrize(
    ("steps", "outputs", "arena"),
    [
        # inputs stay whole, so the first layer cannot work in place; the others can
        ([ReLU("x", name="a"), ReLU("a", name="b"), ReLU("b", name="c")], None, 2 * KB),
        # a is read again at the end
        ([ReLU("x", name="a"), ReLU("a", name="b"), Eltwise("a", "b", name="c")], None, 3 * KB),
        # a is an output, and so is not overwritten
        ([ReLU("x", name="a"), ReLU("a", name="b")], ["a", "b"], 3 * KB),
        # an alias costs nothing, and is overwritten with what it is an alias of
        ([ReLU("x", name="a"), Flatten("a", name="f"), ReLU("f", name="b")], None, 2 * KB),
        # an alias that is read later keeps what it is an alias of
        (
            [ReLU("x", name="a"), Flatten("a", name="f"), ReLU("a", name="b"), Eltwise("f", "b", name="c")],
            None,
            3 * KB,
        ),
        # an alias of an input is the input
        ([Flatten("x", name="f"), ReLU("f", name="b")], ["f", "b"], 2 * KB),
        # the same tensor twice is not written over while it is read
        ([ReLU("x", name="a"), Eltwise("a", "a", name="b")], None, 3 * KB),
    ],
)
def test_memory_is_used_again(steps, outputs, arena):
    assert plan_of(*steps, outputs=outputs).arena_bytes == arena


def test_an_alias_keeps_its_bytes():
    @layer("TestLiar")
    class Liar(Layer):
        """y = x's first half        x: (N, K) -> y: (N, K/2)"""

        alias = True

        def infer(self, x):
            return Spec((x.shape[0], x.shape[1] // 2))

    try:
        message = r"^l \(TestLiar\) is an alias, but makes fp32\[4,32\] of fp32\[4,64\]: bytes differ$"
        with pytest.raises(CompileError, match=message):
            plan_of(Liar("x", name="l"))
    finally:
        layers.discard("TestLiar")


def test_a_tensor_that_nobody_reads():
    plan = plan_of(Slice("x", name="s", outputs=["a", "b"]), ReLU("b", name="c"), outputs=["c"])
    x = np.ones((4, 64), np.float32)
    with plan.session() as session:
        np.testing.assert_array_equal(session.run({"x": -x})["c"], 0 * x[:, 32:])
