"""A graph as text for other programs: Mermaid, which web pages draw, and DOT, which Graphviz does."""

from __future__ import annotations

from collections.abc import Callable

from ..show import printable
from . import palette
from .graph import Graph, Node


def mermaid(graph: Graph) -> str:
    """`flowchart TD`, one line a card and one a tensor. Names are quoted, and what Mermaid would read is an entity."""
    lines = ["flowchart TD"]
    lines += _nested(graph, _mermaid_node, lambda i, n: f'subgraph s{i}["× {n}"]', "end")
    lines += [f'  {e.source} -->|"{_entity(e.label)}"| {e.target}' for e in graph.edges]
    for family in dict.fromkeys(node.family for node in graph.nodes if node.family != "end"):
        keys = ",".join(node.key for node in graph.nodes if node.family == family)
        lines.append(f"  classDef {family} stroke:{palette.of(palette.FAMILY, family)[0]},stroke-width:2px")
        lines.append(f"  class {keys} {family}")
    return "\n".join([*lines, ""])


def dot(graph: Graph) -> str:
    """`digraph`, to be drawn by `dot -Tsvg`."""
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        '  node [shape=box, style=rounded, fontname="Helvetica", fontsize=11]',
        '  edge [fontname="Helvetica", fontsize=9]',
    ]
    lines += _nested(
        graph, _dot_node, lambda i, n: f'subgraph cluster_{i} {{ label="× {n}"; style=dashed', "}"
    )
    for edge in graph.edges:
        colour = palette.of(palette.DTYPE, edge.dtype)[0]
        lines.append(f'  {edge.source} -> {edge.target} [label={_quoted(edge.label)}, color="{colour}"]')
    return "\n".join([*lines, "}", ""])


def _nested(
    graph: Graph, card: Callable[[Node], str], begin: Callable[[int, int], str], end: str
) -> list[str]:
    """The cards, those of a repeated block between a line that begins it and one that ends it."""
    lines = []
    framed = {key for frame in graph.frames for key in frame.keys}
    lines += [card(node) for node in graph.nodes if node.key not in framed]
    for number, frame in enumerate(graph.frames):
        lines.append(f"  {begin(number, frame.times)}")
        lines += [f"  {card(graph.node(key))}" for key in frame.keys]
        lines.append(f"  {end}")
    return lines


def _words(node: Node) -> list[str]:
    return [text for text in (f"{node.type} {node.name}", node.facts, node.kernel) if text]


def _mermaid_node(node: Node) -> str:
    text = "<br>".join(map(_entity, _words(node)))
    return f'  {node.key}(["{text}"])' if node.family == "end" else f'  {node.key}["{text}"]'


def _entity(text: str) -> str:
    """Letters, digits and what is harmless as they are; all else by its number, which Mermaid reads as #35;"""
    return "".join(c if c.isalnum() or c in " _-/.,:=×…~[]@+*" else f"#{ord(c)};" for c in printable(text))


def _dot_node(node: Node) -> str:
    colour = palette.of(palette.FAMILY, node.family)[0]
    label = r"\n".join(_quoted(text)[1:-1] for text in _words(node))
    return f'  {node.key} [label="{label}", color="{colour}"]'


def _quoted(text: str) -> str:
    r"""A DOT string: " and \ escaped, so that \N and its like stay letters."""
    return '"' + printable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
