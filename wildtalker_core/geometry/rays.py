"""Rays of pixels, in head coordinates: there the head stands still and the camera moves."""

from __future__ import annotations

from torch import Tensor

from wildtalker_core.geometry.cameras import unproject


def pixel_rays(
    T_camera_head: Tensor, focal_length: float | Tensor, height: int, width: int, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Rays from the camera through pixel centres.

    Args:
        T_camera_head: [4, 4], or [k, 4, 4] for one pose per pixel.
        focal_length: pixels.
        height, width: of the image, pixels.
        pixels: [k, 2] integer (x, y); the ray passes through (x + 0.5, y + 0.5).

    Returns:
        rays_o [k, 3] and rays_d [k, 3] of unit length, in head units and axes.
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
