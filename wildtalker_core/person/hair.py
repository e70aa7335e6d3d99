"""Hair that hangs below the jaw, told from collars and lapels of its colour by how it falls."""

from __future__ import annotations

import cv2
import numpy as np


def hanging(is_hair: np.ndarray, is_above: np.ndarray, gap_px: int) -> np.ndarray:
    """Parts of a mask that have a tenth of their area above the jaw and fall from there, in [0, 1].

    Gaps are closed.
    """
    # Opening cuts thin bridges, such as the dark rim of a collar or the wall's edge beside a cheek.
    # ASSUME: they are thinner than two thirds of the gap.
    size = 2 * max(1, round(gap_px / 3)) + 1
    solid = cv2.morphologyEx(
        is_hair.astype(np.uint8), cv2.MORPH_OPEN, np.ones((size, size), np.uint8)
    )
    n_parts, labels = cv2.connectedComponents(solid)
    areas = np.bincount(labels.ravel(), minlength=n_parts)
    above = np.bincount(labels[is_above], minlength=n_parts)
    is_kept = above > 0.1 * areas
    is_kept[0] = False
    falling = _falling(is_kept[labels], is_above, gap_px // 2)
    # Shadows between strands and fair tips are hair all the same.
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * (gap_px // 2) + 1,) * 2)
    closed = cv2.morphologyEx(falling.astype(np.float32), cv2.MORPH_CLOSE, disc)
    return cv2.blur(cv2.dilate(closed, np.ones((3, 3), np.uint8)), (3, 3))


def _falling(is_hair: np.ndarray, is_above: np.ndarray, gap_px: int) -> np.ndarray:
    """The part of a mask [h, w] bool that hangs, row by row, from what is above the jaw.

    A collar of the hair's colour may touch the hair, but it runs across, under the neck. ASSUME
    strands lean by at most a third from the vertical, and are broken by ``gap_px`` at most.
    """
    falling = is_hair & is_above
    rows = np.flatnonzero((is_hair & ~is_above).any(1))
    if len(rows) == 0:
        return falling
    # Rows since hair was last met in each column, or beside it.
    since = np.full(is_hair.shape[1] + 2, gap_px + 1)
    for row in range(max(rows[0] - gap_px, 0), rows[-1] + 1):
        if row % 3 == 0:
            since[1:-1] = np.minimum(since[1:-1], np.minimum(since[:-2], since[2:]))
        met = falling[row] | (is_hair[row] & (since[1:-1] <= gap_px))
        since[1:-1] = np.where(met, 0, since[1:-1] + 1)
        falling[row] = met
    return falling
