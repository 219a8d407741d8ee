"""replay: its words lie where threads.py and device.py put them."""

from fbnet.engine.device import devices
from fbnet.layers.cpu import replay
from fbnet.layers.cpu.symbols import undefined


def test_words_do_not_overlap():
    control = [replay.COUNT, replay.STEPS, replay.SYNC, replay.WAIT]
    assert sorted(control) == [8 * i for i in range(replay.CONTROL_WORDS)]
    assert len({replay.TABLE, replay.STOP, replay.YIELD, replay.STAY}) == 4
    # a slot, on which a thread spins, shares its line with nothing
    assert (
        max(replay.TABLE, replay.STOP, replay.YIELD) < replay.SLOTS and replay.SLOTS % replay.SYNC_LINE == 0
    )


def test_an_order_is_no_state():
    least = 1 << replay.STEP_SHIFT
    assert least > replay.CLAIMED > replay.READY > replay.AWAY == 0
    assert replay.STEP_SHIFT == 2 * replay.MEMBERS_SHIFT  # 4095 members, and 4095 to be told apart


def test_its_objects_are_small_and_closed():
    run, work = devices["cpu"].runtime_objects()
    assert undefined(run) == undefined(work) == set()
    assert len(run) < 4096 and len(work) < 4096
    assert devices["cpu"].runtime_objects() == [run, work]
