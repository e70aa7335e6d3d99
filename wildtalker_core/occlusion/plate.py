"""What is behind the person where the camera moves: one larger picture."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from wildtalker_core.media.image import fill_nearest

#: Share of the height by which the plate is larger than a frame on each side.
_MARGIN = 0.12
_MOST_FRAMES = 60
#: ASSUME a camera that moves by less (pixels at 256, 95 % of the frames) stands.
STILL_PX = 0.6


def is_moving(similarity: np.ndarray, height: int) -> bool:
    """Whether motions [n, 4] of the background are those of a camera that moves.

    >>> is_moving(np.zeros((10, 4)), 256)
    False
    """
    around = np.abs(similarity - np.median(similarity, 0))
    # At the picture's edge, half a height away from the centre, turns and zooms move it, too.
    moved = np.hypot(around[:, 0], around[:, 1]) + height / 2 * around[:, 2:].sum(1)
    return bool(np.quantile(moved, 0.95) > STILL_PX * height / 256)


def moved_plate(
    read: Callable[[int], tuple[np.ndarray, np.ndarray]],
    frames: np.ndarray,
    matrices: np.ndarray,
) -> np.ndarray:
    """Median of what registered frames show behind the person.

    Args:
        read: gives a frame's colours [h, w, 3] uint8 and where they are background [h, w] bool.
        frames: [k] training frames; matrices: [k, 3, 3] from the plate's pixels to theirs.

    Returns:
        [h + 2 m, w + 2 m, 3] uint8, m = :func:`margin` of h. What no frame shows has the nearest
        colour that one does.
    """
    step = max(1, len(frames) // _MOST_FRAMES)
    seen, shown = [], []
    for frame, matrix in zip(frames[::step].tolist(), matrices[::step], strict=True):
        picture, part = read(frame)
        height, width = part.shape
        pad = margin(height)
        size = (width + 2 * pad, height + 2 * pad)
        shift = matrix @ np.array([[1, 0, -pad], [0, 1, -pad], [0, 0, 1.0]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        inner = cv2.erode(part.astype(np.uint8), np.ones((5, 5), np.uint8))
        seen.append(cv2.warpAffine(picture, shift[:2], size, flags=how))
        shown.append(cv2.warpAffine(inner * 255, shift[:2], size, flags=how) > 250)
    shows = np.stack(shown)
    values = np.where(shows[..., None], np.stack(seen).astype(np.float32), np.nan)
    known = np.logical_or.reduce(shows)
    plate = np.zeros((*known.shape, 3), np.float32)
    plate[known] = np.nanmedian(values[:, known], 0)
    fill_nearest(plate, ~known, known)
    return plate.round().astype(np.uint8)


def margin(height: int) -> int:
    """Pixels by which a moved plate is larger on each side than frames of this height."""
    return round(_MARGIN * height)
