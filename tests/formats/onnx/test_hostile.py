"""Cut, altered and hostile files: a typed error or a whole net, in no time, and never another exception."""

from __future__ import annotations

import random
import time
import warnings
from collections import Counter
from pathlib import Path

import fbnet
import numpy as np
import onnx
import pytest
from fbnet.engine.errors import FbnetError
from fbnet.tools.onnx_suite import _bound, cases
from onnx import helper, numpy_helper

MOST_BYTES = 1 << 30  # of constants; a case's own tensors are a few KB
SECONDS = 10
NUMBERS = [0, 1, -1, 2, 3, 7, 1000, 2**20, 2**31 - 1, 2**31, -(2**31), 2**62, -(2**63), 2**63 - 1]


@pytest.fixture(scope="module")
def models() -> list[onnx.ModelProto]:
    """The suite's models of one operator, with all but the first input as constants."""
    found = []
    for case in cases(("node",)).values():
        made = case.model
        names = [i.name for i in made.graph.input]
        arrays = next(case.sets(made))[0]
        if all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for a in arrays):
            found.append(_bound(made, dict(list(zip(names, arrays, strict=False))[1:])))
    return found


def outcome(path: Path) -> str:
    """'net' or the error's kind. Anything but an FbnetError gets out of here; so does what takes too long or much."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net = fbnet.convert(path)
        net.specs()
        assert sum(c.spec.nbytes for c in net.constants.values()) < MOST_BYTES
        found = "net"
    except FbnetError as error:
        found = type(error).__name__
    assert time.process_time() - start < SECONDS
    return found


def flipped(data: bytes, dice: random.Random) -> bytes:
    """A few bytes changed or left out."""
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 4, 8])):
        place = dice.randrange(len(changed))
        match dice.randrange(3):
            case 0:
                changed[place] ^= 1 << dice.randrange(8)
            case 1:
                changed[place] = dice.choice([0, 1, 127, 128, 255])
            case 2:
                del changed[place : place + dice.choice([1, 2, 5])]
                changed = changed or bytearray(b"\0")
    return bytes(changed)


def lied(model: onnx.ModelProto, dice: random.Random) -> bytes:
    """Whole in form: an attribute, a constant's numbers, or a size, is another number."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    node = dice.choice(list(made.graph.node))
    whole = [t for t in made.graph.initializer if t.data_type == onnx.TensorProto.INT64]
    numbers = [a for a in node.attribute if a.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS)]
    choice = dice.randrange(3)
    if choice == 0 and whole:
        tensor = dice.choice(whole)
        array = numpy_helper.to_array(tensor).copy()
        if array.size:
            array.reshape(-1)[dice.randrange(array.size)] = dice.choice(NUMBERS)
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    elif choice == 1 and made.graph.input and made.graph.input[0].type.tensor_type.shape.dim:
        dims = made.graph.input[0].type.tensor_type.shape.dim
        dims[dice.randrange(len(dims))].dim_value = dice.choice([0, 1, 2, 3, 1000, 2**20, 2**31 - 1, 2**40])
    elif numbers:
        attribute = dice.choice(numbers)
        if attribute.type == onnx.AttributeProto.INT:
            attribute.i = dice.choice(NUMBERS)
        elif attribute.ints:
            attribute.ints[dice.randrange(len(attribute.ints))] = dice.choice(NUMBERS)
    return made.SerializeToString()


@pytest.mark.parametrize("how", ["flipped", "lied", "cut"])
def test_altered_files(how, models, tmp_path):
    dice = random.Random(how)
    path, counts = tmp_path / "hostile.onnx", Counter()
    for _ in range(1000):
        model = dice.choice(models)
        if how == "lied":
            data = lied(model, dice)
        else:
            data = model.SerializeToString()
            data = flipped(data, dice) if how == "flipped" else data[: dice.randrange(len(data))]
        path.write_bytes(data)
        counts[outcome(path)] += 1
    assert counts["net"] < 800 and counts.total() == 1000


def test_a_loop_that_never_ends(tmp_path):
    """And one in another, each of as many rounds as are allowed."""
    N = helper.make_node

    def looped(depth: int) -> list[onnx.NodeProto]:
        inner = [N("Identity", [f"c{depth}"], [f"k{depth}"])]
        if depth:
            inner += looped(depth - 1)
        else:
            inner += [N("Relu", ["x"], ["z"])]
        body = helper.make_graph(
            inner, f"body{depth}",
            [helper.make_tensor_value_info(f"i{depth}", 7, ()), helper.make_tensor_value_info(f"c{depth}", 9, ())],
            [helper.make_tensor_value_info(f"k{depth}", 9, ()),
             helper.make_tensor_value_info("z" if not depth else f"y{depth - 1}", 1, None)],
        )  # fmt: skip
        return [N("Loop", ["n", ""], [f"y{depth}"], body=body)]

    graph = helper.make_graph(
        looped(3), "hostile", [helper.make_tensor_value_info("x", 1, (2, 3))],
        [helper.make_tensor_value_info("y3", 1, None)], [numpy_helper.from_array(np.array(4096), "n")],
    )  # fmt: skip
    path = tmp_path / "loop.onnx"
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    )
    assert outcome(path) in ("ConversionError", "FileError")


def test_a_function_that_calls_itself(tmp_path):
    N = helper.make_node
    call = N("Again", ["a"], ["b"], domain="own")
    function = helper.make_function("own", "Again", ["a"], ["b"], [call], [helper.make_opsetid("own", 1)])
    graph = helper.make_graph(
        [N("Again", ["x"], ["y"], domain="own")], "hostile", [helper.make_tensor_value_info("x", 1, (2, 3))],
        [helper.make_tensor_value_info("y", 1, (2, 3))],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    path = tmp_path / "again.onnx"
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, functions=[function]).SerializeToString())
    assert outcome(path) in ("ConversionError", "FileError")
