"""InnerProduct on the GPU for few rows of x: a block an output, each weight read once. For many rows see gemm.py.

Weights that are stored in fp16 stay so in memory, and become float32 on their way: reading them is what takes the time.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, View, kernel
from ..inner_product import InnerProduct
from .blocks import THREADS, block_sum, blocks
from .card import numba_cuda
from .fused import finish, finish_of, finishes

cuda = numba_cuda()

ROWS = 8  # of x, up to which the weights are what takes the time


def bind(call: Call) -> dict:
    x, (m, k) = call.shape("x"), call.shape("w")
    n = prod(x[: call.specs["x"].axis(call.layer.axis)])
    weights = {"w": Packed(call.narrow["w"].data)} if call.in_halves("w") else {}
    views = dict(x=View("x", (n, k)), y=View("y", (n, m)))
    return views | weights | finish_of(call.layer) | blocks(m, min(n, 1))


@kernel(InnerProduct, device="cuda", when=lambda call: finishes(call.layer), bind=bind)
def rows(x, w, b, y, act, alpha, beta, threads, blocks_x, blocks_y):
    """Output `blockIdx.x` of every row of x."""
    room = cuda.shared.array(THREADS, np.float32)
    out, k = cuda.blockIdx.x, x.shape[1]
    for i in range(x.shape[0]):
        total = np.float32(0)
        for j in range(cuda.threadIdx.x, k, threads):
            total += np.float32(w[out, j]) * x[i, j]
        total = block_sum(total, room)
        if cuda.threadIdx.x == 0:
            if b.size > 0:
                total += b[out]
            y[i, out] = finish(total, act, alpha, beta)
