"""split: which of several devices computes each layer of a net, and the cut that this makes.

Devices are named in the order in which they are preferred. A layer is the first one's that does not refuse it, and
the last one takes what is left. Then layers that are computed in a row on a device are a segment, and a segment that
is not worth its borders goes over to another device: if there it takes less time than here with the copies
that it needs. Times are measured where a device can and tuning is on, else estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .device import Device
from .errors import CompileError
from .layer import Layer
from .net import Net
from .part import nets_of
from .rewrite import apply
from .tensor import Spec

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Segment:
    """Layers that run on one device, one after the other, as a net.

    seconds  of a run there
    shapes   of its inputs
    """

    net: Net
    device: Device
    seconds: float
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Border:
    """A tensor that goes from one segment to another; by numbers, None is the caller.

    seconds  of its copies: off one device, onto the other
    """

    tensor: str
    spec: Spec
    source: int | None
    target: int | None
    seconds: float


@dataclass(frozen=True)
class Cut:
    """A net in segments, in the order in which they run.

    refusals  layer -> device -> why it does not compute that layer
    stays     layer -> why it is not where it could be
    """

    segments: Sequence[Segment]
    borders: Sequence[Border]
    refusals: Mapping[str, Mapping[str, str]]
    stays: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """Of a run: segments and borders."""
        return sum(s.seconds for s in self.segments) + sum(b.seconds for b in self.borders)


def cut(net: Net, devices: Sequence[Device], shapes: Shapes, threads: int, weigh: bool = True) -> Cut:
    """The segments of a net. Raises CompileError if a layer is refused by all devices.

    weigh  False: every layer is the first device's that can compute it, whatever time it takes
    """
    return _Split(net, devices, shapes, threads).cut(weigh)


class _Split:
    """A net's layers and the device of each, while they are moved."""

    def __init__(self, net: Net, devices: Sequence[Device], shapes: Shapes, threads: int):
        self.devices, self.threads = devices, threads
        fixed = {name: spec.concrete for name, spec in net.specs(shapes).items() if name in net.inputs}
        self.net = apply(
            net.computed.replace(inputs=fixed)
        )  # a segment has no other sizes, however it is asked
        self.specs = {name: spec.concrete for name, spec in self.net.specs().items()}
        self.refusals = {layer.name: self._refusals(layer) for layer in self.net.layers}
        self.home = {layer.name: self._first(layer) for layer in self.net.layers}
        self.stays: dict[str, str] = {}
        self._seconds: dict[tuple[int, tuple[str, ...]], float] = {}

    def _refusals(self, layer: Layer) -> dict[str, str]:
        """Device -> why not, of each before the one that takes the layer. The last takes anything that it can."""
        found: dict[str, str] = {}
        for device in self.devices:
            why = device.refuses(layer, self.net, self.specs)
            if why and (device is not self.devices[-1] or device.compiled):
                found[device.name] = why
        return found

    def _first(self, layer: Layer) -> int:
        able = [n for n, device in enumerate(self.devices) if device.name not in self.refusals[layer.name]]
        if able:
            return able[0]
        reasons = "; ".join(f"{name}: {why}" for name, why in self.refusals[layer.name].items())
        raise CompileError(f"{layer}: no device computes it. {reasons}. End the list with cpu")

    def cut(self, weigh: bool) -> Cut:
        """Move what is not worth its borders, then make the segments."""
        while weigh and self._improve():
            pass
        runs = self._runs()
        nets = nets_of(self.net, [layers for _, layers in runs])
        segments = [
            Segment(part, self.devices[home], self._time(home, layers), self._shapes(part))
            for part, (home, layers) in zip(nets, runs, strict=True)
        ]
        return Cut(segments, self._borders(segments), self.refusals, self.stays)

    def _runs(self) -> list[tuple[int, list[Layer]]]:
        """Layers in an order that stays on a device as long as possible."""
        left, known = list(self.net.layers), {"", *self.net.inputs, *self.net.constants}
        runs: list[tuple[int, list[Layer]]] = []
        while left:
            home = next(self.home[layer.name] for layer in left if known.issuperset(layer.inputs))
            run, rest = [], []
            for layer in left:
                if self.home[layer.name] == home and known.issuperset(layer.inputs):
                    run.append(layer)
                    known |= set(layer.outputs)
                else:
                    rest.append(layer)
            runs.append((home, run))
            left = rest
        return runs

    def _improve(self) -> bool:
        """Move one segment to another's device if that saves time; the one that saves most."""
        best, chosen = 0.0, None
        runs = self._runs()
        now = self._copies()
        for home, layers in runs:
            for other in range(len(self.devices)):
                refused = any(self.devices[other].name in self.refusals[layer.name] for layer in layers)
                if other == home or refused:
                    continue
                before = self._time(home, layers) + now
                moved = {layer.name: other for layer in layers}
                after = self._time(other, layers) + self._copies(self.home | moved)
                if before - after > best:
                    best, chosen = before - after, (moved, home, other, before, after)
        if chosen is None:
            return False
        moved, home, other, before, after = chosen
        self.home |= moved
        names = [self.devices[n].name for n in (home, other)]
        why = f"{names[0]} would take {before * 1e6:.0f} us with the copies, {names[1]} {after * 1e6:.0f}"
        self.stays |= dict.fromkeys(moved, why)
        return True

    def _time(self, home: int, layers: Sequence[Layer]) -> float:
        """Seconds of a segment on a device."""
        key = home, tuple(layer.name for layer in layers)
        if key not in self._seconds:
            order = [layer for layer in self.net.layers if layer.name in key[1]]
            part = nets_of(self.net, [order])[0]
            self._seconds[key] = self.devices[home].cost(part, self._shapes(part), self.threads)
        return self._seconds[key]

    def _shapes(self, part: Net) -> dict[str, tuple[int, ...]]:
        return {name: self.specs[name].shape for name in part.inputs}

    def _copies(self, home: Mapping[str, int] | None = None) -> float:
        """Seconds of all copies between devices, and between them and the caller."""
        home = home or self.home
        made = {name: home[layer.name] for layer in self.net.layers for name in layer.outputs}
        read = {(name, home[layer.name]) for layer in self.net.layers for name in layer.inputs if name}
        total = sum(
            self._copy(name, made.get(name), to)
            for name, to in read
            if name not in self.net.constants and made.get(name) != to
        )
        return total + sum(self._copy(name, made.get(name), None) for name in self.net.outputs)

    def _copy(self, name: str, source: int | None, target: int | None) -> float:
        """Seconds that a tensor takes off one device and onto another."""
        nbytes = self.specs[name].nbytes
        ends = [self.devices[n].border for n in (source, target) if n is not None]
        return sum(latency + nbytes / rate for latency, rate in ends)

    def _borders(self, segments: Sequence[Segment]) -> list[Border]:
        made = {name: number for number, s in enumerate(segments) for name in s.net.outputs}
        ends = [(name, number) for number, s in enumerate(segments) for name in s.net.inputs]
        found = []
        for name, number in [*ends, *((name, None) for name in self.net.outputs)]:
            source = made.get(name)
            homes = [None if n is None else self.devices.index(segments[n].device) for n in (source, number)]
            found.append(Border(name, self.specs[name], source, number, self._copy(name, *homes)))
        return found
