"""Labels: what the classes of a net are called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..engine.errors import InputError


def read_labels(source: str | Path | Sequence[str]) -> list[str]:
    """Labels from a text file, or as they are given."""
    if not isinstance(source, (str, Path)):
        return [str(label) for label in source]
    try:
        lines = Path(source).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{source}: labels cannot be read: {error}") from None
    return [re.sub(r"^n\d{8}\s+", "", line.strip()) for line in lines if line.strip()]
