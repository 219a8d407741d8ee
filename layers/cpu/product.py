"""product: matrices times matrices, for MatMul and for InnerProduct on many rows.

A panel is VECTORS vectors of columns of b, all K rows of it, one after the other: it stays in the second cache while
all rows of a pass over it, ROWS at a time, whose sums stay in registers. (Goto & van de Geijn 2008, "Anatomy of
high-performance matrix multiplication".) Constant weights lie in panels from the start; a computed b is brought into
one panel after the other by who needs it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage
from . import simd
from .fused import keep
from .tiling import Tile

# numbers of a variant
ROWS, VECTORS = 6, 2

LINE = 64  # bytes that come into a cache together
SHARES = 4  # units of work for each thread, at least


def panel_of_rows(b, room, k, n, column):
    """b is (K, N): its columns from `column` on, as they are."""
    width = VECTORS * simd.LANES
    count = min(width, n - column)
    for i in range(k):
        source, to = b + (i * n + column) * 4, room + i * width * 4
        if count == width:
            for j in range(0, width, simd.LANES):
                simd.store(to + j * 4, simd.load(source + j * 4))
        else:
            for j in range(count):
                simd.store_scalar(to + j * 4, simd.load_scalar(source + j * 4))
    return room


def panel_of_columns(b, room, k, n, column):
    """b is (N, K): its rows from `column` on, turned."""
    width = VECTORS * simd.LANES
    for first in range(0, width, simd.LANES):
        rows = min(simd.LANES, n - column - first)
        source, to = b + (column + first) * k * 4, room + first * 4
        if rows > 0 and k >= simd.LANES:
            for at in range(0, k, simd.LANES):
                start = min(at, k - simd.LANES)
                there = to + start * width * 4
                simd.transpose(source + start * 4, k * 4, rows - 1, there, width * 4, simd.LANES - 1, 4)
        elif rows > 0:
            for i in range(k):
                for j in range(rows):
                    simd.store_scalar(to + (i * width + j) * 4, simd.load_scalar(source + (j * k + i) * 4))
    return room


def panel_of_weights(b, room, k, n, column):
    """b is (panels, K, VECTORS * lanes)."""
    return b + column * k * 4


def panel_of_halves(b, room, k, n, column):
    """b is (panels, K, VECTORS * lanes) in fp16: a panel is widened once, for all the rows that need it."""
    source = b + column * k * 2
    for at in range(0, k * VECTORS * simd.LANES, simd.LANES):
        simd.store(room + at * 4, simd.load_halves(source + at * 2))
    return room


finish, panel_at = keep, panel_of_rows


def stage(
    call: Call, params: dict, sizes: tuple[int, int, int, int], tile: Tile, panel: Callable, finishing: tuple
) -> Stage:
    """sizes: of how many matrices, M, K, N. params: a, b, y, bias; and a_of, b_of: which a and b each matrix takes."""
    matrices, m, k, n = sizes
    width = tile.vectors * call.lanes
    panels, tiles = -(-n // width), -(-m // tile.rows)
    chunks = max(1, min(tiles, -(-SHARES * call.threads // max(1, matrices * panels))))
    function, alpha, beta = finishing
    return Stage(
        dict(
            params, room=Scratch((call.threads, (k + tile.rows) * width)), matrices=matrices, m=m, k=k, n=n,
            panels=panels, chunks=chunks if call.threads > 1 else 1, alpha=float(alpha), beta=float(beta),
        ),
        function=simd.variant(
            product, ROWS=tile.rows, VECTORS=tile.vectors, finish=function,
            panel_at=simd.variant(panel, VECTORS=tile.vectors),
        ),
    )  # fmt: skip


def in_panels(w: np.ndarray, vectors: int, lanes: int) -> np.ndarray:
    """(N, K) -> (panels, K, vectors * lanes), filled up with zeros."""
    n, k = w.shape
    width = vectors * lanes
    full = np.zeros((-(-n // width) * width, k), np.float32)
    full[:n] = w
    return np.ascontiguousarray(full.reshape(-1, width, k).transpose(0, 2, 1))


def one_for_all(count: int) -> Packed:
    """The first matrix for each of `count`."""
    return Packed(np.zeros(count, np.int64))


def product(
    a, b, y, bias, a_of, b_of, room, matrices, m, k, n, panels, chunks, alpha, beta, ith, nth
):  # fmt: skip
    """Threads share the panels of all matrices, and where those are few the rows, too."""
    width = VECTORS * simd.LANES
    tiles = (m + ROWS - 1) // ROWS
    whole = k // simd.LANES
    # weights come from far away: while a panel is used, ask for the next one, some lines at each step
    ahead = (simd.LANES * width * 4 // LINE * chunks + tiles - 1) // tiles
    own = simd.address(room) + ith * (k + ROWS) * width * 4
    edge = own + k * width * 4  # a tile that sticks out of y is put here first
    units = matrices * panels * chunks
    for unit in range(units * ith // nth, units * (ith + 1) // nth):
        matrix, at, chunk = unit // (panels * chunks), unit // chunks % panels, unit % chunks
        column = at * width
        count = min(width, n - column)
        panel = panel_at(simd.address(b) + b_of[matrix] * k * n * 4, own, k, n, column)
        soon = panel + k * width * 4
        for number in range(tiles * chunk // chunks, tiles * (chunk + 1) // chunks):
            row = min(number * ROWS, m - ROWS)
            inputs = simd.address(a) + (a_of[matrix] * m + row) * k * 4
            weights = panel
            t = simd.tile(ROWS, VECTORS)
            for _ in range(whole):
                for line in range(ahead):
                    simd.prefetch(soon + line * LINE)
                soon += ahead * LINE
                t = simd.tile_fma_lanes(t, inputs, k * 4, weights)
                inputs += simd.LANES * 4
                weights += simd.LANES * width * 4
            for _ in range(whole * simd.LANES, k):
                t = simd.tile_fma(t, inputs, k * 4, weights)
                inputs += 4
                weights += width * 4
            if bias.size > 0:
                t = simd.tile_add_row(t, simd.address(bias) + column * 4)
            t = finish(t, alpha, beta)
            place = simd.address(y) + ((matrix * m + row) * n + column) * 4
            if count == width:
                simd.tile_store(t, place, n * 4)
            else:
                simd.tile_store(t, edge, width * 4)
                for i in range(ROWS):
                    for j in range(count):
                        simd.store_scalar(
                            place + (i * n + j) * 4, simd.load_scalar(edge + (i * width + j) * 4)
                        )
