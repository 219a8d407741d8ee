"""The reference device: the six calls, each layer by its numpy definition, nothing else."""

import numpy as np
import pytest
from fbnet import DeviceError, Net
from fbnet.engine.device import devices
from fbnet.layers.activation import Dropout, Sigmoid
from fbnet.layers.inner_product import InnerProduct
from fbnet.layers.reshape import Flatten

REFERENCE = devices["reference"]
W = np.random.default_rng(0).standard_normal((5, 12), dtype=np.float32)
X = np.random.default_rng(1).standard_normal((2, 3, 4), dtype=np.float32)


def net():
    return Net(
        [
            Flatten("x", name="f"),
            InnerProduct("f", W, name="fc"),
            Dropout("fc", name="d"),
            Sigmoid("d", name="y"),
        ],
        {"x": ("N", 3, 4)},
    )


def test_six_calls():
    plan = net().compile(device="reference", shapes={"x": X.shape})
    assert [(s.layer, s.kernel, s.entry) for s in plan.steps] == [
        ("fc", "reference", -1),
        ("y", "reference", -1),
    ]
    assert plan.target == "" and not plan.objects and not REFERENCE.has_kernels
    handle = REFERENCE.init(plan)
    for x in (X, X[:1], X):
        REFERENCE.prepare(handle, {"x": x.shape})
        REFERENCE.set_tensor(handle, "x", x)
        REFERENCE.forward(handle)
        np.testing.assert_array_equal(REFERENCE.get_tensor(handle, "y"), net().forward(x=x)["y"])
    REFERENCE.destroy(handle)
    REFERENCE.destroy(handle)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handle_that_is_not_prepared(when):
    handle = REFERENCE.init(net().compile(device="reference"))
    if when == "after":
        REFERENCE.prepare(handle, {"x": (1, 3, 4)})
        REFERENCE.destroy(handle)
    for attempt in (
        lambda: REFERENCE.set_tensor(handle, "x", X),
        lambda: REFERENCE.forward(handle),
        lambda: REFERENCE.get_tensor(handle, "y"),
    ):
        with pytest.raises(DeviceError, match=r"^this session is not prepared, or is closed$"):
            attempt()


def test_it_says_the_same_as_the_plain_loop_to_the_bit():
    with net().compile(device="reference", shapes={"x": X.shape}).session() as session:
        np.testing.assert_array_equal(session.run({"x": X})["y"], net().forward(x=X)["y"])


def test_nothing_of_it_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path / "cache"))
    net().compile(device="reference")
    assert not (tmp_path / "cache").exists()
