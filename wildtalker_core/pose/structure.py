"""Points on the skin and the focal length of a clip, adjusted with the poses of some frames.

Levenberg-Marquardt on the Schur complement of the points (Triggs et al. 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import transform_points
from wildtalker_core.person.head_pose import pose_jacobian, projection_jacobian, retract
from wildtalker_core.pose.skin_tracks import SkinTracks

# ASSUME: the standard deviations that weigh the parts of the adjustment, here and in motion.py;
# chosen with benchmarks/head_pose.py. A head that turns by 10 degrees shows its depth to flow only
# in tenths of a pixel, so the template's depth must keep a say.
#: Of a tracked point, in hundredths of the face's width (pixels at a face of 100).
TRACK_PX = 0.35
# Of a point's first guess on the template's surface, head units.
_TEMPLATE = 0.01
# Of the focal length's logarithm.
_LOG_FOCAL_LENGTH = 0.2

# ASSUME: neighbouring points share the errors of flow, light and expression, so that a hundred of
# them tell as much as this many independent ones.
INDEPENDENT_POINTS = 15.0


@dataclass(frozen=True)
class Observations:
    """Skin tracks as tensors: pixels [n, s, p, 2], weight [n, s, p], reference_of [n, s]."""

    pixels: Tensor
    weight: Tensor
    reference_of: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, tracks: SkinTracks, height: int, width: int) -> Observations:
        is_seen = torch.from_numpy(tracks.is_seen).double()
        return cls(
            torch.from_numpy(tracks.pixels),
            is_seen,
            torch.from_numpy(tracks.reference_of),
            height,
            width,
        )

    def of_frames(self, frames: slice | Tensor) -> Observations:
        return Observations(
            self.pixels[frames], self.weight[frames], self.reference_of[frames],
            self.height, self.width,
        )  # fmt: skip


@dataclass(frozen=True)
class Structure:
    """What all frames share: points of every reference [k, p, 3] head units, focal length."""

    points: Tensor
    focal_length: float


def residuals(
    structure: Structure, poses: Tensor, seen: Observations
) -> tuple[Tensor, Tensor, Tensor]:
    """Points [m, s, p, 3], residual pixels [m, s, p, 2] and weight [m, s, p] of frames' poses."""
    points = structure.points[seen.reference_of]
    in_camera = transform_points(poses[:, None], points)
    predicted = project(in_camera, structure.focal_length, seen.height, seen.width)
    return points, seen.pixels - predicted, seen.weight


def cauchy(residual: Tensor, sigma_px: float) -> Tensor:
    """Weights that make least squares minimise Cauchy's loss, in 1 / px^2."""
    squared = residual.square().sum(-1) / sigma_px**2
    # ASSUME: 2.4 standard deviations, Cauchy's constant of 95 % efficiency on normal errors.
    return 1 / (1 + squared / 2.4**2) / sigma_px**2


def adjust_structure(
    structure: Structure,
    poses: Tensor,
    seen: Observations,
    face_px: float,
    n_steps: int = 10,
) -> Structure:
    """Points and focal length after adjusting them with the poses [m, 4, 4] of key frames."""
    problem = _Adjustment(structure, seen, TRACK_PX * face_px / 100)
    damping, best = 1e-4, problem.cost(structure, poses)
    for _ in range(n_steps):
        proposal, new_poses = problem.step(structure, poses, damping)
        proposed = problem.cost(proposal, new_poses)
        if proposed < best:
            is_done = best - proposed < 1e-5 * best
            structure, poses, best, damping = proposal, new_poses, proposed, damping / 5
            if is_done:
                break
        else:
            damping *= 10
    return structure


class _Adjustment:
    """The least-squares problem of :func:`adjust_structure` around what it starts from."""

    def __init__(self, start: Structure, seen: Observations, sigma_px: float) -> None:
        self.start, self.seen, self.sigma_px = start, seen, sigma_px
        # Points are as dependent as INDEPENDENT_POINTS says; frames too.
        self.share = INDEPENDENT_POINTS / start.points.shape[1]
        self.prior = torch.eye(3, dtype=torch.float64) / _TEMPLATE**2

    def log_focal(self, at: Structure) -> float:
        return float(np.log(at.focal_length / self.start.focal_length))

    def cost(self, at: Structure, poses: Tensor) -> float:
        """Cauchy's loss of the tracks, and what leaving the start costs."""
        _, residual, weight = residuals(at, poses, self.seen)
        squared = residual.square().sum(-1) / self.sigma_px**2
        data = self.share * (weight * 2.4**2 / 2 * torch.log1p(squared / 2.4**2)).sum()
        off = (at.points - self.start.points).square().sum() / _TEMPLATE**2 / 2
        log_focal = self.log_focal(at) / _LOG_FOCAL_LENGTH
        return float(data + self.share * off) + 0.5 * log_focal**2

    def step(self, at: Structure, poses: Tensor, damping: float) -> tuple[Structure, Tensor]:
        """Structure and poses after one damped Gauss-Newton step.

        Unknowns of the reduced system: six of each frame, then the focal length's logarithm.
        """
        points, residual, weight = residuals(at, poses, self.seen)
        weight = self.share * weight * cauchy(residual, self.sigma_px)
        by_pose = torch.stack(
            [pose_jacobian(poses, part, at.focal_length) for part in points.unbind(1)], 1
        )
        in_camera = transform_points(poses[:, None], points)
        by_point = projection_jacobian(in_camera, at.focal_length) @ poses[:, None, None, :3, :3]
        # Of the focal length's logarithm: the projection relative to the image centre.
        by_focal = at.focal_length * in_camera[..., :2] / in_camera[..., 2:]
        by_focal_weighted = by_focal * weight[..., None]
        system, right = self._shared_equations(at, by_pose, by_focal, residual, weight)
        system.diagonal().mul_(1 + damping)

        eliminated = []
        for k in range(len(at.points)):
            m, s = torch.nonzero(self.seen.reference_of == k, as_tuple=True)
            if len(m) == 0:
                continue
            weighted = by_point[m, s] * weight[m, s][..., None, None]
            blocks = torch.einsum("mpri,mprj->pij", weighted, by_point[m, s])
            blocks = blocks + self.share * self.prior
            blocks.diagonal(dim1=1, dim2=2).mul_(1 + damping)
            of_points = torch.einsum("mpri,mpr->pi", weighted, residual[m, s])
            of_points -= self.share * (at.points[k] - self.start.points[k]) @ self.prior
            by_pose_weighted = by_pose[m, s] * weight[m, s][..., None, None]
            pose_point = torch.einsum("mpri,mprj->mipj", by_pose_weighted, by_point[m, s])
            focal_point = torch.einsum("mpr,mprj->pj", by_focal_weighted[m, s], by_point[m, s])
            rows = (6 * m[:, None] + torch.arange(6)).reshape(-1)
            rows = torch.cat((rows, torch.tensor([len(system) - 1])))
            cross = torch.cat((pose_point.reshape(-1, *focal_point.shape), focal_point[None]))
            inverse = torch.linalg.inv(blocks)
            reduced = torch.einsum("api,pij->apj", cross, inverse)
            system[rows[:, None], rows] -= reduced.flatten(1) @ cross.flatten(1).T
            right[rows] -= torch.einsum("api,pi->a", reduced, of_points)
            eliminated.append((k, rows, cross, inverse, of_points))

        update = torch.linalg.solve(system, right)
        new_points = at.points.clone()
        for k, rows, cross, inverse, of_points in eliminated:
            rest = of_points - torch.einsum("api,a->pi", cross, update[rows])
            new_points[k] += torch.einsum("pij,pj->pi", inverse, rest)
        proposal = Structure(new_points, at.focal_length * float(update[-1].exp()))
        return proposal, retract(poses, update[:-1].reshape(-1, 6))

    def _shared_equations(
        self, at: Structure, by_pose: Tensor, by_focal: Tensor, residual: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Normal equations of poses and focal length with the points held."""
        weighted = by_pose * weight[..., None, None]
        of_poses = torch.einsum("mspri,mspr->mi", weighted, residual).reshape(-1)
        cross = torch.einsum("mspri,mspr->mi", weighted, by_focal).reshape(-1)
        focal_weighted = by_focal * weight[..., None]
        certainty = 1 / _LOG_FOCAL_LENGTH**2
        system = torch.block_diag(
            *torch.einsum("mspri,msprj->mij", weighted, by_pose),
            (focal_weighted * by_focal).sum() + certainty,
        )
        system[:-1, -1] = system[-1, :-1] = cross
        of_focal = (focal_weighted * residual).sum() - self.log_focal(at) * certainty
        return system, torch.cat((of_poses, of_focal[None]))
