"""Patterns recovered: what exporters write in many small layers becomes the one layer that was meant.

Each pattern looks at the layer that ends it, and back from there. It says which layers go and what comes in their
place; that nobody else reads what they compute is checked for all patterns alike.

    hard_swish   x * clip(x + 3, 0, 6) / 6                 layer_norm   a LayerNorm with its Scale and Bias
    swish        x * sigmoid(x)                            shuffle      (N,C) as (N,G,C/G), turned, and back
    gelu         x/2 * (1 + erf(x / sqrt(2)))              product      a matrix turned before a product
    gelu_tanh    the same by a tanh                        biased       a product by weights, and its bias
                                                           affine       one Power after another
    attention    products around a softmax                 heads        attention by heads, with its transposes
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isclose, pi, sqrt
from typing import Any

from ..engine.layer import Layer
from ..engine.net import Net
from ..engine.tensor import Dim, Spec
from .attention import attention, heads
from .pattern import Found, Pattern, View, named


def recovered(net: Net) -> Net:
    """The same function with every pattern in one layer."""
    while True:
        view = View(net)
        replaced: dict[int, list[Layer]] = {}
        gone: set[int] = set()
        for last in view.layers:
            for pattern in PATTERNS:
                found = pattern(view, last)
                if found is None or not view.alone(found[1], last):
                    continue
                touched = {id(layer) for layer in (*found[1], last)}
                if touched & (gone | set(replaced)):
                    break  # in the next round
                new = found[0]
                new[-1] = new[-1].replace(outputs=last.outputs, name=last.name)
                replaced[id(last)] = new
                gone |= {id(layer) for layer in found[1]}
                break
        if not replaced:
            return net
        kept = [n for layer in view.layers if id(layer) not in gone for n in replaced.get(id(layer), [layer])]
        net = net.replace(layers=kept)


def _scaled(last: Layer, kind: str, x: str, scale: float, **attributes: Any) -> list[Layer]:
    """scale * kind(x)"""
    if isclose(scale, 1, rel_tol=1e-6):
        return [named(last, kind, x, **attributes)]
    part = named(last, kind, x, part=kind.lower(), **attributes)
    return [part, named(last, "Power", part.name, scale=scale)]


def hard_swish(v: View, last: Layer) -> Found | None:
    for x, gate in v.pairs(last):
        curve = v.made(gate, "HardSigmoid")
        if curve is not None and curve.inputs[0] == x:
            return [named(last, "HardSwish", x, alpha=curve.alpha, beta=curve.beta)], [curve]
        clip = v.made(gate, "Clip", min=0.0)
        if clip is None or not 0 < clip.max < 1e6:
            continue
        source, scale, shift, inner = v.affine(clip.inputs[0])
        if source == x and inner:  # clip(s*x + b, 0, m) = m * clip(s/m * x + b/m, 0, 1)
            curves = {"alpha": scale / clip.max, "beta": shift / clip.max}
            return _scaled(last, "HardSwish", x, clip.max, **curves), [*inner, clip]
    return None


def swish(v: View, last: Layer) -> Found | None:
    for x, gate in v.pairs(last):
        curve = v.made(gate, "Sigmoid")
        if curve is None:
            continue
        if curve.inputs[0] == x:
            return [named(last, "Swish", x)], [curve]
        source, scale, shift, inner = v.affine(curve.inputs[0])
        if source == x and shift == 0 and inner:
            return [named(last, "Swish", x, beta=scale)], [*inner, curve]
    return None


def gelu(v: View, last: Layer) -> Found | None:
    """s*x * (c + c * erf(x / sqrt(2))) = 2 * s * c * gelu(x), wherever its half stands."""
    for factor, gate in v.pairs(last):
        x, outer, offset, first = v.affine(factor)
        curve, half, shift, second = v.affine(gate)
        erf = v.made(curve, "Unary", operation="erf")
        if erf is None or not isclose(half, shift, rel_tol=1e-5):
            continue
        source, scale, zero, third = v.affine(erf.inputs[0])
        if source == factor:  # its factor is not scaled, or is what the scaling made
            x, outer, offset, first = factor, 1.0, 0.0, []
        if source == x and offset == zero == 0 and isclose(scale, sqrt(0.5), rel_tol=1e-4):
            return _scaled(last, "GELU", x, 2 * half * outer), [*first, *second, erf, *third]
    return None


def gelu_tanh(v: View, last: Layer) -> Found | None:
    """s*x * (c + c * tanh(sqrt(2/pi) * (x + 0.044715 * x**3)))"""
    for factor, gate in v.pairs(last):
        x, outer, offset, first = v.affine(factor)
        curve, half, shift, second = v.affine(gate)
        tanh = v.made(curve, "TanH")
        if tanh is None or offset or not isclose(half, shift, rel_tol=1e-5):
            continue
        total, scale, zero, third = v.affine(tanh.inputs[0])
        sum_ = v.made(total, "Eltwise", operation="sum")
        if sum_ is None or zero or len(sum_.inputs) != 2 or sum_.coeff not in ((), (1.0, 1.0)):
            continue
        for plain, cubed in (sum_.inputs, sum_.inputs[::-1]):
            power, small, shifted, fourth = v.affine(cubed)
            cube = v.made(power, "Power", power=3.0, scale=1.0, shift=0.0)
            known = isclose(scale, sqrt(2 / pi), rel_tol=1e-3) and isclose(small, 0.044715, rel_tol=1e-3)
            if cube is not None and plain == cube.inputs[0] and known and not shifted:
                if plain == factor:
                    x, outer, first = factor, 1.0, []
                if plain == x:
                    gone = [*first, *second, tanh, *third, sum_, *fourth, cube]
                    return _scaled(last, "GELU", x, 2 * half * outer, approximate=True), gone
    return None


def layer_norm(v: View, last: Layer) -> Found | None:
    """A Scale or Bias by constants joins the normalisation before it, if it lies along the same axes."""
    if last.type not in ("Scale", "Bias") or any(v.number(name) is None for name in last.inputs[1:]):
        return None
    for kind in ("LayerNorm", "GroupNorm"):
        norm = v.made(last.inputs[0], kind)
        if norm is None:
            continue
        x = v.specs[norm.inputs[0]]
        axis = x.axis(norm.axis) if kind == "LayerNorm" else 1
        wanted = x.shape[axis:] if kind == "LayerNorm" else x.shape[1:2]
        given = [v.specs[name] for name in last.inputs[1:]]
        fits = x.axis(last.axis) == axis and all(s.shape == wanted for s in given)
        if not fits or any(isinstance(s, Dim) for s in wanted):
            continue
        inputs = [*norm.inputs, "", ""][:3]
        if last.type == "Scale" and not any(inputs[1:]):
            inputs[1 : len(last.inputs)] = last.inputs[1:]
        elif last.type == "Bias" and not inputs[2]:
            inputs[2] = last.inputs[1]
        else:
            continue
        return [norm.replace(inputs=inputs, name=last.name, outputs=[])], [norm]
    return None


def biased(v: View, last: Layer) -> Found | None:
    """A product by weights adds its bias itself."""
    if last.type != "Bias" or v.number(last.inputs[1]) is None:
        return None
    row = v.made(last.inputs[0], "InnerProduct", activation="")
    if row is None or any(row.inputs[2:]):
        return None
    y, b = v.specs[row.outputs[0]], v.specs[last.inputs[1]]
    if y.axis(last.axis) != y.ndim - 1 or b.shape != (y.shape[-1],):
        return None
    return [row.replace(inputs=[*row.inputs[:2], last.inputs[1]], name=last.name, outputs=[])], [row]


def shuffle(v: View, last: Layer) -> Found | None:
    """Channels in groups, turned, and in one row again."""
    if last.type not in ("Flatten", "Reshape") or last.inputs[0] not in v.writers:
        return None
    turn = v.made(last.inputs[0], "Permute")
    split = turn and v.made(turn.inputs[0], "Reshape")
    if (
        not turn
        or not split
        or turn.order[:3] != (0, 2, 1)
        or turn.order[3:] != tuple(range(3, len(turn.order)))
    ):
        return None
    before, middle, after = (v.specs[n] for n in (split.inputs[0], split.outputs[0], last.outputs[0]))
    if before.ndim < 3 or not _same(before, after) or middle.ndim != before.ndim + 1:
        return None
    if not _same_sizes(middle.shape[3:], before.shape[2:]) or str(middle.shape[0]) != str(before.shape[0]):
        return None
    group = middle.shape[1]
    if isinstance(group, Dim):
        return None
    return [named(last, "ShuffleChannel", split.inputs[0], group=int(group))], [split, turn]


def _same(a: Spec, b: Spec) -> bool:
    return _same_sizes(a.shape, b.shape)


def _same_sizes(a: Sequence[int], b: Sequence[int]) -> bool:
    return tuple(map(str, a)) == tuple(map(str, b))


def product(v: View, last: Layer) -> Found | None:
    """a @ b.T: the product turns b itself."""
    if last.type != "MatMul" or last.transpose_b:
        return None
    turn = v.made(last.inputs[1], "Permute")
    rank = len(turn.order) if turn else 0
    if not turn or turn.order != (*range(rank - 2), rank - 1, rank - 2):
        return None
    return [last.replace(inputs=[last.inputs[0], turn.inputs[0]], transpose_b=True)], [turn]


def affine(v: View, last: Layer) -> Found | None:
    """(b2 + s2 * (b1 + s1 * x)) ** p; where that is x, the layer that writes x writes y."""
    if last.type != "Power":
        return None
    before = v.writers.get(last.inputs[0])
    if (last.power, last.scale, last.shift) == (1, 1, 0) and before is not None and len(before.outputs) == 1:
        return [before], [before]
    x, scale, shift, inner = v.affine(last.inputs[0])
    if not inner:
        return None
    total = last.scale * scale
    total = 1.0 if isclose(total, 1, rel_tol=1e-6) else total
    joined = {"scale": total, "shift": last.shift + last.scale * shift, "power": last.power}
    return [named(last, "Power", x, **joined)], inner


PATTERNS: tuple[Pattern, ...] = (
    hard_swish,
    swish,
    gelu,
    gelu_tanh,
    layer_norm,
    biased,
    shuffle,
    product,
    affine,
    attention,
    heads,
)
