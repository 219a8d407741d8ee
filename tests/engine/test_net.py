"""Net: layers in order, names once, and the plain loop that defines what it computes."""

import numpy as np
import pytest
from fbnet import Dim, InputError, Net, NetError, ShapeError, Spec, Tensor
from fbnet.layers.activation import Clip, Dropout, ReLU, Sigmoid
from fbnet.layers.concat import Concat, Slice
from fbnet.layers.conv import Convolution
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.reshape import Flatten
from fbnet.layers.softmax import Softmax
from hypothesis import given
from hypothesis import strategies as st

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def lenet():
    return Net(
        [
            Convolution("data", array(4, 1, 3, 3), array(4), name="conv1", pad=(1, 1, 1, 1)),
            ReLU("conv1", name="relu1"),
            Flatten("relu1", name="flat"),
            InnerProduct("flat", array(10, 4 * 36), None, name="fc"),
            Softmax("fc", name="prob"),
        ],
        inputs={"data": ("N", 1, 6, 6)},
        name="small",
    )


def test_names_and_constants():
    net = lenet()
    assert list(net.constants) == ["conv1.w", "conv1.b", "fc.w"] and net.outputs == ("prob",)
    assert net["conv1"].inputs == ("data", "conv1.w", "conv1.b") and net["fc"].inputs[2] == ""
    assert [layer.name for layer in net] == ["conv1", "relu1", "flat", "fc", "prob"] and len(net) == 5
    assert repr(net) == "<Net small: 5 layers, data fp32[N,1,6,6]>"
    assert str(net).splitlines() == [
        "small: data fp32[N,1,6,6]",
        "  conv1 (Convolution)  data -> conv1 fp32[N,4,6,6]",
        "  relu1 (ReLU)         conv1 -> relu1 fp32[N,4,6,6]",
        "  flat (Flatten)       relu1 -> flat fp32[N,144]",
        "  fc (InnerProduct)    flat -> fc fp32[N,10]",
        "  prob (Softmax)       fc -> prob fp32[N,10]",
        "  -> prob",
    ]


def test_layers_without_a_name_get_one():
    net = Net([ReLU("x"), Slice("relu0", outputs=["a", "b"]), Sigmoid("a")], {"x": (1, 4)})
    assert [layer.name for layer in net] == ["relu0", "slice1", "sigmoid2"]
    assert net.outputs == ("b", "sigmoid2")


def test_forward_stops_where_it_is_told():
    net, x = lenet(), array(3, 1, 6, 6)
    whole = net.forward(data=x)
    assert list(whole) == ["prob"] and whole["prob"].shape == (3, 10)
    np.testing.assert_allclose(whole["prob"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(
        net.forward(x, upto="relu1")["relu1"], np.maximum(net.forward(upto="conv1", data=x)["conv1"], 0)
    )
    split = Net([Slice("x", name="cut", outputs=["a", "b"]), ReLU("a")], {"x": (1, 4)})
    assert (
        list(split.forward(upto="b", x=array(1, 4)))
        == list(split.forward(upto="cut", x=array(1, 4)))
        == ["a", "b"]
    )
    with pytest.raises(InputError, match=r"small has no layer 'conv2'\. Did you mean 'conv1'\?"):
        net.forward(upto="conv2", data=x)


def test_forward_checks_shapes_as_it_runs():
    with pytest.raises(ShapeError, match=r"^fc \(InnerProduct\): "):
        lenet().forward(data=array(1, 1, 7, 7))


@given(st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_a_batch_is_its_images(n, seed):
    x = np.random.default_rng(seed).standard_normal((n, 1, 6, 6)).astype(np.float32)
    net = lenet()
    whole = net.forward(data=x)["prob"]
    single = [net.forward(data=x[i : i + 1])["prob"] for i in range(n)]
    np.testing.assert_allclose(whole, np.concatenate([np.zeros((0, 10)), *single]), rtol=1e-4, atol=1e-7)


def test_shared_constants():
    w = Tensor("shared", data=array(3, 3))
    net = Net([InnerProduct("x", w, name="a"), InnerProduct("a", w, name="b")], {"x": (1, 3)})
    assert list(net.constants) == ["shared"] and net.constants["shared"] is w
    named = Net(
        [InnerProduct("x", "w", name="a"), InnerProduct("a", "w", name="b")],
        {"x": (1, 3)},
        {"w": w.data, "spare": w.data},
    )
    assert list(named.constants) == ["w"]  # what nobody reads is dropped
    x = array(1, 3)
    np.testing.assert_array_equal(net.forward(x=x)["b"], named.forward(x=x)["b"])
    twice = [InnerProduct("x", Tensor("w", data=array(3, 3)), name=n) for n in "ab"]
    with pytest.raises(NetError, match="two constants are called 'w': names are unique"):
        Net(twice, {"x": (1, 3)})


NO_NETS = [
    (lambda: Net([ReLU("x")], {"x": (1,)}, outputs=["z"]), "net: no layer writes the output 'z'."),
    (lambda: Net([ReLU("x")], {"x": (1,)}, outputs=["relu"]), "net: no layer writes the output 'relu'. Did you"),
    (lambda: Net([ReLU("x", name="r")], {"x": (1,)}, outputs=["r", "r"]), "net: an output is named twice: r, r"),
    (lambda: Net([InnerProduct("x", "x")], {"x": (1,)}, {"x": array(1, 1)}), "net: 'x' is an input and a constant"),
    (lambda: Net([ReLU("x", name="x")], {"x": (1,)}), "x (ReLU) writes 'x', which is already written"),
    (lambda: Net([ReLU("a", name="a")], {}), "a (ReLU) reads 'a', which is only written at or after it: a cycle"),
    (lambda: Net([ReLU("x", outputs=[""])], {"x": (1,)}), "relu0 (ReLU) writes '', which is already written"),
]  # fmt: skip


@pytest.mark.parametrize(("attempt", "message"), NO_NETS, ids=[m for _, m in NO_NETS])
def test_what_is_no_net(attempt, message):
    with pytest.raises(NetError) as caught:
        attempt()
    assert str(caught.value).startswith(message)


def test_outputs_may_be_anything_that_exists():
    w = array(2, 2)
    net = Net(
        [InnerProduct("x", "w", name="y"), ReLU("y", name="z")], {"x": (1, 2)}, {"w": w}, ["y", "x", "w", "z"]
    )
    x = array(1, 2)
    for found in (net.forward(x=x), net(x)):
        assert list(found) == ["y", "x", "w", "z"]
        np.testing.assert_array_equal(found["x"], x)
        np.testing.assert_array_equal(found["w"], w)
        np.testing.assert_allclose(found["y"], x @ w.T, rtol=1e-5)


def test_a_net_without_layers_passes_through():
    net = Net([], {"x": ("N", 2)}, outputs=["x"])
    x = array(3, 2)
    np.testing.assert_array_equal(net.forward(x=x)["x"], x)
    np.testing.assert_array_equal(net(x), x)


def test_calling_it():
    net = Net([Eltwise("a", "b", name="sum")], {"a": ("N", 2), "b": ("N", 2)})
    a, b = array(1, 2), array(1, 2)
    for found in (
        net(a, b),
        net(a, b=b),
        net(b=b, a=a),
        net(a.tolist(), b.astype(np.float64)),
        net(a[:, ::-1], b[:, ::-1])[:, ::-1],
    ):
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, a + b)
    two = Net([ReLU("x", name="r"), Sigmoid("x", name="s")], {"x": (1, 2)})
    assert list(two(a)) == ["r", "s"]


def test_specs_follow_the_inputs():
    net = lenet()
    assert (
        str(net.specs()["conv1"]) == "fp32[N,4,6,6]"
        and str(net.specs({"data": (5, 1, 6, 6)})["fc"]) == "fp32[5,10]"
    )
    with pytest.raises(InputError, match=r"small has no input 'dat'\. Did you mean 'data'\?"):
        net.specs({"dat": (1,)})


def test_loosened():
    conv = Net([Convolution("x", array(2, 3, 3, 3), name="c")], {"x": (1, 3, 40, 40)}).loosened()
    assert str(conv.inputs["x"]) == "fp32[N,3,H,W]" and str(conv.specs()["c"]) == "fp32[N,2,H-2,W-2]"
    assert conv.inputs["x"].concrete.shape == (1, 3, 40, 40)
    assert str(lenet().loosened().inputs["data"]) == "fp32[N,1,6,6]"
    joined = Net([Concat("x", "y")], {"x": (1, 3, 8, 8), "y": (1, 2, 8, 8)}).loosened()
    assert str(joined.inputs["y"]) == "fp32[N,2,H,W]"
    fixed = Net([Concat("x", "w", axis=1)], {"x": (1, 3)}, {"w": array(1, 2)}).loosened()
    assert str(fixed.inputs["x"]) == "fp32[1,3]"


def test_the_digest_names_what_is_computed():
    def net(weights, low=0.0, dtype="fp32", **rest):
        return Net(
            [InnerProduct("x", weights, name="f"), Clip("f", min=low, max=1, name="c")],
            {"x": Spec((1, 2), dtype)},
            **rest,
        )

    w = array(2, 2)
    one = net(w).digest
    assert (
        len(one) == 32
        and net(w.copy()).digest == one
        and net(w, name="other", metadata={"a": 1}).digest == one
    )
    assert (
        len(
            {
                one,
                net(w + 1).digest,
                net(w, 0.5).digest,
                net(w, dtype="fp16").digest,
                net(w, outputs=["f"]).digest,
            }
        )
        == 5
    )


def test_it_is_immutable():
    net = lenet()
    for mapping in (net.inputs, net.constants, net.metadata, net.plans):
        with pytest.raises(TypeError):
            mapping["x"] = 1
    other = net.replace(name="other", inputs={"data": (2, 1, 6, 6)})
    assert other.name == "other" and net.name == "small" and other.layers == net.layers
    assert isinstance(net.inputs["data"].shape[0], Dim)


def test_dropout_is_nothing_at_inference():
    x = array(2, 3)
    np.testing.assert_array_equal(Net([Dropout("x", ratio=0.9)], {"x": (2, 3)})(x), x)
