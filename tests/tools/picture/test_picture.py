"""Pictures of nets: whole, well-formed, no card over another; blocks that repeat drawn once; hostile names harmless."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise

import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.layer import layers
from fbnet.engine.part import part
from fbnet.tools.draw import drawn
from fbnet.tools.picture.fold import repeats
from fbnet.tools.picture.graph import Repeat, graph_of
from fbnet.tools.picture.layout import _inversions, _rising, layout
from fbnet.tools.picture.svg import svg
from fbnet.tools.picture.text import dot, mermaid

HOSTILE = "</title><script>alert('\"]]>&amp;')</script>\n\x00\x1b[2J\udc80\\N;`--> %% #quot; end"


def convolution(source: str, name: str, channels: int = 4):
    return layers["Convolution"](source, np.ones((channels, channels, 1, 1), np.float32), name=name)


def residual(blocks: int, outside: str = "") -> Net:
    """A net of equal blocks: two convolutions and what goes past them; `outside` is read at the end once more."""
    made, last = [], "x"
    for i in range(blocks):
        made += [convolution(last, f"a{i}"), convolution(f"a{i}", f"b{i}")]
        made.append(layers["Eltwise"](f"b{i}", last, name=f"sum{i}"))
        made.append(layers["ReLU"](f"sum{i}", name=f"relu{i}"))
        last = f"relu{i}"
    made += [layers["Eltwise"](last, outside, name="end")] if outside else []
    return Net(made, {"x": ("N", 4, 8, 8)})


def parsed(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text.encode())
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    return root


def titles(root: ElementTree.Element) -> list[str]:
    return [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}title")]


def test_every_layer_and_shape_is_there():
    net = residual(2)
    root = parsed(svg(graph_of(net)))
    shown = titles(root)
    for layer in net.layers:
        assert any(t.split()[:2] == [layer.type, layer.name] for t in shown)
    texts = [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("fp32[N,4,8,8]") == len(net.layers) + 1  # each tensor's once, and the input's
    wires = [e for e in root.iter("{http://www.w3.org/2000/svg}path") if "wire" in e.get("class", "")]
    assert len(wires) == 1 + 2 * 5 + 1  # a block's five, the other way into the first, the output, the legend


def test_nothing_from_outside_is_asked_for():
    text = svg(graph_of(residual(1)))
    assert not re.search(r"href|url\(|@import|<script|<foreignObject", text)
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_cards_do_not_overlap_and_lines_lead_from_card_to_card():
    graph = graph_of(residual(3))
    found = layout(graph, {node.key: (100 + 17 * i % 60, 40) for i, node in enumerate(graph.nodes)})
    for a, b in combinations(found.boxes.values(), 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
        assert apart
    for edge, path in found.paths.items():
        source, target = found.boxes[edge.source], found.boxes[edge.target]
        assert path[0] == (source.middle, source.y + source.height) and path[-1] == (target.middle, target.y)
        assert all(a[1] <= b[1] for a, b in pairwise(path)), "down, never up"
        for x, y in path[1:-1]:  # a line that passes a rank passes no card
            for box in found.boxes.values():
                assert not (box.x < x < box.x + box.width and box.y < y < box.y + box.height)


def test_a_chain_is_straight():
    net = Net([convolution("x" if not i else f"c{i - 1}", f"c{i}") for i in range(6)], {"x": (1, 4, 2, 2)})
    graph = graph_of(net)
    found = layout(graph, {node.key: (60 + 40 * (i % 2), 30) for i, node in enumerate(graph.nodes)})
    assert np.ptp([box.middle for box in found.boxes.values()]) < 1e-9


def test_least_squares_and_crossings_against_numpy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        values, weights = rng.normal(size=9), rng.uniform(0.1, 3, 9)
        level = np.array(_rising(list(values), list(weights)))
        assert np.all(np.diff(level) >= 0)
        # the definition of isotonic regression: a minimum over the right of the maximum over the left of the means
        for i in range(9):
            means = [
                [np.average(values[a : b + 1], weights=weights[a : b + 1]) for b in range(i, 9)]
                for a in range(i + 1)
            ]
            assert np.isclose(level[i], np.max(np.min(means, axis=1)))
        order = [int(v) for v in rng.integers(0, 9, 12)]
        assert _inversions(list(order)) == sum(a > b for a, b in combinations(order, 2))


def test_blocks_that_repeat_are_drawn_once():
    net = residual(5)
    assert repeats(net) == [Repeat(0, 4, 5)]
    graph = graph_of(net, repeats=repeats(net))
    (frame,) = graph.frames
    assert frame.times == 5 and [n.name for n in graph.nodes] == ["x", "a0", "b0", "sum0", "relu0", "relu4"]
    assert {(e.source, e.target) for e in graph.edges} == {
        ("i0", "n0"), ("n0", "n1"), ("n1", "n2"), ("i0", "n2"), ("n2", "n3"), ("n3", "o0"),
    }  # fmt: skip
    assert {name for block in frame.names for name in block} == {layer.name for layer in net.layers}
    assert "× 5" in svg(graph) and "relu4" in svg(graph)


def test_shapes_of_blocks_that_differ():
    pools = [layers["Pooling"]("x", kernel=(2, 2), stride=(2, 2), name="p0")]
    for i in range(3):
        pools += [layers["ReLU"](f"p{i}", name=f"r{i}"), layers["Sigmoid"](f"r{i}", name=f"s{i}")]
        pools.append(layers["Pooling"](f"s{i}", kernel=(2, 2), stride=(2, 2), name=f"p{i + 1}"))
    net = Net(pools, {"x": (1, 4, 64, 64)})
    (repeat,) = repeats(net)
    assert (repeat.length, repeat.times) == (3, 3)
    labels = {edge.label for edge in graph_of(net, repeats=[repeat]).edges}
    assert "fp32[1,4,32…8,32…8]" in labels


def test_blocks_with_a_line_out_of_their_middle_are_all_drawn():
    assert repeats(residual(3, outside="relu0")) == []
    assert repeats(residual(3, outside="x")) == [Repeat(0, 4, 3)]
    assert repeats(part(residual(3), ["x"], ["sum1", "relu2"])) == []


def test_blocks_that_read_the_middle_of_the_first_are_all_drawn():
    made = [
        layers["ReLU"]("x", name="r0"),
        layers["Sigmoid"]("r0", name="s0"),
        layers["TanH"]("s0", name="t0"),
    ]
    made.append(layers["Eltwise"]("t0", "r0", name="e0"))
    for i in range(1, 4):
        made += [layers["ReLU"](f"e{i - 1}", name=f"r{i}"), layers["Sigmoid"](f"r{i}", name=f"s{i}")]
        made += [layers["TanH"](f"s{i}", name=f"t{i}"), layers["Eltwise"](f"t{i}", "r0", name=f"e{i}")]
    assert repeats(Net(made, {"x": (1, 4)})) == []


def test_long_nets_are_folded_unless_told_otherwise():
    assert not drawn(residual(9)).frames and drawn(residual(9), fold=True).frames
    assert drawn(residual(10)).frames and not drawn(residual(10), fold=False).frames


def hostile() -> Net:
    relu = layers["ReLU"](HOSTILE, name=HOSTILE + "1")
    return Net([relu, layers["Sigmoid"](HOSTILE + "1", name="b" * 500)], {HOSTILE: (1, 4)}, name=HOSTILE)


def test_hostile_names_are_text():
    root = parsed(svg(graph_of(hostile())))
    assert not list(root.iter("{http://www.w3.org/2000/svg}script"))
    assert any("</title><script>alert('\"]]>&amp;')</script>" in text for text in titles(root))
    assert max(len(e.text or "") for e in root.iter("{http://www.w3.org/2000/svg}text")) < 60


def test_mermaid():
    text = mermaid(graph_of(hostile()))
    assert text.isprintable() is False and all(line.isprintable() for line in text.splitlines())
    for line in text.splitlines()[1:]:
        card, wire = (
            r'  \w+(\(\[|\[)"[^"<>`;\\]*(#\d+;[^"<>`;\\]*)*(<br>[^"<>]*)*"(\]\)|\])',
            r'  \w+ -->\|"[^"<>]*"\| \w+',
        )
        assert re.fullmatch(rf"{card}|{wire}|  class(Def)? .*", line), line
    folded = mermaid(graph_of(residual(3), repeats=repeats(residual(3))))
    assert 'subgraph s0["× 3"]' in folded and folded.count("-->") == 6


@pytest.mark.skipif(shutil.which("dot") is None, reason="needs Graphviz: apt-get install graphviz")
def test_graphviz_reads_dot():
    for net, cards in ((hostile(), 4), (residual(3), 6)):
        text = dot(graph_of(net, repeats=repeats(net)))
        drawn = subprocess.run(["dot", "-Tplain"], input=text.encode(), capture_output=True, check=True)
        assert not drawn.stderr
        assert len([line for line in drawn.stdout.decode().splitlines() if line.startswith("node ")]) == cards


def test_dot_is_quoted():
    text = dot(graph_of(hostile()))
    assert all(line.isprintable() for line in text.splitlines())
    assert len(re.findall(r'(?<!\\)"', re.sub(r"\\\\", "", text))) % 2 == 0
