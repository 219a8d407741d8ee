"""Where the cards of a graph lie: in layers, top to bottom, with lines as straight and as seldom crossing as may be.

Sugiyama, Tagawa, Toda 1981, in four steps: ranks by the longest way from an input; lines that pass a rank get a place
in it; the order within ranks by medians of neighbours (Gansner et al. 1993); x by least squares, keeping that order
and the gaps (each under the middle of its neighbours, as near as pool adjacent violators allows: Barlow et al. 1972).
Units are pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from ...engine.errors import InputError
from .graph import Edge, Graph

GAP_X, GAP_Y = 26, 46  # between cards; lines get by in GAP_LINE
GAP_LINE = 14
ROUNDS = 8  # sweeps down and up
STIFF, LOOSE = 4.0, 0.05  # how much harder a long line is to push aside than a card; and where it begins
MOST = 20_000  # places in ranks: a picture with more would help nobody

Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """A card's place: its left upper corner and size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True)
class Layout:
    """The boxes of the nodes by key, the points that each edge goes through, and the size of it all."""

    boxes: Mapping[str, Box]
    paths: Mapping[Edge, Sequence[Point]]
    width: float
    height: float


def layout(graph: Graph, sizes: Mapping[str, tuple[float, float]]) -> Layout:
    """Places for cards of these sizes. Raises InputError if there are too many."""
    ranks = _ranks(graph)
    rows, ways, links = _rows(graph, ranks)
    _order(rows, links)
    widths = {key: size[0] for key, size in sizes.items()}
    x = _columns(rows, links, widths)
    heights = [max((sizes[k][1] for k in row if k in sizes), default=0.0) for row in rows]
    tops = [sum(heights[:i]) + GAP_Y * i for i in range(len(rows))]
    left = min((x[k] - widths.get(k, 0.0) / 2 for k in x), default=0.0)
    boxes = {
        key: Box(x[key] - widths[key] / 2 - left, tops[ranks[key]], widths[key], sizes[key][1])
        for key in sizes
    }
    paths = {}
    for edge in graph.edges:
        a, b = boxes[edge.source], boxes[edge.target]
        points = [(a.middle, a.y + a.height)]
        for place in ways[edge]:
            rank = int(place.rsplit("|", 1)[1])
            points += [(x[place] - left, tops[rank]), (x[place] - left, tops[rank] + heights[rank])]
        paths[edge] = [*points, (b.middle, b.y)]
    width = max((x[k] + widths.get(k, 0.0) / 2 for k in x), default=0.0) - left
    return Layout(boxes, paths, width, sum(heights) + GAP_Y * (len(rows) - 1))


def _ranks(graph: Graph) -> dict[str, int]:
    """Key -> rank: one more than the highest that it reads; what reads nothing comes just before its readers."""
    before, after = defaultdict(list), defaultdict(list)
    for edge in graph.edges:
        before[edge.target].append(edge.source)
        after[edge.source].append(edge.target)
    ranks: dict[str, int] = {}
    for node in graph.nodes:  # in the order in which they run
        ranks[node.key] = 1 + max((ranks[k] for k in before[node.key] if k in ranks), default=-1)
    for node in reversed(graph.nodes):
        if len(before[node.key]) == 0 and after[node.key]:
            ranks[node.key] = max(0, min(ranks[k] for k in after[node.key]) - 1)
    return ranks


Links = dict[str, list[str]]  # place -> places of the neighbouring rank


def _rows(
    graph: Graph, ranks: Mapping[str, int]
) -> tuple[list[list[str]], dict[Edge, list[str]], tuple[Links, Links]]:
    """The places of every rank, those that each edge passes, and every place's neighbours above and below.

    Edges of one tensor share their places, so that they run as one line as long as they can.
    """
    rows: list[list[str]] = [[] for _ in range(max(ranks.values(), default=0) + 1)]
    for node in graph.nodes:
        rows[ranks[node.key]].append(node.key)
    up: Links = defaultdict(list)
    down: Links = defaultdict(list)
    ways: dict[Edge, list[str]] = {}
    known: set[str] = set()
    joined: set[tuple[str, str]] = set()
    for edge in graph.edges:
        way = [f"{edge.source}|{edge.tensor}|{r}" for r in range(ranks[edge.source] + 1, ranks[edge.target])]
        for place in way:
            if place not in known:
                known.add(place)
                rows[int(place.rsplit("|", 1)[1])].append(place)
        ways[edge] = way
        for a, b in zip([edge.source, *way], [*way, edge.target], strict=True):
            if (a, b) not in joined:
                joined.add((a, b))
                down[a].append(b)
                up[b].append(a)
        if len(known) + len(graph.nodes) > MOST:
            raise InputError(
                f"{graph.name} is too large to lay out: --fold, or --format mermaid or dot, draws it all the same"
            )
    return rows, ways, (up, down)


def _order(rows: list[list[str]], links: tuple[Links, Links]) -> None:
    """Sort every row by the medians of its neighbours' places, down and up, and keep the best of the rounds."""
    up, down = links
    best, fewest = [list(row) for row in rows], _crossings(rows, down)
    for turn in range(ROUNDS):
        if fewest == 0:
            break
        neighbours, sequence = (
            (up, range(1, len(rows))) if turn % 2 == 0 else (down, range(len(rows) - 2, -1, -1))
        )
        for index in sequence:
            other = rows[index - 1 if neighbours is up else index + 1]
            at = {place: i for i, place in enumerate(other)}
            here = {place: i for i, place in enumerate(rows[index])}
            rows[index].sort(key=lambda p: (_median([at[q] for q in neighbours[p]], here[p]), here[p]))
        crossings = _crossings(rows, down)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _median(values: Sequence[int], otherwise: float) -> float:
    ordered = sorted(values)
    if not ordered:
        return otherwise
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _crossings(rows: Sequence[Sequence[str]], down: Links) -> int:
    """How often lines between neighbouring rows cross."""
    total = 0
    for upper, lower in pairwise(rows):
        at = {place: i for i, place in enumerate(lower)}
        ends = [at[q] for p in upper for q in sorted(down[p], key=at.__getitem__)]
        total += _inversions(ends)
    return total


def _inversions(values: list[int]) -> int:
    """Pairs that stand in the wrong order; by merging."""
    if len(values) < 2:
        return 0
    half = len(values) // 2
    left, right = values[:half], values[half:]
    count = _inversions(left) + _inversions(right)
    merged, i = [], 0
    for value in right:
        while i < len(left) and left[i] <= value:
            merged.append(left[i])
            i += 1
        merged.append(value)
        count += len(left) - i
    values[:] = merged + left[i:]
    return count


def _columns(
    rows: Sequence[Sequence[str]], links: tuple[Links, Links], widths: Mapping[str, float]
) -> dict[str, float]:
    """Every place's middle x: near its neighbours', in order, and far enough from the next."""
    up, down = links
    gaps = {row[i]: _gap(row[i - 1], row[i], widths) for row in rows for i in range(1, len(row))}
    # a line is as good as a card where it is all that its card hands on; a short cut past other cards is not
    solid = {p for row in rows for p in row if p in widths or len(down[p.split("|", 1)[0]]) == 1}
    x: dict[str, float] = {}
    for row in rows:
        at = 0.0
        for place in row:
            at = x[place] = at + gaps.get(place, 0.0)
        for place in row:
            x[place] -= at / 2
    for turn in range(2 * ROUNDS + 1):  # the last goes down: a chain hangs straight from where it begins
        neighbours = up if turn % 2 == 0 else down
        for row in rows if neighbours is up else reversed(rows):
            wanted = [_wanted(place, x, neighbours[place], solid) for place in row]
            weights = [_weight(place, neighbours[place], widths) for place in row]
            offsets = list(accumulate((gaps.get(place, 0.0) for place in row), initial=0.0))[1:]
            level = _rising([w - o for w, o in zip(wanted, offsets, strict=True)], weights)
            x.update((p, v + o) for p, v, o in zip(row, level, offsets, strict=True))
    return x


def _wanted(place: str, x: Mapping[str, float], near: Sequence[str], solid: Container[str]) -> float:
    """Where a place would like to be: in the middle of the solid ones that it is joined to, else of all."""
    found = [x[other] for other in near if other in solid] or [x[other] for other in near]
    return sum(found) / len(found) if found else x[place]


def _weight(place: str, near: Sequence[str], widths: Mapping[str, float]) -> float:
    """How hard a place is to push aside: a long line is, but not where it leaves its card, beside the next one."""
    if place in widths:
        return 1.0
    return LOOSE if any(other in widths for other in near) else STIFF


def _gap(left: str, right: str, widths: Mapping[str, float]) -> float:
    """The distance of the middles of two neighbours at least."""
    lines = (left not in widths) + (right not in widths)
    return (widths.get(left, 0.0) + widths.get(right, 0.0)) / 2 + (GAP_X, GAP_X, GAP_LINE)[lines]


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The sequence that never falls and is nearest to `values` in weighted least squares."""
    pools: list[list[float]] = []  # mean, weight, count
    for value, weight in zip(values, weights, strict=True):
        pools.append([value, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (a, wa, na), (b, wb, nb) = pools[-2:]
            pools[-2:] = [[(a * wa + b * wb) / (wa + wb), wa + wb, na + nb]]
    return [mean for mean, _, count in pools for _ in range(int(count))]
