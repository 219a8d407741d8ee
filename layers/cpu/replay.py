"""replay: run a list of steps on every thread, natively. Written in numba and compiled like any kernel.

A step is a kernel's address and its argument block's address. Each thread runs all the steps, does its share of each,
and crosses a barrier to the next, so a whole forward is one native call a thread, and Python's lock is not held.

The threads meet in a few 64-bit words (`sync`), each on a cache line of its own where two threads write:

    GENERATION   goes up by one when there is a run to join
    ARRIVALS     how often any thread has reached a barrier, ever
    CONTROL      address of the run's control block: COUNT, STEPS, SYNC, YIELD, ARRIVED
    STOP         not 0: workers leave
    SEEN + i     the last generation that worker i joined
"""

from . import simd

# words of a control block, in bytes
COUNT, STEPS, SYNC, YIELD, ARRIVED = 0, 8, 16, 24, 32
CONTROL_WORDS = 5

# words of `sync`, in bytes
GENERATION, ARRIVALS, CONTROL, STOP, SEEN = 0, 64, 128, 136, 192
SYNC_LINE = 64

PATIENCE = 1000  # spins at a barrier before the processor is offered to others: some 20 microseconds
IDLE = 30000  # spins without a run before a worker goes back to Python, to sleep: about a millisecond


def wait(address, value, spare):
    """Until the counter at `address` has come to `value`; after some spins, offer the processor between looks."""
    spins = 0
    while simd.atomic_load(address) < value:
        simd.pause()
        spins += 1
        if spins > PATIENCE and spare != 0:
            simd.call_void(spare)


def run(control, ith, nth):
    """Thread ith of nth runs the steps of a control block."""
    steps = simd.load_word(control + STEPS)
    arrivals = simd.load_word(control + SYNC) + ARRIVALS
    spare = simd.load_word(control + YIELD)
    goal = simd.load_word(control + ARRIVED)
    for _ in range(simd.load_word(control + COUNT)):
        simd.call_kernel(simd.load_word(steps), simd.load_word(steps + 8), ith, nth)
        steps += 16
        if nth > 1:
            goal += nth
            simd.atomic_add(arrivals, 1)
            wait(arrivals, goal, spare)


def work(sync, ith, nth):
    """A worker joins every run that comes, and returns when none has come for a while, or at STOP."""
    mine = sync + SEEN + SYNC_LINE * ith
    spins = 0
    while spins < IDLE and simd.load_word(sync + STOP) == 0:
        seen = simd.load_word(mine)
        if simd.atomic_load(sync + GENERATION) == seen:
            simd.pause()
            spins += 1
        else:
            simd.store_word(mine, seen + 1)
            run(simd.load_word(sync + CONTROL), ith, nth)
            spins = 0
