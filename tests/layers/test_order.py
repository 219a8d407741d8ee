"""ArgMax and TopK where it is easy to go wrong: ties, NaN, nothing to choose from."""

import numpy as np
import pytest
from fbnet.engine.check import check_layer
from fbnet.engine.errors import AttributeValueError, ShapeError
from fbnet.engine.tensor import Spec
from fbnet.layers.order import ArgMax, TopK


def test_of_nans_the_first_wins():
    x = np.array([[1, np.nan, 7, np.nan, 9]], np.float32)
    for layer in (ArgMax(), ArgMax(smallest=True)):
        assert layer.reference(x).tolist() == [[1]]
        assert check_layer(layer, x, device_names=["cpu"])


def test_ties():
    x = np.array([2, 3, 3, 1, 3], np.float32)
    assert ArgMax().reference(x).tolist() == [1] and ArgMax(last=True).reference(x).tolist() == [4]
    values, places = TopK(k=4).reference(x)
    assert values.tolist() == [3, 3, 3, 2] and places.tolist() == [1, 2, 4, 0]


def test_nothing_to_choose_from():
    with pytest.raises(ShapeError, match="nothing to be the largest"):
        ArgMax().infer_outputs([Spec((2, 0))])
    with pytest.raises(ShapeError, match="there are no 4 numbers along axis 1"):
        TopK(k=4).infer_outputs([Spec((2, 3))])
    with pytest.raises(AttributeValueError, match="k is -1"):
        TopK(k=-1)
