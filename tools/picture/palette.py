"""Colours that tell eight things apart for colour-blind eyes too, on white and on near black.

Okabe & Ito 2008, "Color Universal Design"; yellow is darkened for white paper, blue and green are lightened for dark.
A colour never stands alone: what it says is also written beside it.
"""

from __future__ import annotations

# name -> (on light, on dark)
BLUE, SKY, GREEN, ORANGE = (
    ("#0072b2", "#4fa8e0"),
    ("#3a9bd1", "#7cc4ee"),
    ("#00835f", "#2fc39a"),
    ("#c77c00", "#f0b13c"),
)
RED, PINK, OLIVE, GREY = (
    ("#c8501e", "#f08a5d"),
    ("#b0588f", "#e39ac6"),
    ("#8a7f00", "#d9cf4a"),
    ("#6b7280", "#9aa3b2"),
)

FAMILY = {
    "weights": BLUE, "pooling": GREEN, "normalisation": OLIVE, "activation": ORANGE, "arithmetic": RED,
    "moving": GREY, "image": SKY, "detection": PINK, "other": GREY,
}  # fmt: skip
DTYPE = {
    "fp32": BLUE, "fp16": SKY, "int8": GREEN, "uint8": ORANGE, "int16": OLIVE, "int32": PINK, "int64": PINK,
    "bool": GREY,
}  # fmt: skip
DEVICE = {"cpu": BLUE, "cuda": GREEN, "opencl": OLIVE, "host": RED, "reference": GREY, "npu": PINK}

# page, card, card's border, text, muted text, on light and on dark
PAGE, CARD, BORDER = ("#f7f8fa", "#11141a"), ("#ffffff", "#1b2029"), ("#d7dce3", "#343c49")
TEXT, MUTED = ("#1c2330", "#e8ebf0"), ("#5b6472", "#a3adbb")


def of(palette: dict[str, tuple[str, str]], name: str) -> tuple[str, str]:
    """The colours of a name; of one that is not known the same every time."""
    others = (OLIVE, PINK, SKY, GREY)
    return palette.get(name) or others[sum(map(ord, name)) % len(others)]
