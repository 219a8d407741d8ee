"""machine: how large the chip's memories are, and how much it does in a cycle."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """A chip. Programs are assembled for one, and name its memories' sizes.

    activations  bytes of the activation buffer
    weights      bytes of the weight buffer
    columns      output channels that the array computes at a time
    products     products that a column adds up in a cycle
    port         32-byte words that the activation buffer gives in a cycle
    lanes        results that are requantised, added, pooled or looked up in a cycle
    bus          bytes between DRAM and the buffers in a cycle, in one direction or the other
    start        cycles that a command takes before its first result
    hertz        cycles a second
    """

    activations: int = 512 << 10
    weights: int = 256 << 10
    columns: int = 32
    products: int = 32
    port: int = 4
    lanes: int = 32
    bus: int = 16
    start: int = 32
    hertz: float = 1e9

    def room(self, low: int) -> int:
        """Bytes of the activation buffer from `low` on that may be used for what is streamed: whole shares of 128."""
        share = max(self.activations >> 7, 64)
        return max(self.activations - low, 0) // share * share


CHIP = Machine()
DRAM_MOST = 1 << 30  # bytes of DRAM that a program may ask for
