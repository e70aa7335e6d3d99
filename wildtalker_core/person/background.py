"""What the scene looks like without the person, from the frames in which it is elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def background_plate(
    frames: Sequence[np.ndarray], backgrounds: Sequence[np.ndarray], margin_px: int
) -> np.ndarray:
    """What the scene looks like without the person, [height, width, 3] uint8.

    Each pixel is the median of the frames in which the person is at least ``margin_px`` away, else
    the frame in which the person is farthest; what is never seen is filled smoothly from around.

    Args:
        frames: RGB uint8, each [height, width, 3]; spread over the clip.
        backgrounds: background membership of each, [height, width] in [0, 1].
        margin_px: the mask's edges are not trusted up to this distance.
    """
    stack = np.asarray(frames)
    # In sixteenths of a pixel, so that a hundred large frames take little memory.
    distance = np.stack([
        (16 * cv2.distanceTransform((b > 0.95).astype(np.uint8), cv2.DIST_L2, 3)).astype(np.uint16)
        for b in backgrounds
    ])  # fmt: skip
    is_far = distance >= 16 * margin_px
    plate = np.zeros(stack.shape[1:], np.uint8)
    for y in range(stack.shape[1]):
        # Sorted with the unseen last, the median of the seen is in the middle of their number.
        row = np.where(is_far[:, y, :, None], stack[:, y], np.uint16(256))
        row.sort(axis=0)
        n_seen = is_far[:, y].sum(0)
        seen = np.flatnonzero(n_seen)
        middle = n_seen[seen]
        low, high = row[(middle - 1) // 2, seen], row[middle // 2, seen]
        plate[y, seen] = (low + high) // 2
    nearly = ~is_far.any(0) & (distance.max(0) > 16)
    best = distance.argmax(0)
    plate[nearly] = np.take_along_axis(stack, best[None, ..., None], 0)[0][nearly]
    return fill_smoothly(plate, is_far.any(0) | nearly)


def fill_smoothly(image: np.ndarray, is_known: np.ndarray) -> np.ndarray:
    """Fill unknown pixels from coarser and coarser averages of the known (push-pull pyramid).

    Args:
        image: [height, width, 3] uint8.
        is_known: [height, width] bool. If nothing is known the image becomes mid-grey.
    """
    height, width = is_known.shape
    weight: np.ndarray = is_known.astype(np.float32)
    levels = [(image.astype(np.float32) * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 1:
        colour, weight = (cv2.pyrDown(x) for x in levels[-1])
        levels.append((colour, weight))
    filled = np.full((*levels[-1][1].shape, 3), 127.5, np.float32)
    for colour, weight in reversed(levels):
        coarse = cv2.resize(filled, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        trust = np.clip(weight, 0, 1)[..., None]
        mean = colour.reshape(*weight.shape, 3) / np.maximum(weight, 1e-6)[..., None]
        filled = trust * mean + (1 - trust) * coarse
    result = np.clip(np.round(filled), 0, 255).astype(np.uint8).reshape(height, width, 3)
    return np.where(is_known[..., None], image, result)
