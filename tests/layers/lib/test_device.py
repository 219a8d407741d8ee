"""The device lib: a shared library behind the six calls, our own output and others' that are not as they should be."""

import ctypes
import re
import subprocess
from pathlib import Path

import fbnet
import numpy as np
import pytest
from fbnet import DeviceError, Net, RegistryError, Session
from fbnet.engine.device import device_of
from fbnet.engine.dtype import Quantization
from fbnet.engine.errors import CompileError
from fbnet.engine.tensor import Spec
from fbnet.layers.activation import ReLU
from fbnet.layers.binary import Binary
from fbnet.layers.conv import Convolution
from fbnet.layers.cpu.native import platforms
from fbnet.layers.cpu.native.library import Wishes, compile_library
from fbnet.layers.cpu.native.platforms import compiler_for, platform_named
from fbnet.layers.gather import GatherND
from fbnet.layers.lib.calls import ALLOCATE, RELEASE, Calls, Options
from fbnet.layers.quantize import Requantize
from fbnet.layers.unary import Unary
from fbnet.tools.main import main

CALLS = ("NN_Init", "NN_Prepare", "NN_SetTensor", "NN_Forward", "NN_GetTensor", "NN_Destroy")
SMALL, LARGE = (1, 3, 9, 8), (2, 3, 70, 90)


@pytest.fixture(scope="module")
def compiler():
    try:
        return compiler_for(platform_named("native"))
    except CompileError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def net():
    """x (N,3,H,W) -> y, and half, which is an input too: two plans' worth of shapes."""
    w = np.random.default_rng(0).standard_normal((16, 3, 3, 3), dtype=np.float32)
    layers = [
        Convolution("x", w, None, name="c", pad=(1, 1, 1, 1), activation="ReLU"),
        Binary("c", "scale", name="y", operation="mul"),
    ]
    return Net(layers, {"x": ("N", 3, "H", "W"), "scale": (1,)}, name="scaled")


@pytest.fixture(scope="module")
def library(compiler, net, tmp_path_factory):
    """It as a library, for two shapes and up to three threads."""
    folder = tmp_path_factory.mktemp("library")
    shapes = [{"x": SMALL}, {"x": LARGE}]
    return compile_library(net, folder, Wishes("scaled"), threads=3, shapes=shapes).files[0]


def arrays(shape, seed=1):
    x = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return {"x": x, "scale": np.array([2.5], np.float32)}


def test_a_library_is_a_device(net, library):
    plan = net.compile(device=f"lib:{library}", shapes={"x": SMALL}, threads=2)
    assert [(s.layer, s.kernel) for s in plan.steps] == [("scaled", "lib/fp32/libscaled.so/forward")]
    with plan.session() as session:
        for shape in (SMALL, LARGE, SMALL):
            session.prepare({"x": shape, "scale": (1,)})
            given = arrays(shape)
            for _ in range(3):
                found = session.run(given)["y"]
                np.testing.assert_allclose(found, net.forward(**given)["y"], 1e-5, 1e-5)
            np.testing.assert_array_equal(session.get_tensor("x"), given["x"])


def test_a_library_in_use_may_be_made_anew(net, library):
    """Whoever has the old one loaded keeps it: the new one is another file."""
    calls = Calls(library)
    before = library.stat().st_ino
    assert compile_library(
        net, library.parent, Wishes("scaled"), threads=3, shapes=[{"x": SMALL}, {"x": LARGE}]
    )
    assert library.stat().st_ino != before
    calls.destroy(calls.init())


def test_sessions_share_nothing(net, library):
    plan = net.compile(device=f"lib:{library}", shapes={"x": LARGE}, threads=2)
    one, other = Session(plan), Session(plan)
    for seed, session in enumerate((one, other)):
        for name, array in arrays(LARGE, seed).items():
            session.set_tensor(name, array)
    one.forward()
    other.forward()
    for seed, session in enumerate((one, other)):
        wanted = net.forward(**arrays(LARGE, seed))["y"]
        np.testing.assert_allclose(session.get_tensor("y"), wanted, 1e-5, 1e-5)
        session.close()
        with pytest.raises(DeviceError, match=r"^this session of scaled is closed"):
            session.forward()


def test_what_is_used_wrongly_is_said(net, library):
    plan = net.compile(device=f"lib:{library}", shapes={"x": SMALL})
    with plan.session() as session:
        with pytest.raises(DeviceError, match=r"NN_Forward returned -7: nobody has set 'x'$"):
            session.forward()
        with pytest.raises(DeviceError, match=r"^scaled has no input 'y'; it has x, scale$"):
            session.set_tensor("y", np.zeros(1, np.float32))
        with pytest.raises(
            DeviceError, match=r"^input 'x' has shape \[2, 3, 9, 8\], but this plan is for fp32\["
        ):
            session.set_tensor("x", np.zeros((2, *SMALL[1:]), np.float32))
        with pytest.raises(DeviceError, match=r"^scaled has no output 'c'; it has x, scale, y$"):
            session.get_tensor("c")
        message = r"NN_Prepare returned -8: input 'x' is 1,3,9,9, but this library was compiled for 1,3,9,8 or 2,3,70"
        with pytest.raises(DeviceError, match=message):
            session.prepare({"x": (1, 3, 9, 9), "scale": (1,)})


def test_error_codes(library):
    """The C calls themselves, as a program in C would call them."""
    calls = Calls(library)
    raw = calls._library
    with pytest.raises(DeviceError, match=r"NN_Init returned -3: NN_Options\.version is not this library's"):
        calls.init(version=2)
    handle = calls.init(threads=2)
    with pytest.raises(
        DeviceError, match=r"NN_Forward returned -7: this session is not prepared: call NN_Prepare$"
    ):
        calls.forward(handle)
    with pytest.raises(DeviceError, match=r"NN_Prepare returned -9: there is no input 'y'$"):
        calls.prepare(handle, {"y": SMALL})
    with pytest.raises(
        DeviceError, match=r"NN_SetThreads returned -11: a session has 1 thread or more, not 0$"
    ):
        calls.set_threads(handle, 0)
    assert raw.NN_Prepare(handle, None, 0) == 0 and raw.NN_Prepare(handle, None, 1) == -11
    given = arrays(SMALL)
    for name, array, status, message in [
        ("x", given["x"][:, :2].copy(), -10, r"'x' has 864 bytes, but 576 were given$"),
        ("z", given["x"], -9, r"there is no input or output 'z'$"),
        ("y", np.zeros((1, 16, 9, 8), np.float32), -9, r"'y' is an output: nobody can set it$"),
    ]:
        with pytest.raises(DeviceError, match=rf"NN_SetTensor returned {status}: {message}"):
            calls.set_tensor(handle, name, array)
    assert raw.NN_SetTensor(handle, b"x", None, ctypes.c_size_t(864)) == -11
    assert [t.name for t in calls.tensors(handle)] == [b"x", b"scale", b"y"]
    assert raw.NN_TensorInfo(handle, 3, ctypes.byref(calls.tensors(handle)[0])) == -11
    calls.destroy(handle)
    for call in (calls.forward, calls.destroy, calls.tensors):
        with pytest.raises(
            DeviceError, match=r"returned -1: this is no session: it was never made, or is destroyed"
        ):
            call(handle)
    assert raw.NN_ErrorText(handle, 5) == b"an unknown status"


def test_what_int8_stands_for(compiler, tmp_path):
    """Scale and zero of an input and of an output; from a plan that is made, and from one that is found on disk."""
    for attempt in ("made", "found"):
        scales = {"x": Spec((1, 6), "int8", Quantization((0.25,), (-3,)))}
        layers = [Requantize("x", name="y", x_zero=-3, multiplier=0.5, scale=0.5, zero=7)]
        net = Net(layers, scales, name="steps")
        calls = Calls(compile_library(net, tmp_path / attempt, Wishes("steps")).files[0])
        handle = calls.init()
        found = [(t.name, t.dtype, t.scale, t.zero) for t in calls.tensors(handle)]
        assert found == [(b"x", b"int8", 0.25, -3), (b"y", b"int8", 0.5, 7)]
        calls.destroy(handle)


def test_threads_and_tensors_in_place(net, library):
    """With any number of threads, changed while it runs, and numbers written where the tensors lie."""
    calls, given = Calls(library), arrays(LARGE)
    wanted = net.forward(**given)["y"]
    handle = calls.init(threads=1)
    calls.prepare(handle, {"x": LARGE})
    for threads in (1, 3, 2, 50, 1):
        calls.set_threads(handle, threads)
        for tensor in calls.tensors(handle):
            array = given.get(tensor.name.decode(), wanted)
            place = (ctypes.c_char * tensor.bytes).from_address(tensor.data)
            if not tensor.output:
                place[:] = array.tobytes()
                status = calls._library.NN_SetTensor(
                    handle, tensor.name, ctypes.c_void_p(tensor.data), ctypes.c_size_t(tensor.bytes)
                )
                assert status == 0
        calls.forward(handle)
        found = np.frombuffer(place, np.float32).reshape(wanted.shape)
        np.testing.assert_allclose(found, wanted, 1e-5, 1e-5)
    calls.destroy(handle)


def test_memory_of_ones_own(library):
    """Every byte comes from the allocator that is given, and goes back; without memory there is an error.

    And a call while another is on its way, here from within that, is refused.
    """
    raw, memory, handle = Calls(library)._library, {}, ctypes.c_uint64()
    enough, meanwhile = [True], set()

    @ALLOCATE
    def allocate(context, size):
        if handle.value:
            meanwhile.add(raw.NN_Forward(handle))
        buffer = ctypes.create_string_buffer(size) if enough[0] else None
        if buffer is None:
            return None
        memory[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer)

    @RELEASE
    def release(context, address):
        assert context == 77
        del memory[address]

    options = Options(version=1, threads=2, allocate=allocate, release=release, context=77)
    assert raw.NN_Init(ctypes.byref(options), ctypes.byref(handle)) == 0 and len(memory) == 1
    enough[0] = False
    assert raw.NN_Prepare(handle, None, 0) == -5
    assert re.match(rb"no memory for a plan of \d+ bytes", ctypes.string_at(raw.NN_ErrorText(handle, -5)))
    other = ctypes.c_uint64()
    assert raw.NN_Init(ctypes.byref(options), ctypes.byref(other)) == -5 and other.value == 0
    enough[0] = True
    meanwhile.clear()
    assert raw.NN_Prepare(handle, None, 0) == 0 and len(memory) >= 2
    assert meanwhile == {-2}
    assert raw.NN_Destroy(handle) == 0 and not memory
    options.release = RELEASE()
    assert raw.NN_Init(ctypes.byref(options), ctypes.byref(handle)) == -11


def test_weights_in_a_file(compiler, net, tmp_path):
    library, *_, weights = compile_library(
        net, tmp_path, Wishes("apart", weights="file"), shapes=[{"x": SMALL}]
    ).files
    assert library.stat().st_size < 80_000 and weights.name == "apart.weights"
    given = arrays(SMALL)
    with net.compile(device=f"lib:{library}", shapes={"x": SMALL}).session() as session:
        np.testing.assert_allclose(session.run(given)["y"], net.forward(**given)["y"], 1e-5, 1e-5)
    whole = weights.read_bytes()
    for content in (whole[:-1], b"FBWEIGHX" + whole[8:], b""):
        weights.write_bytes(content)
        with pytest.raises(DeviceError, match=r"NN_Init returned -6: NN_Options\.weights is not the file"):
            net.compile(device=f"lib:{library}", shapes={"x": SMALL}).session()


def compiled_c(compiler, folder, text):
    path = folder / "vendor.so"
    (folder / "vendor.c").write_text(text)
    subprocess.run([*compiler.command, "-shared", "-fPIC", "-o", path, folder / "vendor.c"], check=True)
    return path


def test_a_vendors_library_of_six_calls_and_no_more(compiler, tmp_path):
    """It doubles four numbers; it has no texts and does not tell its tensors."""
    path = compiled_c(
        compiler,
        tmp_path,
        """#include <string.h>
        static float numbers[4];
        int NN_Init(const int *options, unsigned long long *handle) { *handle = 7; return *options == 1 ? 0 : -3; }
        int NN_Prepare(unsigned long long h, const void *shapes, int count) { return count == 1 ? 0 : -8; }
        int NN_SetTensor(unsigned long long h, const char *name, const void *data, size_t bytes) {
            memcpy(numbers, data, bytes); return 0; }
        int NN_Forward(unsigned long long h) { for (int i = 0; i < 4; i++) numbers[i] *= 2; return h == 7 ? 0 : -1; }
        int NN_GetTensor(unsigned long long h, const char *name, void *data, size_t bytes) {
            if (bytes != 16) return -10; memcpy(data, numbers, bytes); return 0; }
        int NN_Destroy(unsigned long long h) { return 0; }""",
    )
    twice = Net(
        [Binary("x", np.array([2], np.float32), name="y", operation="mul")], {"x": (1, 4)}, name="twice"
    )
    with twice.compile(device=f"lib:{path}").session() as session:
        given = np.arange(4, dtype=np.float32)[None]
        np.testing.assert_array_equal(session.run({"x": given})["y"], 2 * given)
        session._device.calls._library.NN_Destroy(0)
        with pytest.raises(DeviceError, match=r"NN_GetTensor returned -10: it does not say why$"):
            session._device.calls.get_tensor(session._handle.number, "y", np.empty(3, np.float32))


def test_libraries_that_are_no_device(compiler, net, library, tmp_path):
    lacking = compiled_c(
        compiler, tmp_path, "int NN_Init(void) { return 0; } int NN_Forward(void) { return 0; }"
    )
    with pytest.raises(
        DeviceError, match=r"vendor\.so lacks NN_Prepare, NN_SetTensor, NN_GetTensor, NN_Destroy: "
    ):
        net.compile(device=f"lib:{lacking}")
    text = tmp_path / "text.so"
    text.write_text("no library")
    with pytest.raises(DeviceError, match=r"text\.so is no library that this machine can load: "):
        net.compile(device=f"lib:{text}")
    with pytest.raises(DeviceError, match=r"nowhere\.so: there is no such library$"):
        net.compile(device="lib:nowhere.so")
    with pytest.raises(DeviceError, match=r"^there is one device 'cpu': ask for it without 'a'$"):
        device_of("cpu:a")
    with pytest.raises(RegistryError, match=r"^device 'libs' is not registered\. Did you mean 'lib'\?"):
        device_of("libs:a")
    assert device_of(f"lib:{library}").available()
    other = net.replace(outputs=("c",), name="other")
    with pytest.raises(
        DeviceError, match=r"was not compiled from other, whose c is fp32\[1,16,9,8\]: it has x fp32\["
    ):
        other.compile(device=f"lib:{library}", shapes={"x": SMALL}).session()


def test_a_net_becomes_a_library_on_the_way(compiler, net):
    plan = net.compile(device="lib", shapes={"x": SMALL}, threads=2)
    assert list(dict.fromkeys(step.layer.split("@")[0] for step in plan.steps)) == ["c", "y"]
    assert all(step.kernel.startswith("lib/fp32/") for step in plan.steps)
    one, other = plan.session(), plan.session()
    for shape in (SMALL, (1, 3, 4, 5), SMALL):  # another shape is another library
        one.prepare({"x": shape, "scale": (1,)})
        given = arrays(shape)
        np.testing.assert_allclose(one.run(given)["y"], net.forward(**given)["y"], 1e-5, 1e-5)
    one.close()
    given = arrays(SMALL, 2)
    np.testing.assert_allclose(other.run(given)["y"], net.forward(**given)["y"], 1e-5, 1e-5)
    other.close()


def test_what_a_library_cannot_hold_is_cut_out(compiler):
    layers = [
        Unary("x", name="a", operation="abs"),
        GatherND("a", np.int64([[1], [0]]), name="g"),
        ReLU("g", name="y"),
    ]
    net = Net(layers, {"x": (2, 5)}, name="held")
    with pytest.raises(
        CompileError, match=r"^held cannot run without Python: no kernel for g \(GatherND\): "
    ):
        net.compile(device="lib")
    plan = net.compile(device="lib+reference")
    assert [step.kernel for step in plan.steps] == [f"{d}/fp32/segment" for d in ("lib", "reference", "lib")]
    assert plan.notes["g"] == "on reference; lib: no kernel for GatherND"
    x = np.random.default_rng(0).standard_normal((2, 5), dtype=np.float32)
    with plan.session() as session:
        np.testing.assert_array_equal(session.run({"x": x})["y"], abs(x[[1, 0]]))
    nine = Net([ReLU("x", name="y")], {"x": (1,) * 9})
    assert "has 9 axes; a library's tensors have 8" in device_of("lib").refuses(nine["y"], nine, nine.specs())


def test_without_a_compiler(net, monkeypatch):
    monkeypatch.setattr(platforms.shutil, "which", lambda name: None)
    monkeypatch.setattr(platforms.importlib.util, "find_spec", lambda name: None)
    assert not device_of("lib").available()
    with pytest.raises(CompileError, match=r"^there is no C compiler for .* pip install 'fbnet\[native\]'"):
        net.compile(device="lib")


LENET = Path(fbnet.__file__).parent / "tools" / "lenet"


@pytest.mark.parametrize("options", [(), ("--without-image", "--compact")], ids=["whole", "rest"])
def test_run_with_a_library(compiler, options, tmp_path):
    """fbnet compile, then fbnet run: LeNet with the layers that prepare images, and with those on the cpu."""
    from click.testing import CliRunner

    model, folder = LENET / "lenet.fbnet", tmp_path / "out"
    said = CliRunner().invoke(main, ["compile", str(model), "-o", str(folder), *options])
    assert said.exit_code == 0, said.output
    assert re.search(r"kernels +\d", said.output) and "liblenet.so" in said.output
    run = ["run", str(model), "--device", f"lib:{folder}/liblenet.so", "--top", "1", "--json"]
    said = CliRunner().invoke(main, [*run, *(str(LENET / f"digit_{digit}.png") for digit in range(10))])
    assert said.exit_code == 0, said.output
    assert re.findall(r'"label": "(\d)"', said.output) == list("0123456789")
    said = CliRunner().invoke(
        main, ["run", str(model), "--device", "lib:none.so", str(LENET / "digit_1.png")]
    )
    assert said.exit_code == 2 and said.stderr == "fbnet: none.so: there is no such library\n"
