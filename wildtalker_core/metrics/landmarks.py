"""Scores of facial landmarks: where the mouth is, how wide it opens, whether the head trembles.

Landmarks are [frames, points, 2] pixels, NaN in frames where no face was found. A frame in which
either side has no face takes no part; the functions that return one value per frame have NaN there.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

#: Frame side for which the field gives landmark distances in pixels.
CUSTOMARY_SIZE_PX = 512

Distance = TypeVar("Distance", float, np.ndarray)


def has_face(points: np.ndarray) -> np.ndarray:
    """In which frames a face was found, [frames] bool."""
    return np.isfinite(points).all(axis=(1, 2))


def mouth_landmark_distance(reference: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """LMD: mean distance of mouth points after each frame's own mean is removed, [frames] pixels.

    The usual mouth of 20 points (48 to 67 of the 68-point scheme) is meant; the mean is taken over
    the points of each set, so that a shifted head costs nothing (Chen et al. 2018 and successors).
    Not divided by the face's size: see :func:`at_customary_size` and
    :func:`per_interocular_distance`.
    """
    _check(reference, estimate)
    centred_reference = reference - reference.mean(axis=1, keepdims=True)
    centred_estimate = estimate - estimate.mean(axis=1, keepdims=True)
    return np.linalg.norm(centred_reference - centred_estimate, axis=2).mean(axis=1)


def at_customary_size(distance_px: Distance, size_px: int) -> Distance:
    """Pixels in a frame of ``size_px`` -> pixels had the frame been 512 wide."""
    return distance_px * (CUSTOMARY_SIZE_PX / size_px)


def per_interocular_distance(
    distance_px: np.ndarray, left_eye: np.ndarray, right_eye: np.ndarray
) -> np.ndarray:
    """Distances [frames] as shares of the distance between the outer eye corners [frames, 2]."""
    return distance_px / np.linalg.norm(left_eye - right_eye, axis=1)


def mouth_opening(
    upper_lip: np.ndarray, lower_lip: np.ndarray, left_eye: np.ndarray, right_eye: np.ndarray
) -> np.ndarray:
    """Gap between the lips [frames] as a share of the distance between the outer eye corners.

    All arguments are [frames, 2] pixels: inner edge of either lip, outer eye corners.
    """
    gap = np.linalg.norm(upper_lip - lower_lip, axis=1)
    return per_interocular_distance(gap, left_eye, right_eye)


def correlation(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Pearson correlation of two series [frames] where both are known.

    NaN if fewer than three frames are known or either series does not move at all: a frozen mouth
    has no correlation, not a correlation of zero.
    """
    is_known = np.isfinite(reference) & np.isfinite(estimate)
    if is_known.sum() < 3:
        return float("nan")
    a = reference[is_known] - reference[is_known].mean()
    b = estimate[is_known] - estimate[is_known].mean()
    size = np.sqrt(np.sum(a**2) * np.sum(b**2))
    if size <= 1e-12 * max(np.abs(reference[is_known]).max(), 1e-12):
        return float("nan")
    return float(np.sum(a * b) / size)


def jitter(points: np.ndarray) -> float:
    """Mean length of the second difference over time of points that move with the skull, pixels.

    Zero for a head that rests or moves evenly. NaN frames interrupt: a difference across one is
    not counted. NaN if no three frames follow each other.

    Args:
        points: [frames, points, 2].
    """
    acceleration = points[2:] - 2 * points[1:-1] + points[:-2]
    lengths = np.linalg.norm(acceleration, axis=2)
    is_known = np.isfinite(lengths)
    return float(lengths[is_known].mean()) if is_known.any() else float("nan")


def _check(reference: np.ndarray, estimate: np.ndarray) -> None:
    if reference.shape != estimate.shape or reference.ndim != 3 or reference.shape[2] != 2:
        raise ValueError(f"reference {reference.shape} and estimate {estimate.shape} differ")
