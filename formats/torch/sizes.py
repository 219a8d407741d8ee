"""Sizes that torch left open, as Dims: the N, H and W of a net.

torch.export writes every size of every tensor as an expression of a few symbols: `s53//2 + 1`. A symbol is one size of
an input; here it gets a name and the value that it has in the example. A layer that needs a number where there is such
an expression fixes its symbols: the walk is then done again with the example's numbers in their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...engine.errors import FbnetError
from ...engine.net import Net
from ...engine.tensor import Dim

LETTERS = ("N", "C", "H", "W")
GROWN = (
    lambda size: size + 32,
    lambda size: 2 * size,
)  # some nets want multiples of 32, some of what they have


class Fixed(Exception):
    """A size that may change was needed as a number, `by` a node; `symbols` are those that it is made of."""

    def __init__(self, symbols: Iterable[Any]):
        super().__init__()
        self.symbols = frozenset(symbols)
        self.by = ""


class Sizes:
    """What torch's symbols are called here, and what they are in the example.

    inputs   name -> the shape that torch traced: numbers, and SymInts of its own
    example  name -> the shape of the caller's example
    """

    def __init__(self, inputs: Mapping[str, Sequence[Any]], example: Mapping[str, Sequence[int]]):
        self.fixed: set[Any] = set()
        self.fixed_by: dict[Any, str] = {}  # symbol -> the node that needed it as a number
        self._names: dict[Any, str] = {}
        self._values: dict[Any, int] = {}
        self._sizes: dict[Any, int] = {}  # expression -> what it is here
        self._expressions: dict[str, Any] = {}  # text of a Dim -> what it is made of
        for name, shape in inputs.items():
            for axis, (size, usual) in enumerate(zip(shape, example[name], strict=True)):
                self._meet(size, axis, len(shape), int(usual))

    def _meet(self, size: Any, axis: int, rank: int, usual: int) -> None:
        """Name the symbol that is this size of an input. One that is only part of a size keeps torch's number."""
        if not _is_symbolic(size):
            return
        expression = size.node.expr
        for symbol in expression.free_symbols - self._values.keys():
            if symbol == expression:
                letter = LETTERS[axis] if rank == 4 or axis == 0 else f"D{axis}"
                taken = set(self._names.values())
                self._names[symbol] = letter if letter not in taken else f"{letter}{len(taken)}"
                self._values[symbol] = usual
            else:
                self.fixed.add(symbol)

    def stuck(self, net: Net) -> frozenset[Any]:
        """The symbols of sizes that a net does not stand when they change, though torch had no objection.

        A linear layer behind an image's pixels allows (28, 28), and (29, 30) where pooling rounds down; not others.
        """
        found: set[Any] = set()
        for axes in ((0,), range(1, 9)):
            dims = {
                (name, axis): size
                for name, spec in net.inputs.items()
                for axis, size in enumerate(spec.shape)
                if axis in axes and isinstance(size, Dim)
            }
            if dims and not any(_fits(net, {k: f(int(s)) for k, s in dims.items()}) for f in GROWN):
                found |= {
                    symbol for size in dims.values() for symbol in self._expressions[size.text].free_symbols
                }
        return frozenset(found)

    def fix(self, symbols: Iterable[Any], by: str = "") -> bool:
        """From now on these are the example's numbers, as `by` needs them. False if they are already."""
        new = set(symbols) - self.fixed
        self.fixed |= new
        self.fixed_by |= dict.fromkeys(new, by)
        self._sizes.clear()
        self._expressions.clear()
        return bool(new)

    def why(self, size: Any) -> str:
        """Why a size of an input, as torch has it, is a number here."""
        symbols = size.node.expr.free_symbols if _is_symbolic(size) else ()
        by = [self.fixed_by[s] for s in symbols if self.fixed_by.get(s)]
        who = f"{by[0]} needs it as a number" if by else "torch traced the module for it"
        return f"{who}: convert with an example of another size"

    def of(self, size: Any) -> int:
        """A size as torch has it, as an int or a Dim."""
        return self.size(size.node.expr) if _is_symbolic(size) else int(size)

    def size(self, expression: Any) -> int:
        """An expression as an int or a Dim."""
        if isinstance(expression, int):
            return expression
        if expression not in self._sizes:
            self._sizes[expression] = self._made(expression)
        return self._sizes[expression]

    def expression(self, size: int) -> Any:
        """The expression that a Dim was made of, with what is fixed as numbers; None if it was made by a layer."""
        return self._expressions.get(size.text) if isinstance(size, Dim) else size

    def shape(self, sizes: Iterable[Any]) -> tuple[int, ...]:
        """Every size of a shape."""
        return tuple(self.of(size) for size in sizes)

    def number(self, value: Any) -> float | bool:
        """A number that torch computes from sizes, like a scale: only known when they are. Raises Fixed."""
        expression = value.node.expr
        loose = expression.free_symbols - self.fixed
        if loose:
            raise Fixed(loose)
        known = expression.subs(self._known(expression))
        return bool(known) if known.is_Boolean else float(known)

    def fixing(self, sizes: Iterable[Any]) -> Fixed:
        """The exception to raise when these have to be numbers."""
        found = [
            self._expressions[s.text].free_symbols
            for s in sizes
            if getattr(s, "text", "") in self._expressions
        ]
        return Fixed(frozenset().union(*found))

    def _made(self, expression: Any) -> int:
        import sympy

        known = self._known(expression)
        value = int(expression.subs(known))
        loose = expression.free_symbols - self.fixed
        if not loose:
            return value
        settled = expression.subs({s: v for s, v in known.items() if s in self.fixed})
        letters = {s: sympy.Symbol(self._names[s], integer=True, positive=True) for s in loose}
        dim = Dim(str(settled.subs(letters)), value)
        self._expressions[dim.text] = settled
        return dim

    def _known(self, expression: Any) -> dict[Any, int]:
        """The example's numbers for the symbols of an expression."""
        return {s: self._values[s] for s in expression.free_symbols}


def _is_symbolic(size: Any) -> bool:
    return hasattr(size, "node") and hasattr(size.node, "expr")


def _fits(net: Net, sizes: Mapping[tuple[str, int], int]) -> bool:
    """Whether the layers of a net fit together when its inputs have these sizes along these axes."""
    shapes = {
        name: [sizes.get((name, axis), int(size)) for axis, size in enumerate(spec.shape)]
        for name, spec in net.inputs.items()
    }
    try:
        net.specs(shapes)
    except FbnetError:
        return False
    return True
