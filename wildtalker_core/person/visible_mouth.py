"""In which frames the mouth is seen: a landmark model draws lips on a hand, too."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from wildtalker_core.media.splits import Split, by_parts
from wildtalker_core.person.hands import fill_hull
from wildtalker_core.person.landmarks import LIPS_OUTER
from wildtalker_core.person.parsing import HANDS

# ASSUME: a tenth of the lips may be behind a hand, a finger's edge. On training frames of a real
# clip with drawn hands no share lay between 0, where lips stray by .002 face widths, and .2, where
# they stray by .01 and more (docs/scores.md).
_MOST_HIDDEN = 0.1
# ASSUME: what a hand does to the landmarks reaches as far as they are smoothed (5 frames), and its
# blur is there before its outline is.
_REACH_FRAMES = 2
# ASSUME: a clip that hides the mouth nearly always is learnt from the clearest tenth of its frames.
_LEAST_SEEN = 0.1


def hidden_lips(landmarks: np.ndarray, parsings: Iterable[np.ndarray]) -> np.ndarray:
    """Share of the lips that lies behind hands [n] in [0, 1].

    The transient mask tells no more: in front of the head only detected hands are in it.

    Args:
        landmarks: [n, 478, 2] pixels.
        parsings: [height, width, 5] uint8 of each frame.
    """
    shares = np.zeros(len(landmarks))
    # Unequal lengths are named by the scene.
    for i, (points, parsing) in enumerate(zip(landmarks, parsings, strict=False)):
        lips = fill_hull(points[list(LIPS_OUTER)], parsing.shape[:2]) > 127
        if lips.any():
            shares[i] = parsing[..., HANDS][lips].mean() / 255
    return shares


def visible_mouths(hidden: np.ndarray, is_face_visible: np.ndarray, split: Split) -> np.ndarray:
    """Frames [n] bool whose mouth may be learnt from.

    Args:
        hidden: [n] of :func:`hidden_lips`; is_face_visible: [n] bool.
    """
    limit = _MOST_HIDDEN
    known = np.sort(hidden[split.is_fitted & is_face_visible])
    if len(known):
        limit = max(limit, known[int(np.ceil(_LEAST_SEEN * len(known))) - 1])

    def grown(is_hidden: np.ndarray) -> np.ndarray:
        around = np.ones(2 * _REACH_FRAMES + 1)
        return np.convolve(is_hidden, around)[_REACH_FRAMES:-_REACH_FRAMES] > 0

    is_near_hidden = by_parts(grown, hidden > limit, split)
    # Where that leaves too few, neighbours of hidden mouths serve, too.
    few = (split.is_fitted & is_face_visible & ~is_near_hidden).sum() < _LEAST_SEEN * len(known)
    return is_face_visible & ~(hidden > limit if few else is_near_hidden)
