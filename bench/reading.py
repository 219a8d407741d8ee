"""Lines of text as a recogniser reads them: which it is sure of, and whether another net reads the same."""

from __future__ import annotations

from collections.abc import Sequence

import fbnet
import numpy as np
from fbnet.engine.part import pieces
from fbnet.engine.quantize.quality import answers
from fbnet.engine.quantize.samples import body_index
from judged import Images, bodies

Lines = list[tuple[dict[str, np.ndarray], np.ndarray]]


def clear(net: fbnet.Net, images: Images) -> Lines:
    """(line, its characters) of those that are read with confidence."""
    given = bodies(net, images)
    return [
        (line, y["classes"]) for line, y in zip(given, read(net, given), strict=True) if confidence(y) >= 0.9
    ]


def read(net: fbnet.Net, lines: Sequence[dict[str, np.ndarray]]) -> list[dict[str, np.ndarray]]:
    """The characters of lines as the net's body reads them, -1 after the last, and their scores."""
    body = fbnet.with_answers(pieces(net)[body_index(net)], ctc=0)
    found = answers(body, body.outputs, lines)
    return [{k: y[k][i] for k in y} for y in found for i in range(len(y["classes"]))]


def margins(net: fbnet.Net, lines: Lines) -> np.ndarray:
    """By how much the best class of each line is better than the next, at the step where it is least: (lines,)."""
    body = pieces(net)[body_index(net)]
    shares = [y[body.outputs[0]] for y in answers(body, body.outputs, [line for line, _ in lines])]
    best = np.sort(np.concatenate(shares), -1)
    return (best[..., -1] - best[..., -2]).min(-1)


def same_text(net: fbnet.Net, lines: Lines) -> int:
    """How many lines are read as they were."""
    found = read(net, [line for line, _ in lines])
    return sum(np.array_equal(y["classes"], classes) for y, (_, classes) in zip(found, lines, strict=True))


def confidence(line: dict[str, np.ndarray]) -> float:
    """The least score of a line's characters; 0 for fewer than eight."""
    there = line["classes"] >= 0
    return float(line["scores"][there].min()) if there.sum() >= 8 else 0.0
