"""A layer's page in the report: what it is, what it did in this run, and what its numbers look like."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...engine.dtype import Quantization
from ...engine.layer import layers as types
from ...engine.tensor import Spec
from ..picture.graph import value_text
from ..picture.svg import safe
from .charts import count_text, histogram_svg, size_text, time_text
from .gather import Findings, Histogram, Layer
from .maps import Picture


def layer_page(item: Layer, found: Findings) -> str:
    """An <article>. data-words is what a search looks at."""
    visit, layer = item.visit, item.visit.layer
    words = " ".join([visit.name, layer.type, visit.kernel, *item.writes, *item.stands_for]).lower()
    head = (
        f'<header><h3 id="title-{item.key}">{safe(visit.name)} <span class="m">{safe(layer.type)}</span></h3>'
        '<span class="step"><button type="button" data-step="-1" aria-label="Previous layer">↑</button>'
        '<button type="button" data-step="1" aria-label="Next layer">↓</button></span></header>'
    )
    parts = [head, _meaning(layer.type), "<h4>This run</h4>", facts(_run(item, found))]
    if layer.attributes:
        parts += ["<h4>Attributes</h4>", facts(_attributes(item))]
    parts += [_image(picture) for picture in item.pictures]
    parts += [_distribution(h, "Weights", "w") for h in item.weights]
    parts += [_distribution(h, "Values of", "y") for h in item.results]
    name = f"{safe(visit.name)} · {safe(layer.type)}"
    return (
        f'<article class="layer" id="layer-{item.key}" data-name="{name}" data-words="{safe(words)}" '
        f'aria-labelledby="title-{item.key}">{"".join(parts)}</article>'
    )


def facts(told: Mapping[str, str]) -> str:
    """Terms and what is told of them, which is HTML already; nothing told, no term."""
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{value}</dd>" for name, value in told.items() if value)
    return f'<dl class="facts">{rows}</dl>'


def _meaning(type: str) -> str:
    """Formula and shapes, and, folded away, the rest of what the layer's class says."""
    lines = [line.removeprefix("    ") for line in (types[type].__doc__ or "").strip().splitlines()]
    formula = "\n".join(safe(part) for part in re.split(r"\s{3,}", lines[0])) if lines else ""
    rest = "\n".join(map(safe, lines[1:])).strip()
    more = f"<details><summary>What it is, in full</summary><pre>{rest}</pre></details>" if rest else ""
    return f"<pre>{formula}</pre>{more}"


def _run(item: Layer, found: Findings) -> dict[str, str]:
    visit = item.visit
    mean, low, high = item.statistics
    keys = {other.visit.name: other.key for other in found.layers}
    memory = [f"writes {size_text(sum(spec.nbytes for spec in item.writes.values()))}"]
    if item.weight_bytes:
        memory.append(f"weights {size_text(item.weight_bytes)}")
    told = {
        "reads": "<br>".join(_tensor(n, spec, keys.get(writer)) for n, (spec, writer) in item.reads.items()),
        "writes": "<br>".join(_tensor(n, spec) for n, spec in item.writes.items()),
        "stands for": safe(", ".join(item.stands_for)) if set(item.stands_for) - {visit.name} else "",
        "kernel": safe(item.kernel),
        "why": "<br>".join(map(safe, visit.why.split("; "))),
        "memory": ", ".join(memory),
        "values": f"mean |y| {mean:.4g}, from {low:.4g} to {high:.4g}",
    }
    if visit.kernel:
        share, plural = 100 * visit.time_us / (found.time_us or 1.0), "s" * (visit.threads > 1)
        told["time"] = (
            f"{time_text(visit.time_us)}, {share:.1f} % of the run, on at most {visit.threads} thread{plural}"
        )
    if visit.macs:
        told["rate"] = f"{visit.gflops:.1f} GFLOP/s, {count_text(visit.macs)} multiply-adds"
    specs = {w.name: w.spec for w in item.weights} | dict(item.writes)
    for name, spec in specs.items():
        if spec.quantization is not None:
            told[f"{name} quantised"] = safe(_quantised(spec.quantization))
    return told


def _attributes(item: Layer) -> dict[str, str]:
    """Every attribute, those that are as declared in grey."""
    layer = item.visit.layer
    found = {}
    for key, value in layer.attributes.items():
        kind = "same" if value == layer.declared[key].default else "set"
        found[key] = f'<span class="{kind}">{safe(value_text(value)) or "(none)"}</span>'
    return found


def _tensor(name: str, spec: Spec | None, writer: str | None = None) -> str:
    shown = f'<a href="#layer-{writer}">{safe(name)}</a>' if writer else safe(name)
    return f'{shown} <span class="m mono">{safe(str(spec))}</span>'


def _quantised(q: Quantization) -> str:
    scale = f"{min(q.scale):.3g}" + (f" to {max(q.scale):.3g}" if len(q.scale) > 1 else "")
    axis = f", along axis {q.axis}" if q.axis is not None else ""
    return f"scale {scale}, zero {value_text(q.zero)}{axis}"


def _image(picture: Picture) -> str:
    about, size = safe(picture.about), f'width="{picture.width}" height="{picture.height}"'
    image = f'<img src="{picture.uri}" {size} alt="{about}">'
    return f"<h4>What it sees</h4><figure>{image}<figcaption>{about}</figcaption></figure>"


def _distribution(h: Histogram, title: str, kind: str) -> str:
    zeros = f", {100 * h.zeros:.0f} % zero" if h.zeros > 0.005 else ""
    about = f"{h.spec}: {h.low:.4g} to {h.high:.4g}, mean {h.mean:.3g} ± {h.deviation:.3g}{zeros}"
    caption = f"<figcaption>{safe(about)}</figcaption>"
    return f"<h4>{title} {safe(h.name)}</h4><figure>{histogram_svg(h, kind)}{caption}</figure>"
