"""Kernels in blocks of channels, on channels that do and do not fill them, for every target that runs here; and nets
of such kernels, in which parts lie in wholes and few reorders are left.
"""

from collections import Counter
from random import Random

import numpy as np
import pytest
from fbnet.engine.check import check_layer
from fbnet.engine.compile import compile_net
from fbnet.engine.device import devices
from fbnet.engine.net import Net
from fbnet.engine.tensor import Tensor
from fbnet.layers.activation import ELU, PReLU, ReLU, Sigmoid
from fbnet.layers.concat import Concat, Slice
from fbnet.layers.conv import Convolution
from fbnet.layers.cpu.target import host
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.layout import Reorder
from fbnet.layers.norm import LRN, BatchNorm, Bias, Scale
from fbnet.layers.pool import Pooling
from fbnet.layers.reshape import Flatten
from fbnet.layers.softmax import Softmax
from hypothesis import given, settings
from hypothesis import strategies as st

LEVELS = ["x86-64-v2", "x86-64-v3", "x86-64-v4"]
RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.fixture(params=LEVELS)
def lanes(request, monkeypatch):
    """Lanes of a vector of each target in turn; the device compiles for it."""
    level = host().name.split("+")[0]
    if level not in LEVELS or LEVELS.index(request.param) > LEVELS.index(level):
        pytest.skip(f"{host()} does not run code for {request.param}")
    monkeypatch.setenv("FBNET_TARGET", request.param)
    host.cache_clear()
    yield devices["cpu"].lanes
    monkeypatch.undo()
    host.cache_clear()


# -- one layer -----------------------------------------------------------------------------------------------


def average(**attributes):
    return Pooling(method="average", **attributes)


SAME_SIZE = dict(kernel=(3, 3), pad=(1, 1, 1, 1))
LAYERS = [
    ("max_windows_blocked", Pooling(**SAME_SIZE)),
    ("max_windows_blocked", Pooling(kernel=(3, 2), stride=(2, 2), pad=(1, 0, 2, 1), ceil=True)),
    ("average_windows_blocked", average(**SAME_SIZE, count_pad=False)),
    ("average_windows_blocked", average(kernel=(3, 2), stride=(2, 3), pad=(2, 1, 1, 1), ceil=True)),
    ("max_image_blocked", Pooling(global_pooling=True)),
    ("average_image_blocked", average(global_pooling=True)),
    ("lrn_blocked", LRN(alpha=0.1, k=2.0)),
    ("lrn_blocked", LRN(local_size=19)),
    ("batchnorm_blocked", BatchNorm()),
    ("scale_blocked", Scale()),
    ("scale_blocked", Scale(axis=0)),
    ("bias_blocked", Bias()),
    ("prelu_blocked", PReLU()),
    ("block", Reorder()),
    ("unblock", Reorder()),
]


def parameters_of(layer, n, c):
    """Arrays for the layer's inputs after x."""
    if layer.type == "BatchNorm":
        return [array(c), array(c) ** 2 + 0.1]
    if layer.type == "Scale":
        return [array(n, c), array(n, c)] if layer.axis == 0 else [array(c), array(c)]
    return [array(c)] if layer.type in ("Bias", "PReLU") else []


@pytest.mark.parametrize("kernel, layer", LAYERS, ids=[f"{k}-{i}" for i, (k, _) in enumerate(LAYERS)])
def test_kernels_give_the_references_numbers(kernel, layer, lanes):
    shapes = [(3, c, 7, 13) for c in (1, 3, lanes - 1, lanes, lanes + 1, 2 * lanes + 3)]
    shapes += [(1, 2 * lanes + 3, h, w) for h, w in ((1, 1), (1, 7), (13, 1), (7, 7))]
    for shape in shapes:
        arrays = [array(*shape), *parameters_of(layer, *shape[:2])]
        for constants in (None, ()) if len(arrays) > 1 else (None,):
            checks = check_layer(layer, *arrays, device_names=["cpu"], constants=constants)
            assert any(check.kernel.endswith(f"/{kernel}") for check in checks)


def test_a_large_image_loses_no_digits(lanes):
    bright = np.abs(array(1, lanes, 97, 211)) + 5
    assert check_layer(average(global_pooling=True), bright, tolerance=1e-6, device_names=["cpu"])


# -- chains --------------------------------------------------------------------------------------------------


def conv(x, name, channels, made, size=1):
    """A convolution and a rectifier, tensors `name/conv` and `name`."""
    weights = array(made, channels, size, size) / np.float32(size * channels**0.5)
    return [
        Convolution(x, weights, array(made), pad=(size // 2,) * 4, name=f"{name}/conv"),
        ReLU(f"{name}/conv", name=name),
    ]


def steps_of(net, batch=1, threads=2):
    """The layers and kernels of the plan's steps as (type, kernel), after its results have been compared."""
    x = array(batch, *net.inputs["x"].shape[1:])
    compare(net, {"x": x}, threads)
    plan = compile_net(net, threads=threads, shapes={"x": x.shape})
    return Counter(tuple(step.kernel.split("/")[-2:]) for step in plan.steps)


def compare(net, fed, threads):
    """Two runs of a session give what forward does."""
    wanted = net.forward(**fed)
    plan = compile_net(net, threads=threads, shapes={k: a.shape for k, a in fed.items()})
    with plan.session() as session:
        for _ in range(2):
            got = session.run(fed)
            for name, array in wanted.items():
                scale = np.abs(array).max(initial=1e-9)
                np.testing.assert_allclose(got[name] / scale, array / scale, rtol=0, atol=2e-5)


def types(steps):
    return {kind for kind, _ in steps}


def test_an_inception_module_copies_nothing(lanes):
    c = 2 * lanes
    net = Net(
        [
            *conv("x", "stem", 3, c, 5),
            LRN("stem", alpha=1e-2, name="normal"),
            *conv("normal", "one", c, c),
            *conv("normal", "three", c, lanes, 5),
            Pooling("normal", **SAME_SIZE, name="pooled"),
            *conv("pooled", "of_pooled", c, lanes),
            Concat("one", "three", "of_pooled", name="joined"),
            Pooling("joined", method="average", global_pooling=True, name="mean"),
            Flatten("mean", name="flat"),
            InnerProduct("flat", array(7, 2 * c), name="product"),
            Softmax("product", name="y"),
        ],
        {"x": (1, 3, 14, 15)},
    )
    steps = steps_of(net)
    assert types(steps) == {"Convolution", "LRN", "Pooling", "InnerProduct", "Softmax"}
    assert steps["Pooling", "max_windows_blocked"] == steps["LRN", "lrn_blocked"] == 1
    assert steps_of(net, batch=2)["Concat", "copy_columns"] == 3


def test_a_dense_block_copies_nothing(lanes):
    layers, x, c = conv("x", "t", 3, lanes, 5), "t", lanes
    for i in range(3):
        layers += [
            BatchNorm(x, array(c), array(c) ** 2 + 1, name=f"n{i}"),
            Scale(f"n{i}", array(c), array(c), name=f"s{i}"),
            ReLU(f"s{i}", name=f"r{i}"),
            *conv(f"r{i}", f"made{i}", c, lanes, 5),
            Concat(x, f"made{i}", name=f"joined{i}"),
        ]
        x, c = f"joined{i}", c + lanes
    layers.append(Pooling(x, method="average", kernel=(2, 2), stride=(2, 2), name="half"))
    layers.append(Pooling("half", method="average", global_pooling=True, name="y"))
    steps = steps_of(Net(layers, {"x": (1, 3, 12, 9)}))
    assert not types(steps) & {"Concat", "Reorder"}


def test_squeeze_and_excitation_reorders_nothing(lanes):
    c = 3 * lanes
    net = Net(
        [
            *conv("x", "a", 3, c, 5),
            Pooling("a", method="average", global_pooling=True, name="mean"),
            *conv("mean", "less", c, lanes),
            Convolution("less", array(c, lanes, 1, 1), name="more"),
            Sigmoid("more", name="gate"),
            Flatten("gate", name="flat"),
            Scale("a", "flat", axis=0, name="weighed"),
            Eltwise("weighed", "a", name="sum"),
            ReLU("sum", name="positive"),
            Pooling("positive", method="max", global_pooling=True, name="y"),
        ],
        {"x": (1, 3, 12, 9)},
    )
    for batch in (1, 3):
        assert not types(steps_of(net, batch)) & {"Reorder"}


def test_an_input_in_the_shapes_own_order_is_not_reordered_for_a_pooling():
    net = Net([Pooling("x", **SAME_SIZE, name="p"), Scale("p", array(64), name="y")], {"x": (1, 64, 8, 8)})
    assert set(steps_of(net)) == {("Pooling", "max_windows"), ("Scale", "scale")}


def test_parts_of_a_plain_tensor_lie_in_it():
    net = Net(
        [
            ELU("x", name="a"),
            Slice("a", points=(2,), name="cut", outputs=["b", "c"]),
            ELU("c", name="d"),
            Concat("d", "b", name="y"),
        ],
        {"x": (1, 5, 3, 2)},
    )
    # b lies in a, so it cannot lie in y; c and d do not have to move
    assert steps_of(net) == {("ELU", "elu"): 2, ("Concat", "copy_columns"): 1}


# -- random nets ---------------------------------------------------------------------------------------------


def random_net(choose: Random, lanes: int) -> Net:
    """Layers that keep blocks, with joins and cuts of tensors that are in use elsewhere, outputs anywhere."""
    steps = []
    sizes = {"x": (choose.choice([3, lanes, 2 * lanes]), 5, 6)}
    sizes["constant"] = (lanes, 5, 6)
    data = Tensor("constant", data=array(1, lanes, 5, 6))

    def add(layer, *made):
        names = [f"t{len(steps)}{letter}" for letter in "abcd"[: len(made)]]
        steps.append(layer.replace(name=f"l{len(steps)}", outputs=names))
        sizes.update(zip(names, made, strict=True))

    for _ in range(choose.randint(3, 16)):
        names = [n for n in sizes if n != "constant"]
        x = choose.choice(names[-3:]) if choose.random() < 0.7 else choose.choice(names)
        c, h, w = sizes[x]
        alike = [n for n in names if sizes[n] == (c, h, w)]
        level = [n for n in names if sizes[n][1:] == (h, w)]
        kinds = ["conv", "conv", "max", "average", "lrn", "norm", "scale", "prelu", "relu", "sum"]
        kind = choose.choice([*kinds, "join", "join", "cut", "image"])
        if kind == "conv":
            m = choose.choice([lanes, lanes, 2 * lanes, 4])
            add(Convolution(x, array(m, c, 1, 1) / np.float32(c**0.5), array(m)), (m, h, w))
        elif kind in ("max", "average"):
            add(Pooling(x, method=kind, **SAME_SIZE), (c, h, w))
        elif kind == "lrn":
            add(LRN(x, alpha=0.1), (c, h, w))
        elif kind == "norm":
            add(BatchNorm(x, array(c), array(c) ** 2 + 1), (c, h, w))
        elif kind == "scale":
            add(Scale(x, array(c), array(c)), (c, h, w))
        elif kind == "prelu":
            add(PReLU(x, array(c)), (c, h, w))
        elif kind == "relu":
            add(ReLU(x, negative_slope=0.5), (c, h, w))
        elif kind == "sum":
            add(Eltwise(x, choose.choice(alike), coeff=(0.5, 0.5)), (c, h, w))
        elif kind == "join":
            parts = [x, *(choose.choice(level) for _ in range(choose.randint(1, 2)))]
            if (h, w) == sizes["constant"][1:] and choose.random() < 0.2:
                parts.append(data)
            total = sum(sizes[p if isinstance(p, str) else "constant"][0] for p in parts)
            if total <= 12 * lanes:
                add(Concat(*parts), (total, h, w))
        elif kind == "cut" and c > 1:
            at = lanes if c > lanes else choose.randint(1, c - 1)
            add(Slice(x, points=(at,)), (at, h, w), (c - at, h, w))
        elif kind == "image":
            add(Pooling(x, method="average", global_pooling=True), (c, 1, 1))
    if not steps:
        add(ReLU("x"), sizes["x"])
    read = {i for s in steps for i in s.inputs if isinstance(i, str)}
    made = [o for s in steps for o in s.outputs]
    more = choose.sample(made, k=min(len(made), choose.randint(0, 2)))
    return Net(
        steps,
        {"x": (1, *sizes["x"])},
        outputs=list(dict.fromkeys([*(t for t in made if t not in read), *more])),
    )


@settings(derandomize=True)
@given(st.integers(0, 2**32 - 1))
def test_random_nets(seed):
    check_random_net(seed)


def check_random_net(seed):
    RNG.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    choose = Random(seed)
    net = random_net(choose, devices["cpu"].lanes)
    constant = any(name.startswith("constant") for name in net.constants)
    compare(
        net,
        {"x": array(1 if constant else choose.choice([1, 1, 2]), *net.inputs["x"].shape[1:])},
        choose.choice([1, 2]),
    )
