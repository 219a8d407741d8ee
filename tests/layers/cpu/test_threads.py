"""Team: threads that meet at every step, sleep when there is nothing to do, and leave when they are sent away."""

import os
import subprocess
import sys
import threading
import time
from functools import lru_cache

import numpy as np
import pytest
from fbnet.engine.device import devices
from fbnet.engine.kernel import Parameter
from fbnet.engine.settings import waiting_for_all_threads
from fbnet.layers.cpu import replay, simd
from fbnet.layers.cpu.codegen import compile_object
from fbnet.layers.cpu.loader import load
from fbnet.layers.cpu.target import host
from fbnet.layers.cpu.threads import Team, processors, run_anywhere, wake_elsewhere


def mark(words, ith, nth):
    """words = [how often out of step, how often each thread was here]."""
    for k in range(nth):  # all threads have done as many steps as this one, or are one ahead
        ahead = words[1 + k] - words[1 + ith]
        if (ahead < 0 or ahead > 1) and nth == words.size - 1:
            words[0] += 1
    simd.atomic_add(simd.address(words) + 8 + 8 * ith, 1)


def hold(words, ith, nth):
    """Take some 50 ms."""
    for _ in range(words[0]):
        simd.pause()


@lru_cache
def loaded():
    parameters = [
        Parameter("words", "array", "int64", 1),
        Parameter("ith", "share"),
        Parameter("nth", "share"),
    ]
    kernels = [compile_object(kernel, parameters, host())[1] for kernel in (hold, mark)]
    return load([*kernels, *devices["cpu"].runtime_objects()])


class Steps:
    """A control block of `count` times the kernel above."""

    def __init__(self, count: int, size: int):
        self.words = np.zeros(1 + size, np.int64)
        self.block = np.array([self.words.ctypes.data, len(self.words)], np.int64)
        step = [loaded()[0][1], self.block.ctypes.data, size]
        self.table = np.array([step] * count, np.int64).reshape(count, replay.STEP_WORDS)
        self.control = np.zeros(replay.CONTROL_WORDS, np.int64)
        self.control[:2] = count, self.table.ctypes.data


def team_of(size: int, wait: bool = True) -> Team:
    (_, _, run, work), _memory = loaded()
    with waiting_for_all_threads(wait):
        return Team(size, run=run, work=work)


@pytest.fixture(params=[1, 2, 3, 8])
def team(request):
    made = team_of(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("count", [1, 2, 50])
def test_every_thread_does_every_step_and_none_runs_ahead(team, count):
    steps = Steps(count, team.size)
    for turn in range(1, 4):
        team.replay(steps.control)
        assert steps.words[0] == 0 and set(steps.words[1:]) == {turn * count}


def test_no_steps_are_done_at_once(team):
    empty, steps = Steps(0, team.size), Steps(3, team.size)
    for _ in range(5):
        team.replay(empty.control)
        team.replay(steps.control)
    assert set(steps.words[1:]) == {15}


def test_who_wakes_up_is_not_waited_for():
    """Without waiting the leader does every step, and the workers join when they are there."""
    team, steps = team_of(3, wait=False), Steps(20, 3)
    try:
        for turn in range(1, 30):
            team.replay(steps.control)
            leader, *others = steps.words[1:].tolist()
            assert leader == 20 * turn and all(0 <= count <= leader for count in others)
        deadline = time.monotonic() + 30
        while 0 in steps.words[1:] and time.monotonic() < deadline:
            team.replay(steps.control)
        assert 0 not in steps.words[1:]
    finally:
        team.close()


def test_a_step_for_fewer_threads():
    team, steps = team_of(4), Steps(3, 4)
    steps.table[:, 2] = 4, 2, 1
    team.replay(steps.control)
    team.close()
    leader, *others = steps.words[1:].tolist()
    assert leader == 3 and sorted(others) == [1, 1, 2]


def test_two_control_blocks_take_turns(team):
    """As in a session with a layer on the host between two native parts."""
    one, two = Steps(2, team.size), Steps(5, team.size)
    for turn in range(1, 20):
        team.replay(one.control)
        team.replay(two.control)
        assert set(one.words[1:]) == {2 * turn} and set(two.words[1:]) == {5 * turn}


def test_after_any_pause(team):
    steps = Steps(4, team.size)
    for turn, pause in enumerate([0.0005, 0.001, 0.002, 0.005, 0.05, 0.0, 0.0015] * 3, 1):
        team.replay(steps.control)
        assert set(steps.words[1:]) == {4 * turn}
        time.sleep(pause)


def test_a_worker_that_is_leaving_comes_back():
    """Pauses around the time after which a worker goes to sleep."""
    team, steps = team_of(2), Steps(1, 2)
    for turn in range(1, 400):
        team.replay(steps.control)
        time.sleep(turn % 40 * 0.0001)
    team.close()
    assert set(steps.words[1:]) == {399}


def test_a_worker_stays_while_the_leader_is_busy_alone():
    """A first step that takes longer than a worker's patience: it is there for the second step all the same."""
    team, steps = team_of(2, wait=False), Steps(2, 2)
    words = np.array([1_000_000], np.int64)
    block = np.array([words.ctypes.data, 1], np.int64)
    steps.table[0] = loaded()[0][0], block.ctypes.data, 1
    try:
        deadline = time.monotonic() + 30
        while steps.words[2] == 0 and time.monotonic() < deadline:
            time.sleep(0.02)  # asleep again
            team.replay(steps.control)
        assert steps.words[2] > 0
    finally:
        team.close()


def test_a_leader_that_is_late_finds_its_workers(monkeypatch):
    """The leader is held up between ringing for a worker and waiting for it, for longer than a worker has patience."""
    team, steps = team_of(2), Steps(1, 2)
    run = team._run
    monkeypatch.setattr(team, "_run", lambda *arguments: (time.sleep(0.02), run(*arguments)))
    for _ in range(5):
        team.replay(steps.control)
        time.sleep(0.02)
    team.close()
    assert steps.words[1:].tolist() == [5, 5]


@pytest.mark.skipif(len(processors()) < 2, reason="needs two processors to choose from")
def test_a_worker_wakes_up_beside_its_leader_and_may_then_move():
    asleep, awake = threading.Semaphore(0), threading.Event()
    thread = threading.Thread(target=lambda: (asleep.acquire(), run_anywhere(processors()), awake.set()))
    thread.start()
    wake_elsewhere(thread, processors())
    assert len(os.sched_getaffinity(thread.native_id)) == len(processors()) - 1
    asleep.release()
    awake.wait()
    seen = os.sched_getaffinity(0)
    thread.join()
    assert seen == processors()  # the leader itself was never held


def test_it_closes_awake_asleep_and_twice(thread_count):
    before = thread_count()
    for pause in (0, 0.0005, 0.05):
        team, steps = team_of(3), Steps(2, 3)
        team.replay(steps.control)
        time.sleep(pause)
        team.close()
        team.close()
        assert thread_count() == before
    team_of(4).close()  # without ever having run
    assert thread_count() == before


def test_many_teams_on_few_cores():
    """Eight teams of three on this machine: who waits offers the processor instead of holding it."""
    wrong = []

    def one():
        team, steps = team_of(3), Steps(20, 3)
        for _ in range(20):
            team.replay(steps.control)
        team.close()
        if steps.words.tolist() != [0, 400, 400, 400]:
            wrong.append(steps.words)

    workers = [threading.Thread(target=one) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=60)
    assert not wrong and not any(w.is_alive() for w in workers)


def test_pythons_lock_is_free_meanwhile():
    """Another Python thread gets on while steps run natively."""
    team, steps = team_of(2), Steps(300_000, 2)
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1
            time.sleep(0)

    other = threading.Thread(target=count)
    other.start()
    try:
        before = counted[0]
        team.replay(steps.control)
        assert counted[0] - before > 10 or os.cpu_count() == 1
    finally:
        done.set()
        other.join()
        team.close()
    assert set(steps.words[1:]) == {300_000}


def test_a_process_may_end_while_its_workers_are_awake(tmp_path):
    """A worker that still looks for orders must not lose the memory that its code lies in."""
    program = tmp_path / "end.py"
    program.write_text(
        "import numpy as np, fbnet\n"
        "from fbnet.layers.activation import Sigmoid\n"
        "net = fbnet.Net([Sigmoid('x', name='y')], {'x': (1 << 20,)})\n"
        "session = net.compile(threads=3, tune=False).session()\n"
        "session.run({'x': np.zeros(1 << 20, np.float32)})\n"
    )
    ends = [subprocess.Popen([sys.executable, program]) for _ in range(5)]
    assert [end.wait(timeout=120) for end in ends] == [0] * len(ends)
