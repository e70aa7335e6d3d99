"""A synthetic hand and forearm in front of a torso, with an exact coverage map.

The hand is a skeleton of tapered capsules (five fingers of three phalanges, palm, forearm, sleeve).
Each capsule is splatted into a height buffer; the buffer's slope gives the shading. Lengths are
canvas pixels, as of :mod:`gesture`. The bundled example and the spoiled clips of the robustness
benchmark have their hands from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from wildtalker_core.robustness.gesture import HandMotion, HandPose

CANVAS_PX = 256.0
SKIN, SLEEVE, CUFF, PROP = 0, 1, 2, 3
# ASSUME: the light stands at the upper left in front of the person, as in the photograph of the
# example.
LIGHT = np.array([-0.42, -0.58, 0.70]) / np.linalg.norm([-0.42, -0.58, 0.70])
SUPERSAMPLING = 2
# ASSUME: the hand is held a few centimetres in front of the chest, so its shadow is near and soft.
_SHADOW_SHIFT_PX, _SHADOW_BLUR_PX, _SHADOW_STRENGTH = (4.0, 5.0), 4.0, 0.30


@dataclass(frozen=True)
class HandPalette:
    """RGB colours in [0, 1], each [3]."""

    skin: np.ndarray
    sleeve: np.ndarray
    cuff: np.ndarray
    prop: np.ndarray


# Skeleton in hand lengths: wrist at the origin, x towards the thumb, y towards the fingertips.
_KNUCKLES = ((0.150, 0.485), (0.055, 0.515), (-0.045, 0.490), (-0.135, 0.430))
_FINGER_LENGTHS = (0.400, 0.450, 0.415, 0.320)
_FINGER_RADII = (0.050, 0.052, 0.049, 0.042)
_FINGER_SPREADS = (0.17, 0.03, -0.10, -0.25)
_PHALANX_SHARES = (0.46, 0.30, 0.24)
_HAND_LENGTH_PX = 66.0


def _skeleton(pose: HandPose) -> list[tuple[np.ndarray, np.ndarray, float, float, int]]:
    """Capsules as (start [3], end [3], start radius, end radius, material); canvas pixels."""
    mirror = 1.0 if pose.side == "left" else -1.0
    forearm = np.array(pose.wrist_px) - np.array(pose.elbow_px)
    angle = np.arctan2(forearm[0], -forearm[1]) + pose.wrist_bend_radians
    cos_a, sin_a = np.cos(angle), np.sin(angle)
    cos_t, sin_t = np.cos(pose.turn_radians), np.sin(pose.turn_radians)

    def place(point: Any) -> np.ndarray:
        x, y, z = np.multiply(point, _HAND_LENGTH_PX)
        x = x * mirror
        x, z = cos_t * x + sin_t * z, -sin_t * x + cos_t * z
        return np.array(
            [pose.wrist_px[0] + cos_a * x + sin_a * y, pose.wrist_px[1] + sin_a * x - cos_a * y, z]
        )

    scale = _HAND_LENGTH_PX
    capsules: list[tuple[np.ndarray, np.ndarray, float, float, int]] = []

    def add(start: Any, end: Any, r0: float, r1: float, material: int = SKIN) -> None:
        capsules.append((place(start), place(end), r0 * scale, r1 * scale, material))

    for (x, y), radius in zip(_KNUCKLES, _FINGER_RADII, strict=True):
        add((0.45 * x, 0.06, 0.0), (x, y, 0.0), 0.078, radius * 1.22)
    add((0.10, 0.12, 0.03), (0.13, 0.30, 0.045), 0.085, 0.060)
    add((-0.09, 0.12, 0.02), (-0.12, 0.32, 0.02), 0.075, 0.062)
    for i, (x, y) in enumerate(_KNUCKLES):
        base = np.array([x, y, 0.0])
        spread = _FINGER_SPREADS[i] * pose.spread
        bend = 0.0
        radius = _FINGER_RADII[i]
        for j, share in enumerate(_PHALANX_SHARES):
            # Fingers are never equally bent: the little finger curls most.
            bend += pose.curl_radians * (0.8 + 0.22 * i) * (1.0 if j else 0.8)
            step = np.array(
                [np.sin(spread) * np.cos(bend), np.cos(spread) * np.cos(bend), np.sin(bend)]
            )
            tip = base + step * share * _FINGER_LENGTHS[i]
            add(base, tip, radius, radius * 0.91)
            base, radius = tip, radius * 0.91
    thumb = [(0.10, 0.12, 0.02), (0.21, 0.26, 0.06), (0.265, 0.39, 0.07), (0.285, 0.49, 0.065)]
    thumb_radii = (0.085, 0.060, 0.052, 0.043)
    for k in range(3):
        add(thumb[k], thumb[k + 1], thumb_radii[k], thumb_radii[k + 1])

    to_elbow = np.array([*(np.array(pose.elbow_px) - np.array(pose.wrist_px)), 0.0])
    along = to_elbow / np.linalg.norm(to_elbow)
    w = place(np.zeros(3))
    capsules.append((w, w + along * 0.30 * scale, 0.100 * scale, 0.108 * scale, SKIN))
    cuff = w + along * 0.26 * scale
    capsules.append((cuff, cuff + along * 0.05 * scale, 0.150 * scale, 0.152 * scale, CUFF))
    sleeve = w + along * 0.34 * scale
    capsules.append((sleeve, w + along * 2.4 * scale, 0.158 * scale, 0.290 * scale, SLEEVE))
    if pose.holds_prop:
        # A tumbler held across the palm; the tips of the curled fingers and the thumb lie on it.
        add((0.06, 0.30, 0.12), (0.03, 0.78, 0.14), 0.155, 0.185, PROP)
        for height, reach in ((0.62, 0.00), (0.52, -0.01), (0.42, -0.02)):
            add((-0.14, height, 0.16), (reach, height + 0.03, 0.30), 0.052, 0.042)
        add((0.25, 0.36, 0.14), (0.12, 0.50, 0.29), 0.055, 0.046)
    return capsules


def _splat(
    pose: HandPose, n: int, to_grid: float, shift_px: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Height [n, n] towards the viewer and material [n, n] int8, -1 beside the hand."""
    height = np.full((n, n), -1e3, np.float32)
    material = np.full((n, n), -1, np.int8)
    for start, end, r0, r1, kind in _skeleton(pose):
        a, b = start[:2] + shift_px, end[:2] + shift_px
        reach = max(r0, r1) + 1.0
        lo = np.floor((np.minimum(a, b) - reach) * to_grid).astype(int)
        hi = np.ceil((np.maximum(a, b) + reach) * to_grid).astype(int)
        x0, y0 = np.clip(lo, 0, n)
        x1, y1 = np.clip(hi, 0, n)
        if x0 >= x1 or y0 >= y1:
            continue
        xs = ((np.arange(x0, x1) + 0.5) / to_grid - a[0]).astype(np.float32)[None, :]
        ys = ((np.arange(y0, y1) + 0.5) / to_grid - a[1]).astype(np.float32)[:, None]
        axis = b - a
        length_sq = max(float(axis @ axis), 1e-6)
        t_free = (xs * axis[0] + ys * axis[1]) / length_sq
        # Sleeve and cuff start with a flat cut, not with a ball; a tumbler has a flat base and rim.
        t = np.clip(t_free, 0.0, 1.0)
        gap_sq = (xs - t * axis[0]) ** 2 + (ys - t * axis[1]) ** 2
        radius = r0 + (r1 - r0) * t
        inside = gap_sq < radius**2
        if kind in (SLEEVE, CUFF):
            inside &= t_free > -0.25 * r0 / np.sqrt(length_sq)
        if kind == PROP:
            inside &= np.abs(t_free - 0.5) < 0.62
        z = start[2] + (end[2] - start[2]) * t + np.sqrt(np.maximum(radius**2 - gap_sq, 0.0))
        if kind == SLEEVE:
            across = (xs * axis[1] - ys * axis[0]) / np.sqrt(length_sq)
            folds = np.sin(t_free * 21.0 + 0.16 * across) + 0.6 * np.sin(
                t_free * 47.0 - 0.30 * across
            )
            z = z + 0.55 * folds
        patch = height[y0:y1, x0:x1]
        wins = inside & (z > patch)
        patch[wins] = z[wins]
        material[y0:y1, x0:x1][wins] = kind
    return height, material


def render_hand(
    pose: HandPose,
    palette: HandPalette,
    size_px: int,
    shift_px: tuple[float, float] = (0.0, 0.0),
    canvas_px: float = CANVAS_PX,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the hand.

    Returns premultiplied colour [size, size, 3] float32 and coverage [size, size] float32 in [0,
    1]. `shift_px` moves the picture (camera shake), canvas pixels; `canvas_px` of them span it.
    """
    to_grid = size_px * SUPERSAMPLING / canvas_px
    height, material = _splat(pose, size_px * SUPERSAMPLING, to_grid, shift_px)
    covered = (material >= 0).astype(np.float32)
    if not covered.any():
        empty = np.zeros((size_px, size_px), np.float32)
        return np.zeros((size_px, size_px, 3), np.float32), empty

    def smooth(values: np.ndarray, sigma_px: float) -> np.ndarray:
        sigma = sigma_px * to_grid
        weight = cv2.GaussianBlur(covered, (0, 0), sigma)
        return cv2.GaussianBlur(values * covered, (0, 0), sigma) / np.maximum(weight, 1e-3)

    height = np.where(covered > 0, height, 0.0).astype(np.float32)
    # Blending two radii keeps the roundness of fingers and melts the creases where capsules meet.
    surface = 0.35 * smooth(height, 0.6) + 0.65 * smooth(height, 1.3)
    slope_x = np.gradient(surface, axis=1) * to_grid
    slope_y = np.gradient(surface, axis=0) * to_grid
    norm = np.sqrt(slope_x**2 + slope_y**2 + 1.0)
    lit = np.clip((-slope_x * LIGHT[0] - slope_y * LIGHT[1] + LIGHT[2]) / norm, 0.0, 1.0)
    buried = np.clip((smooth(height, 3.5) - height) / 9.0, 0.0, 1.0)
    light = (0.50 + 0.62 * lit) * (1.0 - 0.55 * buried)

    colours = np.stack([palette.skin, palette.sleeve, palette.cuff, palette.prop]).astype(
        np.float32
    )
    base = colours[np.clip(material, 0, 3)]
    rgb = base * light[..., None]
    # Light scattered under the skin: what is dim turns red rather than grey.
    glow = np.clip(0.95 - light, 0.0, 0.5)[..., None] * np.array([0.16, 0.02, 0.0], np.float32)
    rgb = np.clip(rgb + glow * (material == SKIN)[..., None] * base, 0.0, 1.0) * covered[..., None]
    shape = (size_px, size_px)
    rgb = cv2.GaussianBlur(cv2.resize(rgb, shape, interpolation=cv2.INTER_AREA), (0, 0), 0.5)
    alpha = cv2.GaussianBlur(cv2.resize(covered, shape, interpolation=cv2.INTER_AREA), (0, 0), 0.5)
    return rgb, alpha


def draw_hands(
    hands: Sequence[HandMotion],
    palette: HandPalette,
    instants_seconds: Sequence[float],
    size_px: int,
    shifts_px: Sequence[tuple[float, float]],
    canvas_px: float = CANVAS_PX,
) -> tuple[np.ndarray, np.ndarray]:
    """All hands of one frame, later ones in front, averaged over its shutter's instants.

    Args:
        instants_seconds: times of the clip over which the shutter is open.
        shifts_px: of `render_hand`, one for each instant.

    Returns premultiplied colour [size, size, 3] and coverage [size, size] in [0, 1], float32.
    """
    samples = []
    for seconds, shift in zip(instants_seconds, shifts_px, strict=True):
        colour: np.ndarray = np.zeros((size_px, size_px, 3), np.float32)
        cover: np.ndarray = np.zeros((size_px, size_px), np.float32)
        for hand in hands:
            pose = hand.pose_at(seconds)
            if pose is not None:
                hand_rgb, hand_cover = render_hand(pose, palette, size_px, shift, canvas_px)
                colour = hand_rgb + colour * (1.0 - hand_cover[..., None])
                cover = hand_cover + cover * (1.0 - hand_cover)
        samples.append((colour, cover))
    colours, covers = zip(*samples, strict=True)
    return np.mean(colours, axis=0), np.mean(covers, axis=0)


def lay_over(
    picture: np.ndarray,
    colour: np.ndarray,
    coverage: np.ndarray,
    receives_shadow: np.ndarray,
    canvas_px: float = CANVAS_PX,
) -> np.ndarray:
    """A hand of `draw_hands` in front of a picture, with its soft shadow.

    Args:
        picture: [size, size, 3] in [0, 1].
        receives_shadow: [size, size], 1 where something near stands behind the hand.
    """
    size = picture.shape[0]
    to_pixel = size / canvas_px
    shift_x, shift_y = (shift * to_pixel for shift in _SHADOW_SHIFT_PX)
    move = np.array([[1, 0, shift_x], [0, 1, shift_y]], np.float32)
    shadow = cv2.GaussianBlur(
        cv2.warpAffine(coverage, move, (size, size)), (0, 0), _SHADOW_BLUR_PX * to_pixel
    )
    picture = picture * (1.0 - _SHADOW_STRENGTH * (shadow * receives_shadow)[..., None])
    return colour + picture * (1.0 - coverage[..., None])
