"""What `fbnet quantize` writes about a model: ranges with histograms, errors, what stayed in fp32 and why."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.errors import InputError
from ..engine.quantize.quality import tensor_errors
from ..engine.quantize.quantizer import Made
from ..engine.quantize.ranges import Histogram

BARS = 40  # of a histogram
_SHADES = " ▁▂▃▄▅▆▇█"


def report_of(made: Made) -> dict[str, Any]:
    """All of it, JSON-like."""
    errors = {e.name: e for e in tensor_errors(made.fp32, made.body, made.samples)}
    tensors = []
    for name, q in made.quantizations.items():
        seen, (scale,), (zero,) = made.seen[name].histogram, q.scale, q.zero
        error = errors.get(name)
        tensors.append(
            {
                "tensor": name, "low": seen.low, "high": seen.high, "scale": scale, "zero": zero,
                "int8_low": (-128 - zero) * scale, "int8_high": (127 - zero) * scale,
                "clamped": clamped_share(seen, (-128 - zero) * scale, (127 - zero) * scale),
                "histogram": coarse(seen), "sqnr_db": error.sqnr_db if error else None,
                "cosine": error.cosine if error else None,
            }
        )  # fmt: skip
    types = {layer.name: layer.type for layer in made.exact}
    return {
        "name": made.net.name, "method": made.method, "quality": made.quality.described(), "told": str(made.quality),
        "float_share": made.float_share,
        "floats": [
            {"layer": name, "type": types[name], "share": made.shares.get(name, 0.0), "why": why}
            for name, why in made.floats.items()
        ],
        "candidates": [c.described() for c in made.candidates],
        "tensors": tensors,
    }  # fmt: skip


def clamped_share(h: Histogram, low: float, high: float) -> float:
    """Which part of the numbers lies outside."""
    step = (h.high - h.low) / len(h.counts)
    outside = (h.centers < low - step) | (h.centers > high + step)
    return float(h.counts[outside].sum() / max(1.0, h.counts.sum()))


def coarse(h: Histogram) -> list[float]:
    """The histogram in BARS bars, the highest 1, as square roots: tails are seen."""
    edges = np.linspace(0, len(h.counts), BARS + 1).astype(int)
    bars = np.sqrt([h.counts[a:b].sum() for a, b in pairwise(edges)])
    return [round(float(b), 3) for b in bars / max(bars.max(), 1.0)]


def write_report(found: dict[str, Any], path: Path) -> None:
    """Write it as Markdown or HTML, by the path's ending. Raises InputError."""
    writers = {".md": markdown, ".html": html}
    if path.suffix not in writers:
        raise InputError(f"{path}: a report is written as .md or .html")
    path.write_text(writers[path.suffix](found), "utf-8")


def _sections(found: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(heading, columns, rows) of each table."""
    floats = [[r["layer"], r["type"], f"{100 * r['share']:.2f} %", r["why"]] for r in found["floats"]]
    tried = [
        [r["layer"], f"{100 * r['error']:.2f} %", f"{1e6 * r['seconds']:.0f}", f"{100 * r['share']:.2f} %",
         "yes" if r["kept"] else ""]
        for r in found["candidates"]
    ]  # fmt: skip
    tensors = [
        [r["tensor"], f"{r['low']:.4g} to {r['high']:.4g}", f"{r['int8_low']:.4g} to {r['int8_high']:.4g}",
         f"{r['scale']:.4g}", str(r["zero"]), f"{100 * r['clamped']:.3f} %", _decibels(r["sqnr_db"]),
         "" if r["cosine"] is None else f"{r['cosine']:.5f}", _spark(r["histogram"])]
        for r in found["tensors"]
    ]  # fmt: skip
    sections = [("What stays in fp32", ["layer", "type", "of the multiply-adds", "because"], floats)]
    if tried:
        columns = ["layer", "its error alone", "int8 saves, us", "of the multiply-adds", "back to fp32"]
        sections.append(("Each layer alone in int8", columns, tried))
    columns = ["tensor", "seen", "int8 covers", "scale", "zero", "clamped", "SQNR, dB", "cosine", "numbers"]
    return [*sections, ("Tensors in int8", columns, tensors)]


def _decibels(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}" if isfinite(value) else "exact"


def _spark(bars: list[float]) -> str:
    return "".join(_SHADES[min(8, int(np.ceil(8 * b)))] for b in bars)


def _lines(found: dict[str, Any]) -> list[str]:
    share = f"{100 * found['float_share']:.2f} % of the multiply-adds stay in fp32"
    return [f"Ranges by {found['method']}; {share}.", f"Beside fp32: {found['told']}."]


def markdown(found: dict[str, Any]) -> str:
    """The report as Markdown."""
    parts = [f"# {found['name']} in int8", *_lines(found)]
    for heading, columns, rows in _sections(found):
        cells = [[c.replace("|", "\\|") for c in row] for row in rows]
        lines = ["| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *cells]]
        parts += [f"## {heading}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def html(found: dict[str, Any]) -> str:
    """The report as one page without anything from elsewhere."""
    body = [
        f"<h1>{escape(found['name'])} in int8</h1>",
        *(f"<p>{escape(line)}</p>" for line in _lines(found)),
    ]
    for heading, columns, rows in _sections(found):
        head = "".join(f"<th>{escape(c)}</th>" for c in columns)
        lines = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        body.append(f"<h2>{escape(heading)}</h2><table><tr>{head}</tr>{lines}</table>")
    style = (
        "body{font:14px system-ui;margin:2em;max-width:90em}table{border-collapse:collapse}"
        "td,th{padding:.2em .8em;text-align:left;border-bottom:1px solid #8884;white-space:nowrap}"
        "td:last-child{font-family:monospace}@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}"
    )
    title = f"<title>{escape(found['name'])} in int8</title>"
    return f'<!doctype html><html lang="en"><meta charset="utf-8">{title}<style>{style}</style>{"".join(body)}</html>\n'
