import numpy as np
from fbnet import Net
from fbnet.engine.layer import layers
from fbnet.engine.tensor import Dim
from fbnet.tools.layer_times import LayerTime, layer_times


def test_rows_are_the_layers_of_the_plan():
    w = np.ones((4, 3, 3, 3), np.float32)
    net = Net(
        [
            layers["Convolution"]("x", w, name="conv"),
            layers["ReLU"]("conv", name="relu"),
            layers["Softmax"]("relu", name="prob"),
        ],
        inputs={"x": (Dim("N", 1), 3, Dim("H", 8), Dim("W", 8))},
    )
    rows = layer_times(net, {"x": (2, 3, 10, 8)}, threads=1, rounds=3)
    by_name = {row.layer: row for row in rows}
    assert set(by_name) >= {"conv", "prob"} and "relu" not in by_name  # the rectifier is fused
    conv = by_name["conv"]
    assert conv.type == "Convolution" and conv.macs == 2 * 8 * 6 * 4 * 27 and conv.bytes == 4 * 2 * 4 * 8 * 6
    assert conv.kernel and "/" not in conv.kernel and conv.why
    assert all(0 < row.seconds < 1 for row in rows)
    assert by_name["prob"].macs == 0 and by_name["prob"].described(100.0)["gflops"] is None


def test_rates():
    row = LayerTime("conv", "Convolution", "gemm", "", macs=500_000_000, bytes=4, seconds=0.01)
    assert row.gflops == 100
    assert row.described(peak=200.0) | {"ms": 10.0, "gflops": 100.0, "share": 0.5} == row.described(
        peak=200.0
    )
    assert LayerTime("conv", "", "", "", 5, 4).gflops == 0
