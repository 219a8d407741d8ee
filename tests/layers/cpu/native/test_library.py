"""Libraries of networks, run from C: the right labels and numbers also on other processors, and valgrind."""

import re
import sys
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet import CompileError, FileError, InputError, Layer, layer
from fbnet.engine.layer import layers
from fbnet.layers.cpu.native import platforms
from fbnet.layers.cpu.native.library import Wishes, compile_library
from fbnet.layers.cpu.native.platforms import PLATFORMS, compiler_for, platform_named
from fbnet.layers.cpu.target import host
from PIL import Image

LENET = Path(fbnet.__file__).parent / "tools" / "lenet"
WRONG = Path(__file__).with_name("wrong.c")

# valgrind does not know AVX-512
HERE = "x86_64-linux-gnu-v3" if host().name.startswith(("x86-64-v3", "x86-64-v4")) else "native"

# target, C compiler, emulator, and a processor that has less: no products of bytes, fused multiply-add, or vectors
FOREIGN = [
    ("aarch64-linux-gnu+dotprod", "aarch64-linux-gnu-gcc", ["qemu-aarch64", "-cpu", "max"], "cortex-a53"),
    ("armv7-linux-gnueabihf", "arm-linux-gnueabihf-gcc", ["qemu-arm"], "cortex-a8"),
    ("riscv64-linux-gnu", "riscv64-linux-gnu-gcc", ["qemu-riscv64", "-cpu", "rv64,v=true"], "rv64"),
]


def digits(folder):
    """The ten digits that come with LeNet as PGM files, and what the net's definition says of each."""
    net = fbnet.load(LENET / "lenet.fbnet")
    for digit in range(10):
        image = Image.open(LENET / f"digit_{digit}.png").convert("L")
        image.save(folder / f"{digit}.pgm")
        yield folder / f"{digit}.pgm", net.forward(image=np.asarray(image)[None, :, :, None])["prob"]


@pytest.fixture(scope="module")
def classify(compiler, example, linked, tmp_path_factory):
    """LeNet in a static library, linked to the example."""
    folder = tmp_path_factory.mktemp("lenet")
    compile_library(fbnet.load(LENET / "lenet.fbnet"), folder, Wishes("lenet", "static"), HERE)
    return linked(compiler, example, folder, folder / "liblenet.a")


def test_lenet_reads_ten_digits(classify, run, tmp_path):
    (tmp_path / "labels").write_text("\n".join(["null", "one", "two", *map(str, range(3, 10))]))
    for digit, (image, wanted) in enumerate(digits(tmp_path)):
        said = run(classify, "-l", tmp_path / "labels", "-o", tmp_path / "out", image)
        best = re.match(r"([01]\.\d{4})  (\d)  (\w+)\n", said)
        assert best[2] == str(digit) and best[3] == {0: "null", 1: "one", 2: "two"}.get(digit, str(digit))
        np.testing.assert_allclose(np.fromfile(tmp_path / "out", np.float32), wanted[0], 1e-5, 1e-6)


def test_valgrind_finds_nothing(classify, run, tool, tmp_path):
    image, _ = next(digits(tmp_path))
    checked = [tool("valgrind"), "-q", "--leak-check=full", "--error-exitcode=9", classify]
    assert re.match(r"0\.99\d\d  0", run(*checked, image))


@pytest.mark.skipif(not HERE.endswith("-v3"), reason="this machine's processor is less than AVX2")
def test_a_lesser_processor_is_told(classify, run, tool, tmp_path):
    image, _ = next(digits(tmp_path))
    lesser = [tool("qemu-x86_64"), "-cpu", "Nehalem", classify]
    assert "error -4: this library is for x86-64-v3, and this processor is less" in run(
        *lesser, image, expected=1
    )


def test_valgrind_finds_nothing_with_threads(compiler, example, linked, small, run, tool, tmp_path):
    """fp32 planes, two threads and more, weights in a file."""
    wishes = Wishes("small", "static", weights="file")
    sizes = [{"x": (1, 3, 128, 128)}]
    compile_library(small, tmp_path, wishes, HERE, threads=3, shapes=sizes)
    program = linked(compiler, example, tmp_path, tmp_path / "libsmall.a")
    photo = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.ppm")
    words = [program, "-w", tmp_path / "small.weights", "-o", tmp_path / "out", "-r", 3]
    wanted = small.forward(x=photo.transpose(2, 0, 1)[None].astype(np.float32))["prob"]
    for threads in (1, 2, 9):
        run(*words, "-t", threads, tmp_path / "photo.ppm")
        np.testing.assert_allclose(np.fromfile(tmp_path / "out", np.float32), wanted.ravel(), 1e-4, 1e-5)
    checked = [tool("valgrind"), "-q", "--leak-check=full", "--error-exitcode=9", *words]
    run(*checked, "-t", 3, tmp_path / "photo.ppm")
    said = run(program, tmp_path / "photo.ppm", expected=1)
    assert "error -6: NN_Options.weights is not the file of weights that belongs to this library" in said


def test_what_callers_do_wrong(compiler, linked, small, run, tool, tmp_path):
    """wrong.c, which loads the library itself: every error has its code and its words, and nothing is lost."""
    wishes = Wishes("small", weights="file")
    compile_library(small, tmp_path, wishes, HERE, threads=3, shapes=[{"x": (1, 3, 128, 128)}])
    (tmp_path / "lacking.c").write_text("int NN_Init(void) { return 0; }\n")
    compiler.run("-shared", "-fPIC", "lacking.c", "-o", "lacking.so", folder=tmp_path)
    foreign = bytearray((tmp_path / "libsmall.so").read_bytes())
    foreign[18:20] = (8).to_bytes(2, "little")  # e_machine: MIPS
    (tmp_path / "foreign.so").write_bytes(foreign)
    program = linked(compiler, WRONG, tmp_path, "-ldl")
    given = [tmp_path / name for name in ("libsmall.so", "small.weights", "lacking.so", "foreign.so")]
    wanted = "every error has its code and its words\n"
    assert run(program, *given) == wanted
    assert run(tool("valgrind"), "-q", "--leak-check=full", "--error-exitcode=9", program, *given) == wanted


def same_numbers(net, run, words, folder):
    """That program gives the net's numbers: those in int8 to the bit."""
    x = np.random.default_rng(1).standard_normal((1, 8, 9, 7), dtype=np.float32)
    x.tofile(folder / "x")
    run(*words, "-o", folder / "y", folder / "x")
    wanted, data = net.forward(x=x), (folder / "y").read_bytes()
    for name, y in wanted.items():
        found, data = np.frombuffer(data[: y.nbytes], y.dtype).reshape(y.shape), data[y.nbytes :]
        assert len(np.unique(y)) > 50
        if y.dtype == np.int8:
            np.testing.assert_array_equal(found, y, name)
        else:
            np.testing.assert_allclose(found, y, 1e-5, 1e-6)
    assert not data


def test_the_same_numbers_here(compiler, mixed, example, linked, run, tool, tmp_path):
    compile_library(mixed, tmp_path, Wishes("mixed", "static"), HERE)
    program = linked(compiler, example, tmp_path, tmp_path / "libmixed.a")
    same_numbers(mixed, run, [program], tmp_path)
    same_numbers(
        mixed, run, [tool("valgrind"), "-q", "--leak-check=full", "--error-exitcode=9", program], tmp_path
    )


@pytest.mark.parametrize(("target", "cc", "emulator", "weaker"), FOREIGN, ids=[row[0] for row in FOREIGN])
def test_other_processors(target, cc, emulator, weaker, mixed, example, linked, run, tool, tmp_path):
    """Debian: qemu-user and gcc-aarch64-linux-gnu, gcc-arm-linux-gnueabihf, gcc-riscv64-linux-gnu."""
    emulator, foreign = [tool(emulator[0]), *emulator[1:]], compiler_for(platform_named(target), tool(cc))
    compile_library(mixed, tmp_path, Wishes("mixed", "static"), target)
    program = linked(foreign, example, tmp_path, tmp_path / "libmixed.a", "-static")
    same_numbers(mixed, run, [*emulator, program], tmp_path)
    said = run(emulator[0], "-cpu", weaker, program, tmp_path / "x", expected=1)
    assert f"error -4: this library is for {platform_named(target).processor}, and this pro" in said


PROGRAM_IN_NODE = """
import { WASI } from "node:wasi"; import { readFileSync } from "node:fs";
const args = ["classify", ...process.argv.slice(3)];
const wasi = new WASI({ version: "preview1", args, preopens: { "/": "/" } });
const module = new WebAssembly.Module(readFileSync(process.argv[2]));
wasi.start(new WebAssembly.Instance(module, wasi.getImportObject()));
"""

CALL_BY_CALL = """
import { WASI } from "node:wasi"; import { readFileSync, writeFileSync } from "node:fs";
const wasi = new WASI({ version: "preview1" }), x = readFileSync(process.argv[4]);
const net = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(process.argv[2])), wasi.getImportObject());
wasi.initialize(net);
const { memory, malloc, NN_Init, NN_Prepare, NN_SetTensor, NN_Forward, NN_GetTensor, NN_Destroy } = net.exports;
const put = (bytes) => { const at = malloc(bytes.length); new Uint8Array(memory.buffer).set(bytes, at); return at; };
const name = (text) => put(new TextEncoder().encode(text + "\0")), y = malloc(504), slot = malloc(8);
let wrong = NN_Init(0, slot);
const session = new DataView(memory.buffer).getBigUint64(slot, true);
wrong ||= NN_Prepare(session, 0, 0) || NN_SetTensor(session, name("x"), put(x), x.length);
wrong ||= NN_Forward(session) || NN_GetTensor(session, name("y"), y, 504) || NN_Destroy(session);
if (wrong || NN_Forward(session) != -1) throw Error(`error ${wrong}`);
writeFileSync(process.argv[3], new Uint8Array(memory.buffer, y, 504));
"""


def test_webassembly(mixed, example, linked, run, tool, tmp_path):
    """By zig, which comes as a wheel, and Node, which runs WASI: as a program, and call by call."""
    pytest.importorskip("ziglang")
    node = [tool("node"), "--no-warnings"]
    compile_library(mixed, tmp_path, Wishes("mixed", "static"), "wasm32")
    program = linked(compiler_for(PLATFORMS["wasm32"]), example, tmp_path, tmp_path / "libmixed.a")
    (tmp_path / "program.mjs").write_text(PROGRAM_IN_NODE)
    (tmp_path / "calls.mjs").write_text(CALL_BY_CALL)
    same_numbers(mixed, run, [*node, tmp_path / "program.mjs", program], tmp_path)
    made = compile_library(mixed, tmp_path, Wishes("mixed"), "wasm32")
    run(*node, tmp_path / "calls.mjs", made.files[0], tmp_path / "one", tmp_path / "x")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "y").read_bytes()[-504:]


TWO_NETS = """
#include <stdio.h>
#include "one.h"
#include "other.h"

int main(void) {
    float a[5] = {1, 2, 3, 4, 5}, sum[5];
    NN_Handle one, other;
    NN_Tensor about;
    if (one_NN_Init(NULL, &one) || other_NN_Init(NULL, &other) || one_NN_Prepare(one, NULL, 0)) return 1;
    if (one_NN_TensorInfo(one, 0, &about) || one_NN_SetTensor(one, about.name, a, sizeof a)) return 2;
    if (one_NN_SetTensor(one, "b", a, sizeof a) || one_NN_Forward(one)) return 3;
    if (one_NN_GetTensor(one, "sum", sum, sizeof sum) || other_NN_TensorInfo(other, 0, &about)) return 4;
    printf("%s %g %g\\n", about.name, sum[0], sum[4]);
    printf("%s\\n", other_NN_ErrorText(one, other_NN_Forward(one + 100)));
    return one_NN_Destroy(one) || other_NN_Destroy(other);
}
"""


def test_two_networks_in_one_program(compiler, linked, pair, small, run, tool, tmp_path):
    """As the headers and pkg-config's files tell, and as CMake's do."""
    compile_library(pair, tmp_path, Wishes("one", "static", prefix="one_"))
    compile_library(
        small, tmp_path, Wishes("other", "shared", prefix="other_"), shapes=[{"x": (1, 3, 16, 16)}]
    )
    source = tmp_path / "both.c"
    source.write_text(TWO_NETS)
    found = run(
        "env", f"PKG_CONFIG_PATH={tmp_path}", tool("pkg-config"), "--cflags", "--libs", "one", "other"
    )
    program = linked(compiler, source, tmp_path, *found.split(), f"-Wl,-rpath,{tmp_path}")
    wanted = "x 2 10\nthis is no session: it was never made, or is destroyed\n"
    assert run(program) == wanted
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.10)\nproject(both C)\nset(CMAKE_PREFIX_PATH ${CMAKE_SOURCE_DIR})\n"
        "find_package(one CONFIG REQUIRED PATHS .)\nfind_package(other CONFIG REQUIRED PATHS .)\n"
        "add_executable(program both.c)\ntarget_link_libraries(program one other)\n"
    )
    built = tmp_path / "build"
    run(tool("cmake"), "-S", tmp_path, "-B", built)
    run("cmake", "--build", built)
    assert run(built / "program") == wanted


def test_what_a_library_consists_of(compiler, pair, tmp_path):
    made = compile_library(pair, tmp_path, Wishes("pair"))
    assert [path.name for path in made.files] == [
        "libpair.so",
        "pair.h",
        "nn.h",
        "nn_load.h",
        "pair-config.cmake",
        "pair.pc",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in made.files)
    size = made.files[0].stat().st_size
    assert sum(made.parts.values()) == size < 60_000 and made.parts["weights"] == 0
    assert made.parts["kernels"] == sum(map(len, {bytes(o) for o in made.plans[0].objects}))


def test_layers_that_need_python_are_named(tmp_path):
    @layer("Mystery")
    class Mystery(Layer):
        """y = x        x: (...) -> y: (...)"""

        def infer(self, x):
            return x

        def reference(self, x):
            return x

    try:
        net = fbnet.Net([Mystery("x", name="a"), Mystery("a", name="b")], {"x": (1, 4)}, name="odd")
        message = (
            r"^odd cannot run without Python: no kernel for a \(Mystery\).*: no kernel for Mystery on cpu in fp32; "
            r"b \(Mystery\).*; give these layers kernels, or cut them off$"
        )
        with pytest.raises(CompileError, match=message):
            compile_library(net, tmp_path / "out", Wishes("odd"))
        assert not (tmp_path / "out").exists()
    finally:
        layers.discard("Mystery")


@pytest.mark.parametrize(
    ("wishes", "target", "kind", "message"),
    [
        (
            {},
            "aarch65-linux-gnu",
            InputError,
            r"^target 'aarch65-linux-gnu' is unknown\. Did you mean 'aarch64-",
        ),
        (
            {"name": "../x"},
            "native",
            InputError,
            r"^a library cannot be called '\.\./x': letters, digits and",
        ),
        ({"prefix": "a-b"}, "native", InputError, r"^prefix 'a-b' is no beginning of a name in C$"),
        ({"kind": "frozen"}, "native", InputError, r"^'frozen' is none of shared, static$"),
        (
            {"compiler": "no-cc -x"},
            "native",
            CompileError,
            r"^there is no C compiler 'no-cc -x': give the command",
        ),
        ({"compiler": "false"}, "native", CompileError, r"^false .* failed: exit code 1$"),
    ],
)
def test_what_cannot_be_made(wishes, target, kind, message, pair, tmp_path):
    with pytest.raises(kind, match=message):
        compile_library(pair, tmp_path / "out", Wishes(**{"name": "pair"} | wishes), target)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(compiler, pair, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FileError, match=r"file: it cannot be written: File exists$"):
        compile_library(pair, tmp_path / "file", Wishes("pair"))


def test_a_missing_compiler_is_told_how_to_come(monkeypatch, pair, tmp_path):
    monkeypatch.setattr(platforms.shutil, "which", lambda name: None)
    monkeypatch.setattr(platforms.importlib.util, "find_spec", lambda name: None)
    message = (
        r"^there is no C compiler for riscv64-linux-gnu: install gcc-riscv64-linux-gnu \(as Debian calls it\), or "
        r"pip install 'fbnet\[native\]' for zig's, or name one with --cc$"
    )
    with pytest.raises(CompileError, match=message):
        compile_library(pair, tmp_path / "out", Wishes("pair"), "riscv64-linux-gnu")
    monkeypatch.setattr(platforms.importlib.util, "find_spec", lambda name: object())
    command = compiler_for(PLATFORMS["aarch64-linux-gnu"]).command
    assert command == (sys.executable, "-m", "ziglang", "cc", "-target", "aarch64-linux-gnu")
