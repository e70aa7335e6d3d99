"""Multiresolution hash grid (Mueller et al. 2022), in any dimension: the plain definition.

The grid has one table of feature vectors per level, finer from level to level. A position is
looked up in every level and its features are interpolated multilinearly. Coarse levels are dense:
each vertex owns an entry. Fine levels would not fit, so their vertices share entries by a spatial
hash, and training sorts out who wins.

``hash_grid_numba``, ``hash_grid_triton`` and ``hash_grid_tinycudann`` compute the same; this file
is what they must agree with.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

# The hash of Mueller et al. 2022, Eq. 4; the first factor is 1 so that neighbours in x stay
# neighbours in memory. The paper stops at three dimensions; the fourth factor is that of its code.
HASH_PRIMES = (1, 2654435761, 805459861, 3674653429)

LAYOUTS = ("torch_ngp", "tinycudann")

#: Of every grid's look-up: positions in [0, 1], one table per grid, features grid by grid.
Positions = Float[Tensor, "grids n {shape.n_dims}"]
Tables = Float[Tensor, "grids {shape.n_entries} {shape.n_features_per_level}"]
Features = Float[Tensor, "n grids*{shape.n_features}"]


@dataclass(frozen=True)
class HashGridShape:
    """Sizes of a grid; the defaults are those of ER-NeRF's and SyncTalk's planes.

    Attributes:
        n_dims: dimensions of a position.
        n_levels: number of resolutions.
        n_features_per_level: numbers per entry.
        log2_hashmap_size: a level has at most ``2 ** log2_hashmap_size`` entries.
        base_resolution, finest_resolution: cells per axis of the first and the last level.
        layout: how many vertices a level counts. ``torch_ngp`` (ER-NeRF and SyncTalk use it) owns
            one more along each axis than tiny-cuda-nn's ``tinycudann``, whose dense levels let the
            last vertices of a row share entries with the first of the next. Tables of one layout
            mean nothing in the other.
    """

    n_dims: int = 2
    n_levels: int = 12
    n_features_per_level: int = 1
    log2_hashmap_size: int = 14
    base_resolution: int = 64
    finest_resolution: int = 512
    layout: str = "torch_ngp"

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout is one of {', '.join(LAYOUTS)}, not {self.layout!r}")

    @property
    def n_features(self) -> int:
        """Length of a looked-up feature vector."""
        return self.n_levels * self.n_features_per_level

    @cached_property
    def per_level_scale(self) -> float:
        """Ratio of the resolutions of neighbouring levels."""
        if self.n_levels == 1:
            return 1.0
        return (self.finest_resolution / self.base_resolution) ** (1 / (self.n_levels - 1))

    @cached_property
    def resolutions(self) -> tuple[float, ...]:
        """Cells per axis of each level, a geometric series, not rounded."""
        return tuple(
            self.base_resolution * self.per_level_scale**level for level in range(self.n_levels)
        )

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Position x in [0, 1] lies at ``x * scale + 0.5`` between the vertices of a level."""
        if self.layout == "tinycudann":
            # Its sizes hang on float32 rounding.
            factor = np.log2(np.float32(self.per_level_scale))
            levels = np.arange(self.n_levels, dtype=np.float32)
            scales = np.exp2(levels * factor) * np.float32(self.base_resolution) - np.float32(1)
            return tuple(scales.tolist())
        return tuple(resolution - 1 for resolution in self.resolutions)

    @cached_property
    def sides(self) -> tuple[int, ...]:
        """Vertices per axis of each level."""
        if self.layout == "tinycudann":
            return tuple(math.ceil(scale) + 1 for scale in self.scales)
        # Rounded first: 512.0000001 must not become a side of 514.
        return tuple(math.ceil(round(resolution, 6)) + 1 for resolution in self.resolutions)

    @cached_property
    def level_sizes(self) -> tuple[int, ...]:
        """Entries of each level: all vertices, at most the hash map's, a multiple of 8."""
        limit = 2**self.log2_hashmap_size
        return tuple(-(-min(limit, side**self.n_dims) // 8) * 8 for side in self.sides)

    @cached_property
    def is_hashed(self) -> tuple[bool, ...]:
        """Whether a level's vertices share entries."""
        return tuple(side**self.n_dims > 2**self.log2_hashmap_size for side in self.sides)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each level in the table, and the table's length at the end."""
        return (0, *itertools.accumulate(self.level_sizes))

    @property
    def n_entries(self) -> int:
        return self.offsets[-1]


def vertex_index(
    vertices: Int64[Tensor, "*batch {shape.n_dims}"], shape: HashGridShape, level: int
) -> Int64[Tensor, "*batch"]:
    """Entry of the whole table that holds a vertex."""
    if shape.is_hashed[level]:
        index = torch.zeros_like(vertices[..., 0])
        for axis in range(shape.n_dims):
            index = index ^ (vertices[..., axis] * HASH_PRIMES[axis])
        index = index & (shape.level_sizes[level] - 1)
    else:
        strides = [shape.sides[level] ** axis for axis in range(shape.n_dims)]
        index = (vertices * vertices.new_tensor(strides)).sum(-1)
        if shape.layout == "tinycudann":
            index = index % shape.level_sizes[level]
    return shape.offsets[level] + index


def look_up(positions: Positions, tables: Tables, shape: HashGridShape) -> Features:
    """Features of positions, interpolated linearly in each level.

    Differentiable with respect to the tables and to the positions.

    Args:
        positions: in [0, 1]; outside, the features are zero.
        tables: one per grid.

    Returns:
        Grid by grid, in each level by level.
    """
    return torch.cat(
        [
            _look_up_one(position, table, shape)
            for position, table in zip(positions, tables, strict=True)
        ],
        -1,
    )


def _look_up_one(positions: Tensor, table: Tensor, shape: HashGridShape) -> Tensor:
    is_inside = ((positions >= 0) & (positions <= 1)).all(-1)
    positions = torch.where(is_inside[:, None], positions, torch.zeros_like(positions))
    levels = []
    for level, scale in enumerate(shape.scales):
        # The half cell lets the levels' vertices fall apart, so that no position is a vertex of all
        # of them at once.
        scaled = positions * scale + 0.5
        lower = scaled.detach().floor()
        fraction = scaled - lower
        features = table.new_zeros(())
        for corner in itertools.product((0, 1), repeat=shape.n_dims):
            step = lower.new_tensor(corner)
            weight = torch.where(step.bool(), fraction, 1 - fraction).prod(-1)
            index = vertex_index((lower + step).long(), shape, level)
            features = features + weight[:, None] * table[index]
        levels.append(features)
    return torch.cat(levels, -1) * is_inside[:, None]
