"""What the nodes of a torch graph are called: their operators' names, and the modules that they were traced in."""

from __future__ import annotations

import operator as python_operator
from collections.abc import Sequence
from typing import Any


def is_number(meta: Any) -> bool:
    """Whether a node computes a size, or a number from sizes: torch has done that already."""
    return isinstance(meta, (int, float, bool)) or type(meta).__name__ in ("SymInt", "SymFloat", "SymBool")


def name_of(target: Any) -> tuple[str, str]:
    """('add', 'add.Tensor') of an ATen operator; ('', ...) of what is none."""
    name = getattr(target, "name", None)
    text = name() if callable(name) else str(target)
    namespace, _, rest = text.partition("::")
    if not rest:
        return "", getattr(target, "__name__", text)
    kind = rest.split(".")[0]
    if namespace != "aten":
        return text, text
    if writes(kind):
        return kind[:-1], rest.replace(kind, kind[:-1], 1)
    return kind, rest


def writes(kind: str) -> bool:
    """Whether an operator writes into its operand: 'relu_'."""
    return kind.endswith("_") and not kind.endswith("__")


def written(target: Any) -> str:
    """An operator's name as torch has it, without its overload."""
    name = getattr(target, "name", None)
    return name().split("::")[-1].split(".")[0] if callable(name) else ""


def titles_of(nodes: Sequence[Any]) -> dict[str, str]:
    """torch node -> what it is called here: the module that computes it, and the operator where that has several."""
    called = [n for n in nodes if n.op == "call_function"]
    works = [
        n for n in called if not is_number(n.meta.get("val")) and n.target is not python_operator.getitem
    ]
    kinds: dict[str, set[str]] = {}
    for n in works:
        kinds.setdefault(_place(n), set()).add(_kind(n))
    titles: dict[str, str] = {}
    taken: set[str] = set()
    for n in nodes:
        place = _place(n)
        if n.op != "call_function":
            wanted = n.name
        elif place and len(kinds.get(place, ())) == 1:
            wanted = place
        else:
            wanted = f"{place}.{_kind(n)}" if place else _kind(n)
        title, number = wanted, 1
        while title in taken:
            title, number = f"{wanted}_{number}", number + 1
        taken.add(title)
        titles[n.name] = title
    return titles


def _kind(node: Any) -> str:
    """What a node is called after its operator."""
    return name_of(node.target)[0].rpartition("::")[2].strip("_") or node.name


def _place(node: Any) -> str:
    """The path of the innermost module that a node was traced in: 'features.0.conv'; '' for the outermost."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = str(stack[-1][0]) if stack else ""
    return "" if path.startswith("_empty") else path
