"""Rays of pixels, in head coordinates: there the head stands still and the camera moves."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor

from wildtalker_core.geometry.cameras import unproject


def pixel_rays(
    T_camera_head: Float[Tensor, "4 4"] | Float[Tensor, "k 4 4"],
    focal_length: float | Float[Tensor, ""],
    height: int,
    width: int,
    pixels: Int[Tensor, "k 2"],
) -> tuple[Float[Tensor, "k 3"], Float[Tensor, "k 3"]]:
    """Rays from the camera through pixel centres.

    Args:
        T_camera_head: one pose, or one per pixel.
        focal_length: pixels.
        height, width: of the image, pixels.
        pixels: (x, y); the ray passes through (x + 0.5, y + 0.5).

    Returns:
        rays_o, and rays_d of unit length, in head units and axes.
    """
    centres = pixels.to(T_camera_head.dtype) + 0.5
    directions_camera = unproject(
        centres, centres.new_ones(centres.shape[:-1]), focal_length, height, width
    )
    rotation, translation = T_camera_head[..., :3, :3], T_camera_head[..., :3, 3]
    # R^T d and -R^T t, written as row vectors times R.
    rays_d = (directions_camera[..., None, :] @ rotation).squeeze(-2)
    rays_d = rays_d / rays_d.norm(dim=-1, keepdim=True)
    rays_o = -(translation[..., None, :] @ rotation).squeeze(-2)
    return rays_o.expand_as(rays_d), rays_d
