"""Repeated blocks of a net: layers that are followed by the same layers again, wired the same way.

Two layers are alike if their type and attributes are, and if each of their inputs is a constant in both, or is written
equally far back, or is one and the same tensor (as a mask that every block reads). Shapes may differ.
"""

from __future__ import annotations

from ...engine.net import Net
from .graph import Repeat

LONGEST = 64  # layers of a block that is looked for
WORTH = 6  # layers that a fold leaves out, at least: else it costs more attention than it saves


def repeats(net: Net) -> list[Repeat]:
    """Blocks that repeat, the ones that save the most first found; in the order of the layers, never overlapping."""
    links = _links(net)
    taken = [False] * len(net)
    found: list[Repeat] = []
    for repeat in sorted(_candidates(net, links), key=lambda r: (-(r.times - 1) * r.length, r.length)):
        places = range(repeat.start, repeat.stop)
        worth = (repeat.times - 1) * repeat.length >= WORTH
        if worth and _closed(net, repeat, links) and not any(taken[i] for i in places):
            found.append(repeat)
            for i in places:
                taken[i] = True
    return sorted(found, key=lambda r: r.start)


def _closed(net: Net, repeat: Repeat, links: list[list[Link]]) -> bool:
    """Whether the blocks hand on only what their last layer makes, and share only what was there before them all."""
    written = {o for layer in net.layers[repeat.start : repeat.stop - 1] for o in layer.outputs}
    readers = net.layers[repeat.stop :]
    if not written.isdisjoint(net.outputs) or any(not written.isdisjoint(r.inputs) for r in readers):
        return False
    return all(
        back == before or index - back < repeat.start
        for index in range(repeat.start + repeat.length, repeat.stop)
        for (back, _), (before, _) in zip(links[index], links[index - repeat.length], strict=True)
    )


Link = tuple[int, str]  # how many layers back an input was written, and its name; (0, '') for a constant


def _links(net: Net) -> list[list[Link]]:
    writers = {name: index - len(net.inputs) for index, name in enumerate(net.inputs)}
    writers |= {output: index for index, layer in enumerate(net.layers) for output in layer.outputs}
    return [
        [(0, "") if i in net.constants or not i else (index - writers[i], i) for i in layer.inputs]
        for index, layer in enumerate(net.layers)
    ]


def _candidates(net: Net, links: list[list[Link]]) -> list[Repeat]:
    """For every length of a block: every run of layers that equal those so far back, cut where it is the simplest."""
    crossing = _crossing(net)
    kinds = [(layer.type, tuple(layer.attributes.items())) for layer in net.layers]
    found: list[Repeat] = []
    for length in range(2, min(LONGEST, len(net) // 2) + 1):
        run = 0
        for index in range(length, len(net) + 1):
            before = index - length
            if (
                index < len(net)
                and kinds[index] == kinds[before]
                and _alike(links[index], links[before], length)
            ):
                run += 1
                continue
            if run >= length:
                found.append(_cut(index - run - length, run + length, length, crossing))
            run = 0
    return found


def _alike(one: list[Link], other: list[Link], apart: int) -> bool:
    if len(one) != len(other):
        return False
    pairs = zip(one, other, strict=True)
    return all(
        a[0] == b[0] or (a[1] == b[1] and a[0] > apart)  # there before either block
        for a, b in pairs
    )


def _crossing(net: Net) -> list[int]:
    """Before each layer: how many tensors have been written that are still to be read."""
    last: dict[str, int] = {}
    for index, layer in enumerate(net.layers):
        last |= dict.fromkeys(layer.inputs, index)
    last |= dict.fromkeys(net.outputs, len(net))
    changes = [0] * (len(net) + 2)
    for index, layer in enumerate(net.layers):
        for output in layer.outputs:
            if last.get(output, -1) > index:
                changes[index + 1] += 1
                changes[last[output] + 1] -= 1
    counts = [0]
    for change in changes[1:]:
        counts.append(counts[-1] + change)
    return counts


def _cut(start: int, count: int, length: int, crossing: list[int]) -> Repeat:
    """The blocks within `count` layers from `start` on, begun where the fewest tensors go in."""
    begins = range(start, min(start + length, start + count - 2 * length + 1))
    begin = min(begins, key=lambda b: (crossing[b], -((start + count - b) // length), b))
    return Repeat(begin, length, (start + count - begin) // length)
