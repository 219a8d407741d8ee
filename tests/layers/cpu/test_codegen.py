"""codegen: what a kernel may say, what its object is named after, and how its work is shared."""

import math

import numpy as np
import pytest
from fbnet import CompileError
from fbnet.engine.kernel import Parameter
from fbnet.engine.settings import debug
from fbnet.layers.cpu import codegen
from fbnet.layers.cpu.codegen import compile_object, emit, object_key
from fbnet.layers.cpu.simd import PerTarget
from fbnet.layers.cpu.symbols import undefined
from fbnet.layers.cpu.target import TARGETS, host
from hypothesis import given
from hypothesis import strategies as st

FACTOR = 3.0
TABLE = np.float32([1, 2, 4])
WIDTH = PerTarget(lambda target: target.lanes)


def two(function, kind="float32", **options):
    """Parameters (x, y) that are flat arrays."""
    return [Parameter(name, "array", kind, 1, **options) for name in function.__code__.co_varnames[:2]]


def helper(v, plus=1.0):
    return inner(v) * np.float32(FACTOR) + plus


def inner(v):
    return v + TABLE[1]


def test_a_kernel_may_call_plain_functions_and_use_what_is_around_it(native):
    local, bound = 0.5, (lambda v: v * np.float32(10))

    def kernel(x, y):
        for i in range(x.size):
            y[i] = helper(x[i]) + bound(x[i]) + local + WIDTH

    x, y = np.float32([1, 2]), np.zeros(2, np.float32)
    native(kernel, x, y)
    np.testing.assert_allclose(y, (x + 2) * 3 + 1 + x * 10 + 0.5 + host().lanes)


def test_what_numpy_and_math_offer(native):
    def kernel(x, y):
        v = x[0]
        y[0] = math.floor(v) + 10 * math.ceil(v)
        y[1] = np.floor(v) + 10 * np.ceil(v) + 100 * np.rint(v) + 1000 * np.trunc(v)
        y[2] = math.sqrt(abs(v)) + np.sqrt(abs(v))
        y[3] = max(v, 0) + min(v, 1) + np.maximum(v, np.float32(2))
        y[4] = v**2 + v**3
        y[5] = math.copysign(3, v) + math.fabs(v) + math.isnan(v)
        y[6] = x[1:4].sum()
        y[7] = np.exp(v) + np.log1p(abs(v)) + np.tanh(v) + math.erf(v)
        y[8] = v % 2 + v // 2
        y[9] = np.int64(v) & 1

    x, y = np.float32([-1.75, 1, 2, 3]), np.zeros(10, np.float32)
    native(kernel, x, y)
    v = -1.75
    wanted = [-2 - 10, -2 - 10 - 200 - 1000, 2 * math.sqrt(1.75), 0 - 1.75 + 2, v**2 + v**3, -3 + 1.75, 6]
    wanted += [math.exp(v) + math.log1p(1.75) + math.tanh(v) + math.erf(v), v % 2 + v // 2, 1]
    np.testing.assert_allclose(y, wanted, rtol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "int8", "uint8", "int32", "int64", "bool", "float16"])
def test_arrays_of_every_stored_dtype(native, kind):
    def copied(x, y):
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                y[i, j] = x[i, j]

    x = np.array([[0, 1, 1], [1, 0, 1]]).astype(kind)
    if kind not in ("bool", "uint8"):
        x = x * np.array(-3).astype(kind)
    y = np.zeros_like(x)
    native(copied, x, y)  # float16 is seen as uint16: its bits are copied
    np.testing.assert_array_equal(x, y)


def test_numbers(native):
    def numbers(y, whole, real, negative):
        y[0] = whole
        y[1] = real
        y[2] = negative

    y = np.zeros(3, np.float32)
    native(numbers, y, 2**40, math.inf, -3)
    assert y.tolist() == [2.0**40, math.inf, -3]


@pytest.fixture(scope="module", params=["int8", "float32"])
def counting(request, native):
    def counts(x, y):
        for i in range(x.size):
            y[i] += x[i] + 1

    return native(counts, np.zeros(0, request.param), np.zeros(0, "int64"), split=("x", "y")), request.param


@given(size=st.integers(0, 300), nth=st.integers(1, 9))
def test_every_element_is_in_one_share(counting, size, nth):
    made, kind = counting
    x, y = (np.arange(size) % 100).astype(kind), np.zeros(size, "int64")
    for ith in range(nth):
        made(x, y, ith=ith, nth=nth)
    np.testing.assert_array_equal(y, x.astype(np.int64) + 1)


@pytest.fixture(scope="module")
def summing(native):
    def sums(x, y):
        for i in range(x.shape[0]):
            y[i] += 1
            for j in range(x.shape[1]):
                y[i] += x[i, j]

    return native(sums, np.zeros((0, 1), "float32"), np.zeros(0, "float32"), split=("x", "y"))


@given(rows=st.integers(0, 20), columns=st.integers(0, 3), nth=st.integers(1, 9))
def test_rows_are_shared_whole(summing, rows, columns, nth):
    x, y = np.ones((rows, columns), np.float32), np.zeros(rows, np.float32)
    for ith in range(nth):
        summing(x, y, ith=ith, nth=nth)
    np.testing.assert_array_equal(y, [columns + 1.0] * rows)


def gamma(x, y):
    y[0] = math.lgamma(x[0])


def printing(x, y):
    print(x[0])


def allocating(x, y):
    y[:] = np.exp(x)


def lost(x, y):
    y[0] = nowhere  # noqa: F821


def mistyped(x, y):
    y[0] = x['a']  # fmt: skip


def raising(x, y):
    if x[0] < 0:
        raise ValueError("negative")


def asserting(x, y):
    assert x[0] > 0


def from_the_end(x, y):
    y[0] = x[-1]


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (
            gamma,
            r"kernel gamma is not closed for .*: it calls lgammaf, which no target can be counted on to have$",
        ),
        (printing, r"kernel printing is not closed for .*: it calls numba_gil_ensure, "),
        (
            allocating,
            r"kernel allocating cannot be compiled: No .*_ol_array_allocate.*, in line \d+: y\[:\] = np\.exp\(x\)$",
        ),
        (
            mistyped,
            r"kernel mistyped cannot be compiled: No .*getitem\(array.*, in line \d+: y\[0\] = x\['a'\]",
        ),
        (lost, r"kernel lost cannot be compiled: NameError: name 'nowhere' is not defined$"),
        (
            raising,
            r"kernel raising says \"raise ValueError\('negative'\)\": nobody would hear it; refuse in the",
        ),
        (asserting, r"kernel asserting says 'assert x\[0\] > 0': nobody would hear it"),
        (from_the_end, r"kernel from_the_end uses x\[-1\]: its indices count from 0"),
    ],
)
def test_what_a_kernel_may_not_say(kernel, message):
    with pytest.raises(CompileError, match=message) as caught:
        emit(kernel, two(kernel), host())
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    emit(inner_loop, two(inner_loop), host())  # and the compiler is none the worse for it


def inner_loop(x, y):
    for i in range(x.size):
        y[i] = x[i]


def factory(number, table, called):
    def made(x, y):
        for i in range(x.size):
            y[i] = called(x[i]) * number + table[0]

    return made


def test_a_key_names_all_that_an_object_depends_on(monkeypatch):
    def key(kernel, target="x86-64-v3", **options):
        return object_key(kernel, two(kernel, **options), TARGETS[target])

    one = factory(1.0, TABLE, inner)
    keys = [
        key(one),
        key(factory(2.0, TABLE, inner)),
        key(factory(1, TABLE, inner)),  # an int is compiled otherwise than a float
        key(factory(1.0, TABLE + 1, inner)),
        key(factory(1.0, TABLE, helper)),
        key(factory(1.0, TABLE, math.sin)),
        key(factory(1.0, TABLE, math.cos)),
        key(factory(1.0, TABLE, np.floor)),
        key(one, "x86-64-v4"),
        key(one, split=True),
        key(inner_loop),
    ]
    assert len(set(keys)) == len(keys) and key(factory(1.0, TABLE.copy(), inner)) == keys[0]
    monkeypatch.setitem(globals(), "FACTOR", 4.0)  # which helper reads
    assert key(factory(1.0, TABLE, helper)) != keys[4] and key(one) == keys[0]
    monkeypatch.setattr(codegen, "compilers", lambda: "numba 9")
    assert key(one) != keys[0]


def test_an_object_is_compiled_once(tmp_path, monkeypatch):
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path))
    key, code = compile_object(inner_loop, two(inner_loop), host())
    monkeypatch.setattr(codegen, "emit", None)
    assert compile_object(inner_loop, two(inner_loop), host()) == (key, code)
    assert (tmp_path / "objects" / f"{key}.o").read_bytes()[32:] == code


def test_the_code_can_be_seen(capsys):
    with debug(5):
        emit(inner_loop, two(inner_loop), host())
    shown = capsys.readouterr().err
    assert shown.startswith(f"; inner_loop for {host()}\n") and "define void @fbnet_entry" in shown


@pytest.mark.parametrize("name", ["x86-64-v3", "aarch64", "armv7", "wasm32"])
def test_symbols_of_an_object(name):
    """Taken from LLVM itself: an object that calls two functions, of which it defines one."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly("""
        declare i32 @far(i32)
        @there = external global i32
        define i32 @near(i32 %x) { %y = call i32 @far(i32 %x)  %z = load i32, ptr @there  ret i32 %z }
        define i32 @start(i32 %x) { %y = call i32 @near(i32 %x)  ret i32 %y }""")
    machine = codegen._machine(TARGETS[name])
    module.triple, module.data_layout = TARGETS[name].triple, str(machine.target_data)
    found = undefined(machine.emit_object(module))
    # variables of a wasm object are in its linking section, functions in its imports; ARM asks how to unwind
    assert found - {"there", "_GLOBAL_OFFSET_TABLE_", "__aeabi_unwind_cpp_pr0"} == {"far"}
    with pytest.raises(ValueError, match="neither a little-endian ELF object nor a wasm one"):
        undefined(b"MZ" + bytes(100))
