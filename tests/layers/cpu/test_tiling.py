"""Tiles cover their places and blocks, and fit into the registers."""

import pytest
from fbnet.layers.cpu.tiling import best_parts, best_tile


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("places", [1, 7, 13, 49, 127, 12544])
@pytest.mark.parametrize("blocks", [1, 2, 3, 5, 7, 11, 13, 64])
def test_parts_cover_every_block_and_fit(places, blocks, registers):
    parts = best_parts(places, blocks, registers)
    assert sum(part.blocks for part in parts) == blocks and len(parts) <= 2
    for part in parts:
        assert 1 <= part.tile.rows <= places
        assert part.tile.rows * part.tile.vectors + part.tile.vectors < registers


@pytest.mark.parametrize("blocks", [5, 7, 11])
def test_an_odd_number_of_blocks_needs_no_tile_of_one_vector(blocks):
    assert best_tile(196, blocks, 32).vectors == 1
    assert {part.tile.vectors for part in best_parts(196, blocks, 32)} <= {2, 3, 4}


def test_no_tile_has_more_vectors_than_allowed():
    assert best_tile(196, 8, 32, most_vectors=2).vectors <= 2
