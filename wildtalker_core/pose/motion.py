"""Poses of all frames on points that are known, joined by a penalty on their second difference.

A banded system, linear in the number of frames.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.linalg import solveh_banded
from torch import Tensor

from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import matrix_to_axis_angle, transform_points
from wildtalker_core.person.head_pose import pose_jacobian, retract
from wildtalker_core.pose.structure import (
    INDEPENDENT_POINTS,
    TRACK_PX,
    Observations,
    Structure,
    cauchy,
    residuals,
)

# ASSUME: standard deviations beside structure.TRACK_PX, in hundredths of the face's width. Of the
# head's acceleration, per frame squared: Cauchy's weight lets real jerks through. Of a landmark:
# landmarks only carry frames without tracks.
_ACCELERATION, _LANDMARK_PX = 0.2, 6.0

_CHUNK = 256  # frames whose Jacobians are in memory at once


def adjust_motion(
    structure: Structure,
    poses: Tensor,
    seen: Observations,
    template_points: Tensor,
    landmarks: Tensor,
    face_px: float,
    n_steps: int = 8,
) -> Tensor:
    """Poses of all frames [n, 4, 4], given the structure, smooth in time."""
    n = len(poses)
    if n < 3:
        return poses
    track_px = TRACK_PX * face_px / 100
    landmark_px = _LANDMARK_PX * face_px / 100
    n_points = structure.points.shape[1] * seen.reference_of.shape[1]
    # Second differences count in pixels on the face: turns at its radius, shifts as projected.
    acceleration_px = _ACCELERATION * face_px / 100
    pixels_per_unit = face_px / 0.30
    scale = torch.tensor([0.15, 0.15, 0.15, 1, 1, 0.15], dtype=torch.float64) * pixels_per_unit
    for _ in range(n_steps):
        blocks = torch.zeros(n, 6, 6, dtype=torch.float64)
        right = torch.zeros(n, 6, dtype=torch.float64)
        for frames in torch.arange(n).split(_CHUNK):
            points, residual, weight = residuals(structure, poses[frames], seen.of_frames(frames))
            weight = weight * cauchy(residual, track_px) * (INDEPENDENT_POINTS / n_points)
            for s in range(points.shape[1]):
                jacobian = pose_jacobian(poses[frames], points[:, s], structure.focal_length)
                weighted = jacobian * weight[:, s, :, None, None]
                blocks[frames] += torch.einsum("mpri,mprj->mij", weighted, jacobian)
                right[frames] += torch.einsum("mpri,mpr->mi", weighted, residual[:, s])
            predicted = project(
                transform_points(poses[frames], template_points),
                structure.focal_length,
                seen.height,
                seen.width,
            )
            residual = landmarks[frames] - predicted
            share = INDEPENDENT_POINTS / len(template_points)
            jacobian = pose_jacobian(poses[frames], template_points, structure.focal_length)
            weighted = jacobian * (share * cauchy(residual, landmark_px))[..., None, None]
            blocks[frames] += torch.einsum("mpri,mprj->mij", weighted, jacobian)
            right[frames] += torch.einsum("mpri,mpr->mi", weighted, residual)
        # The smoothness penalty is |scale * second difference|^2 under Cauchy's weight.
        bend = _second_differences(poses) * scale
        stiffness = cauchy(bend, acceleration_px)
        pull = torch.zeros(n, 6, dtype=torch.float64)
        for offset, coefficient in enumerate((1, -2, 1)):
            pull[offset : offset + n - 2] -= coefficient * stiffness[:, None] * bend * scale
        update = _solve_banded(blocks, right + pull, scale, stiffness)
        poses = retract(poses, update)
        if float((update * scale).abs().max()) < 1e-3:
            break
    return poses


def _second_differences(poses: Tensor) -> Tensor:
    """[n - 2, 6] second difference of turns (radians) and shifts (head units) over time."""
    rotation = poses[:, :3, :3]
    turns = matrix_to_axis_angle(rotation[1:] @ rotation[:-1].mT)
    return torch.cat((turns.diff(dim=0), poses[:, :3, 3].diff(n=2, dim=0)), 1)


def _solve_banded(blocks: Tensor, right: Tensor, scale: Tensor, stiffness: Tensor) -> Tensor:
    """Solve (blocks + D^T S D) x = right, D the second difference in time times ``scale``.

    Args:
        blocks: [n, 6, 6], the block diagonal.
        right: [n, 6].
        scale: [6].
        stiffness: [n - 2], the diagonal of S.
    """
    n = len(blocks)
    # Lower form of scipy: row d holds A[i + d, i].
    lower = np.zeros((13, 6 * n))
    dense, weights = blocks.numpy(), stiffness.numpy()
    for i in range(6):
        for j in range(i + 1):
            lower[i - j, j::6] += dense[:, i, j]
        diagonals = np.zeros((3, n))
        for a, x in enumerate((1, -2, 1)):
            for b, y in enumerate((1, -2, 1)[: a + 1]):
                diagonals[a - b, b : b + n - 2] += x * y * weights
        for d in range(3):
            lower[6 * d, i::6] += float(scale[i]) ** 2 * diagonals[d]
    # A trace of damping: a frame without any observation between others stays solvable.
    lower[0] *= 1 + 1e-9
    solution = solveh_banded(lower, right.reshape(-1).numpy(), lower=True)
    return torch.from_numpy(solution).reshape(n, 6)
