"""What happens between processes: the second one needs no compiler, many start at once, some fork, some just end."""

import os
import re
from pathlib import Path

import fbnet
import pytest
from fbnet.engine.settings import cache_folder

NET = """
import warnings, sys, os, time, threading
import numpy as np, fbnet
from fbnet.engine.layer import layers as L
r = np.random.default_rng(0)
a = lambda *shape: r.standard_normal(shape, dtype=np.float32)
net = fbnet.Net([
    L["Convolution"]("x", a(8, 3, 3, 3), a(8), name="conv"), L["ReLU"]("conv", name="relu"),
    L["Pooling"]("relu", kernel=(2, 2), stride=(2, 2), name="pool"), L["InnerProduct"]("pool", a(5, 72), name="fc"),
    L["Softmax"]("fc", name="prob")], {"x": ("N", 3, 8, 8)})
x = a(2, 3, 8, 8)
wanted = net.forward(x=x)["prob"]
def right(y):
    assert np.allclose(y, wanted, rtol=1e-4, atol=1e-5), (y, wanted)
"""
COMPILERS = ("numba", "llvmlite", "llvmlite.binding", "fbnet.layers.cpu.kernels", "fbnet.layers.cpu.conv",
             "fbnet.layers.cpu.codegen", "fbnet.layers.cpu.simd", "fbnet.layers.cpu.intrinsics")  # fmt: skip


def test_the_second_process_imports_no_compiler(empty_cache, run):
    program = NET + "right(net(x)); right(net(x)); print(*sys.modules)"
    first, second = (set(run(program).split()) for _ in range(2))
    assert first >= set(COMPILERS) - {"fbnet.layers.cpu.simd"}
    loaded = {m for m in second if m.split(".")[0] in ("numba", "llvmlite") or m in COMPILERS}
    # the replay loop's word offsets are in a file that names simd, which is plain Python until something is compiled
    assert loaded <= {"fbnet.layers.cpu.simd"}, loaded


def test_eight_processes_start_cold_on_one_cache(empty_cache, start):
    processes = [start(NET + "right(net(x)); print('right')") for _ in range(8)]
    for process in processes:
        out, complaint = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, "right\n"), complaint
    names = sorted(str(p.relative_to(empty_cache)) for p in empty_cache.rglob("*") if p.is_file())
    shape = re.compile(
        r"objects/[0-9a-f]{32}\.o|plans/[0-9a-f]{32}\.fbplan|(objects|plans)/[0-9a-f]{2}\.lock"
    )
    assert all(shape.fullmatch(n) for n in names), names
    assert sum(n.endswith(".fbplan") for n in names) == 1
    # direct, max pooling in blocks, a reorder, fc, softmax, and the two loops of replay
    assert sum(n.endswith(".o") for n in names) == 7


def test_a_process_that_just_ends(run):
    """Sessions are left open, their workers asleep or spinning; nothing hangs and nothing complains."""
    left = "session = net.compile(threads=3).session(); right(session.run({'x': x})['prob']); right(net(x)); "
    for ending in (
        "time.sleep(0.1)",
        "sys.exit(0)",
        "",
        "threading.Thread(target=lambda: right(net(x))).start()",
    ):
        assert run(NET.replace('("N", 3', "(2, 3") + left + ending, timeout=30) == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_has_workers_of_its_own(run):
    program = (
        NET.replace('("N", 3', "(2, 3")
        + """
session = net.compile(threads=3).session()
for pause in (0, 0.1):
    right(session.run({"x": x})["prob"]); right(net(x))
    time.sleep(pause)
    sys.stdout.flush()
    child = os.fork()
    right(session.run({"x": x})["prob"]); right(net(x))
    if child == 0:
        session.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
session.close()
print("right")
"""
    )
    # Python 3.12 and later warn of every fork of a process with threads
    assert run(program, warnings="ignore::DeprecationWarning", timeout=30) == "right\n"


def test_a_kernel_typed_into_an_interpreter(run):
    """It has no file: its bytecode stands for its text, and a constant that it uses is part of it."""
    program = '''
import sys
text = """
import numpy as np, fbnet
FACTOR = $
@fbnet.layer("Times")
class Times(fbnet.Elementwise):
    def reference(self, x): return x * np.float32(FACTOR)
@fbnet.kernel(Times, device="cpu")
def times(x, y):
    for i in range(x.size): y[i] = x[i] * np.float32(FACTOR)
net = fbnet.Net([Times("x", name="y")], {"x": (1, 2)})
print(net(np.ones((1, 2))).tolist())
"""
exec(compile(text.replace("$", sys.argv[1]), "<typed>", "exec"), {"__name__": "__main__"})
'''
    for factor in (2.5, 3.0, 2.5):
        assert run(program, str(factor)) == f"[[{factor}, {factor}]]\n"


def elu() -> str:
    """The researcher's file, as the README shows it."""
    text = (Path(fbnet.__file__).parent / "README.md").read_text()
    (block,) = re.findall(r"^```python\n(# elu\.py.*?)^```", text, re.DOTALL | re.MULTILINE)
    return block


def test_a_layer_of_ones_own_costs_one_file(run, tmp_path):
    text = elu()
    assert len(text.splitlines()) <= 25, "the promise is a file of 25 lines"
    (tmp_path / "elu.py").write_text(text)
    program = """
import warnings
import elu, fbnet, sys
import numpy as np
from fbnet.engine.layer import layers
name = next(n for n in layers if layers.owner(n) == "elu")
cls = layers[name]
net = fbnet.Net([cls("x", name="a", alpha=0.5), layers["ReLU"]("a", name="b"), cls("a", name="c")], {"x": ("N", 3)})
if len(sys.argv) > 1:
    net.save("elu.fbnet")
net = fbnet.load("elu.fbnet")
assert net["a"].alpha == 0.5 and net["c"].alpha == 1.0
x = np.linspace(-3, 3, 21, dtype=np.float32).reshape(7, 3)
for device in ("reference", "cpu"):
    plan = net.compile(device=device, shapes={"x": x.shape})
    assert device == "reference" or {s.kernel.split("/")[2] for s in plan.steps} == {name, "ReLU"}
    with plan.session() as session:
        for key, value in session.run({"x": x}).items():
            np.testing.assert_allclose(value, net.forward(x=x)[key], rtol=1e-5, atol=1e-6)
checks = fbnet.check_layer(cls(alpha=0.25))
assert {c.device for c in checks} >= {"cpu", "reference"} and {c.threads for c in checks} == {1, 2, 3}
print("right")
"""
    assert run(program, "save") == "right\n" and run(program) == "right\n"


def test_the_cache_of_this_run_is_not_the_users(cache):
    assert cache_folder() == cache and "fbnet-cache" in str(cache)


def test_a_plan_that_came_in_the_file_needs_no_compiler(empty_cache, run, tmp_path):
    """Saved beside the graph, and used if the file is trusted: a process with an empty cache compiles nothing."""
    file = tmp_path / "net.fbnet"
    save = f"""
from fbnet.formats.fbnet import StoredPlan, write
plan = net.compile(threads=1, shapes={{"x": x.shape}})
write(net, {str(file)!r}, [StoredPlan("cpu", plan.key, b"".join(plan.chunks()))])
"""
    run(NET + save)
    for kept in (*empty_cache.rglob("*.o"), *empty_cache.rglob("*.fbplan")):
        kept.unlink()
    use = f"""
for trusted in (True, False):
    again = fbnet.load({str(file)!r}, trust_plans=trusted)
    with again.compile(threads=1, shapes={{"x": x.shape}}).session() as session:
        right(session.run({{"x": x}})["prob"])
    print("numba" in sys.modules, "fbnet.layers.cpu.kernels" in sys.modules)
"""
    assert run(NET + use).split() == ["False", "False", "True", "True"]
