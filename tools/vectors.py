"""Test vectors: inputs and the outputs that are right for them, kept in a net's file so that any device can be held to
them. The framework that a model came from computes them where it can; what stands before and after the model in the
file (pixels in, answers out) is computed by the layers' own definitions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..engine.errors import ConversionError, FbnetError, InputError
from ..engine.net import Net
from ..engine.part import part
from ..engine.tensor import Spec
from ..formats.ends import reads_pixels
from .model import Runner
from .numbers import random_inputs, relative_error, share_that_differs
from .sources import judged, source_of

MOST_BYTES = 4 << 20  # of a vector that is made without being asked for
PICTURE = (
    97,
    131,
)  # height and width of a picture for nets that resize it: not square, not a multiple of anything
CLOSE = 1e-3  # relative to an output's largest number

Arrays = Mapping[str, np.ndarray]


def picture(shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """uint8 pixels (N, H, W, C) or (N, H, W): waves, two discs and a little noise. The same for the same seed."""
    random = np.random.default_rng(seed)
    n, h, w = shape[:3]
    c = shape[3] if len(shape) == 4 else 1
    y, x = np.mgrid[0 : 1 : h * 1j, 0 : 1 : w * 1j][..., None]
    turn, phase = random.uniform(2, 14, (2, n, 1, 1, c)), random.uniform(0, 6, (n, 1, 1, c))
    light = 120 + 70 * np.sin(turn[0] * x + turn[1] * y + phase)
    for _ in range(2):
        cy, cx, r = random.uniform(0.2, 0.8, (3, n, 1, 1, 1))
        light = np.where(
            (x - cx) ** 2 + (y - cy) ** 2 < (r / 3) ** 2, random.uniform(0, 255, (n, 1, 1, c)), light
        )
    light = (light + random.normal(0, 6, light.shape)).clip(0, 255)
    return np.rint(light).astype(np.uint8).reshape(shape)


def example(net: Net, seed: int = 0) -> dict[str, np.ndarray]:
    """Inputs for a net: a picture for pixels, random numbers for others."""
    specs = dict(net.inputs)
    name = reads_pixels(net)
    inputs = random_inputs({n: s for n, s in specs.items() if n != name}, seed)
    if name:
        inputs[name] = picture(_picture_shape(net, specs[name]), seed)
    return {n: inputs[n] for n in specs}


def _picture_shape(net: Net, spec: Spec) -> tuple[int, ...]:
    """A small size of its own if the net brings pictures to its size, else the usual one."""
    usual = tuple(map(int, spec.shape))
    resize = next((layer for layer in net.layers if layer.type == "ImageResize"), None)
    if resize is None or resize.fit == "cut" or len(usual) != 4:
        return usual
    shape = (usual[0], *PICTURE, usual[3])
    try:
        net.specs({next(n for n, s in net.inputs.items() if s is spec): shape})
    except FbnetError:
        return usual
    return shape


@dataclass(frozen=True)
class Made:
    """A net with a new test vector, who computed its outputs, and what kept a better judge from it."""

    net: Net
    judge: str
    why: str = ""


def with_test(
    net: Net,
    body: Net,
    paths: Sequence[Path] = (),
    inputs: Arrays | None = None,
    most_bytes: int | None = MOST_BYTES,
) -> Made:
    """The net with a test vector.

    body    the model as it was imported from `paths`, a part of `net`; its framework is asked for its outputs
    inputs  what the net gets; default: an example

    Raises ConversionError if the vector would be larger than `most_bytes`.
    """
    given = dict(inputs or example(net))
    size = sum(array.nbytes for array in given.values())
    if most_bytes is not None and size > most_bytes:
        raise ConversionError(f"{net.name}: a test vector of {size:,} bytes is too large")
    judge, why = "", ""
    engine = source_of(paths)
    if "int8" in body.metadata:  # ncnn's integers: a step in an early layer becomes many in late ones
        engine, why = None, "ncnn rounds integers another way than we do"
    outputs: dict[str, np.ndarray] = {}
    if engine is not None:
        fed = (
            given
            if set(body.inputs) == set(net.inputs)
            else part(net, list(net.inputs), list(body.inputs)).forward(**given)
        )
        try:
            judge, found = judged(engine, paths, body, fed, body.outputs)
            expected = {
                name: spec.shape for name, spec in body.specs({n: a.shape for n, a in fed.items()}).items()
            }
            if missing := [
                n for n in body.outputs if n not in found or found[n].size != np.prod(expected[n])
            ]:
                raise ConversionError(f"{engine.name} does not show {', '.join(missing)}")
            middle = {name: found[name].reshape(expected[name]).astype(np.float32) for name in body.outputs}
            outputs = _answers(net, middle, given)
        except ConversionError as error:
            judge, why = "", str(error)
    if not judge:
        judge, outputs = "fbnet's reference", net.forward(**given)
    size += sum(array.nbytes for array in outputs.values())
    if most_bytes is not None and size > most_bytes:
        raise ConversionError(f"{net.name}: a test vector of {size:,} bytes is too large")
    judges = [*net.metadata.get("judges", ()), judge]
    metadata = dict(net.metadata) | {"judges": judges}
    return Made(net.replace(tests=[*net.tests, given | outputs], metadata=metadata), judge, why)


def _answers(net: Net, middle: Arrays, given: Arrays) -> dict[str, np.ndarray]:
    """The net's outputs, of those of its body, `middle`, and of its own inputs."""
    found = {name: middle[name] for name in net.outputs if name in middle}
    later = [name for name in net.outputs if name not in middle]
    if later:
        known = dict(given) | dict(middle)
        tail = part(net, list(known), later)
        used = {name for layer in tail.layers for name in layer.inputs}
        tail = tail.replace(inputs={name: spec for name, spec in tail.inputs.items() if name in used})
        found |= tail.forward(**{name: known[name] for name in tail.inputs})
    return {name: found[name] for name in net.outputs}


@dataclass(frozen=True)
class Compared:
    """An output beside what is right: `error` is the largest difference, relative to the largest number; for whole
    numbers (classes, places) the share that differs."""

    output: str
    spec: str
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance


def compared(got: Arrays, wanted: Arrays, tolerance: float = CLOSE) -> list[Compared]:
    """Every wanted output beside the one that was computed."""
    rows = []
    for name, right in wanted.items():
        found = got[name]
        spec = f"{right.dtype}{list(right.shape)}"
        error = share_that_differs if right.dtype.kind in "biu" else relative_error
        rows.append(Compared(name, spec, error(found, right), tolerance))
    return rows


def checked(
    net: Net, number: int, device: str, threads: int | None = None, tolerance: float = CLOSE
) -> list[dict[str, Any]]:
    """One row an output of one test vector, computed on a device. Raises FbnetError if it cannot run the net."""
    vector = net.tests[number]
    if missing := [name for name in net.inputs if name not in vector]:
        raise InputError(f"{net.name}: test vector {number} lacks the input {', '.join(missing)}")
    inputs = {name: np.asarray(vector[name]) for name in net.inputs}
    wanted = {name: vector[name] for name in vector if name not in inputs}
    asked = net if set(wanted) <= set(net.outputs) else net.replace(outputs=list(wanted))
    with Runner(asked, device, threads) as runner:
        got = runner.rest(runner.first(inputs))
    judges = net.metadata.get("judges", ())
    judge = judges[number] if number < len(judges) else ""
    return [
        {
            "test": number, "output": row.output, "spec": row.spec, "error": row.error, "holds": row.holds,
            "judge": judge,
        }
        for row in compared(got, wanted, tolerance)
    ]  # fmt: skip
