"""Views: what reshaping and transposing do, kept as arithmetic until somebody needs the numbers in that order.

A tensor that was viewed, permuted, viewed again is a stored tensor whose axes are cut into atoms, and the groups of
atoms that its own axes are made of:

    x (N,C,H,W) as (N,2,C/2,H,W), axes 1 and 2 exchanged, as (N,C,H,W) again
    stored atoms    [N] [2 C/2] [H] [W]
    groups          [N] [C/2 2] [H] [W]

However long the chain was, carrying it out is at most one split, one Permute and one join, of which only the Permute is
work; here it is a ShuffleChannel. Layers that treat all numbers alike, or only look along the last axis, work on the
stored tensor, and their result is a view again: most transposes of a transformer meet their inverse that way. Sizes are
torch's own expressions, so that (17, 4*N, 16) is seen to be (17, N, 4, 16) for every N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ...engine.tensor import Dim
from ..shape import reshaped
from ..value import Value, same_size

if TYPE_CHECKING:
    from .graph import TorchGraph


@dataclass(frozen=True, eq=False)
class Atom:
    """A piece of an axis; `size` is a number or an expression. Two pieces are the same if they are one object."""

    size: Any


Groups = tuple[tuple[Atom, ...], ...]


@dataclass(frozen=True, eq=False)
class View(Value):
    """A tensor that is `stored` in another order; see above. Axes of size 1 have no atoms."""

    stored: Value | None = None
    atoms: Groups = ()
    groups: Groups = ()


def view_of(g: TorchGraph, x: Value) -> View | None:
    """`x` as a view of itself; None if its sizes are not known as expressions."""
    if isinstance(x, View):
        return x
    sizes = [g.sizes.expression(s) for s in x.shape]
    if any(s is None for s in sizes):
        return None
    atoms = tuple(() if s == 1 else (Atom(s),) for s in sizes)
    return View(x.name, x.spec, None, x, atoms, atoms)


def made(g: TorchGraph, stored: Value, atoms: Groups, groups: Groups) -> Value:
    """The tensor with these groups; the stored one itself if they are just its axes."""
    if list(atoms) == list(groups):
        return stored
    shape = tuple(g.sizes.size(_product(group)) for group in groups)
    return View(g.fresh(f"{stored.name}/view"), stored.spec.replace(shape=shape), None, stored, atoms, groups)


def _product(group: Sequence[Atom]) -> Any:
    result: Any = 1
    for atom in group:
        result = result * atom.size
    return result


def permuted_view(g: TorchGraph, x: View, order: Sequence[int]) -> Value:
    """x with its axes in another order."""
    assert x.stored is not None
    return made(g, x.stored, x.atoms, tuple(x.groups[a] for a in order))


def reshaped_view(g: TorchGraph, x: View, sizes: Sequence[Any]) -> Value | None:
    """x in another shape, which torch says it fits; None if an axis would have to be cut where that cannot be said."""
    rest = [atom for group in x.groups for atom in group]
    cuts: dict[Atom, tuple[Atom, Atom]] = {}
    groups: list[tuple[Atom, ...]] = []
    for size in sizes:
        group: list[Atom] = []
        while size != 1:
            if not rest:
                return None
            atom = rest[0]
            if (left := _quotient(size, atom.size)) is not None:
                group.append(rest.pop(0))
                size = left
            elif (inner := _quotient(atom.size, size)) is not None:
                cuts[atom] = Atom(size), Atom(inner)
                rest[:1] = cuts[atom]
            else:
                return None
        groups.append(tuple(group))
    assert x.stored is not None
    return None if rest else made(g, x.stored, tuple(_cut(axis, cuts) for axis in x.atoms), tuple(groups))


def _quotient(a: Any, b: Any) -> Any:
    """a / b where that is a whole number for whatever the symbols stand for, else None."""
    if isinstance(a, int) and isinstance(b, int):
        return a // b if a % b == 0 else None
    if a == b:
        return 1
    import sympy

    try:
        result = sympy.cancel(sympy.sympify(a) / b)
        if result.is_Rational:
            return int(result) if result.is_Integer else None
        whole = sympy.fraction(result)[1] == 1 and all(c.is_integer for c in sympy.Poly(result).coeffs())
    except sympy.PolynomialError:
        return None
    return result if whole else None


def _cut(axis: Sequence[Atom], cuts: dict[Atom, tuple[Atom, Atom]]) -> tuple[Atom, ...]:
    """An axis with every atom that was cut replaced by its pieces."""
    found: list[Atom] = []
    for atom in axis:
        found += _cut(cuts[atom], cuts) if atom in cuts else [atom]
    return tuple(found)


# -- carrying it out --------------------------------------------------------------------------------------------


def plain(g: TorchGraph, x: Value) -> Value:
    """x as a tensor of the net, its numbers in the order that its shape says; done once."""
    if not isinstance(x, View):
        return x
    if x.name not in g.carried_out:
        assert x.stored is not None
        g.carried_out[x.name] = _carried_out(g, x.stored, x.atoms, x.groups)
    return g.carried_out[x.name]


def _carried_out(g: TorchGraph, stored: Value, atoms: Groups, groups: Groups) -> Value:
    atoms, groups = _whole(atoms, groups)
    if (shuffle := _shuffle(atoms, groups)) is not None:
        return g.add("ShuffleChannel", stored, group=shuffle)
    if (block := _block(atoms, groups)) is not None:
        return g.add("DepthToSpace", stored, block=block, mode="CRD")
    flat = [a for axis in atoms for a in axis]
    wanted = [a for group in groups for a in group]
    order = [flat.index(a) for a in wanted]
    shape = [g.sizes.size(_product(group)) for group in groups]
    if order == list(range(len(order))) and _moved(stored.shape, shape) < 2:
        return reshaped(g, stored, shape)
    x = stored
    for axis in reversed(range(len(atoms))):  # cut every axis into its atoms, from the last: no place moves
        pieces = [g.sizes.size(a.size) for a in atoms[axis]]
        if len(pieces) != 1:
            x = g.add("Reshape", x, shape=_one_left_over(g, pieces), axis=axis, num_axes=1)
    if order != list(range(len(order))):
        x = g.add("Permute", x, order=order)
    for axis in range(len(groups)):  # join them again, from the first: what is in front is done
        if len(groups[axis]) > 1:
            x = g.add("Flatten", x, axis=axis, end_axis=axis + len(groups[axis]) - 1)
        elif not groups[axis]:
            x = g.add("Reshape", x, shape=(1,), axis=axis, num_axes=0)
    return x


def _moved(old: Sequence[int], new: Sequence[int]) -> int:
    """How many sizes that may change lie between the first and the last axis of `new` that is not as in `old`."""
    same = [i for i, (a, b) in enumerate(zip(old, new, strict=False)) if not same_size(a, b)]
    first = same[0] if same else min(len(old), len(new))
    back = [i for i, (a, b) in enumerate(zip(old[::-1], new[::-1], strict=False)) if not same_size(a, b)]
    last = len(new) - (back[0] if back else 0)
    return sum(isinstance(s, Dim) for s in new[first:last])


def _one_left_over(g: TorchGraph, sizes: Sequence[int]) -> list[int]:
    """Sizes for a Reshape: one of them may change, and is what is left over."""
    open_ones = [i for i, s in enumerate(sizes) if isinstance(s, Dim)]
    return [-1 if open_ones[:1] == [i] else g.number(s) for i, s in enumerate(sizes)]


def _whole(atoms: Groups, groups: Groups) -> tuple[Groups, Groups]:
    """The same view, with pieces of an axis that stayed side by side as one."""
    behind = {a: b for group in groups for a, b in pairwise(group)}
    joined: dict[Atom, Atom] = {}  # first piece -> all of them
    dropped: set[Atom] = set()
    for axis in atoms:
        run: list[Atom] = []
        for atom in (*axis, None):
            if run and (atom is None or behind.get(run[-1]) is not atom):
                if len(run) > 1:
                    joined[run[0]] = Atom(_product(run))
                    dropped.update(run[1:])
                run = []
            if atom is not None:
                run.append(atom)
    renew = lambda many: tuple(tuple(joined.get(a, a) for a in few if a not in dropped) for few in many)  # noqa: E731
    return renew(atoms), renew(groups)


def _shuffle(atoms: Groups, groups: Groups) -> int | None:
    """The groups of a channel shuffle, if that is all a view does: axis 1 in two, which change places."""
    if len(atoms) < 2 or len(atoms) != len(groups) or len(atoms[1]) != 2:
        return None
    others = [a for i, a in enumerate(atoms) if i != 1] == [a for i, a in enumerate(groups) if i != 1]
    swapped = groups[1] == atoms[1][::-1]
    size = atoms[1][0].size
    return size if others and swapped and isinstance(size, int) else None


def _block(atoms: Groups, groups: Groups) -> int | None:
    """The block of a pixel shuffle: (N, C r r, H, W) -> (N, C, H r, W r)."""
    if len(atoms) != 4 or len(groups) != 4 or [len(a) for a in atoms] not in ([1, 3, 1, 1], [0, 3, 1, 1]):
        return None
    (c, down, right), (h,), (w,) = atoms[1:]
    fits = (*groups,) == (atoms[0], (c,), (h, down), (w, right))
    return down.size if fits and down.size == right.size and isinstance(down.size, int) else None


# -- layers that work on what is stored -------------------------------------------------------------------------


def alike(a: Value, b: Value) -> bool:
    """Whether two views are read in the same way: what combines them element by element may combine what is stored."""
    if not isinstance(a, View) or not isinstance(b, View) or a.stored is None or b.stored is None:
        return False
    places = [{atom: i for i, atom in enumerate(x for axis in v.atoms for x in axis)} for v in (a, b)]
    sizes = [[[atom.size for atom in axis] for axis in v.atoms] for v in (a, b)]
    order = [[[places[i][atom] for atom in group] for group in v.groups] for i, v in enumerate((a, b))]
    return sizes[0] == sizes[1] and order[0] == order[1]


def with_last(g: TorchGraph, x: View, count: int) -> tuple[Value, Groups]:
    """(x stored with its last `count` axes in their place, the atoms of its other axes): those are in any order."""
    assert x.stored is not None
    last = x.groups[len(x.groups) - count :]
    if list(x.atoms[len(x.atoms) - count :]) == list(last):
        return x.stored, x.atoms[: len(x.atoms) - count]
    inside = {a for group in last for a in group}
    rest = tuple(group for axis in x.atoms if (group := tuple(a for a in axis if a not in inside)))
    return plain(g, made(g, x.stored, x.atoms, (*rest, *last))), rest


def selected(g: TorchGraph, x: View, axis: int, index: int) -> Value | None:
    """x[index] along an axis that is the outer piece of a stored one: a part of what is stored. None if it is not."""
    if x.stored is None or len(x.groups[axis]) > 1:
        return None
    if not x.groups[axis]:
        return made(g, x.stored, x.atoms, (*x.groups[:axis], *x.groups[axis + 1 :]))
    (atom,) = x.groups[axis]
    place = next(i for i, pieces in enumerate(x.atoms) if atom in pieces)
    inner = _product(x.atoms[place][1:])
    if x.atoms[place][0] is not atom or not isinstance(atom.size, int) or not isinstance(inner, int):
        return None
    key = (x.stored.name, place, atom.size)
    if key not in g.parts:
        points = [inner * i for i in range(1, atom.size)]
        g.parts[key] = g.add("Slice", x.stored, outputs=atom.size, axis=place, points=points)
    atoms = tuple(pieces[1:] if i == place else pieces for i, pieces in enumerate(x.atoms))
    return made(g, g.parts[key][index], atoms, (*x.groups[:axis], *x.groups[axis + 1 :]))
