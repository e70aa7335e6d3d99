"""Which frames are learnt from and which are kept for the test."""

from __future__ import annotations

import numpy as np

from wildtalker_core.errors import InputError


def split_frames(n_frames: int, train_fraction: float = 10 / 11) -> tuple[np.ndarray, np.ndarray]:
    """Split a clip in time: first ``int(n_frames * train_fraction)`` frames to train, rest to test.

    Neighbouring frames are alike, so a random split would test on what was learnt.

    Returns:
        train_frames, test_frames: int64 frame numbers.

    Raises:
        InputError: one side would be empty.

    >>> [len(part) for part in split_frames(275)]
    [250, 25]
    """
    # The tolerance keeps 10/11 of 275 at 250 in spite of rounding.
    n_train = int(n_frames * train_fraction + 1e-9)
    if not 0 < n_train < n_frames:
        raise InputError(
            f"clip of {n_frames} frames",
            f"leaves {n_train} frames to train and {n_frames - n_train} to test",
            "give a longer clip or change scene.train_fraction",
        )
    return np.arange(n_train), np.arange(n_train, n_frames)
