"""Blinks: those of a clip, and new ones like them while somebody else's speech is heard."""

from __future__ import annotations

import numpy as np

#: Channels of ``expression`` that close the eyes (eyeBlinkLeft, eyeBlinkRight).
BLINK_CHANNELS = (5, 6)
_REACH_SECONDS = 0.28  # half a blink's length; a blink takes 0.1 to 0.4 s
_LEAST_BLINK = 0.15  # of the channel's unit; a smaller rise is noise
_SHORTEST_INTERVAL_SECONDS = 0.8


def blinks(expression: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the blinks of a clip look like.

    Args:
        expression: [n, 7].

    Returns:
        middles [b] (frame numbers), pulse [2 * reach + 1, 2] (mean rise above the open eye around
        a middle; zeros if there is no blink), open_level [2].
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


def new_blinks(expression: np.ndarray, n_frames: int, fps: float, seed: int) -> np.ndarray:
    """Blink channels [n_frames, 2] with the rate and the form of the clip's own blinks.

    Intervals are exponential (blinks are nearly a Poisson process) with a refractory time. A clip
    without blinks gives open eyes: its portrait has never seen them closed.
    """
    middles, pulse, open_level = blinks(expression, fps)
    values = np.tile(open_level, (n_frames, 1))
    if not len(middles):
        return values
    generator = np.random.default_rng(seed)
    mean_interval = max(len(expression) / fps / len(middles), 2 * _SHORTEST_INTERVAL_SECONDS)
    reach, time = len(pulse) // 2, 0.0
    while True:
        time += _SHORTEST_INTERVAL_SECONDS + generator.exponential(
            mean_interval - _SHORTEST_INTERVAL_SECONDS
        )
        middle = round(time * fps)
        if middle >= n_frames:
            return np.clip(values, 0, 1)
        first, last = max(middle - reach, 0), min(middle + reach + 1, n_frames)
        part = pulse[first - middle + reach : last - middle + reach]
        values[first:last] = np.maximum(values[first:last], open_level + part)
