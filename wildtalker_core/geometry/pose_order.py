"""In which order known head poses are shown while somebody else's speech is heard."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Int64


def back_and_forth(n_poses: int, n_frames: int) -> Int64[np.ndarray, "{n_frames}"]:
    """Indices that walk 0, 1, .., n-1, n-2, .., 0, 1, ..: never a jump, never a stop.

    >>> back_and_forth(3, 7)
    array([0, 1, 2, 1, 0, 1, 2])
    """
    if n_poses == 1:
        return np.zeros(n_frames, np.int64)
    period = 2 * (n_poses - 1)
    place = np.arange(n_frames) % period
    return np.minimum(place, period - place)


def longest_run(frames: Int[np.ndarray, "k"]) -> Int[np.ndarray, "n"]:
    """The longest stretch of consecutive numbers in increasing ``frames``."""
    runs = np.split(frames, np.flatnonzero(np.diff(frames) != 1) + 1)
    return max(runs, key=len)
