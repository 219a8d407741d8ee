"""Placeholders: layers of types that nobody has registered yet."""

import fbnet
import numpy as np
import pytest
from fbnet import AttributeValueError, Net, RegistryError
from fbnet.engine.custom import Placeholder, custom
from fbnet.engine.kernel import kernels
from fbnet.engine.layer import Elementwise, layer, layers
from fbnet.layers.activation import ReLU

X = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)


@pytest.fixture
def net() -> Net:
    kept = custom(
        "Frobnicate", "x", name="f", outputs=["y"], attributes={"alpha": 0.5, "axes": [1, 2], "mode": "up"}
    )
    return Net(
        [kept, ReLU("y", name="r")], {"x": ("N", 3, 4)}, name="odd", metadata={"custom": ["Frobnicate"]}
    )


@pytest.fixture
def registered():
    """`Frobnicate`, as a researcher writes it; forgotten afterwards."""

    def register():
        @layer("Frobnicate")
        class Frobnicate(Elementwise):
            """y = alpha * x        x: (...) -> y: (...)"""

            alpha: float
            axes: tuple[int, ...] = ()
            mode: str = "down"

            def reference(self, x):
                return np.float32(self.alpha) * x

        return Frobnicate

    yield register
    layers.discard("Frobnicate")
    for name in [n for n in list(kernels) if "/Frobnicate/" in n]:
        kernels.discard(name)


def test_it_is_typed_and_printed(net):
    kept = net["f"]
    assert kept.type == "Frobnicate" and str(kept) == "f (Frobnicate)"
    assert kept.attributes == {"alpha": 0.5, "axes": (1, 2), "mode": "up"}
    assert "f (Frobnicate)  x -> y fp32[N,3,4]" in str(net)
    again = kept.replace(alpha=2)
    assert isinstance(again, Placeholder) and again.attributes["alpha"] == 2.0 and again.outputs == ("y",)


RUNS = {
    "forward": lambda net: net.forward(x=X),
    "call": lambda net: net(X),
    "reference": lambda net: net.compile(device="reference"),
    "cpu": lambda net: net.compile(),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_running_it_names_it(net, run):
    with pytest.raises(
        RegistryError, match=r"f \(Frobnicate\): layer type 'Frobnicate' is not registered.* Import"
    ):
        run(net)


def test_all_that_are_unknown_are_named():
    two = [custom(f"Odd{i}", "x", name=f"f{i}", outputs=[f"y{i}"], attributes={}) for i in range(2)]
    with pytest.raises(RegistryError, match=r"f0 \(Odd0\): .*; likewise for f1 \(Odd1\)"):
        Net(two, {"x": (1, 4)})(X[0, :1])


def test_it_travels(net, registered, tmp_path):
    net.save(tmp_path / "m.fbnet")
    again = fbnet.load(tmp_path / "m.fbnet")
    assert again.digest == net.digest and isinstance(again["f"], Placeholder)
    cls = registered()
    known = fbnet.load(tmp_path / "m.fbnet")
    assert isinstance(known["f"], cls) and known.digest == net.digest


def test_only_files_that_say_so_have_them(net, tmp_path):
    net.replace(metadata={}).save(tmp_path / "m.fbnet")
    with pytest.raises(fbnet.FileError, match=r"not registered: 'Frobnicate' of layer 'f'"):
        fbnet.load(tmp_path / "m.fbnet")
    assert isinstance(fbnet.load(tmp_path / "m.fbnet", allow_custom=True)["f"], Placeholder)
    net.replace(metadata={"custom": "Frobnicate"}).save(tmp_path / "m.fbnet")
    with pytest.raises(fbnet.FileError, match=r"not registered"):
        fbnet.load(tmp_path / "m.fbnet")


def test_a_registration_fills_it(net, registered):
    registered()
    wanted = np.maximum(np.float32(0.5) * X, 0)
    np.testing.assert_array_equal(net.forward(x=X)["r"], wanted)
    with pytest.warns(fbnet.HostFallback, match=r"f \(Frobnicate\) runs by its numpy reference"):
        np.testing.assert_array_equal(net(X), wanted)


def test_so_does_a_kernel(net, registered):
    cls = registered()

    @fbnet.kernel(cls, device="cpu")
    def frobnicate(x, y, alpha):
        for i in range(x.size):
            y[i] = np.float32(alpha) * x[i]

    np.testing.assert_array_equal(net(X), np.maximum(np.float32(0.5) * X, 0))


def test_what_the_class_does_not_take(net, registered):
    registered()
    odd = net["f"].replace(outputs=["y"])
    other = custom("Other", "x", name="o", outputs=["y"], attributes={"beta": 1})
    other.__class__.type = "Frobnicate"
    with pytest.raises(AttributeValueError, match=r"has no attribute 'beta'"):
        Net([other], {"x": (1, 4)}).specs()
    assert odd.filled.alpha == 0.5


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        ({"name": 3}, "its attribute 'name' has a name that layers use"),
        ({"no name": 3}, "its attribute 'no name' has a name"),
        ({"infer": 3}, "its attribute 'infer' has a name"),
        ({"value": None}, "its attribute 'value' is None"),
        ({"value": {"a": 1}}, "its attribute 'value' is {'a': 1}"),
        ({"value": [1, "a"]}, "its attribute 'value' is [1, 'a']"),
        ({"value": [[1]]}, "its attribute 'value' is [[1]]"),
    ],
)
def test_attributes_that_cannot_be_kept(attributes, says):
    with pytest.raises(AttributeValueError) as caught:
        custom("Odd", "x", name="o", outputs=["y"], attributes=attributes)
    assert str(caught.value).startswith("o (Odd): ") and says in str(caught.value)


def test_numbers_of_both_kinds_are_floats():
    kept = custom(
        "Odd", "x", name="o", outputs=["y"], attributes={"a": [1, 2.5], "b": [], "c": np.float32(2)}
    )
    assert kept.attributes == {"a": (1.0, 2.5), "b": (), "c": 2.0}


def test_a_layer_that_reads_nothing():
    with pytest.raises(RegistryError, match=r"o \(Odd\): layer type 'Odd' is not registered"):
        Net([custom("Odd", name="o", outputs=["y"], attributes={})], {}).specs()
