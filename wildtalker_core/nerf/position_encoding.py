"""Where a sample is: a position in the head's box as features, in one of three ways.

Each is a module with ``n_features`` that maps positions in [0, 1] to as many features:
``tri_plane`` (ER-NeRF, SyncTalk, WildTalker), ``grid_3d`` (RAD-NeRF), ``frequency`` (AD-NeRF).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wildtalker_core.nerf.encodings import frequency_encoding
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.tri_plane import HashGrids, TriPlane


class Grid3D(HashGrids):
    """One hash grid over the whole box.

    ASSUME fine levels are hashed. RAD-NeRF tiles them, that is, wraps around after as many
    vertices as the table holds; both share entries between far vertices, and a hash does so
    without a pattern. The tables are as long.
    """

    def __init__(self, shape: HashGridShape, encoder: str = "torch") -> None:
        super().__init__(replace(shape, n_dims=3), 1, encoder)

    def forward(self, positions: Float[Tensor, "n 3"]) -> Float[Tensor, "n {self.n_features}"]:
        return super().forward(positions[None])


class Frequencies(nn.Module):
    """Sines and cosines of the position over the box from -1 to 1 (NeRF, AD-NeRF)."""

    def __init__(self, n_octaves: int) -> None:
        super().__init__()
        self.n_octaves = n_octaves
        self.n_features = 3 * (1 + 2 * n_octaves)

    def forward(self, positions: Float[Tensor, "n 3"]) -> Float[Tensor, "n {self.n_features}"]:
        return frequency_encoding(2 * positions - 1, self.n_octaves)


def position_encoding(
    name: str, grid: HashGridShape, n_octaves: int, encoder: str = "torch"
) -> TriPlane | Grid3D | Frequencies:
    """The encoding of this name.

    Args:
        grid: levels and tables of ``tri_plane`` and ``grid_3d``; its ``n_dims`` is not read.
        n_octaves: of ``frequency``.
        encoder: of the hash grids.
    """
    if name == "tri_plane":
        return TriPlane(replace(grid, n_dims=2), encoder)
    if name == "grid_3d":
        return Grid3D(grid, encoder)
    if name == "frequency":
        return Frequencies(n_octaves)
    raise ValueError(f"position_encoding is tri_plane, grid_3d or frequency, not {name!r}")


def grid_tables(module: nn.Module) -> list[nn.Parameter]:
    """The tables of all hash grids inside a module."""
    return [part.tables for part in module.modules() if isinstance(part, HashGrids)]


def other_parameters(module: nn.Module) -> list[nn.Parameter]:
    """All parameters of a module but :func:`grid_tables`."""
    is_grid = {id(tables) for tables in grid_tables(module)}
    return [parameter for parameter in module.parameters() if id(parameter) not in is_grid]


def unit_box(
    positions: Float[Tensor, "n 3"], half_extents: Float[Tensor, "3"]
) -> Float[Tensor, "n 3"]:
    """Positions in the box of ``half_extents`` -> [0, 1]; beyond its walls clamped."""
    return torch.clamp((positions / half_extents + 1) / 2, 0, 1)
