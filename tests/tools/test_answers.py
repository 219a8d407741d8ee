import fbnet
import numpy as np
import pytest
from fbnet.engine.layer import layers
from fbnet.tools.answers import described, show


def net_of(*steps, shape=("N", 4)):
    return fbnet.Net(steps, {"x": shape})


def answer(net, labels=("a", "b", "c", "d"), top=2, **inputs):
    """What is said of the first image."""
    return described({name: y[0] for name, y in net.forward(**inputs).items()}, labels, top, net)


def test_scores_without_a_layer_that_sorts_them():
    scores = np.float32([0.1, 0.7, 0.2]).reshape(3, 1, 1)
    assert described({"prob": scores}, ["a", "b"], 2) == {
        "top": [
            {"index": 1, "score": pytest.approx(0.7), "label": "b"},
            {"index": 2, "score": pytest.approx(0.2), "label": "2"},
        ]
    }
    assert set(described({"y": np.zeros((3, 2))}, [], 2)) == {"outputs"}
    assert described({"y": np.zeros((0,))}, [], 2) == {"outputs": {}}


def test_classes_that_the_net_sorted():
    net = fbnet.with_answers(net_of(layers["ReLU"]("x", name="y")), top=3)
    found = answer(net, x=np.float32([[0.1, 0.7, 0.2, 0.6]]))
    assert [(row["label"], row["index"]) for row in found["top"]] == [("b", 1), ("d", 3)]


def test_text(capsys):
    net = fbnet.with_answers(net_of(layers["ReLU"]("x", name="y"), shape=("N", "T", 4)), ctc=0)
    steps = np.eye(4, dtype=np.float32)[[1, 1, 0, 1, 3, 2, 2]][None] * np.float32(0.5)
    found = answer(net, labels=("", "a", "b", "c"), x=steps)
    assert found == {"text": "aacb", "score": 0.5}
    assert answer(net, x=steps[:, :0]) == {"text": "", "score": 0.0}
    show(found)
    assert capsys.readouterr().out.strip().endswith("aacb")


def test_boxes(capsys):
    net = net_of(layers["SelectBoxes"]("x", name="y", most_boxes=3), shape=("N", 4, 6))
    rows = np.float32([[[1, 0.9, 0, 0, 9, 9], [0, 0.8, 20, 20, 30, 30], [1, 0, 50, 50, 60, 60], [0] * 6]])
    found = answer(net, x=rows)["boxes"]
    assert [(row["label"], row["box"]) for row in found] == [("b", [0, 0, 9, 9]), ("a", [20, 20, 30, 30])]
    show({"boxes": found})
    show({"boxes": []})
    first, second, nothing = capsys.readouterr().out.splitlines()
    assert first.endswith("b  at 0 0 9 9") and second.endswith("a  at 20 20 30 30")
    assert nothing.strip() == "nothing found"


def test_a_mask():
    net = fbnet.with_answers(net_of(layers["ReLU"]("x", name="y"), shape=("N", 3, 2, 2)), argmax=True)
    x = np.zeros((1, 3, 2, 2), np.float32)
    x[0, 2, 0] = x[0, 1, 1, 1] = 1
    assert net.forward(x=x)["classes"].tolist() == [[[2, 2], [0, 1]]]
    shares = [(row["label"], row["score"]) for row in answer(net, x=x)["mask"]]
    assert shares == [("c", 0.5), ("a", 0.25)]
