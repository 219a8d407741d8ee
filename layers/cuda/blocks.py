"""blocks: kernels in which the threads of a block work together, and what they add up."""

from __future__ import annotations

import numpy as np

from ...engine.kernel import View
from .card import card, numba_cuda

cuda = numba_cuda()

THREADS = 128
SIMULATED = 2  # threads of a block in the simulator, where each is a thread of Python


def blocks(x: int, y: int = 1, z: int = 1) -> dict[str, int]:
    """The parameters by which a kernel is launched in x * y * z blocks: take those that it needs into its own."""
    threads = SIMULATED if card().simulated else THREADS
    return dict(blocks_x=x, blocks_y=y, blocks_z=z, threads=threads)


def flat(call, *names: str) -> dict:
    """Tensors as flat arrays, and the number of items: the elements of the last."""
    views = {name: call.flat(name) for name in names}
    last: View = views[names[-1]]
    return views | dict(items=last.shape[0])


@cuda.jit(device=True)
def divide(a, b):
    """a // b of two numbers from 0 to 2^32 - 1: a GPU has no division, and takes four times as long for 64 bits."""
    return np.int64(np.uint32(a) // np.uint32(b))


@cuda.jit(device=True)
def block_sum(value, room):
    """The sum of `value` over the threads of a block. `room` is shared, a number a thread; THREADS a power of 2."""
    i = cuda.threadIdx.x
    cuda.syncthreads()
    room[i] = value
    cuda.syncthreads()
    half = cuda.blockDim.x // 2
    while half > 0:
        if i < half:
            room[i] += room[i + half]
        cuda.syncthreads()
        half //= 2
    return room[0]


@cuda.jit(device=True)
def block_max(value, room):
    """The largest `value` over the threads of a block."""
    i = cuda.threadIdx.x
    cuda.syncthreads()
    room[i] = value
    cuda.syncthreads()
    half = cuda.blockDim.x // 2
    while half > 0:
        if i < half:
            room[i] = max(room[i], room[i + half])
        cuda.syncthreads()
        half //= 2
    return room[0]


LOWEST = np.float32(-np.inf)
