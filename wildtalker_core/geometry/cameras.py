"""The pinhole camera: x right, y down, z forward, principal point at the image centre."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def project(
    points_camera: Float[Tensor, "*batch 3"],
    focal_length: float | Float[Tensor, "..."],
    height: int,
    width: int,
) -> Float[Tensor, "*batch 2"]:
    """Continuous pixel coordinates (x, y) of camera points.

    The image spans [0, width] x [0, height]; the centre of the first pixel is (0.5, 0.5).
    Points must lie in front of the camera (z > 0).
    """
    centre = points_camera.new_tensor((width / 2, height / 2))
    return points_camera[..., :2] / points_camera[..., 2:] * focal_length + centre


def unproject(
    pixels: Float[Tensor, "*batch 2"],
    depth: Float[Tensor, "*batch"],
    focal_length: float | Float[Tensor, "..."],
    height: int,
    width: int,
) -> Float[Tensor, "*batch 3"]:
    """Camera points of continuous pixel coordinates and depth z."""
    centre = pixels.new_tensor((width / 2, height / 2))
    xy = (pixels - centre) / focal_length * depth[..., None]
    return torch.cat((xy, depth[..., None]), -1)


def pixel_grid(
    height: int, width: int, device: torch.device | str | None = None
) -> Int64[Tensor, "{height*width} 2"]:
    """(x, y) of every pixel in reading order."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack((x, y), -1).reshape(-1, 2)
