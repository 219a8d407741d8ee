"""Rounds: large batches a few images at a time give the very bits that they give at once, in less memory."""

import fbnet
import numpy as np
import pytest
from fbnet import Layer, Net
from fbnet.engine.case import examples
from fbnet.engine.layer import each_image, layers
from fbnet.engine.lower import HostFallback
from fbnet.engine.plan import Plan
from fbnet.engine.rounds import CACHED, Batch, Round, in_rounds
from fbnet.layers.activation import ReLU
from fbnet.layers.concat import Concat
from fbnet.layers.conv import Convolution
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.pool import Pooling
from fbnet.layers.reshape import Flatten, Permute
from fbnet.layers.softmax import Softmax

RNG = np.random.default_rng(0)
SIZE = 96  # of images: 12 of them are more than CACHED in the first layer


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32) / 5


@pytest.fixture(scope="module")
def net():
    """A branch that is added, parts of a whole, weights too many for rounds, outputs in the middle and at the end."""
    return Net(
        [
            Convolution("x", array(16, 3, 3, 3), array(16), name="conv", pad=(1, 1, 1, 1), activation="ReLU"),
            Pooling("conv", name="small", kernel=(4, 4), stride=(4, 4)),
            Convolution("small", array(16, 16, 1, 1), name="left"),
            Convolution("small", array(16, 16, 1, 1), name="right"),
            Concat("left", "right", name="both"),
            Eltwise("left", "right", name="sum"),
            Pooling("both", name="pool", kernel=(2, 2), stride=(2, 2)),
            InnerProduct("pool", array(100, 32 * 12 * 12) / 20, name="fc"),
            Softmax("fc", name="prob"),
        ],
        {"x": ("N", 3, SIZE, SIZE)},
        outputs=["both", "sum", "prob"],
    )


@pytest.fixture
def hosts_layer():
    """A layer type without a kernel."""

    class Host(Layer):
        apart = each_image

        def reference(self, x):
            return 2 * x

    yield fbnet.layer("HostsOfRounds")(Host)
    layers.discard("HostsOfRounds")


def images(count):
    return RNG.standard_normal((count, 3, SIZE, SIZE), dtype=np.float32)


def answers(plan, x):
    with plan.session() as session:
        first = session.run({"x": x[::-1].copy()})
        second = session.run({"x": x})  # nothing of the run before is left
        assert not np.array_equal(first["prob"], second["prob"])
        return second


@pytest.mark.parametrize(("count", "rounds"), [(12, 6), (13, 13)])
def test_the_bits_of_a_batch_at_once(net, count, rounds):
    x = images(count)
    many, once = (
        net.compile(shapes={"x": x.shape}, threads=2, tune=False, in_rounds=wish) for wish in (True, False)
    )
    assert (many.rounds, once.rounds) == (rounds, 1)
    assert [s.layer for s in many.steps].count("conv") == rounds  # and a product of many weights runs once
    assert [s.layer for s in many.steps].count("fc") == 1
    assert many.arena_bytes < 0.7 * once.arena_bytes
    got, wanted = answers(many, x), answers(once, x)
    assert list(got) == ["both", "sum", "prob"]
    for name, y in got.items():
        assert np.array_equal(y, wanted[name])
    np.testing.assert_allclose(got["prob"], net.forward(x)["prob"], rtol=0, atol=1e-5)


def test_a_part_of_a_whole_under_another_shape():
    """What leaves the rounds is read within them as well, in another shape of the same bytes."""
    made = [
        ReLU("x", name="a"),
        Flatten("a", name="flat"),
        ReLU("flat", name="b", negative_slope=0.5),
        Softmax("b", name="prob", axis=0),
    ]
    net = Net(made, {"x": ("N", 8, 64, 64)}, outputs=["a", "flat", "prob"])
    x = RNG.standard_normal((20, 8, 64, 64), dtype=np.float32)
    for outputs in (["a", "prob"], ["prob"], ["b", "prob"]):
        plan = net.replace(outputs=outputs).compile(shapes={"x": x.shape}, tune=False)
        assert plan.rounds == 5
        with plan.session() as session:
            got, wanted = session.run({"x": x}), net.replace(outputs=outputs).forward(x)
        for name in outputs:
            np.testing.assert_allclose(got[name], wanted[name], rtol=1e-5, atol=1e-6)
    assert (
        net.compile(shapes={"x": x.shape}, tune=False).rounds == 1
    )  # one place in the batch for two outputs


def test_a_plan_on_disk_keeps_its_rounds(net):
    x = images(12)
    plan = net.compile(shapes={"x": x.shape}, tune=False)
    read = Plan.read(net, memoryview(b"".join(plan.chunks())))
    assert read.rounds == plan.rounds == 6
    assert np.array_equal(answers(read, x)["prob"], answers(plan, x)["prob"])


def test_a_walk_shows_all_images(net):
    x = images(12)
    steps = net.steps(x)
    assert steps["conv"].output.shape == (12, 16, SIZE, SIZE)
    assert [visit.name for visit in steps].count("conv") == 1


def test_few_or_small_images_are_computed_at_once(net):
    assert net.compile(shapes={"x": (2, 3, SIZE, SIZE)}).rounds == 1
    little = Net([ReLU("x", name="y")], {"x": ("N", 3, 8, 8)})
    assert little.compile(shapes={"x": (16, 3, 8, 8)}).rounds == 1


def test_many_small_ones_come_many_at_a_time():
    numbers = Net([ReLU("x", name="y")], {"x": (1 << 20,)})
    assert 1 < numbers.compile(tune=False).rounds <= 16


def divided(net, count):
    return in_rounds(net, net.specs({name: (count, *spec.shape[1:]) for name, spec in net.inputs.items()}))


WIDE = CACHED // 16 + 1  # numbers: 16 images of so many, read and written, are more than CACHED


def test_where_images_are_mixed_rounds_end():
    alone = Net([ReLU("x", name="a"), ReLU("a", name="b")], {"x": ("N", WIDE)})
    assert [type(layer) for layer in divided(alone, 16).layers] == [Round, ReLU, ReLU, Batch]
    mixed = Net([ReLU("x", name="a"), Softmax("a", name="b", axis=0)], {"x": ("N", WIDE)})
    assert [type(layer) for layer in divided(mixed, 16).layers] == [Round, ReLU, Batch, Softmax]
    turned = Net([Permute("x", name="a", order=(1, 0)), ReLU("a", name="b")], {"x": ("N", WIDE)})
    assert divided(turned, 16) is None
    assert divided(Net([ReLU("x", name="a")], {"x": ("N", WIDE), "z": ("M",)}), 16) is not None
    two = Net([ReLU("x", name="a"), ReLU("z", name="b")], {"x": (16, WIDE), "z": (8, 3)})
    assert in_rounds(two, two.specs()) is None  # batches of different sizes are none


def test_a_size_written_into_a_layer():
    fixed = Net([layers["Reshape"]("x", name="a", shape=(16, -1)), ReLU("a", name="b")], {"x": ("N", WIDE)})
    assert divided(fixed, 16) is None


def test_a_layer_that_the_host_computes(hosts_layer, empty_cache):
    net = Net([ReLU("x", name="a"), hosts_layer("a", name="b")], {"x": ("N", WIDE)})
    assert divided(net, 16) is not None
    with pytest.warns(HostFallback):
        plan = net.compile(shapes={"x": (16, WIDE)})
    assert plan.rounds == 1
    x = RNG.standard_normal((16, WIDE), dtype=np.float32)
    with plan.session() as session:
        assert np.array_equal(session.run({"x": x})["b"], 2 * np.maximum(x, 0))


CASES = [case for case in examples["fbnet"]() if case.batch and all(s is None or len(s) for s in case.shapes)]


def test_who_says_that_images_are_apart_computes_them_apart():
    """Of every case: a batch of three gives what its images give alone, in all results with an image for each."""
    seen = set()
    for case in CASES:
        three = case.with_batch(3)
        specs, arrays = three.specs, three.arrays()
        if not case.layer.apart(*specs):
            continue
        wanted = case.layer.compute(arrays)
        for image in range(3):
            given = [
                a[image : image + 1] if a is not None and i < three.batched else a
                for i, a in enumerate(arrays)
            ]
            for got, whole in zip(case.layer.compute(given), wanted, strict=True):
                if whole.shape == (3, *got.shape[1:]):
                    seen.add(case.layer.type)
                    np.testing.assert_allclose(got[0], whole[image], rtol=1e-4, atol=1e-5, err_msg=str(case))
    assert {"Convolution", "Pooling", "Softmax", "QuantizedConvolution", "Eltwise", "Scale"} <= seen
    assert not seen & {"RNN", "DetectionOutput", "CumSum"}
