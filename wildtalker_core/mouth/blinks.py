"""Blinks: those of a clip, and new ones like them while somebody else's speech is heard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

#: Channels of ``expression`` that close the eyes (eyeBlinkLeft, eyeBlinkRight).
BLINK_CHANNELS = (5, 6)
_REACH_SECONDS = 0.28  # half a blink's length; a blink takes 0.1 to 0.4 s
_LEAST_BLINK = 0.15  # of the channel's unit; a smaller rise is noise
_SHORTEST_INTERVAL_SECONDS = 0.8


def blinks(
    expression: Float[np.ndarray, "n 7"], fps: float
) -> tuple[Int64[np.ndarray, "blinks"], Float[np.ndarray, "around 2"], Float[np.ndarray, "2"]]:
    """What the blinks of a clip look like.

    Returns:
        middles (frame numbers), pulse (mean rise above the open eye around a middle; zeros if there
        is no blink), open_level.
    """
    eyes = expression[:, BLINK_CHANNELS]
    open_level = np.median(eyes, 0)
    rise = np.clip(eyes - open_level, 0, None)
    both = rise.mean(1)
    reach = max(1, round(_REACH_SECONDS * fps))
    pulse = np.zeros((2 * reach + 1, 2))
    if both.max() < _LEAST_BLINK:
        return np.zeros(0, np.int64), pulse, open_level
    is_closed = both > both.max() / 2
    starts = np.flatnonzero(is_closed & ~np.r_[False, is_closed[:-1]])
    ends = np.flatnonzero(is_closed & ~np.r_[is_closed[1:], False]) + 1
    middles = np.array(
        [a + both[a:b].argmax() for a, b in zip(starts, ends, strict=True)], np.int64
    )
    padded = np.pad(rise, ((reach, reach), (0, 0)))
    pulse = np.mean([padded[m : m + 2 * reach + 1] for m in middles], 0)
    # To and from exactly nothing, so that adding a pulse makes no step.
    return middles, pulse * np.hanning(2 * reach + 3)[1:-1, None] ** 0.5, open_level


@dataclass(frozen=True)
class BlinkManner:
    """How a person blinks.

    Attributes:
        pulse: mean rise around a blink's middle.
        open_level: of the open eye.
        mean_interval_seconds: between blinks; None for somebody who was never seen to blink.
    """

    pulse: Float[np.ndarray, "around 2"]
    open_level: Float[np.ndarray, "2"]
    mean_interval_seconds: float | None


def blink_manner(expression: Float[np.ndarray, "n 7"], fps: float) -> BlinkManner:
    """The manner of a clip. One without blinks keeps open eyes: it never saw them closed."""
    middles, pulse, open_level = blinks(expression, fps)
    interval = None
    if len(middles):
        interval = max(len(expression) / fps / len(middles), 2 * _SHORTEST_INTERVAL_SECONDS)
    return BlinkManner(pulse, open_level, interval)


class Blinking:
    """Endless new blinks, frame by frame.

    Intervals are exponential (blinks are nearly a Poisson process) with a refractory time.
    """

    def __init__(self, manner: BlinkManner, fps: float, seed: int) -> None:
        self._manner, self._fps = manner, fps
        self._generator = np.random.default_rng(seed)
        self._seconds, self._frame = 0.0, 0
        self._middle = self._next_middle()

    def _next_middle(self) -> int:
        mean = self._manner.mean_interval_seconds
        if mean is None:
            return 0
        self._seconds += _SHORTEST_INTERVAL_SECONDS + self._generator.exponential(
            mean - _SHORTEST_INTERVAL_SECONDS
        )
        return round(self._seconds * self._fps)

    def next(self) -> Float[np.ndarray, "2"]:
        """Blink channels of the next frame, in [0, 1]."""
        manner, reach = self._manner, len(self._manner.pulse) // 2
        values = manner.open_level.copy()
        if manner.mean_interval_seconds is not None:
            while self._frame > self._middle + reach:
                self._middle = self._next_middle()
            place = self._frame - self._middle + reach
            if place >= 0:
                values += manner.pulse[place]
        self._frame += 1
        return values.clip(0, 1)


def new_blinks(
    expression: Float[np.ndarray, "n 7"], n_frames: int, fps: float, seed: int
) -> Float[np.ndarray, "{n_frames} 2"]:
    """Blink channels with the rate and the form of the clip's own blinks."""
    blinking = Blinking(blink_manner(expression, fps), fps, seed)
    return np.array([blinking.next() for _ in range(n_frames)]).reshape(n_frames, 2)
