"""What int8 loses on lines of text as a user has them: those that a detector finds in pictures, read by PP-OCRv4."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import fbnet
import numpy as np
from fbnet.engine.quantize.front import quantize_net
from fbnet.engine.quantize.quality import answers, judged_outputs, quality
from fbnet.engine.quantize.quantizer import Made
from fbnet.tools.zoo import fetched
from lines import as_read, found_lines, words_of
from PIL import Image

KEPT = 0.5  # rapidocr keeps a line whose characters score so much in the mean
CLEAR = 0.2  # by so much the best class of each step of a clear line is better than the next
GROUPS = {"zoo": "the zoo's lines", "long": "long lines", "other": "others"}
DRAW = 0.05  # a step that fp32 decides by less is a draw: no budget is asked to keep it
PIECES = 2  # of a long line, to calibrate with
Arrays = dict[str, np.ndarray]


@dataclass
class Line:
    """A line that fp32 reads.

    group    of GROUPS
    fold     which of two it is in: one calibrates, the other is judged, and the other way round
    x        (1, 3, 48, W), of which the first `width` columns show something
    exact    fp32's scores and classes
    margin   by how much fp32's best class is better than the next, at the step where it is least
    """

    group: str
    fold: int
    x: np.ndarray
    width: int
    exact: Arrays
    margin: float

    @property
    def text(self) -> list[int]:
        return characters(self.exact)


def nets() -> tuple[fbnet.Net, fbnet.Net]:
    """PP-OCRv4's detector, and its recogniser for lines of any width, which ends in text."""
    detector = fbnet.convert(fetched("ppocr_v4_det") / "ch_PP-OCRv4_det_infer.onnx")
    file = fetched("ppocr_v4_rec") / "ch_PP-OCRv4_rec_infer.onnx"
    return detector, fbnet.with_answers(fbnet.convert(file, shapes={"x": ("N", 3, 48, "W")}), ctc=0)


def pictures(photos: Path) -> list[tuple[str, list[Path]]]:
    """(group, pictures): the zoo's page and the scenes that this recogniser is tried on, long lines, and others.

    photos  the folder `data` of OpenCV's examples; scenes are in the one beside it
    """
    scenes = photos.parent / "text"
    zoo = [fetched("photos") / "page.png", *(scenes / f"scenetext0{i}.jpg" for i in range(1, 7))]
    return [
        *(("zoo", [path]) for path in zoo),
        ("zoo", [scenes / f"scenetext_word0{i}.jpg" for i in range(1, 5)]),  # each is one line
        *(("long", [photos / name]) for name in ("imageTextN.png", "imageTextR.png")),
        *(("other", [photos / name]) for name in ("sudoku.png", "board.jpg", "box_in_scene.png")),
    ]


def judged_lines(detector: fbnet.Net, recogniser: fbnet.Net, photos: Path) -> list[Line]:
    """The lines of two characters and more that fp32 reads well enough to be kept."""
    found = []
    for group, paths in pictures(photos):
        images = [Image.open(path) for path in paths]
        cuts = images if len(images) > 1 else found_lines(detector, images[0])
        found += [(group, number % 2, *as_read(cut)) for number, cut in enumerate(cuts)]
    found.sort(key=lambda line: line[2].shape[-1])  # of one width in one batch
    exact = read(recogniser, [x for _, _, x, _ in found])
    lines = [Line(*f, y, margin(y)) for f, y in zip(found, exact, strict=True)]
    return [line for line in lines if len(line.text) > 1 and score(line.exact) >= KEPT]


def read(net: fbnet.Net, given: Sequence[np.ndarray]) -> list[Arrays]:
    """Of each line the scores before the Softmax, the classes, -1 behind the last, and their scores."""
    outputs = [*judged_outputs(net), *net.outputs]
    found = answers(net, list(dict.fromkeys(outputs)), [{next(iter(net.inputs)): x} for x in given])
    return [{k: y[k][i : i + 1] for k in y} for y in found for i in range(len(y["classes"]))]


def characters(line: Arrays) -> list[int]:
    return [int(k) for k in line["classes"][0] if k >= 0]


def score(line: Arrays) -> float:
    """The mean score of a line's characters."""
    return float(line["scores"][line["classes"] >= 0].mean())


def margin(line: Arrays) -> float:
    """See Line."""
    scores = next(iter(line.values())).astype(np.float64)
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    second, first = np.moveaxis(np.partition(powers, -2)[..., -2:], -1, 0) / powers.sum(-1)
    return float((first - second).min())


def distance(a: Sequence[int], b: Sequence[int]) -> int:
    """How many characters have to be put in, taken out or changed to make b of a. Levenshtein 1966."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def samples(lines: Sequence[Line], fold: int) -> list[np.ndarray]:
    """What calibrates for the lines of the other fold: short lines whole, of long ones the first words."""
    return [part for line in lines if line.fold == fold for part in words_of(line.x, line.width)[:PIECES]]


def decided(net: fbnet.Net, given: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Those of some samples at whose steps fp32 is not of two minds."""
    return [x for x, y in zip(given, read(net, given), strict=True) if margin(y) >= DRAW]


def judged(lines: Sequence[Line], made: Sequence[Made]) -> list[str]:
    """The cells of a row: each line is read by the one of two nets that has not seen it."""
    got: dict[int, Arrays] = {}
    for fold, each in enumerate(made):
        some = [i for i, line in enumerate(lines) if line.fold != fold]
        got |= zip(some, read(each.net, [lines[i].x for i in some]), strict=True)
    cells = [" and ".join(f"{100 * each.float_share:.1f} %" for each in made)]
    differ = total = 0
    for group in GROUPS:
        mine = [i for i, line in enumerate(lines) if line.group == group]
        both = [lines[i].exact for i in mine], [got[i] for i in mine]
        away = [distance(lines[i].text, characters(got[i])) for i in mine]
        error = quality(*([{k: y[k] for k in y if k != "scores"} for y in part] for part in both)).error
        cells.append(f"{away.count(0)} of {len(mine)}, {100 * error:.1f} %")
        differ += sum(away)
        total += sum(len(lines[i].text) for i in mine)
    clear = [i for i, line in enumerate(lines) if line.margin >= CLEAR]
    same = sum(lines[i].text == characters(got[i]) for i in clear)
    return [*cells, f"{differ} of {total}", f"{same} of {len(clear)}"]


def text(photos: Path) -> None:
    """PP-OCRv4's recogniser by default, rounded to the nearest, and to a budget: rows of docs/quantization.md."""
    detector, recogniser = nets()
    lines = judged_lines(detector, recogniser, photos)
    columns = ("quantized", "stays fp32", *GROUPS.values(), "characters that differ", "clear lines")
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    methods = ["auto"] * 2
    for how in ({}, {"adaptive": False}, {"max_drop": 0.5}):
        try:
            seen = [samples(lines, fold) for fold in range(2)]
            if "max_drop" in how:
                seen = [decided(recogniser, some) for some in seen]
            made = [quantize_net(recogniser, some, m, **how) for some, m in zip(seen, methods, strict=True)]
        except fbnet.QuantizationError as refused:
            print(f"| to a budget: refused | {refused} |", flush=True)
            continue
        methods = [each.method for each in made]
        told = ", ".join(f"`{key}={value}`" for key, value in how.items()) or " and ".join(methods)
        print("| " + " | ".join([told, *judged(lines, made)]) + " |", flush=True)
