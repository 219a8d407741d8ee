"""Every error that fbnet raises on purpose.

    FbnetError
    ├── RegistryError        a name that is unknown, or registered twice
    ├── AttributeValueError  a layer was given an attribute that it does not take
    ├── ShapeError           tensors whose shape or dtype do not fit together
    ├── NetError             a graph that is not one: cycle, missing tensor, duplicate name
    ├── FileError            a file that cannot be read: truncated, damaged, foreign, hostile
    ├── ConversionError      a source model holds what we cannot express; lists all of it
    ├── CompileError         no kernel, or a kernel that cannot be compiled
    ├── DeviceError          a device or session used wrongly
    ├── QuantizationError    no integer net keeps within the budget; its table says what each layer costs
    ├── FetchError           what has to come over the network cannot: no network, no client, no such package
    ├── CheckError           a result that differs from what defines it
    └── InputError           what the caller handed in: an image, an option, a tensor's name

A message says who, got, wanted, and what to do, in one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any


class FbnetError(Exception):
    """The base of every error that fbnet raises on purpose."""


class RegistryError(FbnetError, LookupError):
    """A name is unknown to a registry, or was registered twice."""


class AttributeValueError(FbnetError, ValueError):
    """A layer was given an attribute that it does not have, or a value of the wrong kind."""


class ShapeError(FbnetError, ValueError):
    """Tensors whose shapes or dtypes do not fit a layer."""


class NetError(FbnetError, ValueError):
    """A vector of layers that is not a net: a cycle, a missing tensor, a duplicate name."""


class FileError(FbnetError, ValueError):
    """A file that cannot be read (truncated, damaged, foreign or hostile) or cannot be written."""


class ConversionError(FbnetError, ValueError):
    """A source model that cannot be expressed. `problems` lists everything that is in the way."""

    def __init__(self, summary: str, problems: Iterable[str] = ()):
        self.problems = tuple(problems)
        super().__init__("; ".join([summary, *self.problems]))


class CompileError(FbnetError, RuntimeError):
    """No kernel serves a layer, or a kernel cannot be compiled."""


class DeviceError(FbnetError, RuntimeError):
    """A device or a session was used wrongly, or failed."""


class QuantizationError(FbnetError, ValueError):
    """No integer net loses as little as was asked for. `table` has a row for each layer: its error, time and share."""

    def __init__(self, message: str, table: Sequence[Mapping[str, Any]] = ()):
        self.table = tuple(table)
        super().__init__(message)


class FetchError(FbnetError, OSError):
    """What has to come over the network cannot: there is no network, no client for it, or it is not there."""


class CheckError(FbnetError, AssertionError):
    """A result differs from what defines it: a kernel from its reference, a model from its test vector."""


class InputError(FbnetError, ValueError):
    """What the caller handed in cannot be used: an image, an option, a tensor's name."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean ReLU?' for a close match (case is folded), else ''.

    Names may come from a hostile file, and matching takes time with their product: only so much is compared.
    """
    folded = {k.casefold(): k for k in islice(known, 2000) if len(k) <= 80}
    close = get_close_matches(name.casefold(), folded, n=1, cutoff=0.6) if len(name) <= 80 else []
    return f" Did you mean {folded[close[0]]!r}?" if close else ""
