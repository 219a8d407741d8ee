"""What the tests of native libraries share: a C compiler, programs that are built and run, two small nets."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.errors import CompileError
from fbnet.layers.activation import ReLU
from fbnet.layers.conv import Convolution
from fbnet.layers.cpu.native.platforms import Compiler, compiler_for, platform_named
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.pool import Pooling
from fbnet.layers.quantize import Quantize
from fbnet.layers.quantized import QuantizedConvolution, QuantizedEltwise
from fbnet.layers.softmax import Softmax

STRICT = ["-std=c99", "-O1", "-Wall", "-Wextra", "-pedantic", "-Werror"]


@pytest.fixture(scope="session")
def compiler() -> Compiler:
    """The C compiler for this machine; without one the test is skipped."""
    try:
        return compiler_for(platform_named("native"))
    except CompileError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def example() -> Path:
    """The program of the documentation: an image in, labels out."""
    return Path(fbnet.__file__).parent / "docs" / "deploy" / "classify.c"


@pytest.fixture(scope="session")
def linked() -> Callable[..., Path]:
    """A function (compiler, C file, folder with headers, words to link with) -> the program, in that folder."""

    def build(compiler: Compiler, source: Path, folder: Path, *link: object) -> Path:
        program = folder / source.stem
        libraries = [] if "wasm" in str(compiler) else ["-lpthread", "-lm"]
        compiler.run(
            *STRICT, f"-I{folder}", source, *map(str, link), *libraries, "-o", program, folder=folder
        )
        return program

    return build


@pytest.fixture(scope="session")
def run() -> Callable[..., str]:
    """A function (words, expected exit code) -> what that program prints, on both streams."""

    def go(*words: object, expected: int = 0) -> str:
        done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=120)
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout + done.stderr

    return go


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """A function: name -> that program of the system; without it the test is skipped."""

    def find(name: str) -> str:
        found = shutil.which(name)
        if not found:
            pytest.skip(f"needs {name}")
        return found

    return find


@pytest.fixture(scope="session")
def small() -> Net:
    """x (N,3,H,W) -> prob: convolutions that are worth several threads, a residual, a mean."""
    rng = np.random.default_rng(0)
    w, v = (rng.standard_normal(shape, dtype=np.float32) / 4 for shape in ((16, 3, 3, 3), (16, 16, 3, 3)))
    layers = [
        Convolution("x", w, w[:, 0, 0, 0], name="first", stride=(2, 2), pad=(1, 1, 1, 1), activation="ReLU"),
        Convolution("first", v, None, name="second", pad=(1, 1, 1, 1)),
        Eltwise("first", "second", name="sum"),
        Pooling("sum", name="mean", method="average", global_pooling=True),
        Softmax("mean", name="prob", axis=1),
    ]
    return Net(layers, {"x": ("N", 3, "H", "W")}, name="small")


@pytest.fixture(scope="session")
def mixed() -> Net:
    """x (1,8,9,7) -> prob in fp32, and y in int8: a convolution of each kind, gated, one for each channel, a sum."""
    rng = np.random.default_rng(0)

    def weights(m: int, *rest: int) -> list[np.ndarray]:
        w = rng.integers(-127, 128, (m, *rest), np.int8)
        factors = rng.uniform(0.3, 1, m) / (74 * 74 * np.prod(rest) ** 0.5) * 60
        return [w, rng.integers(-9000, 9000, m, np.int32), factors.astype(np.float32)]

    real = rng.standard_normal((8, 8, 3, 3), dtype=np.float32) / 4
    around, scale = {"pad": (1, 1, 1, 1), "scale": 0.1}, 0.03
    w, b, factors = weights(8, 8, 3, 3)
    gate = np.array([np.linspace(0.2, 0.8, 8), np.linspace(60, 90, 8), np.linspace(-50, 0, 8)], np.float32)
    layers = [
        Convolution("x", real, real[0, :, 0, 0], name="conv", stride=(2, 2), activation="ReLU"),
        Softmax("conv", name="prob", axis=1),
        Quantize("x", name="q", scale=(scale,), zero=(-5,)),
        QuantizedConvolution(
            "q", w, b, factors / 60, None, None, gate, name="first", x_zero=-5, zero=3, **around
        ),
        QuantizedConvolution(
            "first", *weights(8, 1, 3, 3), name="depthwise", group=8, x_zero=3, zero=-7, **around
        ),
        QuantizedEltwise(
            "first", "depthwise", name="y", x_zero=(3, -7), multiplier=(0.7, 0.4), scale=0.1, zero=1
        ),
    ]
    return Net(layers, {"x": (1, 8, 9, 7)}, outputs=["prob", "first", "y"], name="mixed")


@pytest.fixture(scope="session")
def pair() -> Net:
    """Two inputs of odd names -> their sum, and that without what is negative."""
    a, b = 'a "quoted" \\ ü', "b"
    layers = [Eltwise(a, b, name="sum"), ReLU("sum", name="above")]
    return Net(layers, {a: ("N", 5), b: ("N", 5)}, outputs=["sum", "above"], name="pair")
