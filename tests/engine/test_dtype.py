"""DTypes: what is stored, and how it becomes real numbers and back."""

import numpy as np
import pytest
from fbnet import DType, RegistryError, dtype
from fbnet.engine.dtype import Quantization, dtype_of, dtypes
from hypothesis import given
from hypothesis import strategies as st

STORED = [
    ("fp32", np.float32, 4),
    ("fp16", np.float16, 2),
    ("int8", np.int8, 1),
    ("uint8", np.uint8, 1),
    ("int32", np.int32, 4),
    ("int64", np.int64, 8),
    ("bool", np.bool_, 1),
]


@pytest.mark.parametrize(("name", "storage", "itemsize"), STORED)
def test_what_is_stored(name, storage, itemsize):
    kind = dtypes[name]
    assert (kind.name, str(kind), repr(kind)) == (name, name, name)
    assert kind.storage == np.dtype(storage) and kind.itemsize == itemsize
    assert dtype_of(np.zeros(3, storage)) is kind
    small = np.float32([0, 1, 1, 0])
    assert kind.quantize(small, None).dtype == kind.storage
    np.testing.assert_array_equal(kind.dequantize(kind.quantize(small, None), None), small)
    assert kind.dequantize(kind.quantize(small, None), None).dtype == np.float32


def test_an_array_of_no_registered_dtype():
    with pytest.raises(RegistryError, match="dtype 'float64' is not registered"):
        dtype_of(np.zeros(3))


@pytest.mark.parametrize(
    ("real", "stored"),
    [(0, 3), (0.25, 4), (0.125, 3), (0.375, 5), (-0.125, 3), (1e9, 127), (-1e9, -128), (np.inf, 127)],
)
def test_int8_rounds_half_to_even_and_clamps(real, stored):
    quantization = Quantization((0.25,), (3,))
    found = dtypes["int8"].quantize(np.float32([real]), quantization)
    # rint(real / scale) + zero: 0.5 goes to 0 and 1.5 to 2 before the zero is added
    assert found.tolist() == [stored] and found.dtype == np.int8


def test_int8_along_an_axis():
    quantization = Quantization((0.5, 2.0), (0, 10), axis=1)
    real = np.float32([[[1, 2], [4, 8]]])
    stored = dtypes["int8"].quantize(real, quantization)
    assert stored.tolist() == [[[2, 4], [12, 14]]]
    np.testing.assert_array_equal(dtypes["int8"].dequantize(stored, quantization), real)


def test_int8_of_a_single_number():
    stored = dtypes["int8"].quantize(np.float32(1.0), Quantization((0.5,), (1,)))
    assert stored.shape == () and stored == 3


@given(
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=20),
    st.floats(2**-10, 1.0, width=32),
    st.integers(-128, 127),
)
def test_int8_is_off_by_half_a_step_at_most(values, scale, zero):
    quantization = Quantization((scale,), (zero,))
    real = np.float32(values)
    kind = dtypes["int8"]
    back = kind.dequantize(kind.quantize(real, quantization), quantization)
    low, high = (-128 - zero) * scale, (127 - zero) * scale
    assert np.all(np.abs(back - np.clip(real, low, high)) <= scale * 0.5001 + 1e-4)
    again = kind.quantize(back, quantization)
    np.testing.assert_array_equal(kind.dequantize(again, quantization), back)


def test_a_new_dtype_is_one_class():
    @dtype("test-percent")
    class Percent(DType):
        """Hundredths in a byte."""

        storage = np.uint8

        def quantize(self, real, quantization):
            return np.rint(real * 100).astype(np.uint8)

        def dequantize(self, stored, quantization):
            return stored.astype(np.float32) / 100

    try:
        kind = dtypes["test-percent"]
        assert kind.itemsize == 1 and kind.storage == np.dtype(np.uint8)
        np.testing.assert_allclose(kind.dequantize(kind.quantize(np.float32([0.5]), None), None), [0.5])
        assert dtype_of(np.zeros(1, np.uint8)).name == "uint8"  # the first that is registered for a storage
        with pytest.raises(RegistryError, match="already registered by"):
            dtype("test-percent")(Percent)
    finally:
        dtypes.discard("test-percent")


def test_an_array_of_uint16_is_no_bf16():
    assert (
        dtype_of(np.zeros(1, np.uint16)).name == "uint16" and dtype_of(np.zeros(1, np.float32)).name == "fp32"
    )
