"""The torso as a picture that bends with the head (RAD-NeRF's torso, ER-NeRF's anchors)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wildtalker_core.geometry.rotations import transform_points
from wildtalker_core.nerf.encodings import frequency_encoding
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.layers import MLP
from wildtalker_core.nerf.tri_plane import HashGrids

_ANCHOR_OCTAVES, _PIXEL_OCTAVES = 3, 8
# The canonical picture is a little larger than the image, so that points bent inwards from beyond
# its edge are still on the grid (RAD-NeRF).
_CANONICAL_SCALE = 0.8
# ASSUME anchors start at the throat and at both shoulders, in head units: there the torso hangs on
# the head. They are learnt.
_ANCHORS = ((0.0, 0.25, 0.05), (-0.35, 0.45, 0.15), (0.35, 0.45, 0.15))


@dataclass(frozen=True)
class TorsoShape:
    """Sizes of the torso's networks; defaults are SyncTalk's."""

    grid: HashGridShape
    n_code: int = 8
    n_hidden: int = 32


class TorsoField(nn.Module):
    """Pixel and head pose -> torso colour and alpha."""

    def __init__(self, shape: TorsoShape, encoder: str = "torch") -> None:
        super().__init__()
        self.shape = shape
        self.grid = HashGrids(shape.grid, encoder=encoder)
        self.anchors = nn.Parameter(torch.tensor(_ANCHORS))
        n_anchors = 2 * len(_ANCHORS) * (1 + 2 * _ANCHOR_OCTAVES)
        n_pixel = 2 * (1 + 2 * _PIXEL_OCTAVES)
        n = n_anchors + n_pixel + shape.n_code
        self.deform_net = MLP(n, shape.n_hidden, 2, n_layers=3)
        self.colour_net = MLP(n + self.grid.n_features, shape.n_hidden, 4, n_layers=3)
        # Starts undeformed: the picture must first exist before it can be bent.
        nn.init.uniform_(self.deform_net.layers[-1].weight, -1e-4, 1e-4)

    def forward(
        self, torso_points: Tensor, T_camera_head: Tensor, focal_ratio: float, code: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            torso_points: [n, 2] image positions, x and y in [-1, 1].
            T_camera_head: [4, 4] or one per point [n, 4, 4].
            focal_ratio: focal length over half the image width.
            code: [1, n_code] or [n, n_code] frame code.

        Returns:
            rgbs [n, 3], torso_alpha [n] and torso_offset [n, 2] (the deformation).
        """
        anchors = transform_points(
            T_camera_head, self.anchors.expand(*T_camera_head.shape[:-2], -1, -1)
        )
        projected = (anchors[..., :2] / anchors[..., 2:].clamp_min(1e-3) * focal_ratio).flatten(-2)
        n = len(torso_points)
        condition = torch.cat(
            (
                frequency_encoding(projected, _ANCHOR_OCTAVES).expand(n, -1),
                frequency_encoding(torso_points, _PIXEL_OCTAVES),
                code.expand(n, -1),
            ),
            -1,
        )
        torso_offset = self.deform_net(condition)
        canonical = (torso_points * _CANONICAL_SCALE + torso_offset + 1) / 2
        features = self.grid(canonical.clamp(0, 1)[None])
        out = self.colour_net(torch.cat((features, condition), -1)).sigmoid()
        return out[:, 1:], out[:, 0], torso_offset
