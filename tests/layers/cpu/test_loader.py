"""loader: our own way to load an object, and LLVM's, do the same; a damaged object is refused."""

import ctypes
import mmap
import struct

import numpy as np
import pytest
from fbnet import DeviceError
from fbnet.layers.cpu import codegen, loader
from fbnet.layers.cpu.loader import ENTRY, load
from fbnet.layers.cpu.target import TARGETS, host
from hypothesis import given
from hypothesis import strategies as st

CALL = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)

pytestmark = pytest.mark.skipif(
    not host().name.startswith("x86"), reason="ELF objects are loaded by us on x86-64"
)

# A table of constants (.rodata), zeros (.bss), a call of another function, a jump table and a call of memcpy.
TEXT = f"""
@table = internal constant [8 x i64] [i64 3, i64 1, i64 4, i64 1, i64 5, i64 9, i64 2, i64 6]
@zeros = internal global [1000 x i64] zeroinitializer
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define internal i64 @pick(i64 %i) noinline {{
    switch i64 %i, label %other [ i64 0, label %a  i64 1, label %b  i64 2, label %c  i64 3, label %d  i64 4, label %e ]
a:  ret i64 11
b:  ret i64 -7
c:  ret i64 1234567
d:  ret i64 5
e:  ret i64 99
other:
    %p = getelementptr [8 x i64], ptr @table, i64 0, i64 %i
    %v = load i64, ptr %p
    ret i64 %v
}}
define void @{ENTRY}(i64 %args, i64 %ith, i64 %nth) {{
    %to = inttoptr i64 %args to ptr
    %i = load i64, ptr %to
    %v = call i64 @pick(i64 %i)
    %z = getelementptr [1000 x i64], ptr @zeros, i64 0, i64 %i
    %old = load i64, ptr %z
    %new = add i64 %old, %v
    store i64 %new, ptr %z
    %at = getelementptr i64, ptr %to, i64 1
    store i64 %new, ptr %at
    %from = getelementptr i64, ptr %to, i64 2
    %place = getelementptr i64, ptr %to, i64 502
    %size = mul i64 %nth, 8
    call void @llvm.memcpy.p0.p0.i64(ptr %place, ptr %from, i64 %size, i1 false)
    ret void
}}
"""


def made(text=TEXT, target=None) -> bytes:
    import llvmlite.binding as llvm

    target = target or host()
    machine = codegen._machine(target)
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    return machine.emit_object(module)


@pytest.fixture(scope="module")
def data() -> bytes:
    return made()


@pytest.fixture(params=["own", "llvm"])
def way(request, monkeypatch):
    """The two ways to load an object."""
    if request.param == "llvm":
        monkeypatch.setattr(loader.platform, "machine", lambda: "another")


@pytest.mark.parametrize(
    ("index", "value"), [(0, 11), (1, -7), (2, 1234567), (3, 5), (4, 99), (5, 9), (7, 6)]
)
def test_code_constants_zeros_and_calls(data, way, index, value):
    entries, memory = load([data, made(TEXT.replace("i64 11", "i64 12")), data])
    assert len(set(entries)) == 3
    words = np.arange(1002, dtype=np.int64)
    for k, entry in enumerate(entries):
        words[0] = index
        for turn in (1, 2):  # each object has zeros of its own
            CALL(entry)(words.ctypes.data, 0, 400)
            assert words[1] == turn * (12 if k == 1 and index == 0 else value)
        np.testing.assert_array_equal(words[502:902], words[2:402])
    assert memory is not None


def test_nothing_to_load(way):
    assert load([])[0] == []


def test_a_system_that_forbids_executable_memory(data, monkeypatch):
    """Then LLVM's linker is asked, which writes first and makes executable afterwards."""
    asked = []
    real = mmap.mmap

    class Forbidden(real):
        def __new__(cls, *arguments, **options):
            asked.append(options)
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(loader.mmap, "mmap", Forbidden)
    (entry,), _memory = load([data])
    words = np.zeros(1002, np.int64)
    CALL(entry)(words.ctypes.data, 0, 1)
    assert words[1] == 11 and asked


def test_no_memory(data, monkeypatch):
    def full(*arguments, **options):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(loader.mmap, "mmap", full)
    with pytest.raises(DeviceError, match="Cannot allocate memory"):
        load([data])


def elsewhere(data, offset, form, value):
    changed = bytearray(data)
    struct.pack_into(form, changed, offset, value)
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: b"",
        lambda d: b"MZ" + d[2:],
        lambda d: d[:40],
        lambda d: d[: len(d) // 2],
        lambda d: d[:-1],
        lambda d: elsewhere(d, 18, "<H", 183),  # for another machine
        lambda d: elsewhere(d, 40, "<Q", 2**63),  # the sections are far away
        lambda d: elsewhere(d, 60, "<H", 65535),  # and many
        lambda d: elsewhere(d, 60, "<H", 0),
        lambda d: d.replace(ENTRY.encode(), b"fbnet_entrx"),
        lambda d: d.replace(b"memcpy", b"strcpy"),
    ],
)
def test_a_damaged_object_is_refused(data, damage):
    with pytest.raises(DeviceError, match=r"^a compiled object is damaged \(.*\): clear the cache folder$"):
        load([data, damage(data)])


@given(st.data())
def test_any_damage_is_loaded_or_refused(data, draw):
    """Loading runs nothing and writes only to its own memory, whatever the headers say."""
    changed = bytearray(data)
    table = struct.unpack_from("<Q", data, 40)[0]
    places = st.one_of(st.integers(0, 63), st.integers(table, len(data) - 1), st.integers(0, len(data) - 1))
    for _ in range(draw.draw(st.integers(1, 4))):
        changed[draw.draw(places)] = draw.draw(st.integers(0, 255))
    try:
        entries, _memory = load([bytes(changed)])
    except DeviceError:
        return
    assert len(entries) == 1


def test_another_machines_object():
    arm = made(f"define void @{ENTRY}(i64 %a, i64 %i, i64 %n) {{ ret void }}", TARGETS["aarch64"])
    with pytest.raises(DeviceError, match="not an ELF object for x86-64"):
        load([arm])
