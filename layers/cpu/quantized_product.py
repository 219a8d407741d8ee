"""QuantizedInnerProduct on the cpu: exact sums of products of bytes, each weight read once for ROWS rows of x."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, Scratch, Stage, View, kernel
from ..quantized import QuantizedInnerProduct
from . import simd
from .quantized_conv import serves
from .words import (
    DOT,
    FINISH,
    PUT,
    SPREAD,
    centred,
    dot_pairs,
    filled,
    gates,
    in_a_word,
    packed_if_any,
    put_short,
    slopes,
    spread_pairs,
    to_bytes,
)

# numbers of a variant
ROWS, VECTORS = 1, 8
WORDS = 4  # of 32 bits that are multiplied at a time
DOTS = 2  # numbers in a word
SCALED, RESULT = 1, 1  # whether sums become float32, and bytes of a number of y


def bind(call: Call) -> Stage:
    """Weights as (group of VECTORS vectors, word of K, VECTORS, lane, number in the word)."""
    layer, w, lanes = call.layer, call.constants["w"], call.lanes
    m, k = w.shape
    n = prod(call.shape("x")[: call.specs["x"].axis(layer.axis)])
    dots = in_a_word(call, w)
    # one row is a stream of weights: many sums, so that none waits for another
    rows, vectors = (4, 4) if n >= 4 else (1, 8)
    vectors = min(vectors, -(-m // lanes))
    groups, deep = -(-m // (vectors * lanes)), -(-k // (WORDS * dots)) * WORDS * dots
    full = np.zeros((groups * vectors * lanes, deep), np.int8 if dots == 4 else np.int16)
    full[:m, :k] = w
    packed = full.reshape(groups, vectors, lanes, deep // dots, dots).transpose(0, 3, 1, 2, 4)
    bias = centred(call, dots)
    width = len(full)
    return Stage(
        dict(
            x=View("x", (n, k)), y=call.flat("y"), residual=call.flat("residual"),
            w=Packed(np.ascontiguousarray(packed).reshape(-1)), b=Packed(filled(bias, width)),
            multiplier=Packed(filled(call.constants["multiplier"], width)),
            slope=packed_if_any("slope", slopes(call, width)), gate=packed_if_any("gate", gates(call, width)),
            room=Scratch((call.threads, rows * deep // dots * 4 + rows * vectors * lanes * 5), "int8"),
            m=m, deep=deep, groups=groups, x_zero=layer.x_zero, residual_zero=float(layer.residual_zero),
            residual_multiplier=float(layer.residual_multiplier), low=float(layer.low - layer.zero),
            high=float(layer.high - layer.zero), zero=float(layer.zero),
        ),
        function=function_for(rows, vectors, dots, layer.to),
    )  # fmt: skip


def function_for(rows: int, vectors: int, dots: int, to: str) -> Callable:
    """`product` for these sizes."""
    return simd.variant(
        product, ROWS=rows, VECTORS=vectors, DOTS=dots, dot=simd.variant(DOT[dots], WORDS=WORDS),
        spread=SPREAD[dots], put=PUT[dots], finish=FINISH[to], SCALED=int(to != "int32"),
        RESULT=1 if to == "int8" else 4,
    )  # fmt: skip


dot, spread, put, finish = dot_pairs, spread_pairs, put_short, to_bytes


@kernel(QuantizedInnerProduct, device="cpu", dtype="int8", when=serves, bind=bind)
def product(
    x, y, residual, w, b, multiplier, slope, gate, room, m, deep, groups, x_zero, residual_zero, residual_multiplier,
    low, high, zero, ith, nth,
):  # fmt: skip
    """Group after group of outputs; of each, ROWS rows of x at a time. Threads share the groups."""
    n, k = x.shape
    row_bytes = deep // DOTS * 4
    step = WORDS * VECTORS * simd.LANES * 4
    words = simd.address(room) + ith * room.shape[1]
    width = VECTORS * simd.LANES
    made = words + ROWS * row_bytes  # what a tile gives, and before it the residual: rows of `width` numbers
    added = made + ROWS * width * 4
    for chunk in range(0, n, ROWS):
        first = max(0, min(chunk, n - ROWS))
        rows = min(ROWS, n)
        for i in range(rows):
            whole = k // simd.LANES * simd.LANES
            source, to = simd.address(x) + (first + i) * k, words + i * row_bytes
            spread(source, to, whole)
            for j in range(whole, deep):
                put(to, j, simd.load_byte(source + j) if j < k else 0)
        for group in range(groups * ith // nth, groups * (ith + 1) // nth):
            start = group * width
            t = simd.tile_load_row(simd.tile(ROWS, VECTORS), simd.address(b) + start * 4)
            weights = simd.address(w) + group * (row_bytes // (WORDS * 4)) * step
            for at in range(0, row_bytes, WORDS * 4):
                t = dot(t, words + at, row_bytes, weights)
                weights += step
            count = min(width, m - start)
            if SCALED:
                t = simd.tile_scale(t, simd.address(multiplier) + start * 4)
                if residual.size > 0:
                    for i in range(rows):
                        for j in range(count):
                            there = simd.address(residual) + (first + i) * m + start + j
                            simd.store_byte(added + i * width + j, simd.load_byte(there))
                    t = simd.tile_add_bytes(
                        t,
                        added,
                        width,
                        simd.LANES,
                        np.float32(residual_zero),
                        np.float32(residual_multiplier),
                    )
                if slope.size > 0:
                    t = simd.tile_slope(t, simd.address(slope) + start * 4)
                if gate.size > 0:
                    t = simd.tile_gate(t, simd.address(gate) + start * 12)
            finish(
                t,
                made,
                width * RESULT,
                simd.LANES * RESULT,
                np.float32(low),
                np.float32(high),
                np.float32(zero),
            )
            for i in range(rows):
                to = simd.address(y) + ((first + i) * m + start) * RESULT
                for j in range(count * RESULT):
                    simd.store_byte(to + j, simd.load_byte(made + i * width * RESULT + j))
