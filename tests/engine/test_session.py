"""Session: one running copy of a plan. Used rightly, wrongly, from many threads, and left behind."""

import dataclasses
import gc
import re
import threading
import time

import numpy as np
import pytest
from fbnet import DeviceError, InputError, Net, ShapeError
from fbnet.engine.compile import trim
from fbnet.engine.device import devices
from fbnet.layers.activation import Sigmoid, TanH
from fbnet.layers.conv import Convolution
from fbnet.layers.eltwise import Eltwise
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.reshape import Flatten

RNG = np.random.default_rng(0)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


NET = Net(
    [
        Convolution("x", array(6, 3, 3, 3), array(6), pad=(1, 1, 1, 1), name="a"),
        TanH("a", name="b"),
        Convolution("b", array(6, 6, 1, 1), name="c"),
        Eltwise("b", "c", name="d"),
        Convolution("d", array(4, 6, 3, 3), stride=(2, 2), name="e"),
        Sigmoid("e", name="y"),
    ],
    {"x": (1, 3, 16, 16)},
)
X = array(1, 3, 16, 16)
WANTED = NET.forward(x=X)["y"]
DEVICES = ("cpu", "reference")


@pytest.fixture(params=DEVICES)
def session(request):
    with NET.compile(device=request.param, threads=2).session() as found:
        yield found


def close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_set_forward_get(session):
    session.set_tensor("x", X)
    session.forward()
    close(session.get_tensor("y"), WANTED)
    np.testing.assert_array_equal(session.get_tensor("x"), X)  # inputs stay whole


def test_forward_twice_gives_the_same_bits(session):
    session.set_tensor("x", X)
    session.forward()
    first = session.get_tensor("y")
    for _ in range(3):
        session.forward()
        np.testing.assert_array_equal(session.get_tensor("y"), first)


def test_what_it_gives_is_a_copy(session):
    first = session.run({"x": X})["y"]
    kept = first.copy()
    first[...] = 7
    session.run({"x": -X})
    np.testing.assert_array_equal(session.run({"x": X})["y"], kept)


def test_any_array_that_can_be_an_input(session):
    for given in (
        X.astype(np.float64),
        X.tolist(),
        np.asfortranarray(X),
        X[:, :, ::-1, ::-1][:, :, ::-1, ::-1],
    ):
        close(session.run({"x": given})["y"], WANTED)


WRONG = [
    (lambda s: s.set_tensor("X", X), DeviceError, "net has no input 'X'; it has x"),
    (lambda s: s.set_tensor("y", X), DeviceError, "net has no input 'y'; it has x"),
    (
        lambda s: s.set_tensor("x", X[0]),
        InputError,
        "input 'x' has shape [3, 16, 16] but is fp32[1,3,16,16]: give it 4",
    ),
    (
        lambda s: s.set_tensor("x", X[:, :, 1:]),
        DeviceError,
        "input 'x' has shape [1, 3, 15, 16], but this plan is for fp32[1,3,16,16]: call prepare",
    ),
    (lambda s: s.set_tensor("x", "abc"), InputError, "input 'x' is no array of fp32"),
    (lambda s: s.forward(), DeviceError, "net: nobody has set x: call set_tensor before forward"),
    (lambda s: s.run({}), DeviceError, "net: nobody has set x: call set_tensor before forward"),
    (lambda s: s.get_tensor("c"), DeviceError, "net has no output 'c'; it has y"),
    (lambda s: s.prepare({"x": (1, 4, 16, 16)}), ShapeError, "a (Convolution): "),
    (lambda s: s.prepare({"z": (1, 4)}), InputError, "net has no input 'z'; it has x"),
    (
        lambda s: s.prepare({"x": (1, 4)}),
        ShapeError,
        "input 'x' is fp32[1,3,16,16], but was asked for in shape [1, 4]",
    ),
]


@pytest.mark.parametrize(("attempt", "kind", "message"), WRONG, ids=[m for _, _, m in WRONG])
def test_wrong_use_is_told_and_spoils_nothing(session, attempt, kind, message):
    with pytest.raises(kind) as caught:
        attempt(session)
    assert str(caught.value).startswith(message)
    close(session.run({"x": X})["y"], WANTED)


def test_a_closed_session(session):
    session.close()
    session.close()
    for attempt in (
        session.forward,
        lambda: session.set_tensor("x", X),
        lambda: session.get_tensor("y"),
        lambda: session.prepare({}),
        lambda: session.run({"x": X}),
    ):
        with pytest.raises(
            DeviceError, match=r"^this session of net is closed: make another with plan\.session\(\)$"
        ):
            attempt()


def test_prepare_for_other_shapes_and_back(session):
    for shape in ((2, 3, 16, 16), (1, 3, 9, 20), (3, 3, 3, 3), (0, 3, 8, 8), (1, 3, 16, 16)):
        session.prepare({"x": shape})
        with pytest.raises(DeviceError, match="nobody has set x"):
            session.forward()
        x = array(*shape)
        close(session.run({"x": x})["y"], NET.forward(x=x)["y"])


def test_a_batch_is_its_images():
    x = array(5, 3, 16, 16)
    whole = NET(x)
    for i in range(5):
        np.testing.assert_array_equal(NET(x[i : i + 1])[0], whole[i])


def test_threads_come_and_go_with_the_session(thread_count, generous):
    trim(NET)
    plan, before = NET.compile(threads=4), thread_count()
    with plan.session() as session:
        assert thread_count() == before + 3
        session.run({"x": X})
        session.prepare({"x": (2, 3, 16, 16)})
        assert thread_count() == before + 3
    assert thread_count() == before
    trim(NET)  # plans of other tests are not so generous


def test_garbage_collection_closes_a_session(thread_count):
    before = thread_count()
    session = NET.compile(threads=3).session()
    session.run({"x": X})
    del session
    gc.collect()
    assert thread_count() == before


def test_sleeping_workers_wake_up():
    with NET.compile(threads=3).session() as session:
        first = session.run({"x": X})["y"]
        for pause in (0.1, 0.0, 0.003, 0.1, 0.001):
            time.sleep(pause)
            np.testing.assert_array_equal(session.run({"x": X})["y"], first)


def test_workers_asleep_cost_nothing():
    with NET.compile(threads=4).session() as session:
        session.run({"x": X})
        time.sleep(0.2)  # all of them fall asleep
        before = time.process_time()
        time.sleep(0.3)
        assert time.process_time() - before < 0.1  # seconds; three that spin would take 0.3 each


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(threads):
    with NET.compile(threads=threads).session() as session, NET.compile(threads=1).session() as alone:
        np.testing.assert_array_equal(session.run({"x": X})["y"], alone.run({"x": X})["y"])


def in_threads(count, work):
    """Run work(number) in threads at once; what they raise is raised here."""
    problems: list[BaseException] = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


def test_eight_threads_each_with_a_session_of_one_plan():
    plan = NET.compile(threads=2)
    inputs = [array(1, 3, 16, 16) for _ in range(8)]
    wanted = [NET.forward(x=x)["y"] for x in inputs]

    def work(number):
        with plan.session() as session:
            for _ in range(30):
                close(session.run({"x": inputs[number]})["y"], wanted[number])

    in_threads(8, work)


def test_calling_a_net_from_eight_threads_at_once():
    inputs = [array(1 + i % 2, 3, 16, 16) for i in range(8)]
    wanted = [NET.forward(x=x)["y"] for x in inputs]

    def work(number):
        for _ in range(30):
            close(NET(inputs[number]), wanted[number])

    in_threads(8, work)


def test_a_call_that_fails_leaves_the_net_usable():
    net = Net([InnerProduct("x", array(2, 3))], {"x": ("N", 3)})
    for _ in range(3):
        with pytest.raises(ShapeError):
            net(array(1, 4))
        close(net(np.ones((1, 3))), net.forward(x=np.ones((1, 3)))["innerproduct0"])


def test_a_plan_for_another_machine_is_refused():
    foreign = dataclasses.replace(NET.compile(), target="z80")
    with pytest.raises(
        DeviceError,
        match=rf"for z80, but this machine is {re.escape(devices['cpu'].target)}: compile it here",
    ):
        foreign.session()


def test_an_arena_that_does_not_fit():
    vast = dataclasses.replace(NET.compile(), arena_bytes=10**15)
    with pytest.raises(DeviceError, match=r"^net: no memory for an arena of 1,000,000,000,000,000 bytes$"):
        vast.session()


def test_a_net_of_aliases_only():
    net = Net([Flatten("x", name="f")], {"x": (2, 3, 4)})
    x = array(2, 3, 4)
    for threads in (1, 2):
        with net.compile(threads=threads).session() as session:
            np.testing.assert_array_equal(session.run({"x": x})["f"], x.reshape(2, 12))
