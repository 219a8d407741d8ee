import numpy as np
import pytest
from fbnet import CheckError, Net
from fbnet.engine.layer import layers
from fbnet.engine.tensor import Dim
from fbnet.tools import cold as module
from fbnet.tools.cold import cold

pytest.importorskip("onnxruntime")


@pytest.fixture
def net():
    w = np.ones((2, 3), np.float32)
    return Net([layers["InnerProduct"]("x", w, name="y")], inputs={"x": (Dim("N", 1), 3)})


def test_processes_of_their_own(net, monkeypatch, tmp_path):
    monkeypatch.setenv("FBNET_CACHE", str(tmp_path))  # is left alone
    found = {entry.name: entry for entry in cold(net, {"x": (2, 3)}, rounds=1)}
    assert list(found) == ["fbnet", "onnxruntime", "numpy alone"]
    assert all(0 < s < 60 for entry in found.values() for s in (entry.first_s, *entry.seconds))
    assert 5 < found["numpy alone"].mib[0] < found["onnxruntime"].mib[0] < 2000
    assert found["fbnet"].seconds[0] < found["fbnet"].first_s  # what was compiled is found
    assert set(found["fbnet"].described()) == {"name", "first_s", "median_s", "mib"}
    assert not list(tmp_path.iterdir())


def test_one_that_fails(net, monkeypatch):
    monkeypatch.setattr(module, "PROGRAMS", {"fbnet": "raise SystemExit('no luck')"})
    with pytest.raises(CheckError, match="fbnet failed in a process of its own: no luck"):
        cold(net, {})
