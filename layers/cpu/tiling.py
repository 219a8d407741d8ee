"""tiling: how large a tile of sums a convolution keeps in registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Tile:
    """rows places × vectors of output channels, all summed up in registers at the same time."""

    rows: int
    vectors: int


@cache
def best_tile(places: int, blocks: int, registers: int, most_vectors: int = 4) -> Tile:
    """The tile that covers `places` × `blocks` vectors with the least work.

    places     output places in a row; the last tile of a row is moved back over the one before, so a tile is
               never wider than the row
    blocks     vectors of output channels; a tile's vectors divide them
    registers  vector registers of the target
    most_vectors  no tile has more

    One step of a tile is `rows * vectors` multiply-adds, two a cycle, and as many loads as `rows + vectors`, two
    a cycle; with fewer than eight sums it waits for the additions to come through.
    """

    def cost(tile: Tile) -> float:
        step = max(tile.rows * tile.vectors, 0.75 * (tile.rows + tile.vectors), 8)
        return -(-places // tile.rows) * (blocks // tile.vectors) * (step + 0.5)

    few = registers <= 16  # such targets broadcast into a register first
    choices = [
        Tile(rows, vectors)
        for vectors in (1, 2, 3, 4)
        if vectors <= most_vectors and blocks % vectors == 0
        for rows in range(1, min(places, 28) + 1)
        if rows * vectors + vectors + few <= registers
    ]
    return min(choices, key=cost)
