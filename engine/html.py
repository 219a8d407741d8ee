"""What a notebook shows of a Net, a Plan and a Tensor: small tables in the notebook's own colours."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .net import Net
    from .plan import Plan
    from .tensor import Tensor

ROWS = 120  # of a table, at most
BARS = 40  # of a histogram


def net_html(net: Net) -> str:
    """The layers with what they write, their parameters and attributes."""
    specs = net.specs()
    rows = []
    for layer in net.layers[:ROWS]:
        weights = sum(net.constants[i].spec.size for i in layer.inputs if i in net.constants)
        changed = [f"{k}={v}" for k, v in layer.attributes.items() if v != layer.declared[k].default]
        writes = ", ".join(f"{o} {specs[o]}" for o in layer.outputs)
        rows.append([layer.name, layer.type, writes, f"{weights:,}" if weights else "", ", ".join(changed)])
    total = sum(c.spec.size for c in net.constants.values())
    title = f"{net.name}: {', '.join(f'{k} {v}' for k, v in net.inputs.items())} → {', '.join(net.outputs)}"
    heads = ["layer", "type", "writes", ">parameters", "attributes"]
    return _shown(title, f"{len(net)} layers, {total:,} parameters", heads, rows, len(net) - len(rows))


def plan_html(plan: Plan) -> str:
    """The steps with their kernels, and why those were chosen."""
    rows = [
        [s.layer, "/".join(s.kernel.split("/")[3:]) or s.kernel, str(s.threads), plan.notes.get(s.layer, "")]
        for s in plan.different_steps[:ROWS]
    ]
    heads = ["layer", "kernel", ">threads", "why"]
    first = str(plan).splitlines()[0]
    return _shown(f"{plan.net.name}: {first}", "", heads, rows, len(plan.different_steps) - len(rows))


def tensor_html(tensor: Tensor) -> str:
    """Name and spec; of a constant also its range, and how its numbers are spread."""
    title, data = f"<b>{_text(tensor.name)}</b> <code>{_text(str(tensor.spec))}</code>", tensor.data
    if data is None:
        return f"<div>{title}</div>"
    numbers = np.asarray(data, np.float64).ravel()
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return f"<div>{title} constant</div>"
    low, high = float(numbers.min()), float(numbers.max())
    about = f"{low:.4g} to {high:.4g}, mean {numbers.mean():.4g}, deviation {numbers.std():.4g}"
    counts = spread(numbers, BARS)
    tallest = max(counts)
    bars = "".join(
        f'<rect x="{6 * i}" y="{48 - 48 * c / tallest:.1f}" width="5" height="{48 * c / tallest:.1f}"/>'
        for i, c in enumerate(counts)
    )
    drawn = (
        f'<svg viewBox="0 0 {6 * BARS} 48" width="{6 * BARS}" height="48" role="img" aria-label="histogram" '
        f'style="display:block;fill:currentColor;opacity:.7">{bars}</svg>'
    )
    return f"<div>{title} constant<br/>{about}{drawn}</div>"


def spread(numbers: np.ndarray, bins: int) -> list[int]:
    """How many of some finite float64 numbers fall into each of equal bins from the smallest to the largest.

    By hand, since numpy's histogram refuses ranges that are too small to be cut.
    """
    low, high = numbers.min(), numbers.max()
    at = np.clip((numbers - low) / ((high - low) or 1.0) * bins, 0, bins - 1)
    return np.bincount(at.astype(np.int64), minlength=bins).tolist()


def _shown(title: str, about: str, heads: Sequence[str], rows: Sequence[Sequence[str]], more: int) -> str:
    """A title, and a table below it; a heading that begins with '>' is for numbers."""
    align = ["right" if head.startswith(">") else "left" for head in heads]

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            f'<{tag} style="text-align:{a}">{_text(t)}</{tag}>' for a, t in zip(align, texts, strict=True)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    head = f"<thead><tr>{cells('th', [h.removeprefix('>') for h in heads])}</tr></thead>"
    rest = f"<div>… and {more} more</div>" if more else ""
    return (
        f"<div><b>{_text(title)}</b><div>{_text(about)}</div>"
        f'<div style="max-height:28em;overflow:auto"><table>{head}<tbody>{body}</tbody></table></div>{rest}</div>'
    )


def _text(text: str) -> str:
    """Text of a file's: escaped, without control characters and lone surrogates."""
    return escape("".join(c if c.isprintable() else " " for c in text))
