"""How a part of the picture moves as a whole: each frame registered to a mean picture of the part.

Head poses come from the face. How the torso moves, and how the camera moves against what is behind
the person, must be measured too: learnt from the picture's error alone it stays where it started
(a blurred edge has no gradient that leads a collar over ten pixels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.signal import medfilt

from wildtalker_core.media.splits import interpolated

#: (frame number) -> grey picture [height, width] uint8 and where it shows the part [height, width]
#: bool.
ReadPart = Callable[[int], tuple[np.ndarray, np.ndarray]]

#: Columns of a motion: shift x and y at the part's centre (pixels), rotation (radians), logarithm
#: of the scale.
N_SIMILARITY = 4
_MOST_AVERAGED = 200  # frames: more do not sharpen the mean
_TEXTURE = 4.0  # grey levels per pixel: below it flow guesses
_LEAST_POINTS = 50
_MEDIAN_FRAMES = 5
# ASSUME what leaves the running median by more is a failed fit: shift in pixels at 256, rotation
# and scale. People do not jump for a frame and back. A longer window, or less, takes the turning
# points of fast motion for mistakes.
_OUTLIER = np.array([1.6, 1.6, 0.017, 0.016])


@dataclass(frozen=True)
class Motion:
    """Motion of a part in each frame, from the mean picture (canvas) to the frame.

    A canvas point p goes to ``similarity(p + sum_k soft[i, k] * soft_basis[k](p))``.

    Attributes:
        similarity: [n, 4], columns as ``N_SIMILARITY`` says, about ``centre``.
        centre: [2] pixels.
        soft: [n, k] unit variance on the frames that were fitted; [n, 0] if nothing is soft.
        soft_basis: [k, grid, grid, 2] pixels, on a regular grid over ``box``.
        box: [4] x0, y0, x1, y1 pixels of the canvas.
        is_interpolated: [n] bool, where the fit failed.
        reference: number of the frame whose place the canvas has.
    """

    similarity: np.ndarray
    centre: np.ndarray
    soft: np.ndarray
    soft_basis: np.ndarray
    box: np.ndarray
    is_interpolated: np.ndarray
    reference: int


def similarity_matrix(motion: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Motions [..., 4] -> matrices [..., 3, 3] that map canvas pixels to frame pixels.

    >>> similarity_matrix(np.array([2.0, 0, 0, 0]), np.zeros(2))[:2, 2]
    array([2., 0.])
    """
    scale, angle = np.exp(motion[..., 3]), motion[..., 2]
    matrix = np.zeros((*motion.shape[:-1], 3, 3))
    matrix[..., 0, 0] = matrix[..., 1, 1] = scale * np.cos(angle)
    matrix[..., 1, 0] = scale * np.sin(angle)
    matrix[..., 0, 1] = -matrix[..., 1, 0]
    matrix[..., :2, 2] = centre + motion[..., :2] - matrix[..., :2, :2] @ centre
    matrix[..., 2, 2] = 1
    return matrix


def similarity_of(matrix: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Inverse of :func:`similarity_matrix` for matrices [..., 3, 3] (or [..., 2, 3])."""
    shift = matrix[..., :2, :2] @ centre + matrix[..., :2, 2] - centre
    angle = np.arctan2(matrix[..., 1, 0] - matrix[..., 0, 1], matrix[..., 0, 0] + matrix[..., 1, 1])
    scale = np.log(np.linalg.det(matrix[..., :2, :2])) / 2
    return np.concatenate((shift, angle[..., None], scale[..., None]), -1)


class _Registrar:
    """Dense flow from a fixed picture, made a similarity by RANSAC on textured points."""

    def __init__(self, picture: np.ndarray, is_part: np.ndarray) -> None:
        self.picture = picture
        # Any: OpenCV annotates the flow to begin with as if it could not be None.
        self.flow: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        slopes = [cv2.Sobel(picture, cv2.CV_32F, *d, ksize=3) / 4 for d in ((1, 0), (0, 1))]
        self.is_textured = is_part & (np.hypot(*slopes) > _TEXTURE)
        y, x = self.is_textured.nonzero()
        self.points = np.stack((x, y), -1).astype(np.float32)

    def residual(
        self, frame: np.ndarray, is_part: np.ndarray, matrix: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Flow [h, w, 2] left after ``matrix`` [3, 3], and where the frame shows the part."""
        size = frame.shape[::-1]
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(frame, matrix[:2], size, flags=how, borderMode=cv2.BORDER_REPLICATE)
        shows = cv2.warpAffine(is_part.astype(np.uint8) * 255, matrix[:2], size, flags=how)
        return self.flow.calc(self.picture, warped, None), shows > 127

    def fit(self, frame: np.ndarray, is_part: np.ndarray, matrix: np.ndarray) -> np.ndarray | None:
        """A better matrix [3, 3] than ``matrix``; None where too little can be seen."""
        flow, shows = self.residual(frame, is_part, matrix)
        x, y = self.points.astype(int).T
        targets = self.points + flow[y, x]
        nearest = np.round(targets).astype(int).clip(0, np.array(frame.shape[::-1]) - 1)
        valid = shows[nearest[:, 1], nearest[:, 0]]
        if valid.sum() < _LEAST_POINTS:
            return None
        step, _ = cv2.estimateAffinePartial2D(
            self.points[valid], targets[valid], ransacReprojThreshold=1.0, maxIters=500
        )
        return None if step is None else matrix @ np.vstack((step, (0, 0, 1)))


def register(
    read: ReadPart,
    n_frames: int,
    fit_frames: np.ndarray,
    segments: list[np.ndarray],
    reference: int,
) -> Motion:
    """Register every frame to the mean picture of the part.

    The mean comes from ``fit_frames`` alone. Outliers are found within each of ``segments`` (the
    parts of the split), so that no frame depends on one of another segment.

    Args:
        read: gives a frame's picture and the part in it.
        reference: one of ``fit_frames``; the canvas has its place.
    """
    averaged = fit_frames[:: max(1, len(fit_frames) // _MOST_AVERAGED)]
    first = _Registrar(*read(reference))
    rough = _follow(first, read, averaged, start=reference)
    canvas, is_known = mean_picture(read, averaged, rough)
    registrar = _Registrar(canvas, is_known)
    centre, box = middle_and_box(is_known)
    motion = np.full((n_frames, N_SIMILARITY), np.nan)
    for segment in segments:
        known = (
            np.interp(segment, averaged, np.arange(len(averaged))).round().astype(int)
        )  # the nearest frame of the rough pass
        for frame, near in zip(segment.tolist(), known.tolist(), strict=True):
            picture, part = read(frame)
            matrix = rough[near]
            for _ in range(2):
                better = registrar.fit(picture, part, matrix)
                if better is None:
                    break
                matrix = better
            else:
                motion[frame] = similarity_of(matrix, centre)
    motion, is_interpolated = by_segments(motion, segments, max(canvas.shape) / 256)
    soft, basis = np.zeros((n_frames, 0)), np.zeros((0, 2, 2, 2))
    return Motion(motion, centre, soft, basis, box, is_interpolated, reference)


def _follow(registrar: _Registrar, read: ReadPart, frames: np.ndarray, start: int) -> np.ndarray:
    """Matrices [len(frames), 3, 3], each found from its neighbour's, outwards from ``start``."""
    place = int(np.abs(frames - start).argmin())
    matrices = np.tile(np.eye(3), (len(frames), 1, 1))
    for walk in (range(place, len(frames)), range(place - 1, -1, -1)):
        matrix = matrices[place]
        for i in walk:
            picture, part = read(int(frames[i]))
            for _ in range(2):
                better = registrar.fit(picture, part, matrix)
                matrix = matrix if better is None else better
            matrices[i] = matrix
    return matrices


def mean_picture(
    read: ReadPart, frames: np.ndarray, matrices: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the registered part [h, w] uint8, and where half of the frames show it [h, w]."""
    total, count = np.zeros((), np.float32), np.zeros(())
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for frame, matrix in zip(frames.tolist(), matrices, strict=True):
        picture, part = read(frame)
        size = picture.shape[::-1]
        shows = cv2.warpAffine(part.astype(np.float32), matrix[:2], size, flags=how) > 0.9
        total = (
            total + cv2.warpAffine(picture.astype(np.float32), matrix[:2], size, flags=how) * shows
        )
        count = count + shows
    mean = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    return mean.round().astype(np.uint8), count > 0.5 * len(frames)


def middle_and_box(is_part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre [2] and corners [4] (x0, y0, x1, y1) of what is True, pixels; of all where nothing is.

    Args:
        is_part: [height, width] bool.
    """
    rows, columns = is_part.nonzero()
    if not len(rows):
        rows, columns = (np.array([0, n - 1]) for n in is_part.shape)
    box = np.array([columns.min(), rows.min(), columns.max(), rows.max()], np.float64)
    return np.array([columns.mean(), rows.mean()]), box


def by_segments(
    motion: np.ndarray, segments: list[np.ndarray], size: float
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`without_outliers` of each segment by itself; frames of none stay as they are."""
    motion, is_interpolated = motion.copy(), np.ones(len(motion), bool)
    for segment in segments:
        motion[segment], is_interpolated[segment] = without_outliers(motion[segment], size)
    return motion, is_interpolated


def without_outliers(motion: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Motions [n, 4 + k] with failed fits (NaN, or far from the running median) interpolated.

    What follows the similarity is interpolated with it, and judged by it alone.

    Args:
        size: of the picture in units of 256 pixels.

    Returns:
        motions, and which were interpolated [n] bool.
    """
    found = np.isfinite(motion).all(1)
    if not found.any():
        return np.zeros_like(motion), ~found
    filled = interpolated(motion, found)
    window = min(_MEDIAN_FRAMES, len(motion) - 1 + len(motion) % 2)
    median = np.stack(
        [medfilt(np.pad(c, window, "edge"), window)[window:-window] for c in filled.T], -1
    )
    size = max(size, 0.5)
    off = np.abs(filled - median)[:, :N_SIMILARITY]
    good = found & (off <= _OUTLIER * [size, size, 1, 1]).all(1)
    return (interpolated(motion, good), ~good) if good.any() else (median, ~good)
