"""Flow magnitude beyond rigid motion, frame by frame: V_i of the paper's Eq. 4."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import cv2
import numpy as np

from wildtalker_core.media.image import at_most
from wildtalker_core.occlusion.flow_model import landmark_motion
from wildtalker_core.occlusion.rigid_motion import (
    HANDS,
    TORSO,
    RigidMotion,
    fit_rigid_motion,
    intensity_motion,
    motion_beyond,
    parts_near,
)

#: (frames [n, height, width, 3] uint8 RGB, frames one earlier, same shape) → backward flows
#: [n, height, width, 2] float32, pixels.
FlowEstimator = Callable[[np.ndarray, np.ndarray], np.ndarray]


# ASSUME: flow is measured and judged at this height at most: masks need no more, and a dense flow
# finds other details at another size, so that masks would depend on it.
ANALYSIS_PX = 256


class DisFlow:
    """Dense inverse search flow (Kroeger et al. 2016) of OpenCV: no weights, milliseconds.

    Args:
        preset: ``ultrafast``, ``fast`` or ``medium``, as OpenCV names them.
    """

    def __init__(self, preset: str = "medium") -> None:
        presets = {
            "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
            "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
            "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
        }
        # Any: OpenCV annotates the flow to begin with as if it could not be None.
        self._flow: Any = cv2.DISOpticalFlow.create(presets[preset])

    def __call__(self, frames: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        return np.stack(
            [
                self._flow.calc(to_gray(frame), to_gray(before), None)
                for frame, before in zip(frames, earlier, strict=True)
            ]
        )


@dataclass(frozen=True)
class FrameMotion:
    """What moved between frame i-1 and frame i.

    Attributes:
        beyond_rigid: |V_i| [height, width] float16, pixels per frame; zero for frame 0.
        rigid: the parts' motion, on the pixels of frame i; all zero for frame 0.
    """

    beyond_rigid: np.ndarray
    rigid: RigidMotion


def measure_motion(
    frames: Iterable[np.ndarray],
    parsings: Iterable[np.ndarray],
    landmarks: np.ndarray,
    estimate: FlowEstimator,
    batch_size: int = 1,
    use_hands: bool = True,
    part_starts: Collection[int] = (),
) -> Iterator[FrameMotion]:
    """Yield what moves beyond the rigid motion of camera, head and torso, for every frame.

    Flow counts as far as the intensities bear it out, against the frame before and against the one
    after: what a hand uncovers differs from the past, what it is about to cover from the future,
    the hand itself from both.

    Args:
        frames: [height, width, 3] uint8 RGB each. parsings: [height, width, 5] uint8 each.
        landmarks: [n, points, 2] pixels.
        estimate: optical flow, given ``batch_size`` pairs at a time, 256 pixels high at most.
        use_hands: False counts the parsing's hands as torso, as if hands were never detected.
        part_starts: first frames of parts of the clip; the frame before one is compared with the
            past only.

    At most ``batch_size`` + 1 frames are held.
    """
    frames, parsings = iter(frames), iter(parsings)
    if not use_hands:
        parsings = map(without_hands, parsings)
    earlier = Observation.of(next(frames), next(parsings))
    beyond, rigid = np.zeros(earlier.gray.shape, np.float32), RigidMotion.none()
    number = 1
    while batch := list(islice(frames, batch_size)):
        seen = [Observation.of(frame, next(parsings)) for frame in batch]
        small = np.stack([observation.frame for observation in (earlier, *seen)])
        for flow, now in zip(estimate(small[1:], small[:-1]), seen, strict=True):
            head_shift = landmark_motion(landmarks[number - 1], landmarks[number], now.height)
            motion = fit_rigid_motion(flow, now.gray, now.parsing, now.scale * head_shift)
            if number not in part_starts:
                beyond = _borne_out(beyond, earlier, now, motion.reversed())
            yield earlier.report(beyond, rigid)
            beyond, rigid = motion_beyond(flow, now.near, motion), motion
            beyond = _borne_out(beyond, now, earlier, motion)
            earlier = now
            number += 1
    yield earlier.report(beyond, rigid)


def measure_raw_motion(
    frames: Iterable[np.ndarray],
    parsings: Iterable[np.ndarray],
    landmarks: np.ndarray,
    estimate: FlowEstimator,
    *others: Any,
    **named: Any,
) -> Iterator[FrameMotion]:
    """As :func:`measure_motion`, but with |V_i| of Eq. 4 as it is: all flow, the head's and the
    torso's own motion included, whatever the intensities say."""
    flows: deque[np.ndarray] = deque()

    def recorded(now: np.ndarray, earlier: np.ndarray) -> np.ndarray:
        found = estimate(now, earlier)
        flows.extend(found)
        return found

    motions = measure_motion(frames, parsings, landmarks, recorded, *others, **named)
    for number, motion in enumerate(motions):
        height, width = motion.beyond_rigid.shape
        magnitude = np.zeros((height, width), np.float32)
        if number:
            magnitude = np.linalg.norm(flows.popleft(), axis=-1)
            magnitude *= height / len(magnitude)
            magnitude = cv2.resize(magnitude, (width, height), interpolation=cv2.INTER_LINEAR)
        yield replace(motion, beyond_rigid=magnitude.astype(np.float16))


@dataclass(frozen=True)
class Observation:
    """One frame as this module needs it.

    Attributes:
        height, width: of the whole frame, pixels.
        scale: size of what follows, relative to the frame.
        frame: [h, w, 3] uint8 RGB.
        gray, parsing, near: see :mod:`wildtalker_core.occlusion.rigid_motion`.
    """

    height: int
    width: int
    scale: float
    frame: np.ndarray
    gray: np.ndarray
    parsing: np.ndarray
    near: list[np.ndarray]

    @classmethod
    def of(cls, frame: np.ndarray, parsing: np.ndarray) -> Observation:
        height, width = frame.shape[:2]
        frame, parsing = at_most(frame, ANALYSIS_PX), at_most(parsing, ANALYSIS_PX)
        scale = len(frame) / height
        return cls(height, width, scale, frame, to_gray(frame), parsing, parts_near(parsing))

    def report(self, beyond: np.ndarray, rigid: RigidMotion) -> FrameMotion:
        """Back at the size of the frame."""
        if self.scale < 1.0:
            size = (self.width, self.height)
            beyond = cv2.resize(beyond, size, interpolation=cv2.INTER_LINEAR)
        return FrameMotion((beyond / self.scale).astype(np.float16), rigid.scaled(1.0 / self.scale))


def _borne_out(
    beyond: np.ndarray, now: Observation, other: Observation, motion: RigidMotion
) -> np.ndarray:
    """Flow magnitude, limited to twice what the intensities show against another frame."""
    return np.minimum(beyond, 2.0 * intensity_motion(now.gray, other.gray, now.near, motion))


def to_gray(frame: np.ndarray) -> np.ndarray:
    """[height, width, 3] uint8 RGB → [height, width] uint8."""
    return cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)


def without_hands(parsing: np.ndarray) -> np.ndarray:
    """The same memberships with the hands counted as torso."""
    merged = parsing.copy()
    merged[..., TORSO] += merged[..., HANDS]
    merged[..., HANDS] = 0
    return merged
