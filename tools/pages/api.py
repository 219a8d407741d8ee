"""The page of every public name, from its signature and docstring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from .docstring import markdown

# The order of reading. A public name that is missing here stands under "More".
GROUPS = {
    "Models in and out": ["load", "convert", "save", "with_image_input", "with_answers"],
    "Nets": ["Net", "Tensor", "Spec", "Dim"],
    "Running": ["Plan", "Session", "debug"],
    "Layers and what else can be added": [
        "Layer", "Elementwise", "layer", "kernel", "rewrite", "dtype", "DType", "device", "Device", "importer",
    ],
    "Checks": ["check_layer", "check_device", "HostFallback"],
}  # fmt: skip


def page() -> str:
    """reference/api.md."""
    package = import_module(__name__.split(".")[0])
    names = list(package.__all__)
    groups = {title: [n for n in group if n in names] for title, group in GROUPS.items()}
    errors = [n for n in names if _is_error(getattr(package, n))]
    placed = {n for group in groups.values() for n in group} | set(errors)
    groups["More"] = [n for n in names if n not in placed]
    groups["Errors"] = sorted(errors, key=lambda n: (n != "FbnetError", n))
    parts = ["# Python", "Every name that `import fbnet` brings, and nothing that it does not."]
    for title, group in groups.items():
        if group:
            parts.append(f"## {title}")
            parts += [part for name in group for part in _entry(name, getattr(package, name))]
    return "\n\n".join(parts) + "\n"


def _is_error(thing: Any) -> bool:
    return isinstance(thing, type) and issubclass(thing, Exception) and not issubclass(thing, Warning)


def _entry(name: str, thing: Any) -> Iterator[str]:
    yield f"### {name}"
    if _is_error(thing):
        bases = " and ".join(f"`{base.__name__}`" for base in thing.__bases__)
        yield markdown(inspect.getdoc(thing) or "")
        yield f"It is a kind of {bases}. [Causes and fixes](../errors.md#{name.lower()})."
        return
    yield f"```python\n{_signature(name, thing)}\n```"
    yield markdown(inspect.getdoc(thing) or "")
    if isinstance(thing, type):
        for method, function in _methods(thing):
            yield f"#### {name}.{method}"
            if not isinstance(function, property):
                yield f"```python\n{_signature(method, function)}\n```"
            doc = function.__doc__ if isinstance(function, property) else inspect.getdoc(function)
            yield markdown(doc or "")


def _methods(cls: type) -> list[tuple[str, Any]]:
    """The class's own public methods and properties that have something to say."""
    found = []
    for name, member in vars(cls).items():
        if isinstance(member, (classmethod, staticmethod)):
            member = member.__func__
        if hasattr(member, "func") and hasattr(member, "attrname"):  # a cached property
            member = property(member.func)
        public = not name.startswith("_") or name == "__call__"
        if public and (inspect.isfunction(member) or isinstance(member, property)) and member.__doc__:
            found.append((name, member))
    return found


def _signature(name: str, thing: Any) -> str:
    """`name(parameters) -> result`, on one line or with one parameter a line, as the sources have it."""
    try:
        signature = inspect.signature(thing)
    except (TypeError, ValueError):
        return name
    parts = list(_parameters(signature))
    result = signature.return_annotation
    end = ")" if result is signature.empty else f") -> {_annotation(result)}"
    line = f"{name}({', '.join(parts)}{end}"
    return line if len(line) <= 100 else f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + end


def _parameters(signature: inspect.Signature) -> Iterator[str]:
    starred = False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or parameter.kind in (parameter.VAR_POSITIONAL, parameter.KEYWORD_ONLY)
        stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL) + "**" * (
            parameter.kind is parameter.VAR_KEYWORD
        )
        kind = "" if parameter.annotation is parameter.empty else f": {_annotation(parameter.annotation)}"
        equals = " = " if kind else "="
        default = "" if parameter.default is parameter.empty else f"{equals}{parameter.default!r}"
        yield f"{stars}{parameter.name}{kind}{default}"


def _annotation(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
