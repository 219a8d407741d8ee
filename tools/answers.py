"""What a net's outputs say, in words: the best classes by name, text that was read, the classes of a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..engine.net import Net
from .show import bar, say

BOXES = {"BoxesToImage", "DetectionOutput", "SelectBoxes"}  # layers whose rows are boxes
Outputs = Mapping[str, np.ndarray]  # of one image, without the batch's axis


def described(outputs: Outputs, labels: Sequence[str], top: int, net: Net | None = None) -> dict[str, Any]:
    """{"top"} if the outputs are classes or one score a class, {"text"} if they were read, {"mask"} of an image's
    places, {"boxes"}; else {"outputs"}: each one's shape and range.

    net  whose outputs they are: its last layers tell what they mean
    """
    kinds = (
        {} if net is None else {o: layer for layer in net.layers for o in layer.outputs if o in net.outputs}
    )
    types = {layer.type for layer in kinds.values()}
    if types == {"TopK"} and len(outputs) == 2:
        scores, classes = outputs.values()
        if scores.ndim == 1:
            return {"top": _named(classes[:top], scores[:top], labels)}
    if types == {"CTCGreedy"}:
        (layer,) = {id(found): found for found in kinds.values()}.values()
        classes, scores = (outputs[name] for name in layer.outputs)
        read = classes[classes >= 0]
        text = "".join(label_of(i, labels) for i in read)
        return {"text": text, "score": float(scores[: len(read)].mean()) if len(read) else 0.0}
    if types and types <= BOXES and len(outputs) == 1:
        (rows,) = outputs.values()
        return {"boxes": _boxes(rows.reshape(-1, rows.shape[-1]), labels)}
    if types == {"ArgMax"} and len(outputs) == 1:
        (mask,) = outputs.values()
        classes, counts = np.unique(mask, return_counts=True)
        order = np.argsort(-counts, kind="stable")[:top]
        return {"mask": _named(classes[order], counts[order] / max(1, mask.size), labels)}
    if len(outputs) == 1:
        (scores,) = outputs.values()
        if scores.size > 1 and scores.size == max(scores.shape):
            scores = scores.ravel()
            best = np.argsort(-scores, kind="stable")[:top]
            return {"top": _named(best, scores[best], labels)}
    return {
        "outputs": {
            name: {
                "shape": list(y.shape),
                "min": float(y.min()),
                "max": float(y.max()),
                "mean": float(y.mean()),
            }
            for name, y in outputs.items()
            if y.size
        }
    }


def _boxes(rows: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    """Rows [..., label, score, left, top, right, bottom] that are boxes: those behind the last one are no boxes."""
    found = rows[(rows[:, -5] > 0) & (rows[:, 0] >= 0)]
    return [
        {
            "index": int(row[-6]),
            "score": float(row[-5]),
            "label": label_of(int(row[-6]), labels),
            "box": [float(side) for side in row[-4:]],
        }
        for row in found
    ]


def label_of(index: int, labels: Sequence[str]) -> str:
    """A class's name, or its number if it has none."""
    return labels[index] if 0 <= index < len(labels) else str(index)


def _named(classes: np.ndarray, scores: np.ndarray, labels: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {"index": int(i), "score": float(score), "label": label_of(int(i), labels)}
        for i, score in zip(classes, scores, strict=True)
    ]


def show(answer: Mapping[str, Any]) -> None:
    """Print what `described` found."""
    for row in (*answer.get("top", ()), *answer.get("mask", ())):
        say(f"  {row['score']:7.4f}  {bar(row['score'])}  {row['label']}")
    for row in answer.get("boxes", ()):
        box = " ".join(f"{side:g}" for side in np.round(row["box"], 3))
        say(f"  {row['score']:7.4f}  {bar(row['score'])}  {row['label']}  at {box}")
    if "boxes" in answer and not answer["boxes"]:
        say("  nothing found")
    if "text" in answer:
        say(f"  {answer['score']:7.4f}  {bar(answer['score'])}  {answer['text']}")
    for name, y in answer.get("outputs", {}).items():
        say(f"  {name} {y['shape']}: {y['min']:.6g} to {y['max']:.6g}, mean {y['mean']:.6g}")
