"""The Head-Sync Stabilizer: head poses that neither shake nor lag.

``smooth_poses`` filters poses; ``bundle_adjust`` finds them anew from tracks of skin points. It has
three steps, each a robust least-squares problem solved by Gauss-Newton:

1. *Structure* from some hundred frames: points, poses and focal length together. The points are
   eliminated first (Schur complement; Triggs et al. 2000), so a step costs seconds at most.
2. *Motion* of all frames: the poses alone, joined by a penalty on their second difference in time;
   a banded system, linear in the number of frames.
3. The template is fitted anew to the landmarks under the new poses.

The reprojection error is weighted by Cauchy's function, so that points which follow a hand, a
strand of hair or an expression lose their say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solveh_banded
from torch import Tensor

from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import (
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_to_matrix,
    rigid,
    transform_points,
)
from wildtalker_core.media.splits import Split, by_parts
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.head_pose import (
    HeadTrack,
    head_units_transform,
    pose_jacobian,
    projection_jacobian,
    refine_template,
    retract,
)
from wildtalker_core.person.landmarks import smooth_without_lag
from wildtalker_core.pose.skin_tracks import SkinTracks

_CHUNK = 256  # frames whose Jacobians are in memory at once
# ASSUME: smoothness reaches no further than this many frames.
_MEMORY_FRAMES = 50


def smooth_poses(track: HeadTrack, window_frames: int, split: Split, order: int = 2) -> HeadTrack:
    """Savitzky-Golay filter over the poses of a track: the plain stabilizer.

    Translations are filtered as they are, rotations as quaternions of one sign (the window is so
    short that the sphere they lie on is flat there).
    """

    def smoothed(values: np.ndarray) -> np.ndarray:
        return smooth_without_lag(values, window_frames, order)

    poses = torch.from_numpy(track.T_camera_head)
    quaternion = matrix_to_quaternion(poses[:, :3, :3]).numpy()
    turns = np.sign((quaternion[1:] * quaternion[:-1]).sum(-1))
    quaternion[1:] *= np.cumprod(np.where(turns == 0, 1, turns))[:, None]
    smooth = track.T_camera_head.copy()
    smooth[:, :3, :3] = quaternion_to_matrix(
        torch.from_numpy(by_parts(smoothed, quaternion, split))
    ).numpy()
    smooth[:, :3, 3] = by_parts(smoothed, track.T_camera_head[:, :3, 3], split)
    return HeadTrack(smooth, track.focal_length, track.template)


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviations that weigh the parts of the adjustment against each other.

    ASSUME: all of them; chosen with benchmarks/head_pose.py. A head that turns by 10 degrees shows
    its depth to flow only in tenths of a pixel, so the template's depth must keep a say.

    Attributes:
        track_px: of a tracked point, in hundredths of the face's width (pixels at a face of 100).
        template: of a point's first guess on the template's surface, head units.
        log_focal_length: of the focal length's logarithm.
        acceleration: of the head, in hundredths of the face's width per frame squared. Cauchy's
            weight lets real jerks through.
        landmark_px: of a landmark, like track_px; landmarks only carry frames without tracks.
    """

    track_px: float = 0.35
    template: float = 0.01
    log_focal_length: float = 0.2
    acceleration: float = 0.2
    landmark_px: float = 6.0


# ASSUME: neighbouring points share the errors of flow, light and expression, so that a hundred of
# them tell as much as this many independent ones.
_INDEPENDENT_POINTS = 15.0


def bundle_adjust(
    track: HeadTrack,
    tracks: SkinTracks,
    landmarks: np.ndarray,
    height: int,
    width: int,
    split: Split,
    uncertainty: Uncertainty = Uncertainty(),
    n_key_frames: int = 160,
) -> HeadTrack:
    """Points, focal length and poses that agree with the skin tracks; then the template.

    Points, focal length and template come from training frames; the other frames' poses are found
    given these, each part after the one before it.

    Args:
        track: the coarse poses to start from.
        tracks: skin points seen in the frames.
        landmarks: [n, 478, 2] pixels.
        height, width: of the frames, pixels.
        split: of the clip.
        uncertainty: see :class:`Uncertainty`.
        n_key_frames: frames that decide about points and focal length.
    """
    fitted = np.flatnonzero(split.is_fitted)
    depth = float(np.median(track.T_camera_head[fitted, 2, 3]))
    face_px = 0.30 * track.focal_length / depth
    poses = torch.from_numpy(track.T_camera_head).clone()
    template = torch.from_numpy(track.template)
    seen = _Observations.of(tracks, height, width)
    n_seen = tracks.is_seen.sum((1, 2))
    key_frames = fitted[_spread_keys(n_seen[fitted], n_key_frames)]
    structure = _Structure(torch.from_numpy(tracks.points_head), track.focal_length)
    structure = _adjust_structure(structure, poses, seen, key_frames, uncertainty, face_px)
    observed = torch.from_numpy(landmarks).double()
    rigid_points = list(lm.RIGID_POINTS)

    def moved(first: int, stop: int, template: Tensor) -> Tensor:
        frames = slice(first, stop)
        return _adjust_motion(
            structure, poses[frames], seen.of_frames(frames), template[rigid_points],
            observed[frames, rigid_points], uncertainty, face_px,
        )  # fmt: skip

    for _ in range(2):
        before = template
        poses[: split.ends[0]] = moved(0, split.ends[0], before)
        template = refine_template(
            before, poses[fitted], observed[fitted], structure.focal_length, height, width,
            0.01 * face_px, 0.1,
        )  # fmt: skip
    for start, stop in split.spans[1:]:
        if start == stop:
            continue
        first = max(0, start - _MEMORY_FRAMES)
        poses[start:stop] = moved(first, stop, before)[start - first :]
    return _in_head_units(HeadTrack(poses.numpy(), structure.focal_length, template.numpy()))


@dataclass(frozen=True)
class _Observations:
    """Skin tracks as tensors: pixels [n, s, p, 2], weight [n, s, p], reference_of [n, s]."""

    pixels: Tensor
    weight: Tensor
    reference_of: Tensor
    height: int
    width: int

    @classmethod
    def of(cls, tracks: SkinTracks, height: int, width: int) -> _Observations:
        is_seen = torch.from_numpy(tracks.is_seen).double()
        return cls(
            torch.from_numpy(tracks.pixels),
            is_seen,
            torch.from_numpy(tracks.reference_of),
            height,
            width,
        )

    def of_frames(self, frames: slice | Tensor) -> _Observations:
        return _Observations(
            self.pixels[frames], self.weight[frames], self.reference_of[frames],
            self.height, self.width,
        )  # fmt: skip


@dataclass(frozen=True)
class _Structure:
    """What all frames share: points of every reference [k, p, 3] head units, focal length."""

    points: Tensor
    focal_length: float


def _spread_keys(n_seen: np.ndarray, n_most: int) -> np.ndarray:
    """Frames that see most points, spread over the clip."""
    usable = np.flatnonzero(n_seen > 0.5 * np.median(n_seen))
    return usable[np.unique(np.linspace(0, len(usable) - 1, n_most).astype(int))]


def _residuals(
    structure: _Structure, poses: Tensor, seen: _Observations, frames: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Points [m, s, p, 3], residual pixels [m, s, p, 2] and weight [m, s, p] of some frames."""
    points = structure.points[seen.reference_of[frames]]
    predicted = project(
        transform_points(poses[frames][:, None], points),
        structure.focal_length,
        seen.height,
        seen.width,
    )
    return points, seen.pixels[frames] - predicted, seen.weight[frames]


def _cauchy(residual: Tensor, sigma_px: float) -> Tensor:
    """Weights that make least squares minimise Cauchy's loss, in 1 / px^2."""
    squared = residual.square().sum(-1) / sigma_px**2
    # ASSUME: 2.4 standard deviations, Cauchy's constant of 95 % efficiency on normal errors.
    return 1 / (1 + squared / 2.4**2) / sigma_px**2


def _adjust_structure(
    structure: _Structure,
    poses: Tensor,
    seen: _Observations,
    key_frames: np.ndarray,
    uncertainty: Uncertainty,
    face_px: float,
    n_steps: int = 10,
) -> _Structure:
    """Points and focal length after adjusting them with the key frames' poses.

    Levenberg-Marquardt on the Schur complement of the points.
    """
    frames = torch.from_numpy(key_frames)
    n_frames, (n_references, n_points) = len(frames), structure.points.shape[:2]
    sigma_px = uncertainty.track_px * face_px / 100
    start_points, start_focal = structure.points, structure.focal_length
    key_poses = poses[frames]
    local = seen.of_frames(frames)
    every = torch.arange(n_frames)
    # Points are as dependent as _INDEPENDENT_POINTS says; frames too.
    share = _INDEPENDENT_POINTS / n_points
    prior = torch.eye(3, dtype=torch.float64) / uncertainty.template**2

    def cost(shape: _Structure, at: Tensor) -> float:
        _, residual, weight = _residuals(shape, at, local, every)
        squared = residual.square().sum(-1) / sigma_px**2
        data = share * (weight * 2.4**2 / 2 * torch.log1p(squared / 2.4**2)).sum()
        off = (shape.points - start_points).square().sum() / uncertainty.template**2 / 2
        log_focal = np.log(shape.focal_length / start_focal) / uncertainty.log_focal_length
        return float(data + share * off) + 0.5 * log_focal**2

    damping, best = 1e-4, cost(structure, key_poses)
    for _ in range(n_steps):
        points, residual, weight = _residuals(structure, key_poses, local, every)
        weight = share * weight * _cauchy(residual, sigma_px)
        by_pose = torch.stack([
            pose_jacobian(key_poses, points[:, s], structure.focal_length)
            for s in range(points.shape[1])
        ], 1)  # fmt: skip
        in_camera = transform_points(key_poses[:, None], points)
        by_point = (
            projection_jacobian(in_camera, structure.focal_length)
            @ key_poses[:, None, None, :3, :3]
        )
        # Of the focal length's logarithm: the projection relative to the image centre.
        by_focal = structure.focal_length * in_camera[..., :2] / in_camera[..., 2:]

        size = 6 * n_frames + 1
        system = torch.zeros(size, size, dtype=torch.float64)
        right = torch.zeros(size, dtype=torch.float64)
        weighted = by_pose * weight[..., None, None]
        pose_blocks = torch.einsum("mspri,msprj->mij", weighted, by_pose)
        for i in range(n_frames):
            system[6 * i : 6 * i + 6, 6 * i : 6 * i + 6] = pose_blocks[i]
        right[:-1] = torch.einsum("mspri,mspr->mi", weighted, residual).reshape(-1)
        cross_focal = torch.einsum("mspri,mspr->mi", weighted, by_focal).reshape(-1)
        system[:-1, -1] = cross_focal
        system[-1, :-1] = cross_focal
        by_focal_weighted = by_focal * weight[..., None]
        system[-1, -1] = (by_focal_weighted * by_focal).sum()
        right[-1] = (by_focal_weighted * residual).sum()
        system[-1, -1] += 1 / uncertainty.log_focal_length**2
        right[-1] -= np.log(structure.focal_length / start_focal) / uncertainty.log_focal_length**2
        system.diagonal().mul_(1 + damping)

        eliminated: list[tuple[Tensor, ...] | None] = []
        for k in range(n_references):
            m, s = torch.nonzero(local.reference_of == k, as_tuple=True)
            if len(m) == 0:
                eliminated.append(None)
                continue
            w = weight[m, s][..., None, None]
            point_blocks = torch.einsum("mpri,mprj->pij", by_point[m, s] * w, by_point[m, s])
            point_blocks = point_blocks + share * prior
            point_blocks.diagonal(dim1=1, dim2=2).mul_(1 + damping)
            point_right = torch.einsum("mpri,mpr->pi", by_point[m, s] * w, residual[m, s])
            point_right = point_right - share * (structure.points[k] - start_points[k]) @ prior
            pose_point = torch.einsum("mpri,mprj->mipj", by_pose[m, s] * w, by_point[m, s])
            focal_point = torch.einsum("mpr,mprj->pj", by_focal_weighted[m, s], by_point[m, s])
            inverse = torch.linalg.inv(point_blocks)
            rows = (6 * m[:, None] + torch.arange(6)).reshape(-1)
            rows = torch.cat((rows, torch.tensor([size - 1])))
            cross = torch.cat((pose_point.reshape(-1, n_points, 3), focal_point[None]))
            reduced = torch.einsum("api,pij->apj", cross, inverse)
            system[rows[:, None], rows] -= (
                reduced.reshape(len(rows), -1) @ cross.reshape(len(rows), -1).T
            )
            right[rows] -= torch.einsum("api,pi->a", reduced, point_right)
            eliminated.append((rows, cross, inverse, point_right))

        update = torch.linalg.solve(system, right)
        new_poses = retract(key_poses, update[:-1].reshape(-1, 6))
        new_points = structure.points.clone()
        for k, parts in enumerate(eliminated):
            if parts is not None:
                rows, cross, inverse, point_right = parts
                rest = point_right - torch.einsum("api,a->pi", cross, update[rows])
                new_points[k] += torch.einsum("pij,pj->pi", inverse, rest)
        proposal = _Structure(new_points, structure.focal_length * float(update[-1].exp()))
        proposed = cost(proposal, new_poses)
        if proposed < best:
            is_done = best - proposed < 1e-5 * best
            structure, key_poses, best, damping = proposal, new_poses, proposed, damping / 5
            if is_done:
                break
        else:
            damping *= 10
    return structure


def _adjust_motion(
    structure: _Structure,
    poses: Tensor,
    seen: _Observations,
    template_points: Tensor,
    landmarks: Tensor,
    uncertainty: Uncertainty,
    face_px: float,
    n_steps: int = 8,
) -> Tensor:
    """Poses of all frames [n, 4, 4], given the structure, smooth in time."""
    n = len(poses)
    if n < 3:
        return poses
    track_px = uncertainty.track_px * face_px / 100
    landmark_px = uncertainty.landmark_px * face_px / 100
    n_points = structure.points.shape[1] * seen.reference_of.shape[1]
    # Second differences count in pixels on the face: turns at its radius, shifts as projected.
    acceleration_px = uncertainty.acceleration * face_px / 100
    pixels_per_unit = face_px / 0.30
    scale = torch.tensor([0.15, 0.15, 0.15, 1, 1, 0.15], dtype=torch.float64) * pixels_per_unit
    for _ in range(n_steps):
        blocks = torch.zeros(n, 6, 6, dtype=torch.float64)
        right = torch.zeros(n, 6, dtype=torch.float64)
        for frames in torch.arange(n).split(_CHUNK):
            points, residual, weight = _residuals(structure, poses, seen, frames)
            weight = weight * _cauchy(residual, track_px) * (_INDEPENDENT_POINTS / n_points)
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
            share = _INDEPENDENT_POINTS / len(template_points)
            jacobian = pose_jacobian(poses[frames], template_points, structure.focal_length)
            weighted = jacobian * (share * _cauchy(residual, landmark_px))[..., None, None]
            blocks[frames] += torch.einsum("mpri,mprj->mij", weighted, jacobian)
            right[frames] += torch.einsum("mpri,mpr->mi", weighted, residual)
        # The smoothness penalty is |scale * second difference|^2 under Cauchy's weight.
        bend = _second_differences(poses) * scale
        stiffness = _cauchy(bend, acceleration_px)
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


def _in_head_units(track: HeadTrack) -> HeadTrack:
    """The same motion for a template that is again 0.30 wide, level and centred."""
    template = torch.from_numpy(track.template)
    scale, axes, centre = head_units_transform(template)
    # X_new = scale * axes @ (X - centre); the camera's length unit grows by the same scale.
    poses = torch.from_numpy(track.T_camera_head)
    rotation = poses[:, :3, :3] @ axes.T
    shift = scale * (poses[:, :3, :3] @ centre + poses[:, :3, 3])
    moved = scale * (template - centre) @ axes.T
    return HeadTrack(rigid(rotation, shift).numpy(), track.focal_length, moved.numpy())
