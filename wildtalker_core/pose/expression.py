"""The expression that speech does not decide: brows and blinks, seven values per frame.

Two backends: geometric measures of the landmarks in the head's own frame (default), or the
FaceLandmarker's blendshapes, the values that SyncTalk feeds to its expression branch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from wildtalker_core.media.splits import Split, by_parts, interpolated
from wildtalker_core.person import landmarks as lm

#: Order of the seven values; names as in ARKit, left and right are the person's.
EXPRESSION_NAMES = (
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
)

# Pairs of upper and lower lid points at the middle of the eye, where the lids open widest.
_RIGHT_LIDS = ((159, 145), (158, 153), (160, 144))
_LEFT_LIDS = ((386, 374), (385, 380), (387, 373))
_RIGHT_INNER_BROW, _RIGHT_OUTER_BROW = (107, 55, 66, 65), (70, 46, 63, 53)
_LEFT_INNER_BROW, _LEFT_OUTER_BROW = (336, 285, 296, 295), (300, 276, 293, 283)
_EYE_CORNERS = (33, 133, 362, 263)


def landmarks_in_head(
    landmarks: np.ndarray, depth: np.ndarray, T_camera_head: np.ndarray
) -> np.ndarray:
    """Landmarks turned back to a face that looks straight into the camera, [n, 478, 3].

    The unit is the distance between the outer eye corners, the origin lies between the four eye
    corners; so neither turning, nor nearing, nor moving the head changes the values.

    Args:
        landmarks: [n, 478, 2] pixels.
        depth: [n, 478] pixels.
        T_camera_head: [n, 4, 4].
    """
    points = np.concatenate((landmarks, depth[..., None]), -1).astype(np.float64)
    points = points - points[:, list(_EYE_CORNERS)].mean(1, keepdims=True)
    turned = points @ T_camera_head[:, :3, :3]
    eyes = turned[:, lm.LEFT_EYE_CORNER] - turned[:, lm.RIGHT_EYE_CORNER]
    return turned / np.linalg.norm(eyes, axis=-1)[:, None, None]


def measure_expression(
    landmarks: np.ndarray, depth: np.ndarray, T_camera_head: np.ndarray, is_fitted: np.ndarray
) -> np.ndarray:
    """Geometric expression [n, 7] in [0, 1], order of :data:`EXPRESSION_NAMES`.

    Each measure is set against the person's own rest (the median) and range in the frames that are
    ``is_fitted`` [n] bool. Other arguments as of :func:`landmarks_in_head`.
    """
    head = landmarks_in_head(landmarks, depth, T_camera_head)

    def height(points: Sequence[int]) -> np.ndarray:
        return -head[:, list(points), 1].mean(1)  # y points down

    def departure(value: np.ndarray) -> np.ndarray:
        return _departure(value, is_fitted)

    def blink(opening: np.ndarray) -> np.ndarray:
        return _blink(opening, is_fitted)

    inner_right, inner_left = height(_RIGHT_INNER_BROW), height(_LEFT_INNER_BROW)
    values = {
        "browDownLeft": departure(-inner_left),
        "browDownRight": departure(-inner_right),
        "browInnerUp": departure((inner_right + inner_left) / 2),
        "browOuterUpLeft": departure(height(_LEFT_OUTER_BROW)),
        "browOuterUpRight": departure(height(_RIGHT_OUTER_BROW)),
        "eyeBlinkLeft": blink(_eye_opening(head, _LEFT_LIDS, (362, 263))),
        "eyeBlinkRight": blink(_eye_opening(head, _RIGHT_LIDS, (33, 133))),
    }
    return np.stack([values[name] for name in EXPRESSION_NAMES], 1).astype(np.float32)


def _eye_opening(
    head: np.ndarray, lids: Sequence[tuple[int, int]], corners: tuple[int, int]
) -> np.ndarray:
    """Mean lid distance over eye width, [n] (eye aspect ratio, Soukupova and Cech 2016)."""
    gaps = [np.linalg.norm(head[:, up] - head[:, low], axis=-1) for up, low in lids]
    eye_width = np.linalg.norm(head[:, corners[0]] - head[:, corners[1]], axis=-1)
    return np.mean(gaps, axis=0) / eye_width


def _blink(opening: np.ndarray, is_fitted: np.ndarray) -> np.ndarray:
    """0 for the person's usual open eye, 1 for the closed one."""
    is_open = np.percentile(opening[is_fitted], 75)
    # ASSUME: a closed eye keeps at most 0.45 of its opening in MediaPipe's landmarks (measured on
    # the test clips); so a clip without blinks does not turn noise into blinks.
    is_closed = min(np.percentile(opening[is_fitted], 1), 0.45 * is_open)
    return np.clip((is_open - opening) / (is_open - is_closed), 0, 1)


def _departure(value: np.ndarray, is_fitted: np.ndarray) -> np.ndarray:
    """How far a measure exceeds its rest, in shares of the person's own range, in [0, 1]."""
    rest = np.median(value[is_fitted])
    # ASSUME: a range below 0.06 eye distances is landmark noise, not a moving brow.
    reach = max(np.percentile(value[is_fitted], 99) - rest, 0.06)
    return np.clip((value - rest) / reach, 0, 1)


def select_blendshapes(scores: Sequence[Mapping[str, float] | None], split: Split) -> np.ndarray:
    """The seven of the 52 blendshapes, [n, 7]; frames without a face are interpolated.

    Raises:
        ValueError: no training frame has scores.
    """
    unseen = [np.nan] * len(EXPRESSION_NAMES)
    table = np.array(
        [[s[name] for name in EXPRESSION_NAMES] if s is not None else unseen for s in scores]
    )
    if np.isnan(table[: split.ends[0], 0]).all():
        raise ValueError("the blendshape model saw no face in any frame that is trained on")

    def filled(known: np.ndarray) -> np.ndarray:
        return interpolated(known, np.isfinite(known[:, 0]))

    return by_parts(filled, table, split).astype(np.float32)
