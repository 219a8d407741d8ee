import fbnet
import numpy as np
import pytest
from softcap import SoftCap


def test_known_numbers():
    y = SoftCap(cap=2).reference(np.array([-1e9, 0, 1, 1e9], np.float32))
    np.testing.assert_allclose(y, [-2, 0, 2 * 0.46211716, 2], rtol=1e-6)


def test_every_kernel():
    assert any(check.kernel.startswith("cpu/") for check in fbnet.check_layer(SoftCap(cap=3)))


def test_cap():
    with pytest.raises(fbnet.AttributeValueError, match=r"SoftCap: cap=-1 must be above 0"):
        SoftCap(cap=-1)
