"""tiling: how large a tile of sums a convolution keeps in registers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Tile:
    """rows places × vectors of output channels, all summed up in registers at the same time."""

    rows: int
    vectors: int


@dataclass(frozen=True)
class Part:
    """`groups` × `tile.vectors` blocks of output channels that one size of tile computes."""

    tile: Tile
    groups: int

    @property
    def blocks(self) -> int:
        return self.groups * self.tile.vectors


def best_parts(places: int, blocks: int, registers: int, most_rows: int = 28) -> list[Part]:
    """The output channels cut into at most two parts, so that also 5 or 7 blocks are covered by good tiles."""
    whole = best_tile(places, blocks, registers, most_rows=most_rows)
    ways = [[Part(whole, blocks // whole.vectors)]]
    for first in range(2, blocks - 1):
        sizes = (first, blocks - first)
        halves = [(best_tile(places, size, registers, most_rows=most_rows), size) for size in sizes]
        ways.append([Part(tile, size // tile.vectors) for tile, size in halves])
    work = [sum(_cost(places, part.blocks, part.tile) for part in way) for way in ways]
    return ways[0] if work[0] <= 1.05 * min(work) else ways[work.index(min(work))]


@cache
def best_tile(places: int, blocks: int, registers: int, most_vectors: int = 4, most_rows: int = 28) -> Tile:
    """The tile that covers `places` × `blocks` vectors with the least work.

    places     output places in a row; the last tile of a row is moved back over the one before, so a tile is
               never wider than the row
    blocks     vectors of output channels; a tile's vectors divide them
    registers  vector registers of the target
    most_vectors, most_rows  no tile has more
    """
    choices = [
        Tile(rows, vectors)
        for vectors in (1, 2, 3, 4)
        if vectors <= most_vectors and blocks % vectors == 0
        for rows in range(1, min(places, most_rows) + 1)
        if rows * vectors + vectors <= registers - _spare(registers, vectors)
    ]
    return min(choices, key=lambda tile: _cost(places, blocks, tile))


@cache
def padded_tile(places: int, blocks: int, registers: int) -> Tile:
    """The tile that covers at least places × blocks vectors with the least work: its last vectors may stick out."""
    tiles = [best_tile(max(1, places), vectors, registers, vectors) for vectors in (1, 2, 3, 4)]
    return min(tiles, key=lambda tile: _cost(places, -(-blocks // tile.vectors) * tile.vectors, tile))


def _cost(places: int, blocks: int, tile: Tile) -> float:
    """The work of covering places × blocks vectors with a tile, relative to others.

    One step of a tile is `rows * vectors` multiply-adds, two a cycle; with fewer than twelve sums it waits for the
    additions to come through. It loads `rows + vectors` times, beside them; where a loaded number feeds one
    multiply-add alone, as in a tile of one vector, loading is what it waits for. (Fitted to measurements with
    vectors of 8 and of 16 numbers.)
    """
    sums = max(tile.rows * tile.vectors, 12) * (1.3 if tile.vectors == 1 else 1)
    step = sums + 0.2 * (tile.rows + tile.vectors) + 1
    return -(-places // tile.rows) * (blocks // tile.vectors) * step


def _spare(registers: int, vectors: int) -> int:
    """Registers that a tile must leave: to broadcast into, and for what the compiler holds on to besides."""
    return 1 if registers <= 16 else 2 if vectors <= 2 else 4
