"""Gaussians dealt out to the tiles of a picture that their extents touch, and summed over them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int, Int32

from wildtalker_core.compiled import njit

TILE_WIDTH, TILE_HEIGHT = 16, 16


@njit
def _tiles_of(extent):
    left, right = extent[0] // TILE_WIDTH, (extent[2] - 1) // TILE_WIDTH + 1
    return left, extent[1] // TILE_HEIGHT, right, (extent[3] - 1) // TILE_HEIGHT + 1


@njit(cache=True, nogil=True)
def _deal(order, extents, n_columns, n_tiles):
    """A counting sort: where each tile's Gaussians begin in the list of them, and the list."""
    starts = np.zeros(n_tiles + 1, np.int32)
    for i in order:
        left, top, right, bottom = _tiles_of(extents[i])
        for row in range(top, bottom):
            for column in range(left, right):
                starts[row * n_columns + column + 1] += 1
    for tile in range(n_tiles):
        starts[tile + 1] += starts[tile]
    places, members = starts[:-1].copy(), np.empty(starts[-1], np.int32)
    for i in order:
        left, top, right, bottom = _tiles_of(extents[i])
        for row in range(top, bottom):
            for column in range(left, right):
                tile = row * n_columns + column
                members[places[tile]] = i
                places[tile] += 1
    return starts, members


def deal_to_tiles(
    depths: Float32[np.ndarray, "n"], extents: Int32[np.ndarray, "n 4"], height: int, width: int
) -> tuple[Int[np.ndarray, "starts"], Int32[np.ndarray, "pairs"], int]:
    """Where each tile's Gaussians begin in the list of them, the list, and tiles in a row."""
    n_columns, n_rows = -(-width // TILE_WIDTH), -(-height // TILE_HEIGHT)
    seen = np.flatnonzero(extents[:, 2] > extents[:, 0])
    # Depth and number as one integer sort fastest. Bits grow with a depth, which is positive.
    keys = (depths[seen].view(np.uint32).astype(np.uint64) << 32) | seen.astype(np.uint64)
    order = np.sort(keys).astype(np.uint32)  # the lower half: the number
    return *_deal(order, extents, n_columns, n_columns * n_rows), n_columns


@njit(cache=True, nogil=True)
def sum_pairs(members, of_pairs, means2d, conics, opacities, colours):
    """Add the nine numbers of each pair of tile and Gaussian, in their order, to the Gaussian's."""
    for pair in range(len(members)):
        i, sums = members[pair], of_pairs[pair]
        means2d[i, 0] += sums[0]
        means2d[i, 1] += sums[1]
        conics[i, 0] += sums[2]
        conics[i, 1] += sums[3]
        conics[i, 2] += sums[4]
        opacities[i] += sums[5]
        colours[i, 0] += sums[6]
        colours[i, 1] += sums[7]
        colours[i, 2] += sums[8]
