"""Layer: what one class body says, and what is refused."""

import numpy as np
import pytest
from fbnet import (
    AttributeValueError,
    Elementwise,
    Layer,
    Net,
    RegistryError,
    ShapeError,
    Spec,
    check_layer,
    layer,
)
from fbnet.engine.layer import ABSENT, Attribute, activated, layers


@pytest.fixture(autouse=True)
def forget():
    """Layer types that a test registers are gone after it."""
    before = set(layers)
    yield
    for name in set(layers) - before:
        layers.discard(name)


@pytest.fixture
def every_kind():
    @layer("TestEveryKind")
    class EveryKind(Layer):
        """y = x        x: (...) -> y: (...)"""

        count: int
        rate: float = 0.5
        flag: bool = False
        word: str = "sum"
        sizes: tuple[int, ...] = (1, 2)
        rates: tuple[float, ...] = ()
        words: tuple[str, ...] = ()

        def reference(self, x, w=None, *rest):
            return x

    return EveryKind


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("count", 3, 3),
        ("count", np.int64(3), 3),
        ("count", -(2**70), -(2**70)),
        ("rate", 1, 1.0),
        ("rate", np.float32(0.5), 0.5),
        ("rate", float("inf"), float("inf")),
        ("flag", 1, True),
        ("flag", np.bool_(True), True),
        ("word", "", ""),
        ("sizes", [3, 4], (3, 4)),
        ("sizes", np.array([3, 4]), (3, 4)),
        ("sizes", (), ()),
        ("rates", [1, 2.5], (1.0, 2.5)),
        ("words", ["a", "b"], ("a", "b")),
    ],
)
def test_attributes_become_their_kind(every_kind, name, given, stored):
    found = getattr(every_kind(**{"count": 1, name: given}), name)
    assert found == stored and type(found) is type(stored)
    if isinstance(stored, tuple):
        assert [type(v) for v in found] == [type(v) for v in stored]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("count", 3.0), ("count", "3"), ("count", True), ("count", None), ("count", [3]),
        ("rate", "1"), ("rate", None), ("rate", 10**400), ("rate", 1j),
        ("flag", 2), ("flag", "yes"), ("flag", None), ("flag", np.array([0, 1])),
        ("word", 3), ("word", b"sum"), ("word", None),
        ("sizes", 3), ("sizes", "12"), ("sizes", [1.5]), ("sizes", [[1]]), ("sizes", np.eye(2)), ("words", "ab"),
    ],
)  # fmt: skip
def test_attributes_of_another_kind_are_refused(every_kind, name, given):
    with pytest.raises(AttributeValueError, match=rf"^me \(TestEveryKind\): {name}: .* cannot be "):
        every_kind(**{"count": 1, name: given}, name="me")


def test_an_attribute_without_default_is_needed(every_kind):
    with pytest.raises(AttributeValueError, match=r"TestEveryKind needs the attribute count: int$"):
        every_kind()


def test_what_the_class_body_says(every_kind):
    assert every_kind.type == "TestEveryKind" and layers["TestEveryKind"] is every_kind
    assert [str(a) for a in every_kind.declared.values()] == [
        "count: int", "rate: float = 0.5", "flag: bool = False", "word: str = 'sum'",
        "sizes: tuple[int, ...] = (1, 2)", "rates: tuple[float, ...] = ()", "words: tuple[str, ...] = ()",
    ]  # fmt: skip
    assert (
        every_kind.parameters == ("x", "w") and every_kind.optional == {"w"} and every_kind.variadic == "rest"
    )
    made = every_kind("a", None, "c", "d", name="me", count=2, rate=0)
    assert made.inputs == ("a", ABSENT, "c", "d") and made.input_names() == ["x", "w", "rest0", "rest1"]
    assert str(made) == "me (TestEveryKind)"
    assert repr(made) == "EveryKind(a, , c, d, name='me', count=2, rate=0.0)"
    assert made.attributes["rate"] == 0.0  # an explicit 0 is not lost
    again = made.replace(inputs=["z"], rate=2)
    assert (again.inputs, again.name, again.count, again.rate) == (("z",), "me", 2, 2.0) and made.rate == 0.0


def test_attributes_are_inherited(every_kind):
    @layer("TestHeir")
    class Heir(every_kind):
        """y = x        x: (...) -> y: (...)"""

        rate: float = 0.25
        extra: int = 1

    assert Heir(count=1).rate == 0.25 and every_kind(count=1).rate == 0.5
    assert list(Heir.declared)[-1] == "extra" and "extra" not in every_kind.declared


def test_declarations_that_cannot_be_stored():
    for kind in (dict, list, np.ndarray, tuple[dict, ...], None):
        with pytest.raises(
            AttributeValueError, match=r"attribute 'bad' is declared as .*: use int, float, bool, str"
        ):
            Attribute("bad", kind, None)
    with pytest.raises(AttributeValueError, match="'outputs' is a name of Layer itself"):

        @layer("TestClash")
        class Clash(Layer):
            """y = x"""

            outputs: int = 3

    assert "TestClash" not in layers


def test_a_type_name_is_taken_once():
    with pytest.raises(
        RegistryError, match=r"layer type 'ReLU' is already registered by fbnet\.layers\.activation"
    ):

        @layer("ReLU")
        class Mine(Elementwise):
            """y = x        x: (...) -> y: (...)"""

            def reference(self, x):
                return x


def test_shapes_follow_from_the_reference():
    @layer("TestMean")
    class Mean(Layer):
        """y, top = mean(x), argmax(x)        x: (N, K) -> y: (N,), top: (N,)"""

        results = ("y", "top")

        def reference(self, x):
            return x.sum(axis=1) / x.any(axis=1), x.argmax(axis=1)  # 0 / 0 on zeros: no warning for it

    y, top = Mean("x").infer_outputs([Spec(("N", 5))])
    assert str(y) == "fp32[1]" and str(top) == "int64[1]"
    checks = check_layer(Mean(), np.float32([[1, 2], [3, 4]]))
    assert {c.device for c in checks} >= {"reference", "cpu"}


def test_a_reference_in_float64_is_rounded_once():
    @layer("TestDouble")
    class Double(Layer):
        """y = x / 3        x: (...) -> y: (...)"""

        def reference(self, x):
            return x * np.full((), 1 / 3)

    net = Net([Double("x", name="a"), Double("a", name="b")], {"x": (2,)})
    assert net.forward(x=np.ones(2))["b"].dtype == np.float32 and str(net.specs()["a"]) == "fp32[2]"


def test_errors_of_a_layer_are_named():
    @layer("TestBroken")
    class Broken(Layer):
        """y = x        x: (N, K) -> y: (N, K)"""

        def infer(self, x):
            raise {1: IndexError, 2: ShapeError, 3: MemoryError}[x.ndim]("oh no")

        def reference(self, x):
            return x

    for shape in ((2,), (2, 2), (2, 2, 2)):
        with pytest.raises(ShapeError, match=r"^b \(TestBroken\).*oh no$"):
            Broken("x", name="b").infer_outputs([Spec(shape)])
    with pytest.raises(ShapeError, match=r"Layer does not take .*defines no reference"):
        Layer("x").infer_outputs([])


@pytest.mark.parametrize(("count", "wanted"), [(0, "got 0 inputs"), (1, None), (2, None), (5, None)])
def test_arity(every_kind, count, wanted):
    made = every_kind(*["x"] * count, count=1)
    if wanted:
        with pytest.raises(ShapeError, match=rf"{wanted} but takes \(x, w, \*rest\)"):
            made.infer_outputs([Spec((1,))] * count)
    else:
        assert made.infer_outputs([Spec((1,))] * count) == (Spec((1,)),)


def test_fused_activations():
    x = np.float32([-2, -0.5, 3])
    assert activated(x, "") is x
    np.testing.assert_array_equal(activated(x, "ReLU"), [0, 0, 3])
    np.testing.assert_array_equal(activated(x, "ReLU", (0.5,)), [-1, -0.25, 3])
    np.testing.assert_array_equal(activated(x, "Clip", (-1, 1)), [-1, -0.5, 1])
    with pytest.raises(RegistryError, match="Did you mean 'ReLU'"):
        activated(x, "relu")
    with pytest.raises(AttributeValueError, match="Softmax is no activation"):
        activated(x, "Softmax")
    with pytest.raises(AttributeValueError, match="activation AbsVal got 1 arguments but takes no arguments"):
        activated(x, "AbsVal", (1,))
