"""Channels that change places in blocks: ShuffleChannel, and Concat and Slice where parts do not fill their blocks.

Each is a table: which channel of x each channel of y is. A block of y takes lanes from a few blocks of x, one after the
other: a permutation in registers and a choice of lanes, place by place. The first part of one image lies at the start
of the whole: what the other lanes of its last block hold is nobody's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Stage, kernel
from ...engine.layout import BLOCKED
from ..concat import Concat, Slice
from ..reshape import ShuffleChannel
from . import simd

AT_ONCE = 4  # blocks of x in one pass over a block of y


def stage(
    call: Call, x: str, y: str, source: Sequence[int], lies: tuple[str, str, int] | None = None
) -> Stage:
    """y's channel c is x's channel source[c], or stays what it is where that is -1. `lies`: see Stage."""
    lanes = call.lanes
    full = np.full(-(-len(source) // lanes) * lanes, -1)
    full[: len(source)] = source
    blocks = full.reshape(-1, lanes)
    passes, numbers = [], []  # block of y, whether some of it stays, how many blocks of x, which
    for to, wanted in enumerate(blocks):
        seen = np.unique(wanted[wanted >= 0] // lanes)
        stays = (wanted < 0)[: len(source) - to * lanes].any()
        for first in range(0, len(seen), AT_ONCE):
            given = seen[first : first + AT_ONCE]
            of_pass = np.resize(given, AT_ONCE)
            passes.append([to, stays or first > 0, len(given), *of_pass])
            here = (
                (wanted >= 0)
                & (wanted // lanes == of_pass[:, None])
                & (np.arange(AT_ONCE) < len(given))[:, None]
            )
            numbers.append(np.where(here, wanted - of_pass[:, None] * lanes, -1))
    n, _, *rest = call.shape(y)
    return Stage(
        dict(
            x=call.flat(x), y=call.flat(y), passes=Packed(np.array(passes, np.int64).reshape(-1, 3 + AT_ONCE)),
            numbers=Packed(np.array(numbers, np.int32).reshape(-1, lanes)), images=n, places=prod(rest),
            from_blocks=call.stored(x)[1], to_blocks=len(blocks),
        ),
        lies=lies if n == 1 else None,
    )  # fmt: skip


def bind_shuffle(call: Call) -> Stage:
    channels, group = call.shape("x")[1], call.layer.group
    return stage(call, "x", "y", np.arange(channels).reshape(group, -1).T.reshape(-1))


def bind_concat(call: Call) -> list[Stage]:
    stages, first = [], 0
    for name in _parts(call, "xs"):
        count = call.shape(name)[1]
        source = np.full(call.shape("y")[1], -1)
        source[first : first + count] = np.arange(count)
        stages.append(stage(call, name, "y", source, None if first else (name, "y", 0)))
        first += count
    return stages


def bind_slice(call: Call) -> list[Stage]:
    stages, first = [], 0
    for name in _parts(call, "y"):
        count = call.shape(name)[1]
        stages.append(
            stage(call, "x", name, np.arange(first, first + count), None if first else (name, "x", 0))
        )
        first += count
    return stages


def _parts(call: Call, prefix: str) -> list[str]:
    return [name for name in call.specs if name.startswith(prefix) and name[len(prefix) :].isdigit()]


def floats(call: Call, name: str) -> bool | str:
    return call.specs[name].dtype.name == "fp32" or f"{name} is {call.specs[name].dtype}"


def ragged(whole: str, prefix: str):
    """The predicate of parts of the channel axis that are no parts in memory."""

    def predicate(call: Call) -> bool | str:
        if call.specs[whole].axis(call.layer.axis) != 1 or call.specs[whole].ndim < 2:
            return "its axis is not the channels'"
        if all(call.shape(name)[1] % call.lanes == 0 for name in _parts(call, prefix)[:-1]):
            return "its parts fill their blocks"
        return floats(call, whole)

    return predicate


PARTS_IN, PARTS_OUT = {"*xs": BLOCKED, "y": BLOCKED}, {"x": BLOCKED, "*": BLOCKED}


@kernel(
    ShuffleChannel, device="cpu", when=lambda call: floats(call, "x"), bind=bind_shuffle, score=1.5,
    layouts={"x": BLOCKED, "y": BLOCKED},
)  # fmt: skip
@kernel(Concat, device="cpu", when=ragged("y", "xs"), bind=bind_concat, score=1.5, layouts=PARTS_IN)
@kernel(Slice, device="cpu", when=ragged("x", "y"), bind=bind_slice, score=1.5, layouts=PARTS_OUT)
def move_channels(x, y, passes, numbers, images, places, from_blocks, to_blocks, ith, nth):
    """Threads share the places of every block."""
    vector = simd.LANES * 4
    size = places * vector
    begin, end = places * ith // nth * vector, places * (ith + 1) // nth * vector
    for image in range(images):
        source = simd.address(x) + image * from_blocks * size
        for number in range(passes.shape[0]):
            to = simd.address(y) + (image * to_blocks + passes[number, 0]) * size
            count = passes[number, 2]
            a, b = source + passes[number, 3] * size, source + passes[number, 4] * size
            c, d = source + passes[number, 5] * size, source + passes[number, 6] * size
            lanes = simd.address(numbers) + number * AT_ONCE * vector
            from_a, from_b = simd.load(lanes), simd.load(lanes + vector)
            from_c, from_d = simd.load(lanes + 2 * vector), simd.load(lanes + 3 * vector)
            before = to if passes[number, 1] else a
            if count == 1:
                for at in range(begin, end, vector):
                    simd.store(to + at, simd.pick(simd.load(before + at), simd.load(a + at), from_a))
            elif count == 2:
                for at in range(begin, end, vector):
                    t = simd.pick(simd.load(before + at), simd.load(a + at), from_a)
                    simd.store(to + at, simd.pick(t, simd.load(b + at), from_b))
            else:
                for at in range(begin, end, vector):
                    t = simd.pick(simd.load(before + at), simd.load(a + at), from_a)
                    t = simd.pick(t, simd.load(b + at), from_b)
                    t = simd.pick(t, simd.load(c + at), from_c)
                    simd.store(to + at, simd.pick(t, simd.load(d + at), from_d))
