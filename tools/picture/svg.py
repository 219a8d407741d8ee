"""A graph as SVG: cards, lines with the shapes that they carry, frames around repeated blocks, a legend.

The picture follows the reader's light or dark setting, names nothing outside itself, and says in <title> what is cut
short on a card. Colours are classes, so that a page that holds the picture can give it its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from ..show import printable
from . import palette
from .graph import Edge, Frame, Graph, Node, counted
from .layout import Box, Layout, Point, layout

MARGIN = 28
LINE = 17  # pixels from a card's line of text to the next
FONT = "Inter, system-ui, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif"
LONGEST_NAME = 30  # characters of a name on a card; its title has all of them


def svg(graph: Graph, style: bool = True, legend: bool = True) -> str:
    """The picture. Without `style`, for a page that brings its own. Raises InputError if there is too much of it."""
    devices = {node.device for node in graph.nodes} - {""}
    planned = bool(devices) if style else len(devices) > 1  # a page says itself that all runs on one device
    found = layout(graph, {node.key: _size(node) for node in graph.nodes})
    parts = [_lines(graph, found)]
    parts += [_frame(frame, found) for frame in graph.frames]
    parts += [_card(node, found.boxes[node.key], planned) for node in graph.nodes]
    keys, key_width = _legend(graph, planned) if legend else ("", 0.0)
    width = max(found.width, key_width) + 2 * MARGIN
    height = found.height + 2 * MARGIN + (44 if legend else 0)
    shift = MARGIN + max(0.0, (key_width - found.width) / 2)
    drawn = f'<g transform="translate({shift:.1f} {MARGIN})">{"".join(parts)}</g>'
    if legend:
        drawn += f'<g transform="translate({(width - key_width) / 2:.1f} {height - 34:.1f})">{keys}</g>'
    name = safe(graph.name)
    about = f"{name}: {len(graph.nodes)} cards, from inputs at the top to outputs at the bottom"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" class="net" role="img" aria-label="{about}">'
        f"<title>{name}</title>{f'<style>{css()}</style>' if style else ''}"
        f'{"""<rect class="page" width="100%" height="100%"/>""" if style else ""}{drawn}</svg>\n'
    )


def css() -> str:
    """The picture's style, light and dark."""

    def colours(i: int) -> str:
        rules = [
            f".page{{fill:{palette.PAGE[i]}}}.card{{fill:{palette.CARD[i]};stroke:{palette.BORDER[i]}}}",
            f"text{{fill:{palette.TEXT[i]}}}.m{{fill:{palette.MUTED[i]}}}.label{{stroke:{palette.PAGE[i]}}}",
            f".heat{{fill:{palette.RED[i]}}}.frame{{stroke:{palette.MUTED[i]}}}.badge{{fill:{palette.MUTED[i]}}}.times{{fill:{palette.PAGE[i]}}}",
        ]
        for kind, names in (("f", palette.FAMILY), ("v", palette.DEVICE), ("t", palette.DTYPE)):
            for name in names:
                colour = palette.of(names, name)[i]
                rules.append(
                    f".{kind}-{name}{{stroke:{colour}}}"
                    if kind == "t"
                    else f".{kind}-{name}{{fill:{colour}}}"
                )
        return "".join(rules)

    shapes = (
        f"text{{font:12px {FONT}}}.b{{font-weight:600;font-size:13px}}.s{{font-size:11px}}"
        ".wire{fill:none;stroke-width:1.6;stroke-opacity:.75}.label{font-size:10.5px;stroke-width:4;paint-order:stroke;"
        "stroke-linejoin:round;text-anchor:middle;font-variant-numeric:tabular-nums}"
        ".frame{fill:none;stroke-width:1.2;stroke-dasharray:5 4}.times{font-weight:700;text-anchor:middle}"
        f".t-other{{stroke:{palette.GREY[0]}}}.v-none{{fill:{palette.GREY[0]};fill-opacity:.35}}"
        f".f-end{{fill:{palette.GREY[0]}}}"
    )
    return f"{shapes}{colours(0)}@media(prefers-color-scheme:dark){{{colours(1)}}}"


def safe(text: str) -> str:
    """Text of a file's, for XML: escaped, and without the characters that XML forbids."""
    return escape(printable(text.encode("utf-8", "replace").decode()), quote=True)


def shortened(text: str, longest: int = LONGEST_NAME) -> str:
    """A name with its middle left out, where it is long: ends tell names apart."""
    return text if len(text) <= longest else f"{text[: longest // 2 - 1]}…{text[-longest // 2 :]}"


def text_width(text: str, size: float) -> float:
    """About how wide a line is, in pixels; a little too wide rather than too narrow."""
    ems = 0.0
    for c in text:
        narrow, wide = c in "iljtfrI.,:;|!'()[]/ ", c in "mwMWN@%—"
        ems += 1.0 if ord(c) > 0x2E7F else 0.36 if narrow else 0.9 if wide else 0.7 if c.isupper() else 0.585
    return ems * size


def _texts(node: Node) -> list[tuple[str, str, float]]:
    """The lines of a card below its first: (text, class, font size)."""
    lines = [(node.facts, "m s", 11.0)] if node.facts else []
    if node.kernel:
        where = f"{node.kernel} · {node.device}" if node.device != node.kernel else node.kernel
        lines.append((shortened(where, 40), "m s", 11.0))
    return lines


def _size(node: Node) -> tuple[float, float]:
    first = text_width(node.type, 13) + 8 + text_width(shortened(node.name), 12)
    width = max([first, *(text_width(text, size) for text, _, size in _texts(node))]) + 28
    return max(width, 84.0), 34.0 + LINE * len(_texts(node))


def _card(node: Node, box: Box, planned: bool) -> str:
    end = node.family == "end"
    kind = f"v-{_known(palette.DEVICE, node.device)}" if planned and not end else f"f-{node.family}"
    lines = [
        f'<text class="m s" x="14" y="{21 + LINE * (i + 1)}">{safe(text)}</text>'
        for i, (text, _, _) in enumerate(_texts(node))
    ]
    radius = 17 if end else 7
    stripe = (
        ""
        if end
        else f'<path class="{kind}" d="M6,0h-1a5,5 0 0 0 -5,5v{box.height - 10:.0f}a5,5 0 0 0 5,5h1z"/>'
    )
    about = " ".join(filter(None, (node.type, node.name, node.facts, node.kernel, node.device)))
    gap = text_width(node.type, 13) + 22
    heat = max(0.0, box.width - 20) * node.share
    bar = (
        f'<rect class="heat" x="12" y="{box.height - 4:.1f}" width="{heat:.1f}" height="2.5" rx="1"/>'
        if heat > 1
        else ""
    )
    return (
        f'<g class="node" id="{node.key}" transform="translate({box.x:.1f} {box.y:.1f})"><title>{safe(about)}</title>'
        f'<rect class="card" width="{box.width:.1f}" height="{box.height:.1f}" rx="{radius}"/>{stripe}'
        f'<text class="b" x="14" y="22">{safe(node.type)}</text>'
        f'<text class="m" x="{gap:.1f}" y="22">{safe(shortened(node.name))}</text>{"".join(lines)}{bar}</g>'
    )


def _known(names: Mapping[str, object], name: str) -> str:
    return name if name in names else "none"


def _lines(graph: Graph, found: Layout) -> str:
    """Every edge, and every tensor's shape once: at its writer, or at the reader if the writer has several outputs."""
    leaving: dict[str, dict[str, Edge]] = defaultdict(dict)
    coming: dict[str, dict[tuple[str, str], Edge]] = defaultdict(dict)
    for edge in graph.edges:
        leaving[edge.source].setdefault(edge.tensor, edge)
        coming[edge.target].setdefault((edge.source, edge.tensor), edge)
    drawn, labels, labelled = [], [], set()
    for edge in graph.edges:
        points = list(found.paths[edge])
        outs = sorted(leaving[edge.source].values(), key=lambda e: found.paths[e][1][0])
        ins = sorted(coming[edge.target].values(), key=lambda e: found.paths[e][-2][0])
        points[0] = _port(
            points[0], [e.tensor for e in outs].index(edge.tensor), len(outs), found.boxes[edge.source]
        )
        last = [(e.source, e.tensor) for e in ins].index((edge.source, edge.tensor))
        points[-1] = _port(points[-1], last, len(ins), found.boxes[edge.target])
        if len(points) == 2 and abs(points[0][0] - points[1][0]) < 7:  # all but straight: straight
            x = points[1 if len(outs) == 1 else 0][0]
            points = [(x, points[0][1]), (x, points[1][1])]
        kind = f"t-{edge.dtype if edge.dtype in palette.DTYPE else 'other'}"
        drawn.append(f'<path class="wire {kind}" d="{_curve(points)}"/>')
        if (edge.source, edge.tensor) not in labelled:
            labelled.add((edge.source, edge.tensor))
            x, y = points[0] if len(outs) == 1 else points[-1]
            y += 26 if len(outs) == 1 else -10
            about = f"{safe(edge.label)}<title>{safe(edge.tensor)}</title>"
            labels.append(f'<text class="m label" x="{x:.1f}" y="{y:.1f}">{about}</text>')
    return "".join(drawn + labels)


def _port(point: Point, index: int, count: int, box: Box) -> Point:
    """Where the line number `index` of `count` meets a card's edge: side by side around its middle."""
    apart = min(18.0, box.width * 0.7 / count)
    return point[0] + (index - (count - 1) / 2) * apart, point[1]


def _curve(points: Sequence[Point]) -> str:
    """A line through points that leaves and meets each of them upright."""
    text = f"M{points[0][0]:.1f},{points[0][1]:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        half = (y0 + y1) / 2
        straight = abs(x0 - x1) < 0.5
        text += f"V{y1:.1f}" if straight else f"C{x0:.1f},{half:.1f} {x1:.1f},{half:.1f} {x1:.1f},{y1:.1f}"
    return text


def _frame(frame: Frame, found: Layout) -> str:
    boxes = [found.boxes[key] for key in frame.keys]
    left, top = min(b.x for b in boxes) - 11, min(b.y for b in boxes) - 11
    right, bottom = max(b.x + b.width for b in boxes) + 11, max(b.y + b.height for b in boxes) + 11
    blocks = [f"{names[0]} … {names[-1]}" for names in frame.names]
    return (
        f'<g><title>{safe("; ".join(blocks))}</title><rect class="frame" x="{left:.1f}" y="{top:.1f}" '
        f'width="{right - left:.1f}" height="{bottom - top:.1f}" rx="14"/><rect class="badge" x="{right - 34:.1f}" '
        f'y="{top - 11:.1f}" width="46" height="22" rx="11"/><text class="times" x="{right - 11:.1f}" '
        f'y="{top + 4.5:.1f}">× {frame.times}</text></g>'
    )


def _legend(graph: Graph, planned: bool) -> tuple[str, float]:
    """What the colours mean, of those that occur; and how wide that is."""
    x, parts = 0.0, []

    def entry(mark: str, text: str) -> None:
        nonlocal x
        parts.append(
            f'<g transform="translate({x:.1f} 0)">{mark}<text class="m s" x="24" y="9">{safe(text)}</text></g>'
        )
        x += 24 + text_width(text, 11) + 20

    inside = [node for node in graph.nodes if node.family != "end"]
    if planned:
        for device in counted([n.device for n in inside], palette.DEVICE):
            about = "host, by its numpy reference" if device == "host" else device
            entry(f'<rect class="v-{_known(palette.DEVICE, device)}" width="14" height="10" rx="3"/>', about)
        if any(not n.device for n in inside):
            entry('<rect class="v-none" width="14" height="10" rx="3"/>', "no work")
    else:
        for family in counted([n.family for n in inside], palette.FAMILY):
            entry(f'<rect class="f-{family}" width="14" height="10" rx="3"/>', family)
    for dtype in counted([edge.dtype for edge in graph.edges], palette.DTYPE):
        kind = dtype if dtype in palette.DTYPE else "other"
        entry(f'<path class="wire t-{kind}" d="M0,5h16" style="stroke-width:3"/>', dtype)
    return "".join(parts), x - 20


__all__ = ["Edge", "css", "safe", "shortened", "svg", "text_width"]
