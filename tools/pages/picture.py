"""A small picture for a layer's page, as SVG that follows the page's colours: its curve, or what goes in and out."""

from __future__ import annotations

import re
from html import escape
from inspect import cleandoc

import numpy as np

from ...engine.layer import Attribute, Elementwise, Layer

WIDTH, HEIGHT = 320, 160
REACH = 4.0  # the curve is drawn for -REACH <= x <= REACH


def picture(cls: type[Layer]) -> str:
    """One <svg> element in a figure."""
    body, about = _curve(cls) or _graph(cls)
    return (
        f'<figure class="layer"><svg viewBox="0 0 {WIDTH} {_height(body)}" role="img" aria-label="{escape(about)}">'
        f"{body}</svg></figure>"
    )


def _height(body: str) -> int:
    found = re.search(r'data-height="(\d+)"', body)
    return int(found[1]) if found else HEIGHT


def _curve(cls: type[Layer]) -> tuple[str, str] | None:
    """y over x of a layer that treats every number alike, with its attributes' defaults."""
    needed = any(a.default is Attribute.REQUIRED for a in cls.declared.values())
    if not issubclass(cls, Elementwise) or len(cls.parameters) != 1 or needed:
        return None
    x = np.linspace(-REACH, REACH, 257, dtype=np.float32)
    with np.errstate(all="ignore"):
        y = np.asarray(cls().reference(x), np.float64)
    high = float(np.clip(np.nanmax(np.where(np.isfinite(y), y, np.nan)), 1, REACH))
    low = float(np.clip(np.nanmin(np.where(np.isfinite(y), y, np.nan)), -REACH, -1))

    def across(v: float) -> float:
        return 20 + (v + REACH) / (2 * REACH) * (WIDTH - 40)

    def down(v: float) -> float:
        return 10 + (high - v) / (high - low) * (HEIGHT - 30)

    lines: list[list[str]] = [[]]
    for at, value in zip(x, y, strict=True):
        if np.isfinite(value) and low <= value <= high:
            lines[-1].append(f"{across(float(at)):.1f},{down(float(value)):.1f}")
        elif lines[-1]:
            lines.append([])
    axes = (
        f'<path class="axis" d="M20 {down(0):.1f}H{WIDTH - 20}M{across(0):.1f} 10V{HEIGHT - 20}"/>'
        + "".join(
            f'<text x="{across(v):.1f}" y="{down(0) + 13:.1f}" text-anchor="middle">{v}</text>'
            for v in (-4, -2, 2, 4)
        )
        + f'<text x="{across(0) - 5:.1f}" y="{down(1) + 4:.1f}" text-anchor="end">1</text>'
    )
    curve = "".join(f'<polyline class="curve" points="{" ".join(points)}"/>' for points in lines if points)
    return axes + curve, f"{cls.type}: y over x from -4 to 4"


def _graph(cls: type[Layer]) -> tuple[str, str]:
    """Its inputs to the left, its outputs to the right, each with the shape that the formula names."""
    first = cleandoc(cls.__doc__ or "").partition("\n")[0]
    shapes = dict(re.findall(r"(\w+): (\([^)]*\))", first))
    inputs = [*cls.parameters, *([f"*{cls.variadic}"] if cls.variadic else [])]
    outputs = list(cls.results) or ["any number"]
    rows = max(len(inputs), len(outputs))
    height = 30 * rows + 30
    middle = height / 2
    parts = [f'<g data-height="{height}">']
    parts.append(f'<rect class="box" x="115" y="{middle - 17:.0f}" width="90" height="34" rx="5"/>')
    size = 12 if len(cls.type) <= 13 else 9 if len(cls.type) <= 18 else 7
    parts.append(_label(160, middle + 4, "middle", cls.type, f' class="type" style="font-size: {size}px"'))
    for names, at, anchor, start, end in (
        (inputs, 5, "start", 78, 115),
        (outputs, WIDTH - 5, "end", 242, 205),
    ):
        bend = (start + end) / 2
        for row, name in enumerate(names):
            y = middle + 30 * (row - (len(names) - 1) / 2)
            dashed = ' stroke-dasharray="3 3"' if name in cls.optional else ""
            way = f"M{start} {y:.0f}C{bend:.0f} {y:.0f} {bend:.0f} {middle:.0f} {end} {middle:.0f}"
            parts.append(f'<path class="edge"{dashed} d="{way}"/>')
            parts.append(_label(at, y - 1, anchor, name))
            parts.append(_label(at, y + 9, anchor, shapes.get(name, ""), ' class="shape"'))
    about = f"{cls.type} reads {', '.join(inputs)} and writes {', '.join(outputs)}"
    return "".join([*parts, "</g>"]), about


def _label(x: float, y: float, anchor: str, text: str, more: str = "") -> str:
    return f'<text{more} x="{x}" y="{y:.0f}" text-anchor="{anchor}">{escape(text)}</text>'
