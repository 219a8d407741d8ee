"""replay: its words lie where threads.py and device.py put them."""

from fbnet.engine.device import devices
from fbnet.layers.cpu import replay
from fbnet.layers.cpu.symbols import undefined


def test_words_do_not_overlap():
    control = [replay.COUNT, replay.STEPS, replay.SYNC, replay.YIELD, replay.ARRIVED]
    assert sorted(control) == [8 * i for i in range(replay.CONTROL_WORDS)]
    # what one thread writes and another spins on are lines of their own
    lines = [replay.GENERATION, replay.ARRIVALS, replay.CONTROL, replay.SEEN]
    assert [at // replay.SYNC_LINE for at in lines] == [0, 1, 2, 3]
    assert replay.STOP // replay.SYNC_LINE == replay.CONTROL // replay.SYNC_LINE  # both are seldom written


def test_its_objects_are_small_and_closed():
    run, work = devices["cpu"].runtime_objects()
    assert undefined(run) == undefined(work) == set()
    assert len(run) < 4096 and len(work) < 4096
    assert devices["cpu"].runtime_objects() == [run, work]
