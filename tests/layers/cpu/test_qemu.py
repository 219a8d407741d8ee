"""Kernels for another processor do there what they do here: linked into a program of C, and run by an emulator.

Needs qemu's user emulator and a cross compiler (Debian: qemu-user, gcc-aarch64-linux-gnu); skips, and says so, without.
"""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.plan import ARENA, Plan
from fbnet.layers.conv import Convolution
from fbnet.layers.cpu import target
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.matmul import MatMul
from fbnet.layers.pool import Pooling
from fbnet.layers.quantize import Quantize
from fbnet.layers.quantized import QuantizedConvolution, QuantizedEltwise, QuantizedPooling
from fbnet.layers.softmax import Softmax

TOOLS = {
    name: shutil.which(name)
    for name in ("qemu-aarch64", "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objcopy")
}

pytestmark = pytest.mark.skipif(not all(TOOLS.values()), reason=f"needs {', '.join(TOOLS)}")

PROGRAM = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

%(declarations)s

static void *region(const char *path, size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 127) / 64 * 64);
    FILE *file = fopen(path, "rb");
    if (file && fread(memory, 1, bytes, file) != bytes) exit(1);
    return memory;
}

int main(void) {
    char *regions[] = {%(regions)s};
    %(steps)s
    FILE *out = fopen("%(folder)s/arena", "wb");
    return fwrite(regions[0], 1, %(arena)d, out) != %(arena)d;
}
"""

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def emulated(plan: Plan, inputs: dict[str, np.ndarray], folder: Path) -> dict[str, np.ndarray]:
    """The outputs of a plan for aarch64: its objects, words and constants as one program; two shares a step."""
    arena = np.zeros(plan.arena_bytes, np.uint8)
    for name, given in inputs.items():
        place = plan.tensors[name][0]
        arena[place.offset : place.offset + given.nbytes] = given.reshape(-1).view(np.uint8)
    arrays = [arena, *(plan.constant(i) for i in range(len(plan.constants)))]
    regions = []
    for number, data in enumerate(arrays):
        path = folder / ("arena" if number == ARENA else f"constant{number}")
        path.write_bytes(np.ascontiguousarray(data).tobytes())
        regions.append(f'region("{path}", {data.nbytes})')
    used = sorted({step.entry for step in plan.steps})
    for entry in used:
        (folder / f"k{entry}.o").write_bytes(plan.objects[entry])
        rename = [TOOLS["aarch64-linux-gnu-objcopy"], "--redefine-sym", f"fbnet_entry=k{entry}"]
        subprocess.run([*rename, folder / f"k{entry}.o"], check=True)
    steps = []
    for step in plan.steps:
        assert step.entry >= 0, f"{step.layer} has no kernel"
        words = ", ".join(f"{word}LL" for word in step.words or (0,))
        places = " ".join(f"a[{index}] += (int64_t)regions[{region}];" for index, region in step.relocations)
        calls = " ".join(f"k{step.entry}(a, {ith}, 2);" for ith in (0, 1))
        steps.append(f"{{ int64_t a[] = {{{words}}}; {places} {calls} }}")
    values = dict(
        declarations="\n".join(f"void k{entry}(const int64_t *, int64_t, int64_t);" for entry in used),
        regions=", ".join(regions),
        steps="\n    ".join(steps),
        folder=folder,
        arena=plan.arena_bytes,
    )
    (folder / "main.c").write_text(PROGRAM % values)
    objects = [str(folder / f"k{entry}.o") for entry in used]
    compiler = [TOOLS["aarch64-linux-gnu-gcc"], "-O1", "-static", "-o", str(folder / "program")]
    subprocess.run([*compiler, str(folder / "main.c"), *objects], check=True)
    subprocess.run([TOOLS["qemu-aarch64"], str(folder / "program")], check=True, timeout=120)
    after = np.fromfile(folder / "arena", np.uint8)
    found = {}
    for name in plan.net.outputs:
        place, spec = plan.tensors[name]
        stored = after[place.offset : place.offset + spec.nbytes].view(spec.dtype.storage)
        found[name] = stored.reshape(spec.shape)
    return found


@pytest.fixture
def aarch64(monkeypatch):
    """Code is generated for 64-bit ARM."""
    monkeypatch.setenv("FBNET_TARGET", "aarch64")
    target.host.cache_clear()
    yield
    monkeypatch.undo()
    target.host.cache_clear()


READ = ("direct_from_plain", "depthwise", "winograd4")  # of weights in fp16 as well
CONVOLUTIONS = [
    ("direct", (2, 12, 9, 14), (20, 12, 3, 3), dict(stride=(2, 2), pad=(1, 1, 1, 1), activation="ReLU")),
    ("direct", (1, 16, 7, 7), (24, 16, 1, 1), dict(activation="HardSwish")),
    ("direct_from_plain", (1, 3, 13, 13), (8, 3, 3, 3), dict(stride=(2, 2), pad=(1, 1, 1, 1))),
    ("depthwise", (1, 10, 13, 9), (10, 1, 3, 3), dict(group=10, pad=(1, 1, 1, 1), activation="Swish")),
    ("winograd4", (1, 8, 13, 15), (12, 8, 3, 3), dict(pad=(1, 1, 1, 1), activation="ReLU")),
    ("winograd6", (1, 8, 19, 14), (12, 8, 3, 3), dict(pad=(1, 1, 1, 1))),
    ("gemm", (1, 6, 9, 7), (7, 6, 3, 3), dict(dilation=(2, 2), pad=(2, 2, 2, 2))),
]


HALVES = [
    (row, dtype) for row in CONVOLUTIONS for dtype in ("fp32", "fp16") if dtype == "fp32" or row[0] in READ
]


@pytest.mark.parametrize(("row", "dtype"), HALVES, ids=str)
def test_convolution(row, dtype, aarch64, tmp_path):
    kernel, x, w, attributes = row
    x = array(*x)
    net = Net([Convolution("x", array(*w), array(w[0]), name="y", **attributes)], {"x": x.shape})
    net = net.stored_as("fp16") if dtype == "fp16" else net
    only = f"cpu/fp32/Convolution/{kernel}"
    plan = plan_as_written(net, devices["cpu"], "fp32", 2, {"x": x.shape}, only)
    assert only in {step.kernel for step in plan.steps} and plan.target == "aarch64"
    tolerance = 2e-4 if "winograd" in kernel else 2e-5
    np.testing.assert_allclose(
        emulated(plan, {"x": x}, tmp_path)["y"], net.forward(x=x)["y"], tolerance, tolerance
    )


def test_products_pooling_and_softmax(aarch64, tmp_path):
    layers = [
        Convolution("x", array(9, 5, 3, 3), None, name="conv", activation="Sigmoid"),
        Pooling("conv", name="pool", kernel=(3, 3), stride=(2, 2), ceil=True),
        InnerProduct("pool", array(11, 9 * 4 * 5), array(11), name="fc"),
        Softmax("fc", name="prob"),
        MatMul("prob", "prob", name="product", transpose_b=True),
    ]
    x = array(3, 5, 11, 13)
    net = Net(layers, {"x": x.shape}, outputs=["prob", "product"])
    plan = plan_as_written(net, devices["cpu"], "fp32", 2, {"x": x.shape})
    wanted = net.forward(x=x)
    for name, found in emulated(plan, {"x": x}, tmp_path).items():
        np.testing.assert_allclose(found, wanted[name], 2e-5, 2e-5)


def test_bytes(aarch64, tmp_path):
    """The same bits: rounding, packing and widening are other instructions there."""
    w, b = RNG.integers(-127, 128, (10, 1, 3, 3)), RNG.integers(-999, 1000, 10)
    kept = dict(scale=0.1, zero=5, x_zero=5)
    layers = [
        Quantize("x", name="q", scale=(0.02,), zero=(5,)),
        QuantizedConvolution(
            "q", w.astype(np.int8), b.astype(np.int32), array(10) ** 2 * np.float32(0.002), name="conv",
            group=10, pad=(1, 1, 1, 1), **kept,
        ),
        QuantizedPooling("conv", name="largest", kernel=(3, 3), pad=(1, 1, 1, 1), **kept),
        QuantizedPooling("conv", name="mean", kernel=(3, 3), pad=(1, 1, 1, 1), method="average", **kept),
        QuantizedEltwise("largest", "mean", name="sum", scale=0.1, zero=-3, x_zero=(5, 5), multiplier=(0.7, 0.4)),
    ]  # fmt: skip
    x = array(1, 10, 13, 9)
    net = Net(layers, {"x": x.shape}, outputs=["q", "conv", "sum"])
    plan = plan_as_written(net, devices["cpu"], "fp32", 2, {"x": x.shape})
    wanted = net.forward(x=x)
    for name, found in emulated(plan, {"x": x}, tmp_path).items():
        assert wanted[name].std() > 10
        np.testing.assert_array_equal(found, wanted[name])
