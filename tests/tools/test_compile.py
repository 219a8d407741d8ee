import numpy as np
import pytest
from fbnet import Net
from fbnet.layers.activation import ReLU
from fbnet.tools.compile import called, plans_of


@pytest.fixture
def model(tmp_path):
    net = Net([ReLU("x", name="y")], {"x": ("N", 4)}, name="lean")
    net.save(tmp_path / "lean net.fbnet")
    return tmp_path / "lean net.fbnet"


def test_a_library_and_its_facts(program, model, tmp_path):
    pytest.importorskip("shutil")
    out = tmp_path / "out"
    found = program.json(
        "compile", model, "-o", out, "--shape", "x=1,4", "--shape", "x=3,4", "--kind", "static"
    )
    assert found["inputs"] == [{"x": [1, 4]}, {"x": [3, 4]}] and found["outputs"] == {"y": [1, 4]}
    assert next(iter(found["files"])) == str(out / "liblean_net.a")
    assert {out / name for name in ("lean_net.h", "nn.h", "lean_net.pc")} <= set(out.iterdir())
    assert found["parts"]["weights"] == 0 < found["parts"]["kernels"] < sum(found["files"].values())


def test_what_cannot_be_compiled(program, model, tmp_path):
    out = tmp_path / "out"
    said = program.fails("compile", model, "-o", out, "--target", "vax")
    assert said.startswith("target 'vax' is unknown. There are: native, x86_64-linux-gnu, ")
    said = program.fails("compile", model, "-o", out, "--shape", "z=1,4")
    assert said == "lean has no input 'z'; it has x"
    said = program.fails("compile", model, "-o", out, "--dtype", "fp7")
    assert said.startswith("dtype 'fp7' is not registered.")
    assert not out.exists()


def test_shapes_of_several_plans():
    a, b, c = (1, 3), (2, 3), (4,)
    assert plans_of([]) == [{}]
    assert plans_of([("x", a), ("y", c), ("x", b)]) == [{"x": a, "y": c}, {"x": b, "y": c}]
    with pytest.raises(
        ValueError, match=r"^--shape: y has 2 shapes, another input 3: give each as many, or one$"
    ):
        plans_of([("x", a), ("x", b), ("x", a), ("y", c), ("y", c)])


def test_names(tmp_path):
    assert called(tmp_path / "squeezenet v1.1.fbnet") == "squeezenet_v1.1"
    assert np.all([called(tmp_path / f"{n}.fbnet") == n for n in ("a-b", "a+b", "a_1.2")])
