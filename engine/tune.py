"""tune: of several kernels that serve a layer, measure which is the fastest here; once, then it is remembered.

Each is timed in a net of the one layer, with its own sizes and numbers, and with a cold cache: in a whole net the
weights of a layer have been driven out by those of the others. What was measured is kept on disk, and what was chosen
in the plan, so a choice once made stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np

from .cache import Cache
from .device import Device
from .errors import FbnetError
from .kernel import Kernel
from .layer import Layer
from .lower import lower
from .net import Net
from .progress import listening
from .record import record
from .share import Shares
from .source import package_digest
from .tensor import Spec

ROUNDS = 4  # runs of which the fastest counts
CLOSE = 2.0  # candidates whose score is at least that of the best by this factor are tried
COLD_BYTES = 48 << 20  # read between two runs: more than a processor's share of its last cache

_measured = Cache("timings", ".json")


class Tuner:
    """Times the kernels of a net's layers on a device."""

    def __init__(self, net: Net, device: Device, dtype: str, specs: Mapping[str, Spec]):
        self.net, self.device, self.dtype, self.specs = net, device, dtype, specs

    def fastest(self, layer: Layer, choices: Sequence[Kernel], threads: int) -> tuple[Kernel, str]:
        """The fastest of the kernels, best score first, and why; the first, unmeasured, if no other's score is near."""
        close = [k for k in choices if k.score * CLOSE >= choices[0].score]
        if len(close) < 2 or not self.device.can_time:
            return choices[0], ""
        seconds = self._seconds(layer, close, threads)
        best = min(close, key=lambda k: seconds[k.name])
        rest = [k for k in sorted(close, key=lambda k: seconds[k.name]) if k is not best]
        others = ", ".join(f"{k.name.rsplit('/', 1)[-1]} {1e3 * seconds[k.name]:.2g}" for k in rest)
        return best, f"measured {1e3 * seconds[best.name]:.2g} ms; {others}"

    def _seconds(self, layer: Layer, choices: Sequence[Kernel], threads: int) -> dict[str, float]:
        """Kernel name -> seconds, from disk where they are known."""
        names = [k.name for k in choices]
        key = self._key(layer, names, threads)

        def measure() -> bytes:
            return json.dumps({k.name: self._time(layer, k, threads) for k in choices}).encode()

        known = json.loads(_measured.get(key, measure))
        return {name: float(known[name]) for name in names}

    def _key(self, layer: Layer, names: Sequence[str], threads: int) -> str:
        given = [f"{self.specs[i].concrete}{self._stored(i)}" if i else "" for i in layer.inputs]
        parts = [layer.type, repr(layer.attributes), *given, str(threads), self.device.target, *names]
        return hashlib.sha256("\0".join([*parts, package_digest()]).encode()).hexdigest()[:32]

    def _stored(self, name: str) -> str:
        """In which narrower dtype a constant is stored, if it is: kernels read that."""
        narrow = self.net.constants[name].narrow if name in self.net.constants else None
        return f" in {narrow.spec.dtype.name}" if narrow is not None else ""

    def _time(self, layer: Layer, kernel: Kernel, threads: int) -> float:
        """Seconds of the layer by one kernel; infinite if it cannot be run."""
        constants = {i: self.net.constants[i] for i in layer.inputs if i in self.net.constants}
        inputs = {
            i: self.specs[i].replace(shape=self.specs[i].concrete.shape)
            for i in layer.inputs
            if i and i not in constants
        }
        alone = Net([layer], inputs, constants, layer.outputs)
        with listening(lambda what, done, total: None):  # a part of what is reported already
            return self._time_alone(alone, kernel, threads)

    def _time_alone(self, alone: Net, kernel: Kernel, threads: int) -> float:
        try:
            specs = alone.specs()
            shares = Shares(alone, self.device, specs, threads, generous=True)
            lowered = lower(alone, self.device, self.dtype, specs, shares, kernel.name)
            plan = record(alone, self.device, self.dtype, threads, specs, lowered)
            handle = self.device.init(plan)
            try:
                self.device.prepare(handle, plan.shapes())
                for name, spec in alone.inputs.items():
                    self.device.set_tensor(handle, name, _numbers(spec))
                mine = [i for i, step in enumerate(plan.steps) if step.kernel == kernel.name]
                return min(self._run(handle, mine) for _ in range(ROUNDS))
            finally:
                self.device.destroy(handle)
        except FbnetError:
            return float("inf")

    def _run(self, handle: object, steps: Sequence[int]) -> float:
        _cold_memory().max()
        times = self.device.time_steps(handle, 1)
        return sum(times[i] for i in steps)


def _numbers(spec: Spec) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, spec.shape).astype(spec.dtype.storage)


@lru_cache
def _cold_memory() -> np.ndarray:
    return np.ones(COLD_BYTES // 4, np.float32)
