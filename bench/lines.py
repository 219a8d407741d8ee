"""Lines of text in pictures, as PP-OCRv4's detector finds them and its recogniser reads them.

What rapidocr does, the makers' pipeline: places of the detector's map above .3 are islands; the least rectangle about
each, grown by 1.6 times its area by its girth, is cut out, turned upright and made 48 pixels high.
"""

from __future__ import annotations

from collections.abc import Iterator

import fbnet
import numpy as np
from PIL import Image

HEIGHT = 48  # of a line, in pixels
WIDTH = 320  # lines are as wide as a multiple of that: each other width would be a plan of its own
THERE, SURE, GROWN = (
    0.3,
    0.5,
    1.6,
)  # of the map: where text is, the least mean of a line; the area that it grows by
SHORT, LONG = 736, 1600  # sides that a picture is brought to for the detector: at least, and at most
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def found_lines(detector: fbnet.Net, picture: Image.Image) -> list[Image.Image]:
    """The lines of a picture, from top to bottom."""
    picture = picture.convert("RGB")
    picture = _scaled(picture, min(1.0, LONG / max(picture.size)))
    seen = _scaled(picture, max(1.0, SHORT / min(picture.size)), 32)
    x = (np.asarray(seen, np.float32)[..., ::-1] / 255 - np.float32(MEAN)) / np.float32(STD)
    heat = np.asarray(detector(np.ascontiguousarray(x.transpose(2, 0, 1)[None])))[0, 0]
    back = np.array(picture.size) / seen.size
    places = [rectangle * back for rectangle in rectangles(heat)]
    places.sort(key=lambda corners: corners[:, 1].mean())
    return [line for corners in places if (line := cut_out(picture, corners)) is not None]


def rectangles(heat: np.ndarray) -> Iterator[np.ndarray]:
    """Of each line in the detector's map its corners (4, 2), (x, y): top left, top right, bottom right, bottom left."""
    for island in islands(heat > THERE):
        axes, low, high = least_rectangle(island + 0.5)
        width, height = high - low
        if min(width, height) < 3 or heat[island[:, 1], island[:, 0]].mean() < SURE:
            continue
        more = width * height * GROWN / (2 * (width + height))
        (left, top), (right, bottom) = low - more, high + more
        yield np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) @ axes


def islands(mask: np.ndarray) -> Iterator[np.ndarray]:
    """The connected parts of a mask, each as its places (n, 2), (x, y)."""
    left = {(int(x), int(y)) for y, x in np.argwhere(mask)}
    while left:
        part, front = [], [left.pop()]
        while front:
            x, y = front.pop()
            part.append((x, y))
            near = {(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            front += near
        yield np.array(part)


def least_rectangle(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(axes (2, 2), low (2,), high (2,)): the rectangle of least area about points, turned by at most 45 degrees."""
    best = None
    for angle in np.deg2rad(np.arange(-45, 45)):
        axes = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
        along = points @ axes.T
        low, high = along.min(0) - 0.5, along.max(0) + 0.5
        area = float(np.prod(high - low))
        if best is None or area < best[0]:
            best = area, axes, low, high
    assert best is not None
    return best[1:]


def cut_out(picture: Image.Image, corners: np.ndarray) -> Image.Image | None:
    """A line, upright; None if hardly anything is there. Behind the picture's edges its last pixels go on."""
    width, height = (round(float(np.linalg.norm(corners[i] - corners[0]))) for i in (1, 3))
    if min(width, height) < 4:
        return None
    edge = min(width, height)
    wide = Image.fromarray(np.pad(np.asarray(picture), ((edge, edge), (edge, edge), (0, 0)), "edge"))
    quad = (corners[[0, 3, 2, 1]] + edge).ravel().tolist()
    line = wide.transform((width, height), Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    return line.transpose(Image.Transpose.ROTATE_90) if height >= 1.5 * width else line


def as_read(line: Image.Image) -> tuple[np.ndarray, int]:
    """(x (1, 3, 48, W), width): a line as the recogniser takes it, BGR from -1 to 1, zeros from `width` on."""
    width = max(1, int(np.ceil(HEIGHT * line.width / line.height)))
    line = line.convert("RGB").resize((width, HEIGHT), Image.Resampling.BILINEAR)
    pixels = np.asarray(line, np.float32)[..., ::-1].transpose(2, 0, 1) / 127.5 - 1
    return padded(pixels), width


def padded(pixels: np.ndarray) -> np.ndarray:
    """(3, 48, width) -> (1, 3, 48, W)."""
    width = pixels.shape[-1]
    x = np.zeros((1, 3, HEIGHT, -(-width // WIDTH) * WIDTH), np.float32)
    x[0, ..., :width] = pixels
    return x


def words_of(x: np.ndarray, width: int) -> list[np.ndarray]:
    """A line in pieces of at most WIDTH, each cut where there is least ink in its last third: between words."""
    pixels, found = x[0, ..., :width], []
    while pixels.shape[-1] > WIDTH:
        from_ = WIDTH - WIDTH // 3
        ink = pixels[..., from_ - 3 : WIDTH + 4].std((0, 1))
        at = from_ + int(np.convolve(ink, np.ones(7), "valid")[: WIDTH - from_].argmin())
        found.append(padded(pixels[..., :at]))
        pixels = pixels[..., at:]
    return [*found, padded(pixels)]


def _scaled(picture: Image.Image, factor: float, multiple: int = 1) -> Image.Image:
    size = tuple(max(multiple, round(side * factor / multiple) * multiple) for side in picture.size)
    return picture if size == picture.size else picture.resize(size, Image.Resampling.BILINEAR)
