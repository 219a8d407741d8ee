"""replay: run a list of steps natively. Written in numba and compiled like any kernel.

A step is a kernel's address, its argument block's address, and how many threads are to share it. The calling thread
leads: it runs every step, and for a step that is worth it gives a share to each worker that is there. A worker that
still wakes up is not waited for, it joins at a later step; so a small net does not pay for a second thread, and a
whole forward is one native call, without Python's lock.

Leader and worker i meet in one 64-bit word, SLOTS + i, on a cache line of its own:

    AWAY      the worker sleeps, or is about to
    READY     it spins, and may go away if nothing comes
    CLAIMED   the leader has taken it for this run: it spins, and stays
    above     an order: number of the step, number of members, which of them it is. Once done, it is CLAIMED again

Only the leader turns READY into CLAIMED, CLAIMED into an order, and CLAIMED into READY; only the worker the rest.
"""

from . import simd

# words of a control block, in bytes
COUNT, STEPS, SYNC, WAIT = 0, 8, 16, 24  # WAIT: not 0 to wait for every worker, as tests do
CONTROL_WORDS = 4
STEP_WORDS = 3

# words of `sync`, in bytes: the steps of the run, STOP to send the workers home, the yield function, STAY to keep them
# from going away while a run lasts (a step that the leader does alone may take longer than their patience), the slots
TABLE, STOP, YIELD, STAY, SLOTS = 0, 8, 16, 24, 64
SYNC_LINE = 64

AWAY, READY, CLAIMED = 0, 1, 2
STEP_SHIFT, MEMBERS_SHIFT = 24, 12  # of an order; 4095 threads at most

PATIENCE = 1000  # spins before the processor is offered to others: some 20 microseconds
IDLE = 4000  # spins of a worker without a run before it goes back to Python, to sleep: about a millisecond


def rest(spins, spare):
    """Between two looks at a word: a short pause; after some, offer the processor."""
    simd.pause()
    if spins > PATIENCE and spare != 0:
        simd.call_void(spare)


def claim(slots, size, patient, spare):
    """Take the workers that are there, or, if patient, wait until all are; returns how many are taken."""
    taken = 0
    for i in range(1, size):
        slot, spins = slots + SYNC_LINE * i, 0
        while patient != 0 and simd.atomic_load(slot) == AWAY:
            rest(spins, spare)
            spins += 1
        if simd.atomic_load(slot) == READY:
            simd.compare_exchange(slot, READY, CLAIMED)
        if simd.atomic_load(slot) == CLAIMED:
            taken += 1
    return taken


def run(control, ith, nth):
    """The leader, of nth threads, runs the steps of a control block."""
    steps, sync = simd.load_word(control + STEPS), simd.load_word(control + SYNC)
    spare, slots = simd.load_word(sync + YIELD), sync + SLOTS
    simd.store_word(sync + TABLE, steps)
    simd.atomic_store(sync + STAY, 1)
    for number in range(simd.load_word(control + COUNT)):
        step = steps + 8 * STEP_WORDS * number
        members, wanted = 1, simd.load_word(step + 16)
        if wanted > 1 and nth > 1:
            members = min(wanted, 1 + claim(slots, nth, simd.load_word(control + WAIT), spare))
            rank = 1
            for i in range(1, nth):
                if rank < members and simd.atomic_load(slots + SYNC_LINE * i) == CLAIMED:
                    order = (number + 1 << STEP_SHIFT) + (members << MEMBERS_SHIFT) + rank
                    simd.atomic_store(slots + SYNC_LINE * i, order)
                    rank += 1
        simd.call_kernel(simd.load_word(step), simd.load_word(step + 8), ith, members)
        if members > 1:
            for i in range(1, nth):
                spins = 0
                while simd.atomic_load(slots + SYNC_LINE * i) > CLAIMED:
                    rest(spins, spare)
                    spins += 1
    for i in range(1, nth):
        simd.compare_exchange(slots + SYNC_LINE * i, CLAIMED, READY)
    simd.atomic_store(sync + STAY, 0)


def work(sync, ith, nth):
    """Worker ith carries out orders, and returns when none has come for a while, or at STOP."""
    slot, spare = sync + SLOTS + SYNC_LINE * ith, simd.load_word(sync + YIELD)
    simd.atomic_store(slot, READY)
    spins, there = 0, 1
    while there:
        order = simd.atomic_load(slot)
        if order > CLAIMED:
            step = simd.load_word(sync + TABLE) + 8 * STEP_WORDS * ((order >> STEP_SHIFT) - 1)
            rank, members = order & 4095, (order >> MEMBERS_SHIFT) & 4095
            simd.call_kernel(simd.load_word(step), simd.load_word(step + 8), rank, members)
            simd.atomic_store(slot, CLAIMED)
            spins = 0
        else:
            rest(spins, spare)
            spins += 1
            tired = spins > IDLE and simd.atomic_load(sync + STAY) == 0
            leaving = tired or simd.atomic_load(sync + STOP) != 0
            if leaving and order == READY and simd.compare_exchange(slot, READY, AWAY) == READY:
                there = 0
