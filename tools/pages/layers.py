"""A page for every layer type, from its class: formula, picture, attributes, kernels by device and dtype, source."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from itertools import product
from typing import Any

from ...engine.device import devices
from ...engine.errors import FbnetError
from ...engine.kernel import Kernel, kernels
from ...engine.layer import Attribute, Layer
from ...engine.layer import layers as types
from .docstring import code, markdown
from .picture import picture

Class = type[Layer]


def pages() -> dict[str, str]:
    """The index, layers.md, and layers/<Type>.md."""
    for name in devices:
        devices[name].load_kernels()
    return {"layers.md": _index(), **{f"layers/{cls.type}.md": _page(cls) for cls in every()}}


def families() -> dict[str, list[Class]]:
    """File of layers/ -> its layer types, as they stand there."""
    found: dict[str, list[Class]] = {}
    for cls in every():
        found.setdefault(cls.__module__.rsplit(".", 1)[-1], []).append(cls)
    return {name: found[name] for name in sorted(found)}


def every() -> list[Class]:
    """Every layer class of this package, by name."""
    ours = __name__.split(".")[0] + "."
    named = sorted(types, key=str.casefold)
    return [types[name] for name in named if types[name].__module__.startswith(ours)]


def formula(cls: Class) -> tuple[str, str]:
    """The first line of the class's docstring as (formula, shapes)."""
    first = inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]
    what, _, shapes = first.partition("    ")
    return what.strip(), shapes.strip()


def _index() -> str:
    rows = [
        "# Layers",
        f"{len(every())} types, each a class with a formula, a shape rule and a definition in numpy. "
        "Every device runs every layer; where it has no kernel of its own, by that definition.",
    ]
    for family, classes in families().items():
        rows += [f"## {family}", "| layer | formula | kernels |\n|---|---|---|"]
        rows[-1] += "".join(
            f"\n| [{cls.type}](layers/{cls.type}.md) | {code(_short(formula(cls)[0]))} "
            f"| {', '.join(_by_device(cls)) or 'reference'} |"
            for cls in classes
        )
    return "\n\n".join(rows) + "\n"


def _short(text: str) -> str:
    text = text.replace("|", "¦")  # a bar would end the table's cell
    return text if len(text) <= 70 else text[:69] + "…"


def _page(cls: Class) -> str:
    what, shapes = formula(cls)
    rest = inspect.cleandoc(cls.__doc__ or "").partition("\n")[2]
    parts = [f"# {cls.type}", f"```text\n{what}\n```", picture(cls)]
    parts += [f"Shapes: {code(shapes)}" if shapes else "", markdown(rest) if rest.strip() else ""]
    parts += ["## Inputs and outputs", _tensors(cls), "## Attributes", _attributes(cls)]
    parts += ["## Kernels", _kernels(cls)]
    if example := _example(cls):
        parts += ["## In Python", example]
    parts += ["## Source", _sources(cls)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _tensors(cls: Class) -> str:
    said = dict(re.findall(r"(\w+): (\([^)]*\))", formula(cls)[1]))
    rows = ["| tensor | | shape |", "|---|---|---|"]
    for name in cls.parameters:
        how = "optional input" if name in cls.optional else "input"
        rows.append(f"| {code(name)} | {how} | {code(said.get(name, ''))} |")
    if cls.variadic:
        rows.append(f"| {code('*' + cls.variadic)} | inputs, any number | |")
    for name in cls.results:
        rows.append(f"| {code(name)} | output | {code(said.get(name, ''))} |")
    if not cls.results:
        rows.append("| | outputs, any number | |")
    note = "\n\nThe output is the input's bytes under another shape: no work is done." if cls.alias else ""
    return "\n".join(rows) + note


def _attributes(cls: Class) -> str:
    if not cls.declared:
        return "None."
    rows = ["| name | kind | default |", "|---|---|---|"]
    for attribute in cls.declared.values():
        kind = f"{attribute.element.__name__}s" if attribute.element else attribute.kind.__name__
        required = attribute.default is Attribute.REQUIRED
        default = "required" if required else code(repr(attribute.default))
        rows.append(f"| {code(attribute.name)} | {kind} | {default} |")
    return "\n".join(rows)


def _of(cls: Class) -> list[Kernel]:
    found = [k for k in kernels.values() if k.layer == cls.type]
    return sorted(found, key=lambda k: (k.device, k.dtype, -k.score))


def _by_device(cls: Class) -> list[str]:
    """'cpu fp32', 'cuda fp32': where the layer has kernels of its own."""
    return list(dict.fromkeys(f"{k.device} {k.dtype}" for k in _of(cls)))


def _kernels(cls: Class) -> str:
    """Two tables: how many kernels by device and dtype, and which."""
    found = _of(cls)
    if cls.alias:
        return "None is needed."
    if not found:
        return "None: every device runs it by its definition in numpy, and says so with a `HostFallback`."
    dtypes = list(dict.fromkeys(k.dtype for k in found))
    rows = [f"| device | {' | '.join(dtypes)} |", f"|---|{'---|' * len(dtypes)}"]
    for name in sorted({k.device for k in found}):
        cells = [sum((k.device, k.dtype) == (name, dtype) for k in found) for dtype in dtypes]
        rows.append(f"| {name} | {' | '.join(_count(n) for n in cells)} |")
    rows += ["", "The highest score is tried first; a kernel may refuse.", ""]
    rows += ["| kernel | device | dtype | score | tensors in memory | file |", "|---|---|---|---|---|---|"]
    for k in found:
        lies = sorted({layout for layout in k.layouts.values()}) or ["plain"]
        name = k.name.split("/")[-1]
        rows.append(
            f"| {code(name)} | {k.device} | {k.dtype} | {k.score:g} | {', '.join(lies)} | {code(_file(k.function))} |"
        )
    return "\n".join(rows)


def _count(kernels: int) -> str:
    return f"{kernels} kernel{'s' * (kernels > 1)}" if kernels else "by reference"


def _example(cls: Class) -> str:
    """How one writes it: the tensors by name, the attributes that must be given; '' if that is not found."""
    given = [f'"{name}"' for name in cls.parameters if name not in cls.optional]
    given += [f'"{cls.variadic}0"', f'"{cls.variadic}1"'] if cls.variadic else []
    family = cls.__module__.split(".", 1)[1]
    for values in product(
        *(_tries(cls, a) for a in cls.declared.values() if a.default is Attribute.REQUIRED)
    ):
        needed = dict(values)
        try:
            cls(**needed)
        except FbnetError:
            continue
        written = [f"{name}={value!r}" for name, value in needed.items()]
        call = f'{cls.__name__}({", ".join([*given, *written])}, name="one")'
        return f"```python\nfrom fbnet.{family} import {cls.__name__}\n\nlayer = {call}\n```"
    return ""


def _tries(cls: Class, attribute: Attribute) -> list[tuple[str, Any]]:
    """Values that a required attribute may have; of text, those that the docstring has in quotes."""
    if attribute.kind is str:
        return [(attribute.name, word) for word in re.findall(r'"(\w+)"', cls.__doc__ or "")]
    plain = {int: 1, float: 1.0, bool: True, str: ""}
    if attribute.element is None:
        return [(attribute.name, plain[attribute.kind])]
    return [(attribute.name, (plain[attribute.element],) * length) for length in (2, 1, 3, 4, 6)]


def _sources(cls: Class) -> str:
    files: Iterable[str] = dict.fromkeys([_file(cls), *(_file(k.function) for k in _of(cls))])
    return "Definition and kernels: " + ", ".join(code(file) for file in files) + "."


def _file(thing: object) -> str:
    """The path in the repository of what a class or function is written in."""
    return f"{thing.__module__.split('.', 1)[-1].replace('.', '/')}.py"
