"""QuantizedEltwise on the cpu: two inputs in one pass over y; more of them by way of a float32 sum that is kept.

Inputs of one shape lie as they like, as long as they lie alike. One of two factors may be repeated along axes, as the
gate of a squeeze-and-excitation block is over its image.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import prod

import numpy as np

from ...engine.kernel import Call, Scratch, Stage, View, kernel
from ...engine.layout import BLOCKED, SAME
from ..quantized import QuantizedEltwise
from .broadcast import meet, place
from .rounding import limits_of, rounded


def together(a, b):
    return a + b


def larger(a, b):
    return a if a > b else b


def centred(x, x_zero, factor):
    """The real number that x stands for, in steps of y's scale."""
    return (np.float32(x) - x_zero) * factor


def one_shape(call: Call) -> bool | str:
    shapes = {call.shape(f"xs{i}") for i in range(len(call.layer.inputs))}
    return len(shapes) == 1 or f"shapes {', '.join(map(str, sorted(shapes)))} are to be broadcast"


def bind(call: Call) -> list[Stage]:
    layer = call.layer
    xs = [call.flat(f"xs{i}") for i in range(len(layer.inputs))]
    zeros, factors = map(float, layer.x_zero), layer.multiplier
    inputs = list(zip(xs, zeros, factors if len(factors) > 1 else factors * len(xs), strict=True))
    join = larger if layer.operation == "max" else together
    (a, a_zero, a_factor), (b, b_zero, b_factor) = inputs[:2]
    pair = dict(a=a, b=b, a_zero=a_zero, b_zero=b_zero, a_factor=a_factor, b_factor=b_factor)
    last = dict(y=call.flat("y")) | limits_of(call)
    if layer.operation == "prod":
        return [Stage(pair | last, ("a", "b", "y"), product)]
    if len(inputs) == 2:
        return [Stage(pair | last, ("a", "b", "y"), both(join))]
    room = Scratch(a.shape)
    stages = [Stage(pair | dict(room=room), ("a", "b", "room"), begun(join))]
    for x, x_zero, factor in inputs[2:]:
        more = dict(x=x, x_zero=x_zero, factor=factor, room=room)
        stages.append(Stage(more, ("x", "room"), one_more(join)))
    return [*stages, Stage(last | dict(room=room), ("y", "room"), finished)]


@cache
def both(join: Callable) -> Callable:
    """y of two inputs."""

    def join_two(a, b, y, a_zero, b_zero, a_factor, b_factor, low, high, zero):
        for i in range(y.size):
            v = join(centred(a[i], a_zero, a_factor), centred(b[i], b_zero, b_factor))
            y[i] = rounded(v, low, high, zero)

    return join_two


@cache
def begun(join: Callable) -> Callable:
    """What two inputs come to, before more are joined."""

    def join_first(a, b, room, a_zero, b_zero, a_factor, b_factor):
        for i in range(room.size):
            room[i] = join(centred(a[i], a_zero, a_factor), centred(b[i], b_zero, b_factor))

    return join_first


@cache
def one_more(join: Callable) -> Callable:
    def join_next(x, room, x_zero, factor):
        for i in range(room.size):
            room[i] = join(room[i], centred(x[i], x_zero, factor))

    return join_next


def finished(room, y, low, high, zero):
    for i in range(y.size):
        y[i] = rounded(room[i], low, high, zero)


def product(a, b, y, a_zero, b_zero, a_factor, low, high, zero):
    for i in range(y.size):
        v = (np.float32(a[i]) - a_zero) * (np.float32(b[i]) - b_zero) * a_factor
        y[i] = rounded(v, low, high, zero)


kernel(
    QuantizedEltwise, device="cpu", dtype="int8", bind=bind, when=one_shape, inplace=("xs0", "xs1"),
    layouts={"*xs": SAME, "y": SAME}, score=1.5, name="join",
)(both(together))  # fmt: skip


def factors_of(call: Call) -> dict:
    layer = call.layer
    (a_zero, b_zero), (factor,) = map(float, layer.x_zero), layer.multiplier
    return dict(a_zero=a_zero, b_zero=b_zero, factor=factor) | limits_of(call)


def is_product(call: Call) -> bool | str:
    return call.layer.operation == "prod" or f"operation is {call.layer.operation!r}"


def bind_repeated(call: Call) -> Stage:
    params, steps = meet(call, ("xs0", "xs1"))
    params |= dict(a=params.pop("xs0"), b=params.pop("xs1"))
    return Stage(params | factors_of(call), function=repeated(*steps))


@cache
def repeated(step_a: int, step_b: int) -> Callable:
    """The product of inputs that are repeated along some axes; see broadcast."""

    def product_of_repeated(
        a, b, y, sizes, steps, inner, a_zero, b_zero, factor, low, high, zero, ith, nth
    ):  # fmt: skip
        at, stop = y.size * ith // nth, y.size * (ith + 1) // nth
        while at < stop:
            row, begin = at // inner, at % inner
            end = min(inner, begin + stop - at)
            in_a, in_b = place(sizes, steps, row, 0), place(sizes, steps, row, 1)
            for i in range(begin, end):
                one = np.float32(a[in_a + i * step_a]) - a_zero
                v = one * (np.float32(b[in_b + i * step_b]) - b_zero) * factor
                y[at - begin + i] = rounded(v, low, high, zero)
            at += end - begin

    return product_of_repeated


kernel(
    QuantizedEltwise, device="cpu", dtype="int8", bind=bind_repeated, when=is_product, name="product_of_repeated"
)(repeated(1, 1))  # fmt: skip


def gate(call: Call) -> int | None:
    """Which input is an image's gate, one number a channel; None if none is."""
    shapes = [call.shape(f"xs{i}") for i in range(2)]
    for i, (one, other) in enumerate((shapes, shapes[::-1])):
        if len(one) == len(other) == 4 and one == (*other[:2], 1, 1):
            return i
    return None


def is_gated(call: Call) -> bool | str:
    if call.layer.operation != "prod" or gate(call) is None:
        return "it is no product of an image and a gate (N, C, 1, 1)"
    return True


def bind_gate(call: Call) -> dict:
    """The gate as (blocks, lanes), the image as (blocks, places, lanes)."""
    a = gate(call)
    n, c, *size = call.shape(f"xs{1 - a}")
    blocks = n * -(-c // call.lanes)
    image = (blocks, prod(size), call.lanes)
    (a_zero, b_zero) = (float(call.layer.x_zero[i]) for i in (a, 1 - a))
    params = dict(a=View(f"xs{a}", (blocks, call.lanes)), b=View(f"xs{1 - a}", image), y=View("y", image))
    return params | factors_of(call) | dict(a_zero=a_zero, b_zero=b_zero)


@kernel(
    QuantizedEltwise, device="cpu", dtype="int8", bind=bind_gate, when=is_gated,
    score=1.5, layouts={"*xs": BLOCKED, "y": BLOCKED},
)  # fmt: skip
def product_with_gate(a, b, y, a_zero, b_zero, factor, low, high, zero, ith, nth):
    """Threads share the places of all blocks."""
    blocks, places, lanes = y.shape
    for unit in range(blocks * places * ith // nth, blocks * places * (ith + 1) // nth):
        block, at = unit // places, unit % places
        for lane in range(lanes):
            one = np.float32(a[block, lane]) - a_zero
            v = one * (np.float32(b[block, at, lane]) - b_zero) * factor
            y[block, at, lane] = rounded(v, low, high, zero)
