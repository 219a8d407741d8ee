"""The walk over a torch graph: node by node, the functions of `table` say what each ATen operator is in layers.

An operator's function gets the graph so far, its node, and the arguments of the torch operator: a Value for a tensor,
ints and Dims for sizes, Python's values for the rest. It adds layers and returns the Value of each result; see
`..graph`, which also says how problems are collected.
"""

from __future__ import annotations

import operator as python_operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...engine.custom import Placeholder, custom
from ...engine.dtype import dtypes
from ...engine.errors import FbnetError
from ...engine.tensor import Dim, Spec
from ..graph import MISTAKES, Graph
from ..value import Node, Unsupported, Value, dtype_name, spec_of
from .exported import Exported
from .fold import folded, is_constant
from .nodes import is_number, name_of, writes, written
from .sizes import Fixed, Sizes
from .table import BROADCASTING, ELEMENTWISE, LAST, SILENT, VIEWING, Operator, operators
from .tensors import name_of_dtype
from .view import Atom, Groups, View, alike, made, plain, with_last


class TorchGraph(Graph):
    """The net so far; see Graph. Values are kept by the names that torch's nodes get here: 'features.0.conv'."""

    def __init__(self, exported: Exported, sizes: Sizes, outputs: Sequence[str], titles: dict[str, str]):
        signature = exported.program.graph_signature
        constants = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        super().__init__({*titles.values(), *constants.values()}, outputs, budget=1 << 62)
        self.sizes = sizes
        self.titles = titles
        self.lists: dict[str, list[Value | None]] = {}  # results of nodes that have several
        self.carried_out: dict[str, Value] = {}  # view -> the tensor that has it in memory
        self.memory: dict[
            str, list[str]
        ] = {}  # name -> all the names of its memory, where that was written into
        self.parts: dict[tuple[str, int, int], list[Value]] = {}  # tensor, axis, count -> its equal parts

    def numbers(self, value: Value, what: str = "an input") -> np.ndarray:
        """The array of a constant; sizes in it become numbers, and the net is then for them alone."""
        if value.array is not None and value.array.dtype == object:
            if any(isinstance(size, Dim) for size in value.array.flat):
                raise self.sizes.fixing(value.array.flat)
            return value.array.astype(np.int64)
        return super().numbers(value, what)

    def number(self, size: int) -> int:
        """A size that has to be a number."""
        if isinstance(size, Dim):
            raise self.sizes.fixing([size])
        return size

    def constant(self, numbers: Any, like: Value | None = None) -> Value:
        """A Value of numbers made here; of `like`'s kind of numbers, if that is given."""
        array = np.asarray(numbers)
        if like is not None:
            array = array.astype(dtypes[dtype_name(like)].storage)
        return Value.of(self.fresh("constant"), array)

    # -- the walk ------------------------------------------------------------------------------------------

    def run(self, node: Any) -> None:
        """Express one torch node; what cannot be is a line in `problems`. Raises Fixed."""
        title = self.titles[node.name]
        kind, overload = name_of(node.target)
        if kind in SILENT or is_number(node.meta.get("val")):
            return
        if node.target is python_operator.getitem:
            self._bind_one(node, self.lists.get(self.titles[node.args[0].name], [])[node.args[1]])
            return
        described = Node(kind, title, (), (title,), {"overload": overload}, 0, node)
        self._node, before = described, len(self.layers)
        known = overload in operators or kind in operators
        try:
            unknown = not known and not is_constant(self, node)
            if unknown and not (self.allow_custom and hasattr(node.target, "_schema")):
                raise Unsupported(f"there is no layer for {node.target}")
            args = [self.argument(a, kind) for a in node.args]
            named = {k: self.argument(a, kind) for k, a in node.kwargs.items()}
            if unknown:
                self._hold(node, described, self._kept(node, kind, args, named), before)
                return
            result = folded(self, node, args, named)
            function = operators.get(overload) or operators.get(kind)
            if result is not None or function is None:
                self._hold(node, described, result, before)
            else:
                self._apply(node, described, function, args, named)
            if writes(written(node.target)):
                self._share(self.titles[node.args[0].name], title)
        except Fixed as needed:
            needed.by = str(described)
            raise
        except (Unsupported, *MISTAKES) as error:
            known_error = isinstance(error, (Unsupported, FbnetError))
            if not isinstance(error, _Behind):
                text = str(error) if known_error else f"{type(error).__name__}: {error}"
                self.problems.append(f"{described}: {text}")
            self._shadow(node)

    def _kept(self, node: Any, kind: str, args: Sequence[Any], named: dict[str, Any]) -> Any:
        """An operator that nobody knows, as a layer for a registration to come: tensors in, the rest attributes."""
        names = [a.name for a in node.target._schema.arguments]
        given = dict(zip(names, args, strict=False)) | named
        tensors = [plain(self, v) for v in given.values() if isinstance(v, Value)]
        rest = {k: v for k, v in given.items() if v is not None and not isinstance(v, Value)}
        type = kind.rpartition("::")[2].partition(".")[0]
        count = len(node.meta["val"]) if isinstance(node.meta["val"], (list, tuple)) else 1
        outputs = [self.fresh(f"{self.titles[node.name]}/{type}{i or ''}") for i in range(count)]
        wired = [self._wire(t) for t in tensors]
        layer = custom(type, *wired, name=outputs[0], outputs=outputs, attributes=rest)
        if isinstance(layer, Placeholder):
            self.customs.append(type)
        made = self._appended(layer, [spec_of(t) for t in tensors])
        return made if isinstance(node.meta["val"], (list, tuple)) else made[0]

    def _share(self, target: str, title: str) -> None:
        """A node wrote into its operand: all names of that memory stand for the result from now on."""
        names = self.memory.setdefault(target, [target])
        names.append(title)
        self.memory[title] = names
        for name in names:
            self.values[name] = self.values[title]

    def argument(self, given: Any, kind: str) -> Any:
        """An argument of a node as the function of an operator of this kind takes it."""
        if isinstance(given, (list, tuple)):
            return [self.argument(a, kind) for a in given]
        if not hasattr(given, "meta") or not hasattr(given, "op"):
            return given
        meta = given.meta.get("val")
        if is_number(meta):
            symbolic = hasattr(meta, "node")
            if symbolic and type(meta).__name__ == "SymInt":
                return self.sizes.of(meta)
            return self.sizes.number(meta) if symbolic else meta
        title = self.titles[given.name]
        if title not in self.values:
            raise _Behind
        value = self.values[title]
        if kind not in BROADCASTING:
            value = self.full(value, self.sizes.shape(meta.shape))
        return value if kind in VIEWING or kind in ELEMENTWISE or kind in LAST else plain(self, value)

    def _apply(
        self, node: Any, described: Node, function: Operator, args: list[Any], named: dict[str, Any]
    ) -> None:
        """Call an operator's function, on what a View has stored if that may be, and keep what it returns."""
        kind, before = described.type, len(self.layers)
        views = [a for a in args if isinstance(a, View)]
        shapes: tuple[Groups, Groups] | None = None
        if views and kind in ELEMENTWISE:
            tensors = [a for a in args if isinstance(a, Value)]
            if all(alike(t, views[0]) for t in tensors):
                shapes = views[0].atoms, views[0].groups
                args = [a.stored if isinstance(a, View) else a for a in args]
        elif (
            views
            and kind in LAST
            and views == [args[0]]
            and not any(isinstance(v, View) for v in named.values())
        ):
            count = LAST[kind](*args)
            stored, rest = with_last(self, args[0], count)
            new = tuple(
                (Atom(s),)
                for s in map(self.sizes.expression, self.sizes.shape(node.meta["val"].shape[-count:]))
            )
            shapes = (*rest, *new), (*args[0].groups[:-count], *new)
            args = [stored, *args[1:]]
        if shapes is None and kind not in VIEWING:
            args = [plain(self, a) if isinstance(a, Value) else a for a in args]
        if shapes is None or isinstance(node.meta["val"], (list, tuple)):
            self._hold(node, described, function(self, described, *args, **named), before)
            return
        stored_name = f"{described.name}/stored"
        result: Any = function(self, described, *args, **named)
        self._bind(replace(described, outputs=(stored_name,)), [result], before)
        self._bind_one(node, made(self, self.values[stored_name], *shapes))

    def full(self, value: Value, shape: Sequence[int]) -> Value:
        """`value` in the shape that torch says it has, where `expand` left sizes of 1."""
        if value.shape == tuple(shape):
            return value
        if value.array is not None and not any(isinstance(s, Dim) for s in shape):
            array = np.broadcast_to(value.array, tuple(shape))
            return Value.of(self.fresh(f"{value.name}/full"), array)
        if value.array is not None:
            raise self.sizes.fixing(shape)
        wanted = [1 if str(have) == str(s) else s for have, s in zip(value.shape, shape, strict=True)]
        return self.add("Expand", value, shape=[self.number(s) for s in wanted])

    def _hold(self, node: Any, described: Node, results: Any, before: int) -> None:
        """Bind a node's results, and see that their shapes are torch's."""
        metas = node.meta["val"]
        if not isinstance(metas, (list, tuple)):
            self._bind(described, [results], before)
            self._bind_one(node, self.values[described.name])
            return
        made = [value for value in results if value is not None]
        names = [described.name if len(made) == 1 else f"{described.name}.{i}" for i in range(len(made))]
        self._bind(replace(described, outputs=tuple(names)), made, before)
        bound = iter(self.values[name] for name in names)
        self.lists[described.name] = [
            None if value is None else self._sized(next(bound), meta)
            for value, meta in zip(results, metas, strict=False)
        ]

    def _bind_one(self, node: Any, value: Value | None) -> None:
        """Keep one tensor under its node's name. What a failed node would have made is not there."""
        if value is None:
            self._shadow(node)
        else:
            self.values[self.titles[node.name]] = self._sized(value, node.meta["val"])

    def _sized(self, value: Value, meta: Any) -> Value:
        """`value` with its sizes written as torch does, so that equal ones are seen to be equal."""
        shape = self.sizes.shape(meta.shape)
        fits = len(shape) == value.rank and all(
            int(a) == int(b) or (not isinstance(a, Dim) and a == 1)
            for a, b in zip(value.shape, shape, strict=True)
        )
        if not fits:
            raise Unsupported(f"gives {list(value.shape)} where torch has {list(shape)}: report this")
        if value.array is not None or isinstance(value, View):
            return value
        sized = [a if int(a) != int(b) else b for a, b in zip(value.shape, shape, strict=True)]
        return replace(value, spec=value.spec.replace(shape=sized))

    def _shadow(self, node: Any) -> None:
        """A failed node's results as torch describes them, so that the walk goes on and finds other problems."""
        title, meta = self.titles[node.name], node.meta.get("val")
        many = isinstance(meta, (list, tuple))
        made: list[Value | None] = []
        for one in meta if many else [meta]:
            try:
                spec = Spec(self.sizes.shape(one.shape), name_of_dtype(one.dtype))
                made.append(Value(title, spec))
            except (Unsupported, KeyError, *MISTAKES):  # its size is not known before the net runs
                made.append(None)
        if many:
            self.lists[title] = made
        elif made[0] is not None:
            self.values[title] = made[0]


class _Behind(Unsupported):
    """A node behind one that failed: nothing more can be said about it."""
