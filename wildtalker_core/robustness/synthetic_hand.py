"""A synthetic hand and forearm that gesture in front of a torso, with an exact coverage map.

The hand is a skeleton of tapered capsules (five fingers of three phalanges, palm, forearm, sleeve).
Each capsule is splatted into a height buffer; the buffer's slope gives the shading. Lengths are
canvas pixels: pixels of a frame 256 pixels wide, x right, y down, z towards the viewer. The bundled
example and the spoiled clips of the robustness benchmark have their hands from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

CANVAS_PX = 256.0
GESTURE_KINDS = (
    "fast_wave",
    "slow_entry",
    "held_hand",
    "leaving_hand",
    "prop_in_hand",
    "beat",
    "none",
)

SKIN, SLEEVE, CUFF, PROP = 0, 1, 2, 3
# ASSUME: the light stands at the upper left in front of the person, as in the photograph of the
# example.
LIGHT = np.array([-0.42, -0.58, 0.70]) / np.linalg.norm([-0.42, -0.58, 0.70])
SUPERSAMPLING = 2
# ASSUME: the hand is held a few centimetres in front of the chest, so its shadow is near and soft.
_SHADOW_SHIFT_PX, _SHADOW_BLUR_PX, _SHADOW_STRENGTH = (4.0, 5.0), 4.0, 0.30


@dataclass(frozen=True)
class Gesture:
    """One appearance of a hand.

    kind: one of `GESTURE_KINDS`. side: "left" or "right" of the image. start_seconds,
    duration_seconds: from the first to the last moment at which the hand may be in view. target_px:
    where the wrist goes, canvas pixels (None: in front of the chest). crosses_face: the hand is
    lifted until it hides a part of the face.
    """

    kind: str
    side: str = "left"
    start_seconds: float = 0.0
    duration_seconds: float = 2.0
    target_px: tuple[float, float] | None = None
    crosses_face: bool = False

    def __post_init__(self) -> None:
        if self.kind not in GESTURE_KINDS:
            raise ValueError(
                f"gesture kind {self.kind!r} is unknown; one of {', '.join(GESTURE_KINDS)}"
            )
        if self.side not in ("left", "right"):
            raise ValueError(f"gesture side {self.side!r} must be 'left' or 'right'")
        if self.duration_seconds <= 0:
            raise ValueError("gesture duration_seconds must be positive")


@dataclass(frozen=True)
class HandPalette:
    """RGB colours in [0, 1], each [3]."""

    skin: np.ndarray
    sleeve: np.ndarray
    cuff: np.ndarray
    prop: np.ndarray


@dataclass(frozen=True)
class HandPose:
    """Where the hand is at one instant; canvas pixels and radians."""

    wrist_px: tuple[float, float]
    elbow_px: tuple[float, float]
    wrist_bend_radians: float
    turn_radians: float
    curl_radians: float
    spread: float
    side: str
    holds_prop: bool


@dataclass(frozen=True)
class _KindTiming:
    entry_seconds: float
    exit_seconds: float
    swing_radians: float
    swing_hz: float
    bob_px: float
    bob_hz: float


# ASSUME: entry and exit times and swing rates are typical of people who talk with their hands; 2.4
# Hz is a quick wave.
_TIMING = {
    "fast_wave": _KindTiming(0.40, 0.40, 0.30, 2.4, 3.0, 1.2),
    "slow_entry": _KindTiming(1.40, 0.80, 0.05, 0.5, 2.0, 0.7),
    "held_hand": _KindTiming(0.55, 0.55, 0.00, 1.0, 0.0, 1.0),
    "leaving_hand": _KindTiming(0.00, 1.20, 0.00, 1.0, 0.0, 1.0),
    "prop_in_hand": _KindTiming(0.60, 0.60, 0.06, 0.8, 4.0, 0.9),
    "beat": _KindTiming(0.45, 0.50, 0.08, 1.7, 8.0, 1.7),
}


def _ease(x: float) -> float:
    """Minimum-jerk step from 0 to 1; x without unit."""
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (10.0 + x * (6.0 * x - 15.0))


class HandMotion:
    """The path of one gesture.

    The small tremor is drawn from `rng` once, so the path is a pure function of time. Out of view
    the wrist is `hidden_y_px` down the canvas.
    """

    def __init__(
        self, gesture: Gesture, rng: np.random.Generator, hidden_y_px: float = 352.0
    ) -> None:
        self.gesture = gesture
        self._hidden_y_px = hidden_y_px
        # ASSUME: physiological tremor lies at 6 to 10 Hz and below a pixel here; the slow drift is
        # a tired arm.
        self._tremor_hz = rng.uniform((0.25, 0.5, 6.0, 7.5), (0.5, 0.9, 8.0, 10.0))
        self._tremor_phase = rng.uniform(0, 2 * np.pi, (2, 4))
        self._tremor_px = np.array([1.3, 0.7, 0.22, 0.16])
        self._bend_offset = rng.uniform(-0.08, 0.08)
        self._curl_offset = rng.uniform(-0.08, 0.12)

    def pose_at(self, time_seconds: float) -> HandPose | None:
        """Pose at `time_seconds` of the clip, or None while the hand is out of view."""
        gesture = self.gesture
        if gesture.kind == "none":
            return None
        since = time_seconds - gesture.start_seconds
        if not 0.0 <= since <= gesture.duration_seconds:
            return None
        timing = _TIMING[gesture.kind]
        entry, leave = timing.entry_seconds, timing.exit_seconds
        # A gesture too short for its usual entry and exit is hurried, so that the hand is seen.
        hurry = min(1.0, 0.9 * gesture.duration_seconds / (entry + leave))
        entered = _ease(since / (entry * hurry)) if entry > 0 else 1.0
        left = _ease(1.0 + (since - gesture.duration_seconds) / (leave * hurry))
        presence = entered * (1.0 - left)

        toward_right = 1.0 if gesture.side == "left" else -1.0
        rest = (72.0, 226.0) if gesture.side == "left" else (186.0, 228.0)
        target = np.array(gesture.target_px if gesture.target_px is not None else rest)
        if gesture.crosses_face:
            target = target + np.array([14.0 * toward_right, -72.0])
        # Hidden places lie below the frame: a hand is raised from the lap, as in a seated
        # interview.
        hidden = np.array([target[0] - 34.0 * toward_right, self._hidden_y_px])
        phase = 2 * np.pi * since
        wobble = self._tremor_px * np.sin(
            2 * np.pi * self._tremor_hz * time_seconds + self._tremor_phase
        )
        swing = timing.swing_radians * np.sin(phase * timing.swing_hz) * presence
        bob = timing.bob_px * np.sin(phase * timing.bob_hz) * presence
        wrist = hidden + (target - hidden) * presence + wobble.sum(axis=1) * presence
        wrist = wrist + np.array([26.0 * swing, bob])
        elbow = np.array(
            [target[0] - 52.0 * toward_right, self._hidden_y_px + 0.35 * (wrist[1] - target[1])]
        )
        return HandPose(
            wrist_px=(float(wrist[0]), float(wrist[1])),
            elbow_px=(float(elbow[0]), float(elbow[1])),
            wrist_bend_radians=float(self._bend_offset + 1.3 * swing - 0.16 * toward_right),
            turn_radians=float(0.30 * toward_right + 0.5 * swing),
            curl_radians=float(
                (0.62 if gesture.kind == "prop_in_hand" else 0.17)
                + self._curl_offset
                + 0.25 * (1 - presence)
            ),
            spread=float(0.75 + 0.25 * np.sin(phase * 0.6)),
            side=gesture.side,
            holds_prop=gesture.kind == "prop_in_hand",
        )


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

    def place(point: np.ndarray) -> np.ndarray:
        x, y, z = point * _HAND_LENGTH_PX
        x = x * mirror
        x, z = cos_t * x + sin_t * z, -sin_t * x + cos_t * z
        return np.array(
            [pose.wrist_px[0] + cos_a * x + sin_a * y, pose.wrist_px[1] + sin_a * x - cos_a * y, z]
        )

    capsules: list[tuple[np.ndarray, np.ndarray, float, float, int]] = []

    def add(start: np.ndarray, end: np.ndarray, r0: float, r1: float, material: int) -> None:
        scale = _HAND_LENGTH_PX
        capsules.append((place(start), place(end), r0 * scale, r1 * scale, material))

    wrist = np.zeros(3)
    for (x, y), radius in zip(_KNUCKLES, _FINGER_RADII, strict=True):
        add(np.array([0.45 * x, 0.06, 0.0]), np.array([x, y, 0.0]), 0.078, radius * 1.22, SKIN)
    add(np.array([0.10, 0.12, 0.03]), np.array([0.13, 0.30, 0.045]), 0.085, 0.060, SKIN)
    add(np.array([-0.09, 0.12, 0.02]), np.array([-0.12, 0.32, 0.02]), 0.075, 0.062, SKIN)
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
            add(base, tip, radius, radius * 0.91, SKIN)
            base, radius = tip, radius * 0.91
    thumb = [(0.10, 0.12, 0.02), (0.21, 0.26, 0.06), (0.265, 0.39, 0.07), (0.285, 0.49, 0.065)]
    thumb_radii = (0.085, 0.060, 0.052, 0.043)
    for k in range(3):
        add(np.array(thumb[k]), np.array(thumb[k + 1]), thumb_radii[k], thumb_radii[k + 1], SKIN)

    scale = _HAND_LENGTH_PX
    to_elbow = np.array([*(np.array(pose.elbow_px) - np.array(pose.wrist_px)), 0.0])
    along = to_elbow / np.linalg.norm(to_elbow)
    w = place(wrist)
    capsules.append((w, w + along * 0.30 * scale, 0.100 * scale, 0.108 * scale, SKIN))
    cuff = w + along * 0.26 * scale
    capsules.append((cuff, cuff + along * 0.05 * scale, 0.150 * scale, 0.152 * scale, CUFF))
    sleeve = w + along * 0.34 * scale
    capsules.append((sleeve, w + along * 2.4 * scale, 0.158 * scale, 0.290 * scale, SLEEVE))
    if pose.holds_prop:
        # A tumbler held across the palm; the tips of the curled fingers and the thumb lie on it.
        add(np.array([0.06, 0.30, 0.12]), np.array([0.03, 0.78, 0.14]), 0.155, 0.185, PROP)
        for height, reach in ((0.62, 0.00), (0.52, -0.01), (0.42, -0.02)):
            add(
                np.array([-0.14, height, 0.16]),
                np.array([reach, height + 0.03, 0.30]),
                0.052,
                0.042,
                SKIN,
            )
        add(np.array([0.25, 0.36, 0.14]), np.array([0.12, 0.50, 0.29]), 0.055, 0.046, SKIN)
    return capsules


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
    n = size_px * SUPERSAMPLING
    to_grid = n / canvas_px
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
