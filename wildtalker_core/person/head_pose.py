"""The coarse head pose: the focal length and one pose per frame, given the person's template.

A pose is the rigid motion that projects the template's rigid points onto a frame's landmarks
(perspective from n points), found for all frames at once by damped Gauss-Newton steps with Huber
weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import (
    axis_angle_to_matrix,
    rigid,
    skew,
    transform_points,
)
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.options import FocalLengthOptions
from wildtalker_core.person.template import TEMPLATE_WIDTH, build_template, procrustes

_RIGID = list(lm.RIGID_POINTS)

# Frames whose Jacobians are in memory at once.
_CHUNK = 512


@dataclass(frozen=True)
class HeadTrack:
    """Head motion of a clip.

    Attributes:
        T_camera_head: [n, 4, 4] float64.
        focal_length: pixels.
        template: [478, 3] head units.
    """

    T_camera_head: np.ndarray
    focal_length: float
    template: np.ndarray


def weak_perspective_poses(
    template: Tensor,
    landmarks: Tensor,
    depth: Tensor,
    focal_length: float,
    height: int,
    width: int,
) -> Tensor:
    """First poses [n, 4, 4] from the similarity between the template and 3-D landmarks.

    Under weak perspective a face at distance z is the template scaled by focal_length / z.
    """
    shapes = torch.cat((landmarks, depth[..., None]), -1)
    scale, rotation, translation = procrustes(shapes[:, _RIGID], template[_RIGID])
    # The transform above maps pixels to the head; its inverse maps the head to pixels.
    to_image = rotation.mT
    pixels_per_unit = 1 / scale
    origin_px = -(pixels_per_unit[:, None] * (to_image @ translation[..., None]).squeeze(-1))
    z = focal_length / pixels_per_unit
    centre = torch.tensor([width / 2, height / 2], dtype=template.dtype)
    xy = (origin_px[:, :2] - centre) / pixels_per_unit[:, None]
    return rigid(to_image, torch.cat((xy, z[:, None]), -1))


def projection_jacobian(points_camera: Tensor, focal_length: float | Tensor) -> Tensor:
    """d(pixel)/d(camera point), [..., 2, 3]."""
    x, y, z = points_camera.unbind(-1)
    zero = torch.zeros_like(x)
    rows = torch.stack((1 / z, zero, -x / z**2, zero, 1 / z, -y / z**2), -1)
    return focal_length * rows.reshape(*x.shape, 2, 3)


def huber_weights(residual_norm: Tensor, scale: float | Tensor) -> Tensor:
    """Weights that make least squares minimise Huber's loss: 1 within ``scale``, falling beyond."""
    return scale / residual_norm.clamp_min(scale)


def retract(T_camera_head: Tensor, update: Tensor) -> Tensor:
    """Poses moved by small updates [n, 6]: a turn about the head's origin, then a shift."""
    rotation = axis_angle_to_matrix(update[:, :3]) @ T_camera_head[:, :3, :3]
    return rigid(rotation, T_camera_head[:, :3, 3] + update[:, 3:])


def pose_jacobian(T_camera_head: Tensor, points_head: Tensor, focal_length: float) -> Tensor:
    """d(pixel)/d(update of :func:`retract`), [n, k, 2, 6], for points [k, 3] or [n, k, 3]."""
    turned = points_head @ T_camera_head[:, :3, :3].mT
    points_camera = turned + T_camera_head[:, None, :3, 3]
    by_point = projection_jacobian(points_camera, focal_length)
    return torch.cat((-by_point @ skew(turned), by_point), -1)


def fit_poses(
    points_head: Tensor,
    observed: Tensor,
    focal_length: float,
    height: int,
    width: int,
    start: Tensor,
    huber_px: float,
    n_steps: int = 12,
) -> Tensor:
    """Poses [n, 4, 4] that project head points [k, 3] onto pixels [n, k, 2], each frame by itself.

    Args:
        start: [n, 4, 4] poses to begin with.
        huber_px: residuals beyond this many pixels count linearly.
    """
    poses = start.clone()
    eye = torch.eye(6, dtype=poses.dtype)
    for _ in range(n_steps):
        seen = project(transform_points(poses, points_head), focal_length, height, width)
        residual = observed - seen
        weight = huber_weights(residual.norm(dim=-1), huber_px)
        jacobian = pose_jacobian(poses, points_head, focal_length)
        weighted = jacobian * weight[..., None, None]
        normal = torch.einsum("nkri,nkrj->nij", weighted, jacobian)
        gradient = torch.einsum("nkri,nkr->ni", weighted, residual)
        # Depth and turning are weakly separated at long focal lengths: a little damping suffices.
        damping = 1e-6 * normal.diagonal(dim1=1, dim2=2).mean(-1)[:, None, None] * eye
        poses = retract(poses, torch.linalg.solve(normal + damping, gradient))
    return poses


def refine_template(
    template: Tensor,
    poses: Tensor,
    observed: Tensor,
    focal_length: float,
    height: int,
    width: int,
    sigma_px: float,
    sigma_template: float,
) -> Tensor:
    """One Gauss-Newton step of every template point [k, 3] towards its pixels [n, k, 2].

    Args:
        sigma_px: how far landmarks stray, pixels.
        sigma_template: how far the given template may be wrong, head units.
    """
    normal = template.new_zeros(len(template), 3, 3)
    gradient = template.new_zeros(len(template), 3)
    for T_camera_head, pixels in zip(poses.split(_CHUNK), observed.split(_CHUNK), strict=True):
        points_camera = transform_points(T_camera_head, template)
        residual = pixels - project(points_camera, focal_length, height, width)
        weight = huber_weights(residual.norm(dim=-1), 2 * sigma_px) / sigma_px**2
        jacobian = projection_jacobian(points_camera, focal_length) @ T_camera_head[:, None, :3, :3]
        weighted = jacobian * weight[..., None, None]
        normal += torch.einsum("nkri,nkrj->kij", weighted, jacobian)
        gradient += torch.einsum("nkri,nkr->ki", weighted, residual)
    # Landmark errors of neighbouring frames are alike: n frames are not n independent opinions.
    # ASSUME: about twenty are.
    share = min(1.0, 20 / len(poses))
    prior = torch.eye(3, dtype=template.dtype) / sigma_template**2
    return template + torch.linalg.solve(share * normal + prior, share * gradient)


def estimate_focal_length(
    template: Tensor,
    landmarks: Tensor,
    depth: Tensor,
    height: int,
    width: int,
    prior_ratio: float,
    prior_spread: float,
) -> float:
    """Focal length in pixels whose perspective explains the clip's rigid landmarks best.

    A head that turns shows its perspective; one that keeps still does not, and then the prior
    decides: ln(focal_length / width) is normal around ln(prior_ratio) with spread prior_spread.
    """
    keep = torch.linspace(0, len(landmarks) - 1, min(len(landmarks), 80)).long()
    landmarks, depth = landmarks[keep], depth[keep]
    observed = landmarks[:, _RIGID]
    face_px = (landmarks[:, lm.LEFT_CONTOUR] - landmarks[:, lm.RIGHT_CONTOUR]).norm(dim=-1).median()
    # ASSUME: landmarks stray by a hundredth of the face's width.
    sigma_px = 0.01 * float(face_px)
    ratios = prior_ratio * np.exp(np.linspace(-1.2, 1.2, 9))
    costs = []
    for ratio in ratios:
        focal_length = ratio * width
        shape = template[_RIGID]
        poses = weak_perspective_poses(template, landmarks, depth, focal_length, height, width)
        for _ in range(3):
            poses = fit_poses(
                shape, observed, focal_length, height, width, poses, 2 * sigma_px, n_steps=4
            )
            shape = refine_template(
                shape, poses, observed, focal_length, height, width, sigma_px, 0.01
            )
        seen = project(transform_points(poses, shape), focal_length, height, width)
        error = ((observed - seen).norm(dim=-1) / sigma_px).clamp_max(3).square().mean()
        # ASSUME: what all landmarks of all frames say together weighs as 200 independent opinions;
        # with more, systematic errors of their depth drove phones to wide-angle lenses.
        data = 0.5 * 200 * float(error)
        prior = 0.5 * (np.log(ratio / prior_ratio) / prior_spread) ** 2
        costs.append(data + prior)
    return float(_parabola_minimum(np.log(ratios), np.array(costs)) * width)


def _parabola_minimum(log_ratios: np.ndarray, costs: np.ndarray) -> float:
    """Ratio at the minimum, refined by a parabola through the best three samples."""
    i = int(np.clip(np.argmin(costs), 1, len(costs) - 2))
    left, middle, right = costs[i - 1 : i + 2]
    curvature = left - 2 * middle + right
    shift = 0.5 * (left - right) / curvature if curvature > 0 else 0.0
    return float(np.exp(log_ratios[i] + np.clip(shift, -1, 1) * (log_ratios[1] - log_ratios[0])))


def track_head(
    landmarks: np.ndarray,
    depth: np.ndarray,
    height: int,
    width: int,
    options: FocalLengthOptions,
    is_fitted: np.ndarray,
) -> HeadTrack:
    """Template and focal length of some frames, and one pose per frame, each frame by itself.

    Args:
        landmarks: [n, 478, 2] pixels.
        depth: [n, 478] pixels.
        height, width: of the frames, pixels.
        is_fitted: [n] bool, the frames that template and focal length come from.
    """
    template = build_template(landmarks[is_fitted], depth[is_fitted])
    points, z = torch.from_numpy(landmarks).double(), torch.from_numpy(depth).double()
    fitted = torch.from_numpy(is_fitted)
    focal_length = estimate_focal_length(
        template,
        points[fitted],
        z[fitted],
        height,
        width,
        options.focal_length_prior,
        options.focal_length_spread,
    )
    start = weak_perspective_poses(template, points, z, focal_length, height, width)
    face_px = TEMPLATE_WIDTH * focal_length / float(start[fitted, 2, 3].median())
    poses = fit_poses(
        template[_RIGID], points[:, _RIGID], focal_length, height, width, start, 0.02 * face_px
    )
    return HeadTrack(poses.numpy(), focal_length, template.numpy())


def jitter_px(track: HeadTrack, height: int, width: int) -> float:
    """Mean second difference over time of the projected rigid points, pixels at 512 px height.

    A head that moves smoothly has next to none; a shaking pose has much.
    """
    if len(track.T_camera_head) < 3:
        return 0.0
    poses = torch.from_numpy(track.T_camera_head)
    points = torch.from_numpy(track.template)[_RIGID]
    seen = project(transform_points(poses, points), track.focal_length, height, width)
    return float(seen.diff(n=2, dim=0).norm(dim=-1).mean()) * 512 / height
