"""The pinhole camera: x right, y down, z forward, principal point at the image centre."""

from __future__ import annotations

import torch
from torch import Tensor


def project(points_camera: Tensor, focal_length: float | Tensor, height: int, width: int) -> Tensor:
    """Camera points [..., 3] -> continuous pixel coordinates [..., 2] (x, y).

    The image spans [0, width] x [0, height]; the centre of the first pixel is (0.5, 0.5).
    Points must lie in front of the camera (z > 0).
    """
    centre = points_camera.new_tensor((width / 2, height / 2))
    return points_camera[..., :2] / points_camera[..., 2:] * focal_length + centre


def unproject(
    pixels: Tensor, depth: Tensor, focal_length: float | Tensor, height: int, width: int
) -> Tensor:
    """Continuous pixel coordinates [..., 2] and depth z [...] -> camera points [..., 3]."""
    centre = pixels.new_tensor((width / 2, height / 2))
    xy = (pixels - centre) / focal_length * depth[..., None]
    return torch.cat((xy, depth[..., None]), -1)


def pixel_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Integer (x, y) of every pixel in reading order, [height * width, 2] int64."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack((x, y), -1).reshape(-1, 2)
