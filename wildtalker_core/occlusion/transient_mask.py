"""Which pixels show something that comes and goes (a hand, a prop): the paper's Eq. 4."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from wildtalker_core.occlusion.flow_model import evaluate
from wildtalker_core.occlusion.rigid_motion import (
    BACKGROUND,
    HANDS,
    HEAD,
    NECK,
    RigidMotion,
    gradient_of,
)

#: (|V_i| [height, width] pixels per frame, M_{i-1} [height, width]) → δ_i in [0, 1], the factor
#: that M_{i-1} keeps. Called once per frame, in order, from the second frame on.
Decay = Callable[[np.ndarray, np.ndarray], np.ndarray]

#: ASSUME: θ means a displacement per frame at this rate (the paper's clips have 25 fps).
REFERENCE_FPS = 25.0

# ASSUME: appearance is compared over this share of the frame height.
_COMPARE_SCALE = 0.008
# ASSUME: the same place seconds later differs by this many grey levels, and by a shift of so many
# pixels that the rigid motion got wrong.
_REST_NOISE = 14.0
_REST_SHIFT_PX = 1.2
_DOUBT_REACH = 0.04
# ASSUME: the flow of hair, loose strands that the parsing misses, and a chin that talks reach this
# far beyond the head, share of the height.
_HEAD_MARGIN = 0.05
# ASSUME: a neck draws the skin beside and below it along this far, share of the height.
_NECK_MARGIN = 0.03
# ASSUME: stirring of a hand's outline keeps the mask of what lies this near, share of the height.
_STIR_REACH = 0.02


def threshold_px(flow_threshold: float, height: int, fps: float) -> float:
    """θ in pixels per frame, from a share of the frame height per frame at 25 fps.

    The same motion of the same person passes it at any resolution and frame rate.
    """
    return flow_threshold * height * REFERENCE_FPS / fps


def constant_decay(decay: float) -> Decay:
    """δ_i = ``decay`` everywhere, whatever moves."""
    return lambda flow_magnitude, mask: np.full(flow_magnitude.shape, decay, np.float32)


@dataclass(frozen=True)
class HalfLives:
    """How long a mask lasts, in frames, by what the flow says; motion limits in pixels per frame.

    Up to ``still_px`` of motion a region is at rest and its mask halves every ``rest_frames``; from
    ``stirring_px`` on (a hand held in view is never quite still) it halves only every
    ``stir_frames``; between, the rate 1 / half-life is interpolated. ``return_frames`` is for a
    region that looks as it did before it was masked; see :class:`RestMemory`.
    """

    still_px: float
    stirring_px: float
    rest_frames: float
    stir_frames: float
    return_frames: float

    def rate(self, flow_magnitude: np.ndarray) -> np.ndarray:
        """Halvings per frame [height, width]; a hand stirs as a whole, though its edges show it."""
        size = 2 * round(_STIR_REACH * len(flow_magnitude)) + 1
        square = np.ones((size, size), np.uint8)
        flow_magnitude = cv2.dilate(flow_magnitude.astype(np.float32), square)
        span = max(self.stirring_px - self.still_px, 1e-6)
        stir = np.clip((flow_magnitude - self.still_px) / span, 0.0, 1.0)
        return 1.0 / self.rest_frames + stir * (1.0 / self.stir_frames - 1.0 / self.rest_frames)


def adaptive_decay(half_lives: HalfLives) -> Decay:
    """δ_i that follows the flow at frame i, per pixel: 2 to the minus :meth:`HalfLives.rate`."""
    return lambda flow_magnitude, mask: np.exp2(-half_lives.rate(flow_magnitude))


class RestMemory:
    """δ_i that also follows the flow against the person at rest, as last seen unmasked.

    Flow from the frame before cannot tell a hand that has stopped from the torso that a hand has
    just left: both rest now and moved before. So the appearance of every pixel is remembered from
    when it was last unmasked, and carried along with the rigid motion of its part. A masked pixel
    that agrees with its memory has returned, and is released with the half-life ``return_frames``;
    any other pixel decays as :func:`adaptive_decay` says. Causal: a :data:`Decay` with a state.

    Args:
        frames: [height, width, 3] uint8 RGB. parsings: [height, width, 5] uint8.
        motions: rigid motion of each frame (the first is not used).
        half_lives: see there.
        use_hands: never remember what the parsing calls a hand.
    """

    def __init__(
        self,
        frames: Iterable[np.ndarray],
        parsings: Iterable[np.ndarray],
        motions: Iterable[RigidMotion],
        half_lives: HalfLives,
        use_hands: bool,
    ) -> None:
        self._stream = zip(frames, parsings, motions, strict=True)
        self._half_lives, self._use_hands = half_lives, use_hands
        self._frame, self._parsing, _ = next(self._stream)
        self._picture = self._frame.copy()
        self._part = _part_of(self._parsing)

    def __call__(self, flow_magnitude: np.ndarray, mask: np.ndarray) -> np.ndarray:
        self._learn(mask)
        self._frame, self._parsing, motion = next(self._stream)
        self._carry(motion)
        returned = np.clip(2.0 - self._departure(), 0.0, 1.0)
        rate = self._half_lives.rate(flow_magnitude)
        rate += returned * np.maximum(1.0 / self._half_lives.return_frames - rate, 0.0)
        return np.exp2(-rate)

    def _learn(self, mask: np.ndarray) -> None:
        """Remember the last frame wherever it is unmasked."""
        # ASSUME: what is masked by a tenth is still a little doubtful, and beside a mask lie the
        # hand's shade and blur: neither is remembered.
        doubtful = (mask >= 0.1).astype(np.uint8)
        size = 2 * round(_DOUBT_REACH * len(mask)) + 1
        seen = cv2.dilate(doubtful, np.ones((size, size), np.uint8)) == 0
        if self._use_hands:
            seen &= self._parsing[..., HANDS] < 64
        self._picture[seen] = self._frame[seen]
        self._part[seen] = _part_of(self._parsing)[seen]

    def _carry(self, motion: RigidMotion) -> None:
        """Move the remembered picture to the present frame, each part by its own motion."""
        height, width = self._part.shape
        x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        picture, part = self._picture, np.zeros_like(self._part)
        # Nearer parts are laid over farther ones.
        for number, model in enumerate((motion.background, motion.torso, motion.head)):
            flow = evaluate(model, height, width)
            to_x, to_y = x + flow[..., 0], y + flow[..., 1]
            moved = cv2.remap(
                self._picture, to_x, to_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            if number == 0:
                picture = moved
                continue
            there = cv2.remap(
                (self._part == number).astype(np.uint8) * 255,
                to_x,
                to_y,
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            here = there > 127
            picture[here], part[here] = moved[here], number
        self._picture, self._part = picture, part

    def _departure(self) -> np.ndarray:
        """Difference [height, width] of frame and memory, in units of what rest may differ by."""
        spread = _COMPARE_SCALE * len(self._frame)
        difference = cv2.absdiff(self._frame, self._picture).astype(np.float32).max(-1)
        slope = gradient_of(cv2.cvtColor(self._picture, cv2.COLOR_RGB2GRAY))
        tolerance = _REST_NOISE**2 + (_REST_SHIFT_PX * slope) ** 2
        return np.sqrt(
            cv2.GaussianBlur(difference**2, (0, 0), spread)
            / cv2.GaussianBlur(tolerance, (0, 0), spread)
        )


def _part_of(parsing: np.ndarray) -> np.ndarray:
    """[height, width] uint8: 0 background, 1 torso (with neck and hands), 2 head."""
    part = (parsing[..., BACKGROUND] < 128).astype(np.uint8)
    part[parsing[..., HEAD] > 127] = 2
    return part


def accumulate(
    flow_magnitude: Iterable[np.ndarray], flow_threshold_px: float, decay: Decay
) -> Iterator[np.ndarray]:
    """Yield the transient mask M_i [height, width] float32 in [0, 1] of each frame (Eq. 4).

    M_i = max(M_{i-1} · δ_i, 1(|V_i| > θ)), with M before the first frame 0. Causal: M_i depends on
    V_0 … V_i only, and one mask is held.

    Args:
        flow_magnitude: |V_i| [height, width] of each frame in turn, pixels per frame.
        flow_threshold_px: θ, pixels per frame; see :func:`threshold_px`.
        decay: δ_i, a number per pixel.
    """
    mask = None
    for magnitude in flow_magnitude:
        moving = (magnitude > flow_threshold_px).astype(np.float32)
        if mask is None:
            mask = moving
        else:
            mask = np.maximum(mask * decay(magnitude, mask), moving)
        yield mask


def without_head_motion(flow_magnitude: np.ndarray, parsing: np.ndarray) -> np.ndarray:
    """|V_i| with the talking head taken out: what accumulates begins outside it.

    A mouth that talks, hair that swings and the skin of a neck over its throat move beyond any
    rigid part, yet are what is learnt. They must not even enter the mask, or they would stay in it
    where the head has left.
    """
    is_own = np.zeros(flow_magnitude.shape, bool)
    for part, margin in ((HEAD, _HEAD_MARGIN), (NECK, _NECK_MARGIN)):
        size = 2 * round(margin * len(parsing)) + 1
        reach = cv2.dilate(
            np.ascontiguousarray(parsing[..., part]), np.ones((size, size), np.uint8)
        )
        is_own |= reach > 127
    return np.where(is_own, np.float32(0.0), flow_magnitude.astype(np.float32))


def restrict_to_transients(mask: np.ndarray, parsing: np.ndarray, use_hands: bool) -> np.ndarray:
    """Take the head out of a mask (over which it may have moved), put the detected hands in.

    Args:
        mask: [height, width] float32 in [0, 1]. parsing: [height, width, 5] uint8 memberships.
        use_hands: whether the parsing's hands are transient whether they move or not; they are the
            only thing that is masked in front of the head.
    """
    outside_head = 1.0 - parsing[..., HEAD].astype(np.float32) / 255.0
    restricted = mask * outside_head
    if use_hands:
        restricted = np.maximum(restricted, parsing[..., HANDS].astype(np.float32) / 255.0)
    return restricted
