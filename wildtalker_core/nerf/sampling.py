"""Samples along rays without an occupancy grid: coarse to fine (NeRF Sec. 5.2, AD-NeRF)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from wildtalker_core.nerf.volume_rendering import Samples, composite, intersect_box

# Share of the fine samples that is spread evenly, whatever the coarse ones saw.
_EVEN_SHARE = 1e-2
_AT_ONCE = 1 << 17  # even samples evaluated together; bounds the memory


@torch.no_grad()
def hierarchical_samples(
    rays_o: Float[Tensor, "rays 3"],
    rays_d: Float[Tensor, "rays 3"],
    half_extents: Float[Tensor, "3"],
    n_coarse: int,
    n_fine: int,
    sigmas_of: Callable[[Float[Tensor, "k 3"], Int[Tensor, "k"]], Float[Tensor, "k"]],
    jitter: Float[Tensor, "rays"] | None = None,
) -> Samples:
    """Intervals through the whole box: even ones, cut finer where the even ones see something.

    ASSUME one network places the samples and colours them. NeRF trains a coarse network of its own
    for the first of these, although its fine network then evaluates both sets of samples.

    Args:
        rays_o, rays_d: head units, unit directions.
        half_extents: of the box.
        n_coarse, n_fine: even intervals, and cuts added to them.
        sigmas_of: (positions, their ray numbers) -> sigmas.
        jitter: in [0, 1), shift of the cuts in intervals; None for 0.5.

    Returns:
        n_coarse + n_fine intervals a ray that touch each other from wall to wall.
    """
    t_near, t_far = intersect_box(rays_o, rays_d, -half_extents, half_extents)
    is_hit = t_far > t_near
    length = (t_far - t_near).clamp_min(0)[:, None]
    shift = torch.full_like(t_near, 0.5) if jitter is None else jitter
    even = torch.arange(n_coarse + 1, device=rays_o.device) / n_coarse
    # The walls stay; the cuts between them move together by up to half an interval.
    moved = (even + (shift[:, None] - 0.5) / n_coarse).clamp(0, 1)
    moved[:, 0], moved[:, -1] = 0, 1
    edges = t_near[:, None] + moved * length
    middles = (edges[:, 1:] + edges[:, :-1]) / 2
    positions = (rays_o[:, None] + rays_d[:, None] * middles[..., None]).flatten(0, 1)
    ray = torch.arange(len(rays_o), device=rays_o.device).repeat_interleave(n_coarse)
    parts = zip(positions.split(_AT_ONCE), ray.split(_AT_ONCE), strict=True)
    sigmas = torch.cat([sigmas_of(*part) for part in parts]).view_as(middles)
    nothing = sigmas.new_zeros(*sigmas.shape, 3)
    weights = composite(sigmas, nothing, edges[:, :-1], edges[:, 1:]).weights
    cuts = inverse_cdf(edges, weights, (torch.arange(n_fine, device=rays_o.device) + shift[:, None])
                       / n_fine)  # fmt: skip
    edges = torch.cat((edges, cuts), -1).sort(-1).values
    is_sample = is_hit[:, None].expand(-1, n_coarse + n_fine)
    return Samples(edges[:, :-1], edges[:, 1:], is_sample)


def inverse_cdf(
    edges: Float[Tensor, "n edges"],
    weights: Float[Tensor, "n edges-1"],
    shares: Float[Tensor, "n m"],
) -> Float[Tensor, "n m"]:
    """Places below which given shares of a piecewise constant distribution lie.

    Args:
        edges: increasing ends of the pieces.
        weights: not negative; a little is added to each piece.
        shares: in [0, 1].
    """
    total = weights.sum(-1, keepdim=True)
    even = 1 / weights.shape[-1]
    # With nothing seen, all pieces are alike.
    density = torch.where(total > 1e-6, weights / total.clamp_min(1e-6), even)
    density = (1 - _EVEN_SHARE) * density + _EVEN_SHARE * even
    cumulated = torch.cat((torch.zeros_like(total), density.cumsum(-1)), -1)
    shares = shares.contiguous()
    piece = (torch.searchsorted(cumulated, shares, right=True) - 1).clamp(0, weights.shape[-1] - 1)
    below = cumulated.gather(-1, piece)
    inside = ((shares - below) / density.gather(-1, piece)).clamp(0, 1)
    left, right = edges.gather(-1, piece), edges.gather(-1, piece + 1)
    return left + inside * (right - left)
