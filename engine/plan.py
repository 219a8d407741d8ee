"""Plan: the work of a net for one device and one set of shapes, decided and written down.

A plan holds steps (which object to call, with which words), constants (packed for the chosen kernels), and where
each tensor lies. It holds no Python objects of layers or kernels, so it can be kept on disk, and running it needs
neither. It is immutable and shared by all its sessions.

A plan has regions of memory: region 0 is the arena, of which each session has its own; region k is constants[k - 1].
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from .dtype import Quantization
from .errors import FileError
from .memory import aligned
from .net import Net
from .tensor import Spec

ARENA = 0
_MAGIC = b"FBPLAN05"


@dataclass(frozen=True)
class Place:
    """Where a tensor lies: `offset` bytes into a region."""

    region: int
    offset: int


@dataclass(frozen=True)
class Stored:
    """A tensor as it lies in a plan's memory, for those who look inside. Time is the number of a lowered layer, as in
    `notes`; -1 is before the first.

    tensor  its name in the net; a step's working memory has none, ''
    layer   the layer that writes it, '' for an input
    spec    shape and dtype in the net, with plain sizes; shape and layout are those in memory
    within  the tensor whose bytes these are as well, '' if they are its own
    """

    tensor: str
    layer: str
    place: Place
    spec: Spec
    shape: tuple[int, ...]
    layout: str
    first: int
    last: int
    within: str = ""

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.spec.dtype.itemsize


@dataclass(frozen=True)
class Step:
    """One kernel call, or one layer computed by its reference.

    layer        name of the layer that it works for
    kernel       the kernel's registered name; 'reference' for a layer that the device has no kernel for
    entry        which of the plan's objects to call; -1 for a reference
    words        the argument block; words that are addresses hold an offset
    relocations  (index, region): words[index] is to become region's address + words[index]
    threads      how many threads are to share the call, at most
    """

    layer: str
    kernel: str
    entry: int = -1
    words: tuple[int, ...] = ()
    relocations: tuple[tuple[int, int], ...] = ()
    threads: int = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """What a Session runs.

    net          the net that was compiled: names, constants that are used as they are, layers without a kernel
    device       the device's name, and target what code was generated for ('' if none was)
    tensors      tensor name -> (Place, Spec), for inputs, outputs, and all that a reference step touches
    constants    arrays, or names of the net's own constants
    objects      compiled code
    arena_bytes  what each session allocates
    notes        layer -> why its kernel was chosen, in the order in which they run
    stored       every tensor that has a place, and every step's working memory
    rounds       how often the first steps are there, each time for the next images of a batch; `round_steps` of them
    """

    net: Net
    device: str
    dtype: str
    target: str
    threads: int
    tensors: Mapping[str, tuple[Place, Spec]]
    constants: Sequence[np.ndarray | str]
    objects: Sequence[bytes | memoryview]
    steps: Sequence[Step]
    arena_bytes: int
    notes: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    stored: Sequence[Stored] = ()
    rounds: int = 1
    round_steps: int = 0
    idle: deque[Any] = field(default_factory=deque, repr=False)  # sessions kept ready for `net(x)`

    def session(self) -> Any:
        """A new Session of this plan: `with plan.session() as s: ...`"""
        from .session import Session

        return Session(self)

    def rest(self) -> None:
        """Close the idle sessions: their memory and threads go back."""
        while self.idle:
            with suppress(IndexError):  # another thread was faster
                self.idle.pop().close()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The input shapes that this plan is for."""
        return {name: self.tensors[name][1].shape for name in self.net.inputs}

    def constant(self, index: int) -> np.ndarray:
        """The array of region index + 1."""
        given = self.constants[index]
        array = self.net.constants[given].data if isinstance(given, str) else given
        assert array is not None
        return array

    @property
    def different_steps(self) -> Sequence[Step]:
        """The steps, those of rounds once."""
        return self.steps[self.round_steps * (self.rounds - 1) :]

    @property
    def packed_bytes(self) -> int:
        """Bytes of the constants that the plan holds itself."""
        return sum(c.nbytes for c in self.constants if not isinstance(c, str))

    @property
    def peak_bytes(self) -> int:
        """Bytes that one session's runs touch: its arena, in which every step's workspace lies as well, the packed
        constants, and those that are used as they lie in the net."""
        return self.arena_bytes + sum(self.constant(i).nbytes for i in range(len(self.constants)))

    # -- on disk -------------------------------------------------------------------------------------------

    def chunks(self) -> list[bytes | memoryview]:
        """The plan as bytes, in pieces: a header (magic, length, digest, JSON), blobs at multiples of 64, the digest.

        The digest is of the header and the code. At the end it shows that the constants in between are all there;
        they are not read for it, so that opening a plan takes no longer for large ones.
        """
        arrays = [np.asarray(c, order="C") for c in self.constants if not isinstance(c, str)]
        packed = iter([{"shape": a.shape, "dtype": str(a.dtype)} for a in arrays])
        header = {
            "key": self.key,
            "device": self.device,
            "dtype": self.dtype,
            "target": self.target,
            "threads": self.threads,
            "arena": self.arena_bytes,
            "tensors": {
                name: [place.region, place.offset, *_written(spec)]
                for name, (place, spec) in self.tensors.items()
            },
            "constants": [c if isinstance(c, str) else next(packed) for c in self.constants],
            "objects": [len(o) for o in self.objects],
            "steps": [[s.layer, s.kernel, s.entry, s.words, s.relocations, s.threads] for s in self.steps],
            "notes": dict(self.notes),
            "stored": [
                [
                    *(s.tensor, s.layer, s.place.region, s.place.offset, s.spec.shape, s.spec.dtype.name),
                    *(s.shape, s.layout, s.first, s.last, s.within),
                ]
                for s in self.stored
            ],
            "rounds": [self.rounds, self.round_steps],
        }
        text = json.dumps(header).encode()
        digest = hashlib.sha256(text + b"".join(self.objects)).digest()
        start = _MAGIC + struct.pack("<Q", len(text)) + digest
        blobs: list[bytes | memoryview] = [start + text, *self.objects]
        blobs += [a.reshape(-1).view(np.uint8).data for a in arrays]
        blobs.append(digest)
        return [part for blob in blobs for part in (blob, bytes(aligned(len(blob)) - len(blob)))]

    @classmethod
    def read(cls, net: Net, data: memoryview) -> Plan:
        """The plan in `data`, for `net`; constants stay where they are. Raises FileError if it is damaged.

        A plan is code. Read one only from a place that nobody else can write, or from a file that you trust.
        """
        try:
            if bytes(data[:8]) != _MAGIC:
                raise ValueError("not a plan of this version")
            length, digest = struct.unpack_from("<Q", data, 8)[0], bytes(data[16:48])
            text = bytes(data[48 : 48 + length])
            header = json.loads(text)
            at = aligned(48 + length)
            objects = []
            for size in header["objects"]:
                objects.append(bytes(data[at : at + size]))
                at += aligned(size)
            if hashlib.sha256(text + b"".join(objects)).digest() != digest:
                raise ValueError("its digest is wrong")
            constants: list[np.ndarray | str] = []
            for entry in header["constants"]:
                if isinstance(entry, str):
                    constants.append(entry)
                    continue
                dtype = np.dtype(entry["dtype"])
                size = int(np.prod(entry["shape"], dtype=np.int64))
                constants.append(np.frombuffer(data, dtype, size, at).reshape(entry["shape"]))
                at += aligned(size * dtype.itemsize)
            if bytes(data[at : at + 32]) != digest:
                raise ValueError("its end is missing")
        except (ValueError, KeyError, TypeError, struct.error) as error:
            raise FileError(f"a stored plan cannot be read: {error}") from None
        return cls(
            net=net,
            device=header["device"],
            dtype=header["dtype"],
            target=header["target"],
            threads=header["threads"],
            tensors={n: (Place(r, o), _spec(*spec)) for n, (r, o, *spec) in header["tensors"].items()},
            constants=constants,
            objects=objects,
            steps=[
                Step(layer, kernel, entry, tuple(words), tuple((i, r) for i, r in relocations), shared)
                for layer, kernel, entry, words, relocations, shared in header["steps"]
            ],
            arena_bytes=header["arena"],
            notes=header["notes"],
            key=header["key"],
            stored=[
                Stored(tensor, layer, Place(region, offset), Spec(sizes, dtype), tuple(shape), *rest)
                for tensor, layer, region, offset, sizes, dtype, shape, *rest in header["stored"]
            ],
            rounds=header["rounds"][0],
            round_steps=header["rounds"][1],
        )

    # -- to read -------------------------------------------------------------------------------------------

    def __str__(self) -> str:
        width = max((len(s.layer) for s in self.different_steps), default=0)
        rows = [
            f"plan for {self.device}{f' ({self.target})' if self.target else ''}, {self.dtype}, "
            f"{self.threads} thread{'s' * (self.threads != 1)}: {len(self.different_steps)} steps, "
            + (f"the first {self.round_steps} in {self.rounds} rounds, " if self.rounds > 1 else "")
            + f"arena {self.arena_bytes:,} bytes, packed constants {self.packed_bytes:,} bytes"
        ]
        return "\n".join(rows + [f"  {s.layer:<{width}}  {s.kernel}" for s in self.different_steps])

    def _repr_html_(self) -> str:
        from .html import plan_html

        return plan_html(self)

    def __repr__(self) -> str:
        return f"<Plan of {self.net.name} on {self.device}: {len(self.steps)} steps>"


def _written(spec: Spec) -> list[Any]:
    """What a plan's header keeps of a tensor's spec: shape, dtype, and scale, zero and axis of its quantization."""
    given = spec.quantization
    return [spec.shape, spec.dtype.name, given and [given.scale, given.zero, given.axis]]


def _spec(shape: list[int], dtype: str, quantization: list[Any] | None) -> Spec:
    """The spec of which that was written."""
    if quantization is None:
        return Spec(shape, dtype)
    scale, zero, axis = quantization
    return Spec(shape, dtype, Quantization(tuple(scale), tuple(zero), axis))
