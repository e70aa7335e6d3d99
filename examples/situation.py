"""What happens in a synthetic clip, what is known about it, and how its person moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d

from wildtalker_core.robustness.gesture import Gesture


@dataclass(frozen=True)
class Situation:
    """What happens in a clip: largest deviations of angles (degrees) and shifts (canvas pixels)."""

    n_frames: int = 300
    size_px: int = 256
    fps: float = 25.0
    seed: int = 0
    yaw_degrees: float = 11.0
    pitch_degrees: float = 5.5
    roll_degrees: float = 3.0
    body_sway_px: float = 1.6
    camera_shake_px: float = 0.0
    blinks_per_minute: float = 26.0
    gestures: tuple[Gesture, ...] = field(default_factory=tuple)
    # Share of a frame's time for which the shutter is open, and instants averaged over it.
    shutter: float = 0.4
    hand_blur_samples: int = 5
    frame_blur_samples: int = 1
    hand_crosses_face: bool = False
    sensor_noise: float = 0.0

    def __post_init__(self) -> None:
        if self.n_frames < 2 or self.size_px < 64:
            raise ValueError("a situation needs at least 2 frames of at least 64 px")
        if abs(self.yaw_degrees) > 30.0 or abs(self.pitch_degrees) > 15.0:
            raise ValueError("beyond 30 degrees of yaw or 15 of pitch a single photograph tears")


@dataclass
class SituationTruth:
    """Everything known about a rendered clip of n frames."""

    hand_free_frames: np.ndarray  # [n, size, size, 3] uint8
    occluder_masks: np.ndarray  # [n, size, size] bool: hand, sleeve, prop (not its shadow)
    person_alphas: np.ndarray  # [n, size, size] uint8: coverage of 255, without the hand
    person_masks: np.ndarray  # [n, size, size] bool, without the hand
    head_masks: np.ndarray  # [n, size, size] bool, without the hand
    head_rotations: np.ndarray  # [n, 3, 3], head to camera
    head_translations: np.ndarray  # [n, 3] metres
    yaw_pitch_roll_radians: np.ndarray  # [n, 3]
    mouth_opening: np.ndarray  # [n] 0..1
    mouth_rounding: np.ndarray  # [n] -1..1
    blink: np.ndarray  # [n] 0..1
    camera_shift_px: np.ndarray  # [n, 2] pixels of the frames, added to every projection
    focal_length_px: float  # pixels of the frames
    rigid_points: np.ndarray  # [points, 3] metres, head frame
    rigid_points_px: np.ndarray  # [n, points, 2] pixels of the frames


def rotation_matrices(yaw: np.ndarray, pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """R_z(roll) @ R_y(yaw) @ R_x(pitch), [n, 3, 3], from three arrays [n] of radians."""
    zero, one = np.zeros_like(yaw), np.ones_like(yaw)

    def stack(*entries: np.ndarray) -> np.ndarray:
        return np.stack(entries, -1).reshape(-1, 3, 3)

    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    r_x = stack(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    r_y = stack(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    r_z = stack(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return r_z @ r_y @ r_x


def _wander(
    times: np.ndarray, rng: np.random.Generator, low_hz: float, high_hz: float
) -> np.ndarray:
    """A smooth wandering curve [n] of largest value 1: four sines of random rate and phase."""
    rates = rng.uniform(low_hz, high_hz, 4)
    phases = rng.uniform(0, 2 * np.pi, 4)
    weights = 1.0 / (0.15 + rates)
    curve = (weights[:, None] * np.sin(2 * np.pi * rates[:, None] * times + phases[:, None])).sum(0)
    return curve / np.abs(curve).max()


def blink_track(times: np.ndarray, per_minute: float, rng: np.random.Generator) -> np.ndarray:
    """Lid closure [n] in 0..1: blinks close within 80 ms and open within 160 ms."""
    closure = np.zeros_like(times)
    start = rng.uniform(0.6, 1.4)
    while per_minute > 0 and start < times[-1]:
        since = times - start
        shut = np.clip(since / 0.08, 0, 1) * np.clip((0.26 - since) / 0.16, 0, 1)
        closure = np.maximum(closure, shut * shut * (3 - 2 * shut))
        start += rng.uniform(0.55, 1.45) * 60.0 / per_minute
    return closure


def plan_motion(situation: Situation, emphasis: np.ndarray) -> dict[str, np.ndarray]:
    """Draw all motion of a clip: per-instant parameters by name, all [n] or [n, k].

    `emphasis` [n] in 0..1 makes the head nod and the brows rise with the voice.
    """
    rng = np.random.default_rng(situation.seed)
    fps = situation.fps
    times = np.arange(situation.n_frames) / fps
    slow = gaussian_filter1d(emphasis, 0.12 * fps, mode="nearest")
    nod = slow - gaussian_filter1d(emphasis, 0.9 * fps, mode="nearest")
    nod = nod / max(np.abs(nod).max(), 1e-6)
    yaw = _wander(times, rng, 0.08, 0.42)
    pitch = 0.65 * _wander(times, rng, 0.08, 0.45) + 0.35 * nod
    roll = 0.6 * _wander(times, rng, 0.07, 0.35) - 0.4 * yaw
    lag = 0.25 * fps
    follow = gaussian_filter1d(np.stack([yaw, pitch], 1), lag, axis=0, mode="nearest")
    sway = np.stack([_wander(times, rng, 0.07, 0.22), 0.5 * _wander(times, rng, 0.07, 0.22)], 1)
    # The face looks left where yaw is positive, and the body follows it.
    sway = situation.body_sway_px * (0.6 * sway + 0.5 * follow * np.array([-1.0, 0.5]))
    shake = np.stack([_wander(times, rng, 0.5, 4.0), _wander(times, rng, 0.5, 4.0)], 1)
    return dict(
        yaw=np.deg2rad(situation.yaw_degrees) * yaw,
        pitch=np.deg2rad(situation.pitch_degrees) * pitch,
        roll=np.deg2rad(situation.roll_degrees) * roll,
        sway=sway,
        lean=np.deg2rad(0.25) * situation.body_sway_px * _wander(times, rng, 0.06, 0.2),
        breath=0.5 * np.sin(2 * np.pi * 0.27 * times + rng.uniform(0, 6.28)),
        shake=situation.camera_shake_px * shake,
        brow=np.clip(slow * 1.4 - 0.35, 0, 1),
    )
