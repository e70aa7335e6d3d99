"""The mouth at rest: its shape, and when it goes there."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

_HOLD_SECONDS, _CLOSING_SECONDS = 0.3, 0.25


def rest_shape(
    shapes: Float[np.ndarray, "n k"],
    opening: Float[np.ndarray, "n"],
    is_silent: Bool[np.ndarray, "n"],
) -> Float[np.ndarray, "k"]:
    """The shape of the resting mouth: mean over the more closed half of the silent frames.

    ASSUME with fewer than ten silent frames, over the tenth of all frames that is most closed.
    """
    if is_silent.sum() >= 10:
        candidates, share = np.flatnonzero(is_silent), 0.5
    else:
        candidates, share = np.arange(len(shapes)), 0.1
    n = max(1, round(share * len(candidates)))
    return shapes[candidates[np.argsort(opening[candidates])[:n]]].mean(0)


def silence_ramp(is_silent: Bool[np.ndarray, "n"], fps: float) -> Float[np.ndarray, "n"]:
    """How far the mouth has gone to its rest in [0, 1], by how long nobody has spoken.

    In the pauses between words people keep their lips as they were: a mouth that closes in each of
    them is further from the filmed one (docs/portrait.md). So it closes softly after
    ``_HOLD_SECONDS`` of silence, in ``_CLOSING_SECONDS``, and opens as long before the next word.
    """
    hold, closing = _HOLD_SECONDS * fps, max(1.0, _CLOSING_SECONDS * fps)

    def frames_of_silence(flags: np.ndarray) -> np.ndarray:
        # What was before the recording counts as silence.
        count, counts = hold + closing, np.zeros(len(flags))
        for i, silent in enumerate(flags):
            count = count + 1 if silent else 0.0
            counts[i] = count
        return counts

    since, until = frames_of_silence(is_silent), frames_of_silence(is_silent[::-1])[::-1]
    ramp = np.clip((np.minimum(since, until) - hold) / closing, 0, 1)
    return ramp**2 * (3 - 2 * ramp)
