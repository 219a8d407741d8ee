"""source: the text of functions and modules, for keys that change when the text does.

What is typed into an interpreter, or made by exec, has no file: there the bytecode stands for the text.
"""

from __future__ import annotations

import hashlib
import inspect
import linecache
import sys
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import cast

import numpy as np


def text_of(function: Callable) -> str:
    """The text of the whole file (or notebook cell) that a function is written in."""
    code: CodeType = function.__code__  # type: ignore[attr-defined]
    linecache.checkcache(code.co_filename)
    try:
        return "".join(inspect.findsource(function)[0])
    except OSError:
        return text_of_code(code)


def text_of_code(code: CodeType) -> str:
    """The bytecode of a function and of all that is nested in it, the same in every process."""
    constants = [text_of_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return " ".join([code.co_code.hex(), *code.co_names, *code.co_varnames, *constants])


def names_in(code: CodeType) -> set[str]:
    """The global names and attributes that a function and all that is nested in it mention."""
    nested = [c for c in code.co_consts if isinstance(c, CodeType)]
    return set(code.co_names).union(*map(names_in, nested))


def fingerprint(function: Callable) -> str:
    """The text of a function and of all it calls, and the values that are numbers to it when it is compiled.

    Those are the global variables, the variables of functions around it, and the defaults of its arguments: two
    kernels made by one factory have one text, and differ in these.
    """
    return "\0".join(sorted(set(_parts(cast(FunctionType, function), set()))))


def _parts(function: FunctionType, seen: set[FunctionType]) -> Iterator[str]:
    if function in seen:
        return
    seen.add(function)
    yield f"{function.__qualname__} {function.__defaults__!r} {text_of(function)}"
    names = names_in(function.__code__)
    values = {name: function.__globals__[name] for name in names if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        values[name] = cell.cell_contents
    for name, value in values.items():
        inside = {}
        if isinstance(value, ModuleType):
            inside = {n: vars(value)[n] for n in names if n in vars(value)}
        elif is_dataclass(value) and not isinstance(value, type):
            inside = {field.name: getattr(value, field.name) for field in fields(value)}
        if isinstance(value, (BuiltinFunctionType, np.ufunc)):  # math.sin given to a factory of kernels
            yield f"{name} {value.__name__}"
        for key, item in {name: value, **{f"{name}.{n}": v for n, v in inside.items()}}.items():
            item = getattr(item, "py_func", item)  # of what numba.cuda's jit makes
            if isinstance(item, type):
                yield f"{key} {item.__qualname__}"
            if isinstance(item, FunctionType):
                yield from _parts(item, seen)
            elif isinstance(item, np.ndarray):
                yield f"{key} {item.dtype} {item.shape} {item.tobytes().hex()}"
            elif isinstance(item, (int, float, complex, str, bytes, tuple, np.generic)):
                yield f"{key} {item!r}"


def text_of_module(name: str) -> str:
    """The text of a module's file; without one, of the functions in it and in its classes."""
    module = sys.modules.get(name)
    try:
        return Path(getattr(module, "__file__", None) or "").read_text()
    except (OSError, ValueError):
        found = dict(vars(module)) if module else {}
    for value in list(found.values()):
        if isinstance(value, type) and value.__module__ == name:
            found |= {f"{value.__name__}.{key}": member for key, member in vars(value).items()}
    functions = {key: f for key, f in found.items() if isinstance(f, FunctionType) and f.__module__ == name}
    return "\0".join(f"{key} {fingerprint(functions[key])}" for key in sorted(functions))


@lru_cache
def package_digest() -> str:
    """A digest of every source file that decides what a plan looks like: those of the engine and of the layers."""
    root = Path(__file__).parent.parent
    sources = [f for f in (root / "layers").rglob("*") if f.suffix in (".py", ".cu", ".cl")]
    kernels = [f for f in sources if f.parent.name != "examples"]
    files = sorted([*(root / "engine").glob("*.py"), *kernels])
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
