"""From samples along rays to pixels: Eq. 3, plain and differentiable."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Composite:
    """What rays see.

    Attributes:
        colours: premultiplied by opacity (no background).
        opacities: 1 minus the light that passes.
        depths: expected distance along the ray times opacity.
        weights: each sample's share of the pixel.
    """

    colours: Float[Tensor, "rays 3"]
    opacities: Float[Tensor, "rays"]
    depths: Float[Tensor, "rays"]
    weights: Float[Tensor, "rays samples"]

    def over(self, background: Float[Tensor, "#rays 3"]) -> Float[Tensor, "rays 3"]:
        """Colours in front of background colours, one for each ray or one for all."""
        return self.colours + (1 - self.opacities)[:, None] * background


def composite(
    sigmas: Float[Tensor, "rays samples"],
    rgbs: Float[Tensor, "rays samples 3"],
    t_starts: Float[Tensor, "rays samples"],
    t_ends: Float[Tensor, "rays samples"],
) -> Composite:
    """Eq. 3 as a sum over intervals of constant density and colour, front to back.

    ``weights.sum(-1) + trans after the last interval == 1`` holds by construction.

    Args:
        sigmas: density per unit length, not negative.
        t_starts, t_ends: ends of the intervals, increasing; an empty interval (start = end)
            contributes nothing.
    """
    optical_depths = sigmas * (t_ends - t_starts)
    # Transmittance before each interval: exp of minus what lies in front.
    in_front = optical_depths.cumsum(-1) - optical_depths
    trans = (-in_front).exp()
    alphas = -torch.expm1(-optical_depths)
    weights = trans * alphas
    return Composite(
        colours=(weights[..., None] * rgbs).sum(-2),
        opacities=-torch.expm1(-optical_depths.sum(-1)),
        depths=(weights * (t_starts + t_ends) / 2).sum(-1),
        weights=weights,
    )


def intersect_box(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    lower: Float[Tensor, "3"],
    upper: Float[Tensor, "3"],
) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Where rays enter and leave an axis-aligned box: t_near, t_far; far <= near if missed."""
    # A direction component of exactly 0 would give 0/0 for an origin on the wall.
    safe = torch.where(rays_d.abs() < 1e-9, torch.full_like(rays_d, 1e-9), rays_d)
    a, b = (lower - rays_o) / safe, (upper - rays_o) / safe
    t_near = torch.minimum(a, b).amax(-1).clamp_min(0)
    t_far = torch.maximum(a, b).amin(-1)
    return t_near, t_far


@dataclass(frozen=True)
class Samples:
    """Occupied intervals of constant length along rays, front to back, padded with empty ones.

    Attributes:
        t_starts, t_ends: distance; equal where there is no sample.
    """

    t_starts: Float[Tensor, "rays samples"]
    t_ends: Float[Tensor, "rays samples"]
    is_sample: Bool[Tensor, "rays samples"]


def sample_occupied(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    is_occupied: Bool[Tensor, "r r r"],
    half_extents: Float[Tensor, "3"],
    step: float,
    n_samples: int,
    jitter: Float[Tensor, "rays"] | None = None,
) -> Samples:
    """The first ``n_samples`` intervals of length ``step`` whose middle is in an occupied cell.

    Constant step, as the marcher of RAD-NeRF and ER-NeRF has at bound 1.

    Args:
        rays_o, rays_d: head units, unit directions.
        is_occupied: indexed x, y, z, over the box of ``half_extents``.
        jitter: in [0, 1): shift of the first interval in steps; None for 0.5.
    """
    n_rays, resolution = len(rays_o), is_occupied.shape[0]
    t_near, t_far = intersect_box(rays_o, rays_d, -half_extents, half_extents)
    n_candidates = max(1, int(((t_far - t_near).amax() / step).ceil()) if n_rays else 1)
    shift = torch.full_like(t_near, 0.5) if jitter is None else jitter
    steps = torch.arange(n_candidates, device=rays_o.device)
    t_middle = t_near[:, None] + (steps + shift[:, None]) * step
    # In cells: one multiply-add per axis instead of going through positions.
    cells_o = (rays_o / half_extents + 1) * (resolution / 2)
    cells_d = rays_d / half_extents * (resolution / 2)
    index = torch.zeros_like(t_middle, dtype=torch.int64)
    for axis in range(3):
        cell = (cells_o[:, axis, None] + cells_d[:, axis, None] * t_middle).long()
        index = index * resolution + cell.clamp(0, resolution - 1)
    is_hit = is_occupied.flatten()[index] & (t_middle < t_far[:, None])
    slot = is_hit.cumsum(-1) - 1
    ray, candidate = (is_hit & (slot < n_samples)).nonzero(as_tuple=True)
    t_starts = t_middle.new_zeros(n_rays, n_samples)
    t_ends = t_middle.new_zeros(n_rays, n_samples)
    is_sample = torch.zeros(n_rays, n_samples, dtype=torch.bool, device=rays_o.device)
    where = slot[ray, candidate]
    middle = t_middle[ray, candidate]
    t_starts[ray, where] = middle - step / 2
    t_ends[ray, where] = middle + step / 2
    is_sample[ray, where] = True
    return Samples(t_starts, t_ends, is_sample)
