"""simd: every operation on every level of this machine, against numpy."""

import numpy as np
import pytest
from fbnet.layers.cpu import simd
from fbnet.layers.cpu.simd import PerTarget
from fbnet.layers.cpu.target import TARGETS, host

RNG = np.random.default_rng(0)
ROWS = PerTarget(lambda target: 5 if target.registers == 32 else 3)


def array(*shape):
    return RNG.standard_normal(shape, dtype=np.float32)


def test_vectors(native, level):
    def vectors(x, y, z, out):
        a = simd.load(simd.address(x))
        b = simd.load(simd.address(y) + 4)  # no alignment is needed
        c = simd.load(simd.address(z))
        to = simd.address(out)
        simd.store(to, simd.add(a, b))
        simd.store(to + simd.LANES * 4, simd.mul(a, b))
        simd.store(to + simd.LANES * 8, simd.fma(a, b, c))
        simd.store(to + simd.LANES * 12, simd.maximum(a, b))
        simd.store(to + simd.LANES * 16 + 4, simd.splat(x[1]))
        simd.store_scalar(to + simd.LANES * 16, simd.load_scalar(simd.address(z) + 8))

    n = level.lanes
    x, y, z, out = array(n), array(n + 1), array(n), np.zeros(6 * n, np.float32)
    x[0] = np.nan
    native(vectors, x, y, z, out, target=level)
    a, b = x, y[1:]
    np.testing.assert_array_equal(out[:n], a + b)
    np.testing.assert_array_equal(out[n : 2 * n], a * b)
    np.testing.assert_allclose(out[2 * n : 3 * n], a * b + z, rtol=1e-5, atol=1e-6)
    largest = np.where(b > a, b, a)  # x where either is NaN
    np.testing.assert_array_equal(out[3 * n : 4 * n], largest)
    assert out[4 * n] == z[2] and np.all(out[4 * n + 1 : 5 * n + 1] == x[1]) and out[5 * n + 1] == 0
    assert (level.lanes, level.registers) == (TARGETS[host().name].lanes, host().registers)


def test_tiles(native, level):
    """One after the other, every operation on a tile of ROWS × 2 vectors; k and the rows have strides of their own."""

    def tiles(a, w, row, column, out, sums, low, high):
        t = simd.tile(ROWS, 2)
        for k in range(w.shape[0]):
            t = simd.tile_fma(
                t, simd.address(a) + 4 * k, 4 * a.shape[1], simd.address(w) + k * simd.LANES * 8
            )
        size = ROWS * simd.LANES * 8
        step = simd.LANES * 8
        to = simd.address(out)
        simd.tile_store(t, to, step)
        simd.tile_store(simd.tile_add_row(t, simd.address(row)), to + size, step)
        simd.tile_store(simd.tile_add_column(t, simd.address(column), 8), to + 2 * size, step)
        simd.tile_store(simd.tile_clamp(t, low, high), to + 3 * size, step)
        simd.tile_store(simd.tile_load_add(t, to, step), to + 4 * size, step)
        dot = simd.tile_dot(simd.tile(ROWS, 2), to, step, simd.address(row))
        simd.tile_store(dot, to + 5 * size, step)
        simd.tile_sums(dot, simd.address(sums))

    rows, n, k = ROWS.choose(level), 2 * level.lanes, 7
    a, w, row, column = array(rows, k), array(k, n), array(n), array(2 * rows)
    a[0, 0] = np.nan
    out, sums = np.zeros((6, rows, n), np.float32), np.zeros(rows + 1, np.float32)
    native(tiles, a, w, row, column, out, sums, -0.5, 0.75, target=level)
    close = dict(rtol=1e-4, atol=1e-5)
    product = a @ w
    np.testing.assert_allclose(out[0], product, **close)
    np.testing.assert_allclose(out[1], product + row, **close)
    np.testing.assert_allclose(out[2], product + column[::2, None], **close)
    np.testing.assert_allclose(out[3], np.clip(product, -0.5, 0.75), **close)  # NaN stays
    np.testing.assert_allclose(out[4], 2 * product, **close)
    np.testing.assert_allclose(out[5], product * row, **close)
    np.testing.assert_allclose(sums[:rows], (product * row).sum(axis=1), **close)
    assert sums[rows] == 0


def test_bits_and_words(native, level):
    def bits(x, single, words):
        words[0] = simd.bits_of_float64(x[0])
        x[1] = simd.float64_of_bits(words[1])
        words[2] = simd.bits_of_float32(single[0])
        single[1] = simd.float32_of_bits(np.int32(words[3]))
        simd.store_word(simd.address(words) + 32, simd.load_word(simd.address(words) + 40) + 1)
        words[6] = simd.atomic_add(simd.address(words) + 56, 5)
        words[8] = simd.atomic_load(simd.address(words) + 56)
        simd.pause()

    x, single = np.array([-0.1, 0]), np.float32([3.7, 0])
    words = np.array(
        [0, np.float64(2.5).view(np.int64), 0, np.float32(-1.25).view(np.int32), 0, 41, 0, 10, 0]
    )
    native(bits, x, single, words, target=level)
    assert words[0] == np.float64(-0.1).view(np.int64) and x[1] == 2.5
    assert words[2] == np.float32(3.7).view(np.int32) and single[1] == -1.25
    assert words[4:].tolist() == [42, 41, 10, 15, 15]


def test_outside_a_kernel_they_are_no_functions():
    with pytest.raises(NotImplementedError, match="only inside a compiled kernel"):
        simd.address(array(1))
    assert ROWS.choose(TARGETS["x86-64-v3"]) == 3 and ROWS.choose(TARGETS["aarch64"]) == 5
