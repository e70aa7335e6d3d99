"""Rotations and rigid motions as tensors.

All functions are batched over leading dimensions, differentiable, and keep dtype and device.
``T_a_b`` is a 4x4 matrix that maps points of ``b`` into ``a``.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def skew(vectors: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """``skew(v) @ w = v x w``."""
    x, y, z = vectors.unbind(-1)
    zero = torch.zeros_like(x)
    rows = (zero, -z, y, z, zero, -x, -y, x, zero)
    return torch.stack(rows, -1).reshape(*vectors.shape[:-1], 3, 3)


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """From axis times angle in radians, by Rodrigues' formula."""
    squared = (axis_angle * axis_angle).sum(-1)
    is_small = squared < 1e-8
    # The series where the quotients cancel; the inner `where` keeps gradients finite at zero.
    safe = torch.where(is_small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    a = torch.where(is_small, 1 - squared / 6, torch.sin(angle) / angle)
    b = torch.where(is_small, 0.5 - squared / 24, (1 - torch.cos(angle)) / safe)
    k = skew(axis_angle)
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + a[..., None, None] * k + b[..., None, None] * (k @ k)


def matrix_to_quaternion(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion (w, x, y, z) with w >= 0.

    Of the four ways to read a quaternion off the matrix the one with the largest component is
    taken, so that no angle is ill-conditioned (Shepperd 1978).
    """
    m = rotation
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    w_x, w_y, w_z = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    x_y, x_z, y_z = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    # Row i is 4 q_i q: the outer product of the quaternion with itself.
    outer = torch.stack(
        (
            torch.stack((1 + m00 + m11 + m22, w_x, w_y, w_z), -1),
            torch.stack((w_x, 1 + m00 - m11 - m22, x_y, x_z), -1),
            torch.stack((w_y, x_y, 1 - m00 + m11 - m22, y_z), -1),
            torch.stack((w_z, x_z, y_z, 1 - m00 - m11 + m22), -1),
        ),
        -2,
    )
    best = outer.diagonal(dim1=-2, dim2=-1).argmax(-1)
    quaternion = torch.take_along_dim(outer, best[..., None, None], -2).squeeze(-2)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """From (w, x, y, z) of any non-zero length."""
    w, v = quaternion[..., :1], quaternion[..., 1:]
    scale = 2 / (quaternion * quaternion).sum(-1)[..., None, None]
    k = skew(v)
    eye = torch.eye(3, dtype=quaternion.dtype, device=quaternion.device)
    return eye + scale * (w[..., None] * k + k @ k)


def matrix_to_axis_angle(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Angle in [0, pi]. Inverse of :func:`axis_angle_to_matrix`."""
    quaternion = matrix_to_quaternion(rotation)
    w, v = quaternion[..., :1], quaternion[..., 1:]
    squared = (v * v).sum(-1, keepdim=True)
    is_small = squared < 1e-12
    sine = torch.where(is_small, torch.ones_like(squared), squared).sqrt()
    return v * torch.where(is_small, 2 / w.clamp_min(0.5), 2 * torch.atan2(sine, w) / sine)


def euler_to_matrix(
    yaw_pitch_roll_radians: Float[Tensor, "*batch 3"],
) -> Float[Tensor, "*batch 3 3"]:
    """R = R_y(yaw) R_x(pitch) R_z(roll).

    In camera axes (x right, y down, z forward): positive yaw turns a face that looks into the
    camera towards the picture's left, positive pitch raises it, positive roll turns the picture
    clockwise.
    """
    yaw, pitch, roll = yaw_pitch_roll_radians.unbind(-1)
    zero = torch.zeros_like(yaw)
    about_y = axis_angle_to_matrix(torch.stack((zero, yaw, zero), -1))
    about_x = axis_angle_to_matrix(torch.stack((pitch, zero, zero), -1))
    about_z = axis_angle_to_matrix(torch.stack((zero, zero, roll), -1))
    return about_y @ about_x @ about_z


def matrix_to_euler(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Yaw, pitch and roll, inverse of :func:`euler_to_matrix`.

    Pitch is in [-pi/2, pi/2]; at its ends yaw and roll are not unique.
    """
    m = rotation
    pitch = torch.asin((-m[..., 1, 2]).clamp(-1, 1))
    yaw = torch.atan2(m[..., 0, 2], m[..., 2, 2])
    roll = torch.atan2(m[..., 1, 0], m[..., 1, 1])
    return torch.stack((yaw, pitch, roll), -1)


def geodesic_distance(
    rotation_a: Float[Tensor, "*#batch 3 3"], rotation_b: Float[Tensor, "*#batch 3 3"]
) -> Float[Tensor, "..."]:
    """Angle in radians between two rotations, in [0, pi]."""
    return matrix_to_axis_angle(rotation_a.transpose(-1, -2) @ rotation_b).norm(dim=-1)


def mean_rotation(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "3 3"]:
    """Chordal mean: the rotation nearest to their average."""
    u, _, vt = torch.linalg.svd(rotations.mean(0))
    sign = torch.ones(3, dtype=rotations.dtype, device=rotations.device)
    sign[2] = torch.linalg.det(u @ vt).sign()
    return (u * sign) @ vt


def align_rotations(
    estimate: Float[Tensor, "n 3 3"], reference: Float[Tensor, "n 3 3"]
) -> Float[Tensor, "n 3 3"]:
    """Estimate times the one head-side rotation that brings it nearest to ``reference``.

    Two trackers may disagree about which head pose is the neutral one; that constant is not an
    error of tracking.
    """
    return estimate @ mean_rotation(estimate.transpose(-1, -2) @ reference)


def rigid(
    rotation: Float[Tensor, "*batch 3 3"], translation: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """The motion of a rotation and a translation."""
    top = torch.cat((rotation, translation[..., None]), -1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 0, 3] = 1
    return torch.cat((top, bottom), -2)


def invert_rigid(T_a_b: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """T_b_a of T_a_b (rotation and translation only)."""
    inverse_rotation = T_a_b[..., :3, :3].transpose(-1, -2)
    return rigid(inverse_rotation, -(inverse_rotation @ T_a_b[..., :3, 3:]).squeeze(-1))


def transform_points(
    T_a_b: Float[Tensor, "*#batch 4 4"], points_b: Float[Tensor, "*#batch k 3"]
) -> Float[Tensor, "... k 3"]:
    """Points of b, in a."""
    rotation, translation = T_a_b[..., :3, :3], T_a_b[..., None, :3, 3]
    return points_b @ rotation.transpose(-1, -2) + translation
