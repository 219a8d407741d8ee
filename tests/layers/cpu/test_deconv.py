"""Deconvolution on the cpu, phase by phase: on whole numbers, which are exact, against the reference and torch."""

import numpy as np
import pytest
from fbnet import Net
from fbnet.engine.compile import plan_as_written
from fbnet.engine.device import devices
from fbnet.engine.errors import FbnetError
from fbnet.layers.conv import Deconvolution
from fbnet.layers.cpu import depthwise as depthwise_file
from fbnet.layers.cpu import direct as direct_file
from fbnet.layers.cpu.lattice import _phases
from fbnet.layers.cpu.tiling import Part, Tile
from hypothesis import assume, given, settings
from hypothesis import strategies as st


@pytest.fixture(autouse=True, scope="module")
def few_tiles():
    """Tiles of two sizes, so that not every shape has to be compiled for."""
    rows = lambda places: 3 if places >= 3 else 1  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            direct_file, "best_parts", lambda places, blocks, _: [Part(Tile(rows(places), 1), blocks)]
        )
        patch.setattr(direct_file, "best_tile", lambda places, *_: Tile(rows(places), 1))
        patch.setattr(depthwise_file, "best_rows", lambda places, _: rows(places))
        yield


def by(kernel, x, w, threads=2, bias=True, **attributes):
    """The kernel's numbers on whole numbers, which must be the reference's."""
    rng = np.random.default_rng(0)
    x, w = (rng.integers(-4, 5, shape).astype(np.float32) for shape in (x, w))
    b = rng.integers(-9, 9, w.shape[1] * attributes.get("group", 1)).astype(np.float32) if bias else None
    net = Net([Deconvolution("x", w, b, name="y", **attributes)], {"x": x.shape})
    wanted = net.forward(x=x)["y"]
    only = f"cpu/fp32/Deconvolution/{kernel}"
    plan = plan_as_written(net, devices["cpu"], "fp32", threads, {"x": x.shape}, only)
    assert only in {step.kernel for step in plan.steps}
    with plan.session() as session:
        for _ in range(2):
            np.testing.assert_array_equal(session.run({"x": x})["y"], wanted)
    return x, w, b, wanted


shapes = st.fixed_dictionaries(
    dict(
        n=st.integers(0, 2), group=st.sampled_from([1, 1, 2, 3]), c=st.integers(1, 20), m=st.integers(1, 20),
        h=st.integers(1, 7), width=st.integers(1, 9), kernel=st.tuples(*[st.integers(1, 7)] * 2),
        stride=st.tuples(*[st.integers(1, 4)] * 2), pad=st.tuples(*[st.integers(0, 3)] * 4),
        dilation=st.tuples(*[st.integers(1, 3)] * 2), output_pad=st.tuples(*[st.integers(0, 2)] * 2),
    )
)  # fmt: skip


@settings(max_examples=30)
@given(shapes, st.sampled_from([1, 3]))
def test_random_shapes(s, threads):
    x, w = (s["n"], s["group"] * s["c"], s["h"], s["width"]), (s["group"] * s["c"], s["m"], *s["kernel"])
    attributes = {k: s[k] for k in ("stride", "pad", "dilation", "group", "output_pad")}
    try:
        by("direct", x, w, threads, **attributes)
    except FbnetError:
        assume(False)  # nothing is left of y


@pytest.mark.parametrize(
    ("size", "stride", "pad", "dilation"),
    [(4, 2, 1, 1), (3, 2, 1, 1), (8, 4, 2, 1), (2, 3, 0, 1), (16, 8, 4, 1), (3, 1, 1, 2), (3, 2, 0, 3)],
)
def test_one_filter_a_channel(size, stride, pad, dilation):
    """As bilinear upsampling is written; 2 taps every 3 places leave outputs that no tap reaches."""
    more = dict(stride=(stride,) * 2, pad=(pad,) * 4, dilation=(dilation,) * 2, group=37)
    by("depthwise", (2, 37, 5, 6), (37, 1, size, size), bias=stride != 3, **more)


def test_as_torch_does_it():
    torch = pytest.importorskip("torch")
    more = dict(stride=(3, 2), pad=(1, 2, 1, 2), group=2, output_pad=(1, 0))
    x, w, b, y = by("direct", (2, 34, 6, 7), (34, 9, 5, 4), **more)
    found = torch.nn.functional.conv_transpose2d(
        *map(torch.from_numpy, (x, w, b)), stride=(3, 2), padding=(1, 2), groups=2, output_padding=(1, 0)
    )
    np.testing.assert_array_equal(y, found.numpy())


def test_no_tap_is_used_twice_and_none_is_left_out():
    for size, taps, stride, pad, dilation in [(20, 4, 2, 1, 1), (31, 7, 4, 3, 2), (9, 2, 3, 0, 1)]:
        phases = _phases(size, taps, stride, pad, dilation)
        assert sum(axis.count for axis in phases) == size
        seen = sorted(
            (axis.start + i * axis.step, k, i - axis.before + number * axis.dilation)
            for axis in phases
            for i in range(axis.count)
            for number, k in enumerate(axis.taps)
        )
        wanted = [
            (y, k, (y + pad - k * dilation) // stride)
            for y in range(size)
            for k in range(taps)
            if (y + pad - k * dilation) % stride == 0
        ]
        assert seen == wanted


def test_weights_that_are_no_constants():
    net = Net([Deconvolution("x", "w", name="y")], {"x": (1, 16, 3, 3), "w": (16, 16, 2, 2)})
    assert {step.kernel for step in net.compile().steps} == {"cpu/fp32/Deconvolution/spread"}
