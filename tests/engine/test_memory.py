"""memory.arrange: what is alive at the same time never overlaps, and the arena is hardly larger than it must be."""

import pytest
from fbnet.engine.memory import ALIGN, Block, aligned, arrange, lower_bound
from hypothesis import given
from hypothesis import strategies as st

blocks = st.builds(
    lambda nbytes, first, length: Block(nbytes, first, first + length),
    st.one_of(st.integers(0, 300), st.integers(0, 10**9)),
    st.integers(-1, 20),
    st.integers(0, 8),
)


@given(st.lists(blocks, max_size=40))
def test_blocks_alive_together_do_not_overlap(given_blocks):
    arena = arrange(given_blocks)
    assert arena % ALIGN == 0 and arena >= lower_bound(given_blocks)
    for block in given_blocks:
        assert block.offset >= 0 and block.offset % ALIGN == 0 and block.offset + block.nbytes <= arena
    for i, a in enumerate(given_blocks):
        for b in given_blocks[:i]:
            if a.first <= b.last and b.first <= a.last and a.nbytes and b.nbytes:
                assert a.offset + a.nbytes <= b.offset or b.offset + b.nbytes <= a.offset


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30))
def test_a_chain_takes_three_blocks_at_most(sizes):
    """Two are alive at a time, but both may be in the way of a third."""
    chain = [Block(size, time, time + 1) for time, size in enumerate(sizes)]
    assert lower_bound(chain) <= arrange(chain) <= 3 * aligned(max(sizes))
    if len(set(sizes)) == 1:
        assert arrange(chain) == lower_bound(chain)


@given(st.lists(st.integers(1, 10**6), max_size=30))
def test_all_alive_is_their_sum(sizes):
    together = [Block(size, 0, 9) for size in sizes]
    assert arrange(together) == lower_bound(together) == sum(map(aligned, sizes))


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30))
def test_one_after_the_other_is_the_largest(sizes):
    assert arrange([Block(size, time, time) for time, size in enumerate(sizes)]) == aligned(max(sizes))


def test_nothing():
    assert arrange([]) == lower_bound([]) == 0
    assert arrange([Block(0, 0, 5), Block(0, 0, 5)]) == 0


@pytest.mark.parametrize(
    ("nbytes", "wanted"), [(0, 0), (1, 64), (64, 64), (65, 128), (2**40 + 1, 2**40 + 64)]
)
def test_aligned(nbytes, wanted):
    assert aligned(nbytes) == wanted


def test_a_gap_is_used():
    """The third block fits below the second where the first has gone."""
    first, second, third = Block(128, 0, 1), Block(64, 1, 3), Block(128, 2, 3)
    assert arrange([first, second, third]) == 192
    assert third.offset == 0 and second.offset == 128
