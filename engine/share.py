"""share: how many threads each layer of a net is worth.

A layer that is done in a few microseconds is slower on two threads than on one, since they have to meet; and a net that
is done in a few dozen is slower with a second thread, since that has to wake up.
"""

from __future__ import annotations

from collections.abc import Mapping

from .device import Device
from .layer import Layer
from .net import Net
from .tensor import Spec

GRAIN = 4e-6  # seconds that a thread's share of a layer lasts at least
WAKE = 40e-6  # seconds of a whole run that more threads must save


class Shares:
    """How many threads share each layer of a net on a device, at most `threads`.

    generous  every layer gets them all, as when sharing itself is to be tested
    """

    def __init__(self, net: Net, device: Device, specs: Mapping[str, Spec], threads: int, generous: bool):
        self.device, self.specs, self.threads = device, specs, threads
        self._generous = generous or threads == 1
        if not self._generous and self._saved(net) < WAKE:
            self.threads = 1

    def of(self, layer: Layer) -> int:
        """Threads that share a layer."""
        if self._generous or self.threads == 1:
            return self.threads
        return max(1, min(self.threads, int(self._seconds(layer) / GRAIN)))

    def _saved(self, net: Net) -> float:
        """Seconds that sharing saves in a run of the net."""
        return sum(self._seconds(layer) * (1 - 1 / self.of(layer)) for layer in net.layers)

    def _seconds(self, layer: Layer) -> float:
        """About how long one thread takes for a layer."""
        if layer.alias:
            return 0.0
        given = [self.specs.get(name) for name in layer.inputs]
        made = [self.specs[name] for name in layer.outputs]
        nbytes = sum(int(spec.concrete.nbytes) for spec in [*given, *made] if spec is not None)
        return self.device.seconds(int(layer.macs(*given)), nbytes)
