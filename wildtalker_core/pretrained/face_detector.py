"""Where faces are in a picture: MediaPipe's BlazeFace, looked through from near and far."""

from __future__ import annotations

import numpy as np

from wildtalker_core.pretrained.mediapipe_models import FaceDetection

# ASSUME: detections below it are dropped; the models' own default.
_MIN_SCORE = 0.5

# ASSUME: a box of which another covers this share (intersection over union) is the same face.
_SAME_FACE_IOU = 0.4

# ASSUME: from this share of the frame's long side on, the short-range model's box needs no second
# look.
_NEAR_SHARE = 0.25


class FaceDetector:
    """Finds faces: ``detector(image)`` gives [faces, 5] x0, y0, x1, y1, score, largest first.

    The short-range model (faces up to about two metres) looks first, then the full-range one, then
    the full-range one on overlapping square tiles, so that a small face in a large frame is found
    and a close one costs little. Boxes reach from the brows to the chin, in pixels, and may stick
    out of the picture.
    """

    def __init__(self) -> None:
        self._short, self._full = (FaceDetection(_MIN_SCORE, is_full) for is_full in (False, True))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """image: [height, width, 3] uint8 RGB."""
        for model in (self._short, self._full):
            boxes = _detect(model, image)
            if len(boxes):
                break
        else:
            boxes = np.concatenate(
                [np.empty((0, 5))]
                + [_detect_in(self._full, image, *tile) for tile in _tiles(*image.shape[:2])]
            )
        looked_at = [self._second_look(image, box) for box in boxes]
        return _without_repeats(np.array([box for box in looked_at if box is not None]))

    def _second_look(self, image: np.ndarray, box: np.ndarray) -> np.ndarray | None:
        """A small face looked at from near: far from their scale the models' boxes swell, and
        what looks like a face may be none. None if neither model finds it again."""
        height, width = image.shape[:2]
        face_height = box[3] - box[1]
        if face_height > _NEAR_SHARE * max(height, width):
            return box
        side = int(np.clip(3.0 * face_height, 32, min(height, width)))
        x, y = (0.5 * (box[:2] + box[2:4] - side)).astype(int)
        x, y = int(np.clip(x, 0, width - side)), int(np.clip(y, 0, height - side))
        for model in (self._short, self._full):
            again = _detect_in(model, image, side, x, y)
            again = again[[_shares_place(box, other) for other in again]]
            if len(again):
                return again[0]
        return None

    def __enter__(self) -> FaceDetector:
        return self

    def __exit__(self, *exception: object) -> None:
        self._short.close()
        self._full.close()


def _detect(model: FaceDetection, image: np.ndarray) -> np.ndarray:
    found = model(image)
    return found[np.argsort(found[:, 1] - found[:, 3], kind="stable")]


def _detect_in(model: FaceDetection, image: np.ndarray, side: int, x: int, y: int) -> np.ndarray:
    """Boxes found in a square part of the image, in the image's own pixels."""
    return _detect(model, image[y : y + side, x : x + side]) + [x, y, x, y, 0]


def _tiles(height: int, width: int) -> list[tuple[int, int, int]]:
    """Overlapping squares (side, x, y): the short side's, if the frame is long, then halves."""
    short_side = min(height, width)
    tiles = []
    if max(height, width) > 1.2 * short_side:
        tiles += _grid(height, width, short_side)
    # ASSUME: halves of a frame below 480 pixels hold faces too small to become a portrait.
    if short_side >= 480:
        tiles += _grid(height, width, short_side // 2)
    return tiles


def _grid(height: int, width: int, side: int) -> list[tuple[int, int, int]]:
    """Squares of one side that overlap by at least a third and cover the frame."""
    xs, ys = (
        np.linspace(0, length - side, 1 + int(np.ceil((length - side) / (side * 2 / 3)))).astype(
            int
        )
        for length in (width, height)
    )
    return [(side, int(x), int(y)) for y in ys for x in xs]


def _without_repeats(boxes: np.ndarray) -> np.ndarray:
    """Keep the surest of boxes that cover the same face; largest first."""
    kept: list[np.ndarray] = []
    boxes = boxes.reshape(-1, 5)
    for box in boxes[np.argsort(-boxes[:, 4], kind="stable")]:
        if all(_iou(box, other) < _SAME_FACE_IOU for other in kept):
            kept.append(box)
    result = np.array(kept).reshape(-1, 5)
    return result[np.argsort(result[:, 1] - result[:, 3], kind="stable")]


def _shares_place(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the middle of one box lies in the other."""
    middle = 0.5 * (b[:2] + b[2:4])
    return bool((a[:2] < middle).all() and (middle < a[2:4]).all())


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    overlap = np.clip(np.minimum(a[2:4], b[2:4]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = (a[2:4] - a[:2]).prod() + (b[2:4] - b[:2]).prod() - overlap
    return float(overlap / union)
