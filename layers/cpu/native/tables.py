"""tables: plans -> what the C runtime reads: tables as C text, the constants as one file, and the compiled objects.

Nothing of a plan's numbers changes on the way. Constants that several plans have in common are there once, and so are
objects; an object's entry is called by its content, so that libraries of several nets can be in one program.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ....engine.errors import CompileError
from ....engine.memory import aligned
from ....engine.plan import Place, Plan
from ....engine.tensor import Spec
from .. import replay
from ..codegen import ENTRY

MARK_BYTES = 64  # before the weights, in a file of them; WEIGHTS_AT of weights.h
_LIMIT = 1 << 16  # the tables' short numbers


@dataclass(frozen=True)
class Tables:
    """What is compiled and linked.

    text     C: the tables
    weights  the constants, each at a multiple of 64 bytes
    objects  entry -> compiled object
    mark     what a file of the weights begins with
    """

    text: str
    weights: Sequence[bytes]
    objects: Mapping[str, bytes]
    mark: bytes

    @property
    def weight_bytes(self) -> int:
        return sum(map(len, self.weights))

    @property
    def digest(self) -> str:
        """What names the weights in this library, as no other library's are called."""
        return self.mark[16:32].hex()


def tables(plans: Sequence[Plan]) -> Tables:
    """The tables of plans of one net for one target. Raises CompileError if they have steps without a kernel."""
    for plan in plans:
        if missing := [step.layer for step in plan.steps if step.entry < 0]:
            raise CompileError(f"{plan.net.name}: no kernel for {', '.join(missing)}")
    weights, objects = _Weights(), _Objects()
    ends = [objects.number(code) for code in plans[0].objects[-2:]]  # the replay loops come last
    parts = [_plan_text(index, plan, weights, objects) for index, plan in enumerate(plans)]
    run, work = (objects.names[end] for end in ends)
    declared = "".join(
        f"void {name}(int64_t, int64_t, int64_t);\n" for name in dict.fromkeys([*objects.names, run, work])
    )
    rows = "".join(text for _, text in parts)
    listed = ",\n".join(row for row, _ in parts)
    return Tables(
        f"{declared}#define replay_run {run}\n#define replay_work {work}\n{_replay_numbers()}\n"
        f"static const Kernel kernels[] = {{{', '.join(objects.names)}}};\n{rows}"
        f"#define PLANS {len(plans)}\nstatic const Plan plans[PLANS] = {{\n{listed}\n}};\n"
        f"#define WEIGHTS_BYTES {weights.nbytes}u\n"
        f"#define MARK {_c_bytes(weights.mark())}\n",
        weights.parts,
        objects.renamed,
        weights.mark(),
    )


def _replay_numbers() -> str:
    """Where in a control block and in `sync` is what, as the compiled loops know it."""
    names = {
        "COUNT": replay.COUNT, "STEPS": replay.STEPS, "SYNC": replay.SYNC, "CONTROL_WORDS": replay.CONTROL_WORDS,
        "STEP_WORDS": replay.STEP_WORDS, "STOP": replay.STOP, "YIELD": replay.YIELD, "SLOTS": replay.SLOTS,
        "LINE": replay.SYNC_LINE, "AWAY": replay.AWAY,
    }  # fmt: skip
    return "".join(f"#define REPLAY_{name} {value}\n" for name, value in names.items())


class _Weights:
    """The constants of all plans, each distinct one once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.nbytes = 0
        self._at: dict[bytes, int] = {}
        self._hash = hashlib.sha256()

    def offset(self, array: np.ndarray) -> int:
        """Where in the weights the array lies."""
        data = np.ascontiguousarray(array).tobytes()
        key = hashlib.sha256(data).digest()
        if key not in self._at:
            self._at[key] = self.nbytes
            padded = data + bytes(aligned(len(data)) - len(data))
            self.parts.append(padded)
            self._hash.update(key)
            self.nbytes += len(padded)
        return self._at[key]

    def mark(self) -> bytes:
        """What says whose weights a file holds: 64 bytes."""
        start = b"FBWEIGHT" + self.nbytes.to_bytes(8, "little") + self._hash.digest()
        return start + bytes(MARK_BYTES - len(start))


class _Objects:
    """The kernels of all plans, each distinct one once, under a name of its own."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.renamed: dict[str, bytes] = {}

    def number(self, code: bytes | memoryview) -> int:
        """Which of the kernels this is."""
        name, renamed = _renamed(bytes(code))
        if name not in self.renamed:
            self.renamed[name] = renamed
            self.names.append(name)
        return self.names.index(name)


def _renamed(code: bytes) -> tuple[str, bytes]:
    """An object with its entry called after its content: a name of the same length, put in its place."""
    old = ENTRY.encode()
    new = ("k" + hashlib.sha256(code).hexdigest())[: len(old)].encode()
    return new.decode(), code.replace(old, new)


def _plan_text(index: int, plan: Plan, weights: _Weights, objects: _Objects) -> tuple[str, str]:
    """(the row of the table of plans, the tables that it refers to)."""
    steps, words, moves = [], list[int](), list[str]()
    for step in plan.steps:
        kernel = objects.number(plan.objects[step.entry])
        steps.append(
            f"{{{kernel}, {step.threads}, {len(words)}, {len(step.words)}, {len(moves)}, {len(step.relocations)}}}"
        )
        words += step.words or (0,)
        moves += [f"{{{at}, {region}}}" for at, region in step.relocations]
        if max(kernel, step.threads, len(step.words), len(plan.constants)) >= _LIMIT:
            raise CompileError(f"{plan.net.name}: {step.layer} is too large for the tables of a library")
    net = plan.net
    tensors = [_tensor(name, *plan.tensors[name], output=name not in net.inputs) for name in _ends(plan)]
    constants = [f"{weights.offset(plan.constant(k))}u" for k in range(len(plan.constants))]
    text = "".join(
        f"static const {kind} {name}{index}[] = {{{_listed(rows)}}};\n"
        for kind, name, rows in (
            ("Step", "steps", steps),
            ("int64_t", "words", map(_c_word, words)),
            ("Move", "moves", moves or ["{0, 0}"]),
            ("Tensor", "tensors", tensors),
            ("uint64_t", "constants", constants or ["0"]),
        )
    )
    row = (
        f"    {{steps{index}, words{index}, moves{index}, tensors{index}, constants{index}, "
        f"{len(steps)}, {len(words)}, {len(tensors)}, {plan.threads}, {plan.arena_bytes}u}}"
    )
    return row, text


def _ends(plan: Plan) -> list[str]:
    """Inputs, then outputs; an input that is an output as well is an input."""
    return list(dict.fromkeys([*plan.net.inputs, *plan.net.outputs]))


def _tensor(name: str, place: Place, spec: Spec, *, output: bool) -> str:
    if spec.ndim > 8:
        raise CompileError(f"tensor {name!r} is {spec}: a library's tensors have up to 8 axes")
    shape = ", ".join(map(str, map(int, spec.shape))) or "0"
    given = spec.quantization
    scale, zero = (given.scale[0], given.zero[0]) if given is not None and given.axis is None else (1.0, 0)
    return (
        f"{{{_c_string(name)}, {_c_string(spec.dtype.name)}, {float(scale)!r}f, {zero}, {int(output)}, "
        f"{place.region}, {spec.ndim}, {place.offset}u, {spec.nbytes}u, {{{shape}}}}}"
    )


def _listed(rows: Iterable[str]) -> str:
    return "\n    " + ",\n    ".join(rows) + "\n"


def _c_word(word: int) -> str:
    """An int64 as C has it: there is no literal of the lowest."""
    return "INT64_MIN" if word == -(1 << 63) else f"{word}LL"


def _c_string(text: str) -> str:
    """A string literal of the text's UTF-8; bytes that are not plain are octal, which ends after three digits."""
    plain = [chr(b) if 32 <= b < 127 and b not in b'"\\?' else f"\\{b:03o}" for b in text.encode()]
    return '"' + "".join(plain) + '"'


def _c_bytes(data: bytes) -> str:
    return '"' + "".join(f"\\{b:03o}" for b in data) + '"'
