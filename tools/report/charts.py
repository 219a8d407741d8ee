"""The drawings of a report besides its graph: histograms, the arena, the run as one bar. All are SVG or plain HTML."""

from __future__ import annotations

from collections.abc import Sequence

from ...engine.plan import ARENA, Stored
from ..picture.graph import family_of
from ..picture.svg import safe, text_width
from .gather import Findings, Histogram

WIDE, HIGH = 1000, 340  # of the arena, without its axes
LEFT, BOTTOM = 64, 26


def size_text(nbytes: float) -> str:
    """Bytes for people: 512 B, 3.2 KiB, 41 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" or nbytes >= 100 else f"{nbytes:.3g} {unit}"
        nbytes /= 1024
    return f"{nbytes:.3g} GiB"


def time_text(us: float) -> str:
    """Microseconds for people."""
    return f"{us / 1e3:.3g} ms" if us >= 1000 else f"{us:.3g} µs"


def count_text(number: float) -> str:
    """A number of things for people: 950, 2.29 M."""
    for unit in ("", " k", " M"):
        if number < 1000:
            return f"{number:.3g}{unit}"
        number /= 1000
    return f"{number:.3g} G"


def histogram_svg(h: Histogram, kind: str) -> str:
    """Bars of equal width; the height is the square root of the count, so that tails are seen."""
    tallest = max(h.counts) ** 0.5 or 1.0
    step, high = 240 / len(h.counts), 56
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{high - c**0.5 / tallest * high:.1f}" width="{step - 0.8:.1f}" '
        f'height="{c**0.5 / tallest * high:.1f}"/>'
        for i, c in enumerate(h.counts)
        if c
    )
    zero = ""
    if h.low < 0 < h.high:
        at = -h.low / (h.high - h.low) * 240
        zero = f'<path class="zero" d="M{at:.1f},0V{high}"/>'
    about = f"{safe(h.name)}: {safe(str(h.spec))} from {h.low:.4g} to {h.high:.4g}"
    return (
        f'<svg class="histogram {kind}" viewBox="0 0 240 {high}" role="img" aria-label="histogram of {about}" '
        f'preserveAspectRatio="none">{bars}{zero}</svg>'
    )


def run_bar(found: Findings) -> str:
    """One bar as long as the run, a piece a layer; those too thin to be seen are in the table below."""
    total = found.time_us or 1.0
    pieces = []
    for item in found.layers:
        share = item.visit.time_us / total
        if share >= 0.002:
            about = f"{item.visit.name} ({item.visit.layer.type}): {time_text(item.visit.time_us)}, {100 * share:.1f} %"
            name = safe(item.visit.name) if share > 0.05 else ""
            pieces.append(
                f'<a class="piece b-{family_of(item.visit.layer.type)}" href="#layer-{item.key}" '
                f'style="flex-grow:{1000 * share:.2f}" title="{safe(about)}" aria-label="{safe(about)}">{name}</a>'
            )
    return f'<div class="run">{"".join(pieces)}</div>'


def arena_svg(found: Findings) -> str:
    """The arena: steps from left to right, addresses from bottom to top, a box for every tensor while it is needed."""
    plan = found.plan
    last, total = max(1, len(plan.notes)), max(1, plan.arena_bytes)
    types = {item.visit.name: item.visit.layer.type for item in found.layers}
    boxes = [_box(stored, last, total, types) for stored in plan.stored if _own(stored)]
    ticks = []
    for quarter in range(5):
        y = HIGH * (1 - quarter / 4)
        ticks.append(
            f'<path class="grid" d="M{LEFT},{y:.0f}h{WIDE}"/><text class="m s" text-anchor="end" x="{LEFT - 8}" '
            f'y="{max(10, y + 4):.0f}">{size_text(total * quarter / 4)}</text>'
        )
    every = max(1, -(-last // 12))
    for time in range(0, last, every):
        x = LEFT + WIDE * (time + 1.5) / (last + 2)
        ticks.append(f'<text class="m s" text-anchor="middle" x="{x:.0f}" y="{HIGH + 18}">{time}</text>')
    about = f"{len(boxes)} blocks of memory over {last} layers in an arena of {size_text(total)}"
    return (
        f'<svg class="arena" viewBox="0 0 {LEFT + WIDE + 4} {HIGH + BOTTOM}" role="img" aria-label="{about}">'
        f"{''.join(ticks)}{''.join(boxes)}</svg>"
    )


def _own(stored: Stored) -> bool:
    return not stored.within and stored.place.region == ARENA and stored.nbytes > 0


def _box(stored: Stored, last: int, total: int, types: dict[str, str]) -> str:
    column = WIDE / (last + 2)
    x, width = LEFT + column * (stored.first + 1), column * (min(stored.last, last) - stored.first + 1)
    height = HIGH * stored.nbytes / total
    y = HIGH * (1 - (stored.place.offset + stored.nbytes) / total)
    name = stored.tensor or f"{stored.layer}: working memory"
    kind = "b-scratch" if not stored.tensor else f"b-{family_of(types.get(stored.layer, ''))}"
    layout = f"{stored.layout} " if stored.layout != "plain" else ""
    spec = f"{stored.spec} " if stored.tensor else ""
    about = f"{name}: {spec}{layout}{size_text(stored.nbytes)}, {stored.first} to {stored.last}"
    fits = height > 13 and text_width(name, 10) < width - 8
    text = (
        f'<text class="s in" x="{x + 5:.1f}" y="{y + min(height / 2 + 4, 16):.1f}">{safe(name)}</text>'
        if fits
        else ""
    )
    return (
        f'<g><title>{safe(about)}</title><rect class="block {kind}" x="{x + 0.5:.1f}" y="{y:.1f}" '
        f'width="{max(width - 1, 1):.1f}" height="{max(height, 0.7):.1f}" rx="{min(3, height / 3):.1f}"/>{text}</g>'
    )


def shared_bytes(stored: Sequence[Stored]) -> int:
    """What all blocks of the arena would take side by side."""
    return sum(s.nbytes for s in stored if _own(s))
