"""What a notebook shows: well-formed, with every layer, names as text."""

import xml.etree.ElementTree as ElementTree

import numpy as np
from fbnet import Net, Spec, Tensor
from fbnet.engine.html import ROWS
from fbnet.engine.layer import layers

HOSTILE = "</td><script>alert('\"&')</script>\x00\udc80"


def net_of(count: int = 2, name: str = "net") -> Net:
    w = np.arange(12, dtype=np.float32).reshape(3, 4)
    made = [layers["InnerProduct"]("x", w, name="fc")]
    made += [
        layers["ELU"](made[-1].name if not i else f"elu{i - 1}", alpha=0.5, name=f"elu{i}")
        for i in range(count)
    ]
    return Net(made, {"x": ("N", 4)}, name=name)


def cells(html: str) -> list[list[str]]:
    root = ElementTree.fromstring(html)
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def test_a_net():
    net = net_of()
    rows = cells(net._repr_html_())
    assert rows[0] == ["layer", "type", "writes", "parameters", "attributes"]
    assert rows[1] == ["fc", "InnerProduct", "fc fp32[N,3]", "12", ""]
    assert rows[2] == ["elu0", "ELU", "elu0 fp32[N,3]", "", "alpha=0.5"]
    assert "3 layers, 12 parameters" in net._repr_html_() and "x fp32[N,4] → elu1" in net._repr_html_()


def test_a_long_net_is_cut():
    html = net_of(ROWS + 10)._repr_html_()
    assert len(cells(html)) == 1 + ROWS and "… and 11 more" in html


def test_a_plan():
    plan = net_of().compile("reference")
    assert cells(plan._repr_html_())[1][:3] == ["fc", "reference", str(plan.steps[0].threads)]
    assert "plan for reference, fp32" in plan._repr_html_()


def test_a_tensor():
    html = Tensor("w", data=np.array([[-1, 0, 0], [0, 1, 3]], np.float32))._repr_html_()
    bars = list(ElementTree.fromstring(html).iter("rect"))
    assert (
        sum(float(b.get("height", 0)) > 0 for b in bars) == 4
        and "fp32[2,3]" in html
        and "-1 to 3, mean 0.5" in html
    )
    assert Tensor("x", Spec(("N", 3)))._repr_html_() == "<div><b>x</b> <code>fp32[N,3]</code></div>"
    for odd in ([], [np.nan, np.inf], [5.0]):
        ElementTree.fromstring(Tensor("w", data=np.array(odd, np.float32))._repr_html_())


def test_hostile_names():
    relu = layers["ReLU"](HOSTILE, name=HOSTILE + "1")
    net = Net([relu], {HOSTILE: (1, 4)}, name=HOSTILE)
    for shown in (net, net.compile("reference"), Tensor(HOSTILE, data=np.ones(2, np.float32))):
        root = ElementTree.fromstring(shown._repr_html_())
        assert not list(root.iter("script")) and "<script>" in "".join(root.itertext())
