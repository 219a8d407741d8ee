"""Errors: one tree, drawn where it is defined, and messages that say who, got, wanted, and what to do."""

import re

import fbnet
import numpy as np
import pytest
from fbnet import Net, ShapeError, Spec
from fbnet.engine import errors
from fbnet.engine.errors import ConversionError, FbnetError, RegistryError, did_you_mean
from fbnet.layers.activation import ELU, ReLU
from fbnet.layers.conv import Convolution
from fbnet.layers.inner_product import InnerProduct

W = np.zeros((4, 3, 3, 3), np.float32)


def kinds() -> set[str]:
    return {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, FbnetError)}


def test_the_drawn_tree_is_the_tree():
    drawn = set(re.findall(r"^    .*?(\w+Error)\b", errors.__doc__, re.MULTILINE))
    assert drawn == kinds()


def test_every_kind_is_at_the_front_door_and_explains_itself():
    for name in kinds():
        assert getattr(fbnet, name) is getattr(errors, name)
        assert getattr(errors, name).__doc__
        builtin = [b for b in getattr(errors, name).__mro__ if b.__module__ == "builtins"]
        assert name == "FbnetError" or len(builtin) > 3, f"{name} is also no error of Python's own kind"


def test_a_conversion_error_lists_everything():
    error = ConversionError("cannot convert a.onnx", ["layer a: Foo", "layer b: Bar"])
    assert str(error) == "cannot convert a.onnx; layer a: Foo; layer b: Bar"
    assert error.problems == ("layer a: Foo", "layer b: Bar")
    assert ConversionError("no").problems == ()


@pytest.mark.parametrize(
    ("name", "known", "wanted"),
    [
        ("relu", ["ReLU", "PReLU"], " Did you mean 'ReLU'?"),
        ("RELU", ["ReLU"], " Did you mean 'ReLU'?"),
        ("Convolutoin", ["Convolution", "Deconvolution"], " Did you mean 'Convolution'?"),
        ("xyz", ["ReLU"], ""),
        ("", ["ReLU"], ""),
        ("relu", [], ""),
        ("a" * 100_000, ["a" * 100_001], ""),  # a hostile name costs no time
        ("relu", [f"layer{i}" for i in range(10_000)] + ["ReLU"], ""),
    ],
)
def test_did_you_mean(name, known, wanted):
    assert did_you_mean(name, known) == wanted


def chain(*layers, **inputs):
    return Net(layers, inputs or {"x": (1, 3, 8, 8)})


def run(net, **arrays):
    return net(**arrays)


MESSAGES = [
    (lambda: fbnet.engine.layer.layers["Relu6x"], "layer type 'Relu6x' is not registered. Did you mean 'ReLU'?"),
    (lambda: ELU(aplha=1), "ELU has no attribute 'aplha'. Did you mean 'alpha'? It takes: alpha: float = 1.0"),
    (lambda: ELU(alpha="a", name="e1"), "e1 (ELU): alpha: float = 1.0 cannot be 'a'"),
    (
        lambda: chain(Convolution("x", W[:, :2], name="c")).specs(),
        "c (Convolution): x is fp32[1,3,8,8] but w is fp32[4,2,3,3]: w needs C=3",
    ),
    (lambda: chain(ReLU("x", "x", name="r")).specs(), "r (ReLU) got 2 inputs but takes (x)"),
    (lambda: chain(InnerProduct("x", None, name="f")).specs(), "f (InnerProduct) needs its input 'w'"),
    (
        lambda: chain(ReLU("X", name="r")),
        "r (ReLU) reads 'X', which is missing. Did you mean 'x'?",
    ),
    (
        lambda: chain(ReLU("b", name="a"), ReLU("a", name="b")),
        "a (ReLU) reads 'b', which is only written at or after it: a cycle, or layers out of order.",
    ),
    (
        lambda: chain(ReLU("x", name="a"), ReLU("x", name="b", outputs=["a"])),
        "b (ReLU) writes 'a', which is already written: a tensor has one writer",
    ),
    (
        lambda: chain(ReLU("x", name="a"), ReLU("x", name="a", outputs=["b"])),
        "two layers are called 'a': names are unique",
    ),
    (
        lambda: run(chain(ReLU("x")), y=np.zeros((1, 3, 8, 8))),
        "net has no input 'y'. It takes: x",
    ),
    (lambda: run(chain(ReLU("x"))), "net needs the input 'x', fp32[1,3,8,8]"),
    (
        lambda: run(chain(ReLU("x")), x=np.zeros((3, 8))),
        "input 'x' has shape [3, 8] but is fp32[1,3,8,8]: give it 4 dimensions",
    ),
    (lambda: run(chain(ReLU("x")), x="hello"), "input 'x' is no array of fp32: could not convert string"),
    (lambda: chain(ReLU("x"))(1, 2), "net takes 1 inputs, but got 2"),
    (
        lambda: chain(ReLU("x"))(np.zeros((1, 3, 8, 8)), x=np.zeros((1, 3, 8, 8))),
        "net got x by position and by name: give it once",
    ),
    (
        lambda: chain(ReLU("x")).compile(shapes={"x": (3,)}),
        "input 'x' is fp32[1,3,8,8], but was asked for in shape [3]",
    ),
    (lambda: chain(ReLU("x")).compile(shapes={"z": (3,)}), "net has no input 'z'; it has x"),
    (lambda: chain(ReLU("x")).compile(device="cpu2"), "device 'cpu2' is not registered. Did you mean 'cpu'?"),
    (lambda: chain(ReLU("x")).compile(dtype="fp31"), "dtype 'fp31' is not registered. Did you mean 'fp32'?"),
    (lambda: chain(ReLU("x")).compile(threads=0), "a plan needs at least one thread, but got 0"),
    (lambda: Spec((1, -2)), "a shape has no negative sizes, but got ['1', '-2']"),
    (lambda: chain(ReLU("x"))["relu7"], "net has no layer 'relu7'. Did you mean 'relu0'?"),
    (lambda: chain(ReLU("x")).save("net.xyz"), "net.xyz: no importer for '.xyz'; there are: "),
]  # fmt: skip


@pytest.mark.parametrize(("attempt", "message"), MESSAGES, ids=[m for _, m in MESSAGES])
def test_messages(attempt, message):
    with pytest.raises(FbnetError) as caught:
        attempt()
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_errors_are_also_pythons_own():
    with pytest.raises(LookupError):
        raise RegistryError("a name")
    with pytest.raises(ValueError, match="a shape"):
        raise ShapeError("a shape")
