"""Features of a 3-D position from three 2-D hash grids (ER-NeRF, WildTalker Sec. 3.4)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wildtalker_core.nerf.encoders import look_up_of
from wildtalker_core.nerf.hash_grid import HashGridShape

#: The coordinates that each plane sees: H^XY, H^YZ, H^XZ.
PLANES = ((0, 1), (1, 2), (0, 2))


class HashGrids(nn.Module):
    """Tables of one or more grids of the same shape, and the function that looks them up.

    Attributes:
        encoder: a resolved encoder's name; may be changed at any time, the tables stay.
    """

    def __init__(self, shape: HashGridShape, n_grids: int = 1, encoder: str = "torch") -> None:
        super().__init__()
        self.shape, self.encoder = shape, encoder
        tables = torch.empty(n_grids, shape.n_entries, shape.n_features_per_level)
        self.tables = nn.Parameter(tables.uniform_(-1e-4, 1e-4))

    @property
    def n_features(self) -> int:
        return len(self.tables) * self.shape.n_features

    def forward(
        self, positions: Float[Tensor, "grids n {self.shape.n_dims}"]
    ) -> Float[Tensor, "n {self.n_features}"]:
        """Features of positions in [0, 1]."""
        return look_up_of(self.encoder)(positions, self.tables, self.shape)


class TriPlane(HashGrids):
    """Three planes over the unit cube: each forgets one coordinate."""

    def __init__(self, shape: HashGridShape, encoder: str = "torch") -> None:
        if shape.n_dims != 2:
            raise ValueError(f"a plane has 2 dimensions, not {shape.n_dims}")
        super().__init__(shape, len(PLANES), encoder)

    def forward(self, positions: Float[Tensor, "n 3"]) -> Float[Tensor, "n {self.n_features}"]:
        """Features of positions in [0, 1], plane by plane; zero outside."""
        # Outside along the coordinate that a plane forgets is outside all the same.
        is_inside = ((positions >= 0) & (positions <= 1)).all(-1, keepdim=True)
        positions = torch.where(is_inside, positions, torch.full_like(positions, -1))
        return super().forward(torch.stack([positions[:, plane] for plane in PLANES]))
