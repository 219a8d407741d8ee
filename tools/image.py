"""A photo becomes pixels: any file that Pillow reads -> uint8[1,H,W,C]. The rest is done by layers of the net."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from ..engine.errors import InputError
from ..engine.net import Net
from ..formats.ends import CHANNELS, reads_pixels

MODES = {"RGB": "RGB", "BGR": "RGB", "RGBA": "RGBA", "BGRA": "RGBA", "GRAY": "L"}


def opened(path: str | Path) -> Image.Image:
    """A photo, fully decoded and upright. Raises InputError if there is none, or it is damaged or no image."""
    try:
        with open(path, "rb") as file:
            image = ImageOps.exif_transpose(Image.open(file))  # turned as the camera was held
            image.load()
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (Exception, Image.DecompressionBombError) as error:  # decoders raise errors of many kinds
        why = (
            "no image of a known kind"
            if isinstance(error, Image.UnidentifiedImageError)
            else f"damaged: {error}"
        )
        raise InputError(f"{path}: {why}") from error
    return image


def colors_of(net: Net) -> str:
    """The colours of the pixels that the net reads: RGB, BGR, GRAY ... Raises InputError."""
    name = reads_pixels(net)
    if not name:
        raise InputError(f"{net.name} reads no pixels: with_image_input makes it so")
    channels = int(net.inputs[name].shape[-1]) if net.inputs[name].ndim == 4 else 0
    colors = net.metadata.get("image", {}).get("pixels") or {1: "GRAY", 3: "RGB", 4: "RGBA"}.get(channels, "")
    if CHANNELS.get(colors) != channels:
        raise InputError(
            f"{net.name} reads {name} {net.inputs[name]}, {colors or 'unknown'} pixels: no photo has them"
        )
    return colors


def pixels(image: Image.Image, colors: str = "RGB") -> np.ndarray:
    """The photo as uint8[1,H,W,C] in these colours. Where it is transparent it is on white, unless alpha is wanted."""
    alpha = MODES[colors] == "RGBA"
    array = np.asarray(_eight_bits(image, alpha).convert(MODES[colors]))
    array = array.reshape(1, *array.shape[:2], -1)
    if colors.startswith("BGR"):
        array = array[..., [2, 1, 0, 3][: array.shape[3]]]
    return np.ascontiguousarray(array)


def _eight_bits(image: Image.Image, alpha: bool) -> Image.Image:
    """8 bits a channel; on white where it is transparent, unless `alpha` is kept."""
    if image.mode.startswith(("I", "F")):  # 16-bit grey, or numbers of no fixed range, which are clipped
        numbers = np.asarray(image, np.float32) / np.float32(257 if image.mode.startswith("I") else 1)
        image = Image.fromarray(np.rint(np.nan_to_num(numbers).clip(0, 255)).astype(np.uint8))
    if image.has_transparency_data and not alpha:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image
