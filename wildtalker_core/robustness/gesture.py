"""When and where a synthetic hand gestures: its pose as a pure function of time.

Lengths are canvas pixels: pixels of a frame 256 pixels wide, x right, y down, z towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GESTURE_KINDS = (
    "fast_wave",
    "slow_entry",
    "held_hand",
    "leaving_hand",
    "prop_in_hand",
    "beat",
    "none",
)


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
