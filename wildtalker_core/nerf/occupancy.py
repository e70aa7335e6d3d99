"""Where there is anything: a 3-D grid for the head, a 2-D one for the torso.

Both only spare work: cells that are empty are not sampled. Update rule: ER-NeRF and
SyncTalk re-evaluate every cell now and then, dilate by a maximum filter, keep the larger of the
new value and 0.95 of the old, and call a cell occupied above a threshold.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from wildtalker_core.devices import sent
from wildtalker_core.geometry.cameras import pixel_grid

_DECAY = 0.95
# A cell counts as occupied above min(mean density, cap). The peers' cap of 10 at their step of
# 0.0271 is this optical depth per step; as such it holds in any unit of length.
_CAP_OPTICAL_DEPTH = 10 * 0.0271
_ALPHA_THRESHOLD = 0.01
# A cell whose largest share of any recent training pixel is below this is hidden. Cells start a
# little above it, so that hiding begins after some six updates, when there are surfaces.
_HIDDEN_WEIGHT, _INITIAL_WEIGHT, _WEIGHT_DECAY = 3e-3, 0.02, 0.7
_CHUNK = 65536


class OccupancyGrid(nn.Module):
    """Density of the head's box in ``resolution`` cells per axis.

    Attributes:
        density: indexed x, y, z; -1 where no camera ever sees the head.
        visibility: largest rendering weight lately seen in each cell.
    """

    density: Float[Tensor, "r r r"]
    visibility: Float[Tensor, "r r r"]
    is_occupied: Bool[Tensor, "r r r"]

    def __init__(self, resolution: int, half_extents: tuple[float, float, float]) -> None:
        super().__init__()
        self.resolution, self.half_extents = resolution, half_extents
        self.register_buffer("density", torch.zeros((resolution,) * 3))
        self.register_buffer("visibility", torch.full((resolution,) * 3, _INITIAL_WEIGHT))
        self.register_buffer("is_occupied", torch.ones((resolution,) * 3, dtype=torch.bool))

    def cell_centres(self, cells: Int64[Tensor, "k"]) -> Float[Tensor, "k 3"]:
        """Head positions of the middles of cells, given their flat numbers."""
        r = self.resolution
        xyz = torch.stack((cells // (r * r), cells // r % r, cells % r), -1)
        return ((xyz + 0.5) * (2 / r) - 1) * torch.tensor(self.half_extents, device=cells.device)

    def carve(self, is_possible: Bool[Tensor, "r r r"]) -> None:
        """Close cells that are not possible for good."""
        self.density[~is_possible] = -1
        self.is_occupied &= is_possible

    @torch.no_grad()
    def see(self, positions: Float[Tensor, "k 3"], weights: Float[Tensor, "k"]) -> None:
        """Note how much of some pixel each sample was: its rendering weight."""
        half = sent(np.array(self.half_extents, np.float32), positions.device)
        r = self.resolution
        xyz = ((positions / half + 1) * (r / 2)).long().clamp(0, r - 1)
        cells = (xyz[:, 0] * r + xyz[:, 1]) * r + xyz[:, 2]
        # In half precision a step may fail, and is then skipped; the grid must not keep its traces.
        weights = torch.where(weights.isfinite(), weights, 0)
        self.visibility.view(-1).scatter_reduce_(0, cells, weights, "amax")

    @torch.no_grad()
    def update(
        self,
        density_of: Callable[[Float[Tensor, "k 3"]], Float[Tensor, "k"]],
        step: float,
        generator: torch.Generator | None = None,
        hide: bool = False,
    ) -> None:
        """Re-evaluate every open cell at a random place inside it.

        Args:
            density_of: positions -> sigmas, under a random training condition.
            step: marching step in head units.
            hide: also skip cells that are dense but hidden behind others (ours; the peers march on
                into the head until they have their 16 samples). Neighbours of visible cells stay,
                so that a surface can move.
        """
        flat = self.density.flatten()
        cells = (flat >= 0).nonzero().squeeze(-1)
        size = torch.tensor(self.half_extents, device=flat.device) * (2 / self.resolution)
        current = torch.zeros_like(flat)
        for chunk in cells.split(_CHUNK):
            # The generator of a run is on the CPU, wherever the grid is.
            noise = sent(torch.rand(len(chunk), 3, generator=generator), flat.device) - 0.5
            densities = density_of(self.cell_centres(chunk) + noise * size)
            current[chunk] = densities.nan_to_num()  # half precision overflows
        dilated = F.max_pool3d(current.view(1, 1, *self.density.shape), 3, 1, 1).flatten()
        updated = torch.maximum(flat * _DECAY, dilated)
        self.density.copy_(torch.where(flat >= 0, updated, flat).view_as(self.density))
        mean = updated[cells].mean().item() if len(cells) else 0.0
        self.is_occupied.copy_(self.density > min(mean, _CAP_OPTICAL_DEPTH / step))
        if hide:
            near = F.max_pool3d(self.visibility[None, None], 3, 1, 1)[0, 0]
            self.is_occupied &= near > _HIDDEN_WEIGHT
            self.visibility *= _WEIGHT_DECAY

    def bounds(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """Corners of the smallest box around all occupied cells, head units."""
        half = torch.tensor(self.half_extents, device=self.density.device)
        if not self.is_occupied.any():
            return torch.zeros_like(half), torch.zeros_like(half)
        lower, upper = [], []
        for axis in range(3):
            others = tuple(a for a in range(3) if a != axis)
            cells = self.is_occupied.any(others[1]).any(others[0]).nonzero().squeeze(-1)
            lower.append(cells[0])
            upper.append(cells[-1] + 1)
        scale = 2 / self.resolution
        return (torch.stack(lower) * scale - 1) * half, (torch.stack(upper) * scale - 1) * half


class AlphaGrid(nn.Module):
    """Largest torso alpha seen in each of ``resolution`` x ``resolution`` image cells.

    Attributes:
        alpha: indexed y, x.
    """

    alpha: Float[Tensor, "r r"]
    is_occupied: Bool[Tensor, "r r"]

    def __init__(self, resolution: int = 128) -> None:
        super().__init__()
        self.resolution = resolution
        self.register_buffer("alpha", torch.zeros(resolution, resolution))
        self.register_buffer("is_occupied", torch.ones(resolution, resolution, dtype=torch.bool))

    @torch.no_grad()
    def update(
        self,
        alpha_of: Callable[[Float[Tensor, "k 2"]], Float[Tensor, "k"]],
        generator: torch.Generator | None = None,
    ) -> None:
        """Re-evaluate every cell at a random place inside it.

        Args:
            alpha_of: torso points in [-1, 1] -> alpha, under a random training pose.
        """
        r, device = self.resolution, self.alpha.device
        cells = pixel_grid(r, r, device)
        noise = sent(torch.rand(r * r, 2, generator=generator), device)
        current = alpha_of((cells + noise) * (2 / r) - 1).nan_to_num().view(1, 1, r, r)
        dilated = F.max_pool2d(current, 5, 1, 2)[0, 0]
        self.alpha.copy_(torch.maximum(self.alpha * _DECAY, dilated))
        self.is_occupied.copy_(self.alpha > min(self.alpha.mean().item(), _ALPHA_THRESHOLD))

    def covers(self, torso_points: Float[Tensor, "k 2"]) -> Bool[Tensor, "k"]:
        """Whether points in [-1, 1] lie in an occupied cell."""
        cells = ((torso_points + 1) * (self.resolution / 2)).long().clamp(0, self.resolution - 1)
        return self.is_occupied[cells[:, 1], cells[:, 0]]
