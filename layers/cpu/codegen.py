"""codegen: a kernel function -> a closed native object for a Target.

numba is the front end: it turns the Python function into typed LLVM IR. LLVM is the back end: we link, close,
optimise for the target and emit. Nothing of numba is left in the object, so nothing of numba is needed to run it.

Every object has one entry point of one shape (see entry.py), by which a plan calls it.

What numba does not promise to keep (compiler.Flags, a code library's modules) is used in this file alone.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import linecache
import re
import sys
import textwrap
import threading
import types as python_types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ...engine.cache import Cache
from ...engine.errors import CompileError
from ...engine.kernel import Parameter
from ...engine.settings import debug_level
from ...engine.source import fingerprint, names_in
from . import simd
from .entry import ENTRY, argument_types, entry_text
from .symbols import undefined
from .target import Target

# What an object may still ask of the machine it runs on: C's memory block functions, which LLVM makes of loops.
ALLOWED = ("memcpy", "memmove", "memset")

# C functions for which processors have an instruction.
INSTRUCTIONS = ("sqrt", "floor", "ceil", "trunc", "rint")

MAX_SPECIALISED = 1000  # functions that are kept for other kernels that call them

_objects = Cache("objects", ".o")
_specialised: dict[Any, Any] = {}
_lock = threading.Lock()


def object_key(function: Callable, parameters: Sequence[Parameter], target: Target) -> str:
    """What an object depends on: the function's text and all it calls, its parameters, the target, the compilers."""
    parts = [fingerprint(function), repr(list(parameters)), repr(target), compilers()]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def compilers() -> str:
    """The versions and sources that decide what object a kernel becomes."""
    return f"numba {version('numba')} llvmlite {version('llvmlite')} {_own_sources()}"


@lru_cache
def _own_sources() -> str:
    """A digest of the code generator itself."""
    folder = Path(__file__).parent
    names = (
        "simd.py",
        "tiles.py",
        "integer.py",
        "dots.py",
        "whole_winograd.py",
        "intrinsics.py",
        "elementary.py",
        "trigonometric.py",
        "transforms.py",
        "builder.py",
        "entry.py",
        "codegen.py",
    )
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in names)).hexdigest()


def compile_object(function: Callable, parameters: Sequence[Parameter], target: Target) -> tuple[str, bytes]:
    """(key, object) of a kernel function, from the disk cache if it is there. Raises CompileError."""
    key = object_key(function, parameters, target)
    return key, _objects.get(key, lambda: emit(function, parameters, target))


def emit(function: Callable, parameters: Sequence[Parameter], target: Target) -> bytes:
    """Compile a kernel function to a closed object. Raises CompileError naming what is wrong with it."""
    with _lock:
        module = _linked(_front_end(function, parameters, target), target)
        return _back_end(module, target, function.__qualname__)


# -- front end: Python -> LLVM IR ----------------------------------------------------------------------------


def specialise(function: Callable, target: Target) -> Any:
    """The function for numba, with what depends on the target filled in.

    Names in it that are not its own change so: `simd` becomes the target's own, a PerTarget its number, and a plain
    function is specialised in turn. What many kernels call is specialised once, and typed once.
    """
    from numba import njit

    def filled_in(value: Any) -> Any:
        if value is simd:
            return simd.module_for(target)
        if isinstance(value, simd.PerTarget):
            return value.choose(target)
        if isinstance(value, python_types.FunctionType) and value is not function:
            return specialise(value, target)
        return value

    around = function.__globals__
    changed = {n: filled_in(around[n]) for n in sorted(names_in(function.__code__)) if n in around}
    cells = [filled_in(cell.cell_contents) for cell in function.__closure__ or ()]
    key = (function.__code__, *map(_identity, [*changed.items(), *cells, *(function.__defaults__ or ())]))
    if key not in _specialised:
        _check_text(function)
        closure = tuple(map(python_types.CellType, cells))
        clone = python_types.FunctionType(
            function.__code__,
            {**around, **changed},
            function.__name__,
            function.__defaults__,
            closure or None,
        )
        clone.__qualname__ = function.__qualname__
        if len(_specialised) >= MAX_SPECIALISED:
            _specialised.clear()
        _specialised[key] = _as_text_only(njit(nogil=True, error_model="numpy")(clone))
    return _specialised[key]


def _identity(value: Any) -> Any:
    """What tells a value from others that a function may have in its place: a number's is its type and bits."""
    if isinstance(value, tuple):
        return tuple(map(_identity, value))
    return (type(value), repr(value)) if isinstance(value, (int, float, str)) else id(value)


def _as_text_only(dispatcher: Any) -> Any:
    """The dispatcher, which from now on gives its callers LLVM text and makes no machine code."""
    from numba.core.registry import cpu_target

    def compile_core(args: Any, returned: Any) -> Any:
        result = _text_of(dispatcher.py_func, args, returned)
        entry = object()  # for what would be the machine code: the key under which callers find the text
        cpu_target.target_context.insert_user_function(entry, result.fndesc, [result.library])
        return result._replace(entry_point=entry)

    dispatcher._compiler._compile_core = compile_core
    dispatcher.add_overload = lambda result: dispatcher.overloads.update(
        {tuple(result.signature.args): result}
    )
    return dispatcher


def _text_of(function: Callable, args: Any, returned: Any) -> Any:
    """numba's result for a function of these types: LLVM text, and no machine code.

    It would make that for this machine, which takes time, memory for ever, and fails on another target's instructions.
    """
    from numba.core import compiler
    from numba.core.registry import cpu_target

    flags = compiler.Flags()
    flags.no_compile, flags.nrt, flags.error_model = True, False, "numpy"
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    library = cpu_target.target_context.codegen().create_library(function.__qualname__)
    library._finalize_final_module = lambda: setattr(library, "_finalized", True)
    return compiler.compile_extra(
        cpu_target.typing_context, cpu_target.target_context, function, args, returned, flags, {}, library
    )


def _check_text(function: Callable) -> None:
    """Refuse what would go wrong in silence: an index that is a negative number, and raising. Raises CompileError."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, SyntaxError):  # made by exec, or a lambda in the middle of a line
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Raise, ast.Assert)):
            raise CompileError(
                f"kernel {function.__qualname__} says {ast.unparse(node)!r}:"
                " nobody would hear it; refuse in the kernel's `when`, or in the layer's `infer`"
            )
        indices = getattr(node.slice, "elts", [node.slice]) if isinstance(node, ast.Subscript) else []
        for index in indices:
            if isinstance(index, ast.UnaryOp) and isinstance(index.op, ast.USub):
                raise CompileError(
                    f"kernel {function.__qualname__} uses {ast.unparse(node)}:"
                    " its indices count from 0, and negative ones do not wrap"
                )


def _front_end(function: Callable, parameters: Sequence[Parameter], target: Target) -> Any:
    """The LLVM module of a kernel's entry and all that it calls, not optimised for any machine."""
    import llvmlite.binding as llvm
    from numba.core import errors
    from numba.core.compiler_lock import global_compiler_lock

    kernel = specialise(function, target).py_func
    with global_compiler_lock, _front_end_alone():
        try:
            result = _text_of(kernel, argument_types(parameters), None)
        except errors.NumbaError as error:
            raise CompileError(
                f"kernel {kernel.__qualname__} cannot be compiled: {_reason(str(error), kernel)}"
            ) from error
    library = result.library
    module = llvm.parse_assembly(str(library._final_module))
    for linked in library._linking_libraries:
        module.link_in(llvm.parse_assembly(str(linked._get_module_for_linking())))
    module.get_function(result.fndesc.llvm_func_name).name = "fbnet_python"
    module.link_in(llvm.parse_assembly(entry_text("fbnet_python", parameters)))
    return module


@contextmanager
def _front_end_alone() -> Iterator[None]:
    """numba without two of its habits.

    It would optimise for this machine, but our target may be another. And it would let every index be negative and
    count from the end, by a comparison at each access that keeps most loops from becoming vector code.
    """
    from numba.core import config, types
    from numba.np import arrayobj

    def as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
        return context.cast(builder, index, kind, types.intp)

    level, fix = config.OPT, arrayobj.fix_integer_index
    config.OPT, arrayobj.fix_integer_index = type(level)(0), as_it_is
    try:
        yield
    finally:
        config.OPT, arrayobj.fix_integer_index = level, fix


def _reason(said: str, kernel: Callable) -> str:
    """Of numba's screenful, what is wrong and in which line of the kernel's file; the rest is in the error's cause."""
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)  # colours, where colorama is installed
    lines = [line.strip() for line in said.splitlines()]
    what = next((li for li in lines if li and not li.startswith(("Failed in", "- Resolution"))), "")
    signature = next((li[3:] for li in lines if li.startswith(">>>")), "") if what.endswith(":") else ""
    file = kernel.__code__.co_filename
    places = re.findall(rf" at {re.escape(file)} \((\d+)\)", said)
    where = f", in line {places[-1]}: {linecache.getline(file, int(places[-1])).strip()}" if places else ""
    return what + signature + where


def _linked(module: Any, target: Target) -> Any:
    """The module with the elementary functions that it calls linked in."""
    import llvmlite.binding as llvm

    from . import elementary, trigonometric

    functions = elementary.FUNCTIONS | trigonometric.FUNCTIONS
    for declared in [
        f for f in module.functions if f.is_declaration and f.name.removesuffix("f") in INSTRUCTIONS
    ]:
        name = declared.name.removesuffix("f")
        real, suffix = ("float", "f32") if declared.name != name else ("double", "f64")
        declared.name = f"fbnet_{name}_{suffix}"
        module.link_in(llvm.parse_assembly(_instruction(declared.name, name, real, suffix)))
    for declared in [f for f in module.functions if f.is_declaration and f.name in functions]:
        function = functions[declared.name]
        # under a name of our own: LLVM thinks it knows what expf does, and lets nobody define llvm.exp.f32
        declared.name = f"fbnet_{function.__name__}"
        module.link_in(llvm.parse_assembly(_elementary_ir(declared.name, function, target)))
    return module


def _instruction(name: str, instruction: str, real: str, suffix: str) -> str:
    """LLVM text that defines `name` by an instruction."""
    return f"""
        declare {real} @llvm.{instruction}.{suffix}({real})
        define {real} @{name}({real} %x) {{
            %y = call {real} @llvm.{instruction}.{suffix}({real} %x)
            ret {real} %y
        }}"""


@lru_cache
def _elementary_ir(name: str, function: Callable, target: Target) -> str:
    """LLVM text that defines `name` by one of our own polynomials."""
    import llvmlite.binding as llvm
    from numba.core import types

    kind = types.float32 if function.__name__.endswith("32") else types.float64
    operands = (kind,) * function.__code__.co_argcount
    with _front_end_alone():
        result = _text_of(specialise(function, target).py_func, operands, kind)
    module = llvm.parse_assembly(str(result.library._final_module))
    for linked in result.library._linking_libraries:
        module.link_in(llvm.parse_assembly(str(linked._get_module_for_linking())))
    inner = result.fndesc.llvm_func_name
    real = "float" if kind is types.float32 else "double"
    given = ", ".join(f"{real} %x{i}" for i in range(len(operands)))
    module.link_in(
        llvm.parse_assembly(f"""
        declare i32 @"{inner}"(ptr, ptr, {", ".join([real] * len(operands))})
        define {real} @"{name}"({given}) {{
            %result = alloca {real}
            %error = alloca ptr
            %status = call i32 @"{inner}"(ptr %result, ptr %error, {given})
            %value = load {real}, ptr %result
            ret {real} %value
        }}""")
    )
    for value in module.functions:
        if not value.is_declaration and value.name != name:
            value.linkage = "internal"
    return str(module)


# -- back end: LLVM IR -> object -----------------------------------------------------------------------------


@lru_cache
def _machine(target: Target) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    try:
        return llvm.Target.from_triple(target.triple).create_target_machine(
            cpu=target.cpu, features=target.features, opt=3, reloc="pic", codemodel="default"
        )
    except RuntimeError as error:
        raise CompileError(f"LLVM cannot generate code for {target}: {error}") from None


def _back_end(module: Any, target: Target, name: str) -> bytes:
    """Close the module, optimise it for the target and emit it. Raises CompileError if it is not closed."""
    import llvmlite.binding as llvm

    machine = _machine(target)
    module.triple, module.data_layout = target.triple, str(machine.target_data)
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    for function in module.functions:
        if not function.is_declaration:
            function.add_function_attribute(
                "nounwind"
            )  # no tables for exceptions, and no calls of who reads them
            if function.name != ENTRY:
                function.linkage = "internal"
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.loop_vectorization = options.slp_vectorization = options.loop_unrolling = True
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)
    if debug_level() >= 5:
        print(f"; {name} for {target}\n{module}", file=sys.stderr)
    data = machine.emit_object(module)
    if open_names := sorted(undefined(data) - {*ALLOWED, *target.brings}):
        raise CompileError(
            f"kernel {name} is not closed for {target}: it calls {', '.join(open_names)}, "
            "which no target can be counted on to have"
        )
    return data
