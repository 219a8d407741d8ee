"""MatMul on the GPU: squares of both matrices pass through shared memory, and each number is read once a square."""

from __future__ import annotations

from math import prod

import numpy as np

from ...engine.kernel import Call, Packed, View, kernel
from ..matmul import MatMul
from .card import numba_cuda, numba_simulates

cuda = numba_cuda()

EDGE = 8 if numba_simulates() else 32  # of a square
ROW = EDGE + 1  # in shared memory, so that a column lies in different banks
THREADS = 2 if numba_simulates() else 256  # of a block, each with EACH numbers of the square
EACH = EDGE * EDGE // THREADS


def matrices(call: Call) -> dict:
    """a, b and y as matrices one behind the other, their sizes, and of which of a and b each of y is the product."""
    (*batch, m, n), k = call.shape("y"), call.shape("a")[-1]
    count = prod(batch)
    bound = dict(y=View("y", (count, m, n)), m=m, n=n, k=k)
    for name in ("a", "b"):
        *own, rows, columns = call.shape(name)
        number = np.arange(prod(own)).reshape((1,) * (len(batch) - len(own)) + tuple(own))
        bound[name] = View(name, (prod(own), rows, columns))
        bound[f"{name}_of"] = Packed(np.ascontiguousarray(np.broadcast_to(number, batch)).reshape(count))
    return bound


def bind(call: Call) -> dict:
    bound = matrices(call)
    count, m, n = bound["y"].shape
    return bound | dict(blocks_x=-(-n // EDGE), blocks_y=-(-m // EDGE), blocks_z=count, threads=THREADS)


@kernel(MatMul, device="cuda", bind=bind)
def matmul(a, b, y, a_of, b_of, m, n, k, transpose_b, threads, blocks_x, blocks_y, blocks_z):
    """A block has a square of one matrix of y. `a_of` and `b_of` say which matrices it is the product of."""
    left = cuda.shared.array((EDGE, ROW), np.float32)
    right = cuda.shared.array((EDGE, ROW), np.float32)
    sums = cuda.local.array(EACH, np.float32)
    me, matrix = cuda.threadIdx.x, cuda.blockIdx.z
    first, second = a_of[matrix], b_of[matrix]
    top, start_column = cuda.blockIdx.y * EDGE, cuda.blockIdx.x * EDGE
    for q in range(EACH):
        sums[q] = np.float32(0)
    for start in range(0, k, EDGE):
        for q in range(EACH):
            # neighbours among the threads read neighbours in memory, whichever way b lies
            i, j = (me + q * THREADS) // EDGE, (me + q * THREADS) % EDGE
            left[i, j] = a[first, top + i, start + j] if top + i < m and start + j < k else np.float32(0)
            if transpose_b:
                there = start_column + i < n and start + j < k
                right[j, i] = b[second, start_column + i, start + j] if there else np.float32(0)
            else:
                there = start_column + j < n and start + i < k
                right[i, j] = b[second, start + i, start_column + j] if there else np.float32(0)
        cuda.syncthreads()
        for t in range(EDGE):
            for q in range(EACH):
                sums[q] += left[(me + q * THREADS) // EDGE, t] * right[t, (me + q * THREADS) % EDGE]
        cuda.syncthreads()
    for q in range(EACH):
        i, j = top + (me + q * THREADS) // EDGE, start_column + (me + q * THREADS) % EDGE
        if i < m and j < n:
            y[matrix, i, j] = sums[q]
