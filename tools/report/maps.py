"""What a tensor looks like: its channels as pictures, photos as photos. PNGs with a palette, small enough to inline."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

CHANNELS = 16  # of a tensor, as many as are shown
ACROSS = 8
TILE = 64  # pixels of a channel's longer side, at most
GAP = 2

# viridis (van der Walt & Smith 2015): even steps of lightness, and for colour-blind eyes as well
_STOPS = ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")


@dataclass(frozen=True)
class Picture:
    """A PNG in the page's own text, its size, and what it shows."""

    uri: str
    width: int
    height: int
    about: str


def pictures(name: str, y: np.ndarray) -> list[Picture]:
    """The first image's channels of (N, C, H, W), or its photo of uint8 or fp32 (N, H, W, 1 or 3); else nothing."""
    if y.ndim != 4 or not y.size:
        return []
    if y.shape[3] in (1, 3) and y.shape[1] > 3 and (y.dtype == np.uint8 or float(y.max()) > 1):
        return [_photo(name, y[0])]
    if y.shape[2] * y.shape[3] < 4:
        return []
    return [_channels(name, np.asarray(y[0, :CHANNELS], np.float32), y.shape[1])]


def _photo(name: str, pixels: np.ndarray) -> Picture:
    image = Image.fromarray(np.clip(np.nan_to_num(pixels), 0, 255).astype(np.uint8).squeeze())
    image.thumbnail((2 * TILE * 2, 2 * TILE * 2))
    return _picture(image, f"{name}, as a photo")


def _channels(name: str, maps: np.ndarray, count: int) -> Picture:
    """Channels side by side, all of them on one scale from the smallest number, dark, to the largest, bright."""
    maps = np.nan_to_num(maps, posinf=0, neginf=0)
    low, high = float(maps.min()), float(maps.max())
    levels = ((maps - low) / ((high - low) or 1.0) * 254).astype(np.uint8)
    longer = max(maps.shape[1:])
    scale = TILE / longer if longer > TILE else max(1, TILE // longer)
    height, width = (max(1, round(side * scale)) for side in maps.shape[1:])
    across = min(ACROSS, len(maps))
    down = -(-len(maps) // across)
    sheet = Image.new("P", (across * (width + GAP) - GAP, down * (height + GAP) - GAP), 255)
    sheet.putpalette(_palette())
    for i, level in enumerate(levels):
        way = Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST
        tile = Image.fromarray(level).resize((width, height), way)
        sheet.paste(tile.point(lambda v: v), ((i % across) * (width + GAP), (i // across) * (height + GAP)))
    sheet.info["transparency"] = 255
    shown = (
        f"{len(maps)} of {count} channels"
        if count > len(maps)
        else f"{count} channels"
        if count > 1
        else "1 channel"
    )
    return _picture(sheet, f"{name}, {shown}, from {low:.4g} (dark) to {high:.4g} (bright)")


def _palette() -> list[int]:
    """255 colours from dark to bright, and one for the gaps, which is transparent."""
    stops = np.array([[int(s[i : i + 2], 16) for i in (0, 2, 4)] for s in _STOPS], np.float64)
    at = np.linspace(0, len(stops) - 1, 255)
    colours = np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=1)
    return [*np.rint(colours).astype(int).ravel().tolist(), 0, 0, 0]


def _picture(image: Image.Image, about: str) -> Picture:
    out = io.BytesIO()
    options = {"transparency": 255} if image.mode == "P" else {}
    image.save(out, "PNG", optimize=True, **options)
    uri = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
    return Picture(uri, image.width, image.height, about)
