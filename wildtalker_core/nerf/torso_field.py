"""The torso as a picture that bends with the head (RAD-NeRF's torso, ER-NeRF's anchors)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wildtalker_core.geometry.rotations import matrix_to_euler, transform_points
from wildtalker_core.nerf.encodings import frequency_encoding
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.layers import MLP
from wildtalker_core.nerf.tri_plane import HashGrids

# The canonical picture is a little larger than the image, so that points bent inwards from beyond
# its edge are still on the grid (RAD-NeRF).
_CANONICAL_SCALE = 0.8
# Offsets that one step of the optimiser can make stay below a pixel.
_MOTION_SCALE = 0.1
#: ASSUME as much of the poses' variance is noise; anchors are nearly collinear.
_RIDGE = 1e-2
# ASSUME anchors start at the throat and at both shoulders, in head units: there the torso hangs on
# the head. They are learnt.
_ANCHORS = ((0.0, 0.25, 0.05), (-0.35, 0.45, 0.15), (0.35, 0.45, 0.15))


@dataclass(frozen=True)
class TorsoShape:
    """Parts and sizes of the torso's networks; defaults are SyncTalk's.

    Attributes:
        pose: how the head's pose is told: ``anchors`` (ER-NeRF, SyncTalk) or ``euler`` (RAD-NeRF).
        n_pose_octaves, n_pixel_octaves: of the frequency encodings of pose and pixel.
        n_code: length of the frame code.
        n_hidden, n_deform_hidden: widths of the colour and the deformation network.
        follows_head: the picture as a whole first moves linearly with the pose (ours), and only
            what is left is bent by the deformation network.
    """

    grid: HashGridShape
    pose: str = "anchors"
    n_pose_octaves: int = 3
    n_pixel_octaves: int = 8
    n_code: int = 8
    n_hidden: int = 32
    n_deform_hidden: int = 32
    follows_head: bool = False


class PoseAnchors(nn.Module):
    """The pose as where three learnt points of the head are seen (ER-NeRF).

    ER-NeRF's points are homogeneous and a loss keeps their last coordinate at 1; ours have three
    coordinates, so there is nothing to keep.
    """

    n_features = 2 * len(_ANCHORS)

    def __init__(self) -> None:
        super().__init__()
        self.anchors = nn.Parameter(torch.tensor(_ANCHORS))

    def forward(
        self, T_camera_head: Float[Tensor, "*poses 4 4"], focal_ratio: float
    ) -> Float[Tensor, "*poses 6"]:
        """Image positions, 1 at the image's edge."""
        anchors = transform_points(
            T_camera_head, self.anchors.expand(*T_camera_head.shape[:-2], -1, -1)
        )
        return (anchors[..., :2] / anchors[..., 2:].clamp_min(1e-3) * focal_ratio).flatten(-2)


class PoseAngles(nn.Module):
    """The pose as three Euler angles and a translation (RAD-NeRF)."""

    n_features = 6

    def forward(
        self, T_camera_head: Float[Tensor, "*poses 4 4"], focal_ratio: float
    ) -> Float[Tensor, "*poses 6"]:
        """Radians and head units; ``focal_ratio`` is not used."""
        return torch.cat(
            (matrix_to_euler(T_camera_head[..., :3, :3]), T_camera_head[..., :3, 3]), -1
        )


_POSES = {"anchors": PoseAnchors, "euler": PoseAngles}


class TorsoField(nn.Module):
    """Pixel and head pose -> torso colour and alpha."""

    pose_mean: Float[Tensor, "6"]
    pose_scale: Float[Tensor, "6"]

    def __init__(self, shape: TorsoShape, encoder: str = "torch") -> None:
        super().__init__()
        self.shape = shape
        self.grid = HashGrids(shape.grid, encoder=encoder)
        self.pose = _POSES[shape.pose]()
        n = (
            self.pose.n_features * (1 + 2 * shape.n_pose_octaves)
            + 2 * (1 + 2 * shape.n_pixel_octaves)
            + shape.n_code
        )
        self.deform_net = MLP(n, shape.n_deform_hidden, 2, n_layers=3)
        self.colour_net = MLP(n + self.grid.n_features, shape.n_hidden, 4, n_layers=3)
        if shape.follows_head:
            n_pose = self.pose.n_features
            self.register_buffer("pose_mean", torch.zeros(n_pose))
            self.register_buffer("pose_scale", torch.ones(n_pose))
            self.motion = nn.Linear(n_pose, 6, bias=False)
            nn.init.zeros_(self.motion.weight)
        # Starts undeformed: the picture must first exist before it can be bent.
        nn.init.uniform_(self.deform_net.layers[-1].get_parameter("weight"), -1e-4, 1e-4)

    def forward(
        self,
        torso_points: Float[Tensor, "n 2"],
        T_camera_head: Float[Tensor, "4 4"] | Float[Tensor, "n 4 4"],
        focal_ratio: float,
        code: Float[Tensor, "#n n_code"],
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n"], Float[Tensor, "n 2"]]:
        """
        Args:
            torso_points: image positions, x and y in [-1, 1].
            T_camera_head: one pose, or one per point.
            focal_ratio: focal length over half the image width.
            code: frame code.

        Returns:
            rgbs, torso_alpha and torso_offset (the deformation).
        """
        n = len(torso_points)
        pose = self.pose(T_camera_head, focal_ratio)
        told = frequency_encoding(pose, self.shape.n_pose_octaves).expand(n, -1)

        def condition_at(points: Tensor) -> Tensor:
            encoded = frequency_encoding(points, self.shape.n_pixel_octaves)
            return torch.cat((told, encoded, code.expand(n, -1)), -1)

        condition = condition_at(torso_points)
        torso_offset = self.deform_net(condition)
        if self.shape.follows_head:
            torso_offset = torso_offset + self._follow(torso_points, pose)
        canonical = torso_points * _CANONICAL_SCALE + torso_offset
        if self.shape.follows_head:
            # Told the pixel, the colour network paints a torso that stands, and no gradient is left
            # to move it: a plateau over half of the training. Told the place on the torso, it moves
            # along.
            condition = condition_at(canonical / _CANONICAL_SCALE)
        features = self.grid((canonical + 1).div(2).clamp(0, 1)[None])
        out = self.colour_net(torch.cat((features, condition), -1)).sigmoid()
        return out[:, 1:], out[:, 0], torso_offset

    @torch.no_grad()
    def learn_poses(
        self,
        T_camera_head: Float[Tensor, "n 4 4"],
        focal_ratio: float,
        shifts: Float[Tensor, "n 2"] | None = None,
    ) -> None:
        """Take mean and spread of training poses as the unit of the linear motion.

        Args:
            shifts: measured places of the torso, 1 at the image's edge: the linear motion
                starts as their ridge regression on the poses. None: it starts still.
        """
        if not self.shape.follows_head:
            return
        poses = self.pose(T_camera_head, focal_ratio)
        self.pose_mean.copy_(poses.mean(0))
        self.pose_scale.copy_(poses.std(0).clamp_min(1e-4))
        if shifts is not None:
            x = (poses - self.pose_mean) / self.pose_scale
            # The torso that moved by d is looked up by as much against it.
            y = -_CANONICAL_SCALE * (shifts - shifts.mean(0)) / _MOTION_SCALE
            ridge = _RIDGE * len(x) * torch.eye(x.shape[1], device=x.device)
            self.motion.weight[:2] = torch.linalg.solve(x.T @ x + ridge, x.T @ y).T

    def _follow(
        self, torso_points: Float[Tensor, "n 2"], pose: Float[Tensor, "6"] | Float[Tensor, "n 6"]
    ) -> Float[Tensor, "n 2"]:
        """Offsets by which the whole torso follows a pose, or a pose for each point.

        On a real clip the head's pose tells the torso's shift to a quarter of a pixel by a linear
        map (docs/portrait.md), while the deformation network alone takes long to find it and draws
        doubled collars until then. A shift and a 2x2 matrix, each linear in the standardised pose.
        """
        affine = _MOTION_SCALE * self.motion((pose - self.pose_mean) / self.pose_scale)
        shift, matrix = affine[..., :2], affine[..., 2:].unflatten(-1, (2, 2))
        return shift + (matrix @ torso_points[..., None]).squeeze(-1)
