"""The report as one HTML page: page.html filled in, with page.css and page.js inside it.

Every name comes from a file and is escaped. Should one ever slip through, the page's policy runs no script but its own.
"""

from __future__ import annotations

import base64
import hashlib
from importlib import metadata
from pathlib import Path
from string import Template
from typing import Any

from ..picture import palette
from ..picture.graph import counted, family_of
from ..picture.svg import safe, svg
from .charts import arena_svg, count_text, run_bar, shared_bytes, size_text, time_text
from .gather import Findings, Layer
from .layer_page import facts, layer_page

HERE = Path(__file__).parent


def page(found: Findings) -> str:
    """The whole page."""
    script = (HERE / "page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "name": safe(found.net.name), "style": _style(), "script": script, "script_hash": f"sha256-{digest}",
        "about": _about(found), "tiles": _tiles(found), "key": _key(found),
        "graph": svg(found.graph, style=False, legend=False) if found.graph else f"<p>{safe(found.no_graph)}</p>",
        "pages": "\n".join(layer_page(item, found) for item in found.layers),
        "time_about": _time_about(found), "run": run_bar(found),
        "rows": "".join(_row(i, item, found) for i, item in enumerate(found.layers)),
        "memory_about": _memory_about(found), "arena": arena_svg(found), "facts": facts(_model(found)),
        "footer": safe(f"Made by fbnet {metadata.version('fbnet')}. {str(found.plan).splitlines()[0]}."),
    }  # fmt: skip
    return Template((HERE / "page.html").read_text("utf-8")).substitute(parts)


def _style() -> str:
    """page.css with the palette's colours, light and dark, and a class for each."""
    names = {f"f-{n}": c for n, c in palette.FAMILY.items()} | {f"t-{n}": c for n, c in palette.DTYPE.items()}
    names |= {f"v-{n}": c for n, c in palette.DEVICE.items()} | {
        "page": palette.PAGE, "card": palette.CARD, "border": palette.BORDER, "text": palette.TEXT,
        "muted": palette.MUTED, "link": palette.BLUE, "heat": palette.RED, "on": ("#ffffff", "#11141a"),
        "hover": ("#eef1f5", "#232a35"), "t-other": palette.GREY,
    }  # fmt: skip
    light, dark = ("".join(f"--{name}:{colours[i]};" for name, colours in names.items()) for i in (0, 1))
    variables = (
        f":root{{color-scheme:light;{light}}}"
        f"@media(prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}"
        f":root[data-theme=dark]{{color-scheme:dark;{dark}}}"
    )
    classes = [
        f".net .f-{n}{{fill:var(--f-{n})}}.b-{n}{{background:var(--f-{n});fill:var(--f-{n})}}"
        for n in palette.FAMILY
    ]
    classes += [f".net .v-{n}{{fill:var(--v-{n})}}" for n in palette.DEVICE]
    classes += [
        f".t-{n}{{stroke:var(--t-{n})}}.k-{n}{{background:var(--t-{n})}}" for n in [*palette.DTYPE, "other"]
    ]
    classes.append(".b-scratch{fill:var(--muted);fill-opacity:.3}.b-end{fill:var(--muted)}")
    return Template((HERE / "page.css").read_text("utf-8")).substitute(
        variables=variables, classes="\n".join(classes)
    )


def _about(found: Findings) -> str:
    inputs = ", ".join(f"{name} {spec}" for name, spec in found.inputs.items())
    threads = f"{found.plan.threads} thread{'s' * (found.plan.threads > 1)}"
    seen = f"the photo {found.photo}" if found.photo else "an example of random content"
    return safe(f"One run on {found.plan.device}, {threads}, with {seen} as {inputs}.")


def _tiles(found: Findings) -> str:
    macs = sum(item.visit.macs for item in found.layers)
    parameters = sum(c.spec.size for c in found.running.constants.values())
    nbytes = sum(c.spec.nbytes for c in found.running.constants.values())
    tiles = {
        "Layers that run": f"{len(found.running)} of {len(found.net)}",
        "Time, layer by layer": time_text(found.time_us), "Multiply-adds": count_text(macs),
        "Parameters": count_text(parameters), "Weights": size_text(nbytes), "Arena": size_text(found.plan.arena_bytes),
    }  # fmt: skip
    return "".join(f"<div><dt>{name}</dt><dd>{safe(value)}</dd></div>" for name, value in tiles.items())


def _key(found: Findings) -> str:
    if found.graph is None:
        return ""
    families = counted([n.family for n in found.graph.nodes if n.family != "end"], palette.FAMILY)
    dtypes = counted([edge.dtype for edge in found.graph.edges], palette.DTYPE)
    marks = [f'<span><i class="b-{f}"></i>{f}</span>' for f in families]
    marks += [
        f'<span><i class="t k-{d if d in palette.DTYPE else "other"}"></i>{safe(d)}</span>' for d in dtypes
    ]
    return "".join([*marks, '<span><i class="t" style="background:var(--heat)"></i>time</span>'])


def _time_about(found: Findings) -> str:
    macs = sum(item.visit.macs for item in found.layers)
    rate = f", {2 * macs / found.time_us / 1e3:.1f} GFLOP/s" if macs and found.time_us else ""
    return (
        f"{time_text(found.time_us)} in all{rate}, each step run alone; a run in one go is a little faster."
    )


def _memory_about(found: Findings) -> str:
    apart, arena = shared_bytes(found.plan.stored), found.plan.arena_bytes
    saved = (
        f", {100 * (1 - arena / apart):.0f} % less than side by side ({size_text(apart)})"
        if apart > arena
        else ""
    )
    return (
        f"Every tensor has a place in one arena for as long as it is needed: {size_text(arena)}{saved}. From left to "
        "right the layers as they run, from bottom to top the addresses; grey is working memory of one step. "
        f"Packed weights take another {size_text(found.plan.packed_bytes)}."
    )


def _row(number: int, item: Layer, found: Findings) -> str:
    """A layer's row of the table; what it is sorted by is in data-v."""
    visit = item.visit
    width = 100 * visit.seconds / (max(other.visit.seconds for other in found.layers) or 1.0)
    bar = f'<i class="b-{family_of(visit.layer.type)}" style="width:{width:.1f}%"></i>'
    cells = [
        f'<td class="r m" data-v="{number}">{number}</td>',
        f'<td><a href="#layer-{item.key}">{safe(visit.name)}</a></td><td>{safe(visit.layer.type)}</td>',
        f'<td class="m">{safe(", ".join(map(str, item.writes.values())))}</td>',
        f'<td class="m">{safe(item.kernel)}</td>',
        f'<td class="r" data-v="{visit.time_us:.4g}">{time_text(visit.time_us) if visit.kernel else ""}</td>',
        f'<td class="wide">{bar}</td>',
        f'<td class="r" data-v="{visit.gflops:.4g}">{f"{visit.gflops:.1f}" if visit.macs else ""}</td>',
        f'<td class="r" data-v="{item.weight_bytes}">{size_text(item.weight_bytes) if item.weight_bytes else ""}</td>',
    ]
    return f"<tr>{''.join(cells)}</tr>"


def _model(found: Findings) -> dict[str, str]:
    net = found.net
    told: dict[str, Any] = {
        "inputs": ", ".join(f"{name} {spec}" for name, spec in net.inputs.items()),
        "outputs": ", ".join(net.outputs), "as written": f"{len(net)} layers", "as run": f"{len(found.running)} layers",
        "plan": str(found.plan).splitlines()[0],
    }  # fmt: skip
    for key, value in net.metadata.items():
        text = (
            ", ".join(map(str, value[:8])) + (" …" if len(value) > 8 else "")
            if isinstance(value, (list, tuple))
            else str(value)
        )
        told[key] = text if len(text) < 400 else f"{text[:400]} …"
    return {key: safe(value) for key, value in told.items()}
