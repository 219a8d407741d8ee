"""What importers tidy up after their walk: transposes, padding, layers written in parts, integers that are written as
real numbers between Quantize and Dequantize. And how much that was.

The net's metadata says it, for `fbnet info`: {"clean_up": {"nodes": 411, "layers": 196, "left": 122, "types":
{"LayerNorm": [0, 25], ...}}}: the file's nodes, the layers that they became (constants folded), and those left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from ..engine.net import Net
from ..engine.quantize.given import with_integers
from .layout import without_permutes
from .padding import without_pads
from .patterns import recovered


def cleaned(net: Net, nodes: int, weight_scales: Iterable[Sequence[float]] = ()) -> Net:
    """The same function in the layers that were meant.

    nodes          how many the file has
    weight_scales  the scales that constants were dequantized with
    """
    left = with_integers(recovered(without_pads(without_permutes(net))), weight_scales)
    before, after = (Counter(layer.type for layer in n.layers) for n in (net, left))
    types = {t: [before[t], after[t]] for t in {**before, **after} if before[t] != after[t]}
    note = {"nodes": nodes, "layers": len(net), "left": len(left), "types": types}
    return left.replace(metadata={**left.metadata, "clean_up": note})
