"""Which face the clip is about, and the square around it that becomes the portrait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# ASSUME: between two looks at it a face moves less than its own height per look (plus a quarter for
# each look in which it was not found) and changes its height by less than half.
_MAX_STEP, _STEP_GROWTH, _MAX_SCALE_STEP = 0.75, 0.25, 1.5

# ASSUME: from the detector's box (brows to chin) the face's middle lies at this share of the
# crop's height: hair above, shoulders below.
_FACE_CENTRE_SHARE = 0.42

# ASSUME: a picture whose short side is at most this much longer than the wanted crop is already
# a head-and-shoulders shot and is kept as wide as it is.
_ALREADY_PORTRAIT = 1.25


@dataclass(frozen=True)
class Crop:
    """A square of source pixels: left, top, side."""

    x: int
    y: int
    size: int

    def of(self, image: np.ndarray) -> np.ndarray:
        """The view of an image [height, width, channels] inside the square."""
        return image[self.y : self.y + self.size, self.x : self.x + self.size]


def follow_main_face(
    boxes_per_frame: Sequence[np.ndarray], n_deciding: int | None = None
) -> np.ndarray:
    """The boxes [frames, 4] of the clip's main face; NaN in frames where it is not found.

    Detections are linked to tracks by nearness in place and size; the main face is the track with
    the largest sum of heights, so that somebody who comes near the camera for a moment, or a false
    alarm, never takes over. A track may be interrupted (a hand before the face).

    Args:
        boxes_per_frame: per frame [faces, 5] of x0, y0, x1, y1, score in pixels.
        n_deciding: only so many frames from the first on say which face is the main one; None: all.
    """
    n_frames = len(boxes_per_frame)
    tracks: list[_Track] = []
    for i, boxes in enumerate(boxes_per_frame):
        boxes = np.asarray(boxes, float).reshape(-1, 5)
        free = list(range(len(boxes)))
        # Long tracks choose first: a newcomer must not take an old face's box.
        for track in sorted(tracks, key=lambda t: -len(t.numbers)):
            distances = {k: track.distance(i, boxes[k]) for k in free}
            near = [k for k in free if distances[k] < 1.0]
            if near:
                best = min(near, key=distances.__getitem__)
                track.append(i, boxes[best])
                free.remove(best)
        tracks += [_Track(i, boxes[k]) for k in free]
    result = np.full((n_frames, 4), np.nan)
    if tracks:
        main = max(
            tracks, key=lambda t: t.height_until(n_frames if n_deciding is None else n_deciding)
        )
        result[main.numbers] = np.array(main.boxes)
    return result


class _Track:
    def __init__(self, number: int, box: np.ndarray) -> None:
        self.numbers, self.boxes = [number], [box[:4]]

    def append(self, number: int, box: np.ndarray) -> None:
        self.numbers.append(number)
        self.boxes.append(box[:4])

    def height_until(self, n_frames: int) -> float:
        """Sum of the boxes' heights in the first ``n_frames`` frames."""
        return sum(
            b[3] - b[1] for i, b in zip(self.numbers, self.boxes, strict=True) if i < n_frames
        )

    def distance(self, number: int, box: np.ndarray) -> float:
        """Below 1 where the box can be this track's next; 0 where nothing has moved."""
        last = self.boxes[-1]
        height, last_height = box[3] - box[1], last[3] - last[1]
        n_missed = number - self.numbers[-1] - 1
        allowed = min(_MAX_STEP + _STEP_GROWTH * n_missed, 3.0)
        step = np.hypot(*(_centre(box) - _centre(last))) / max(height, last_height)
        scale_step = abs(np.log(height / last_height)) / np.log(_MAX_SCALE_STEP)
        return max(step / allowed, scale_step)


def square_around_face(
    face_boxes: np.ndarray,
    height: int,
    width: int,
    crop_scale: float,
    mode: str = "auto",
    min_side: int = 0,
) -> Crop:
    """One fixed square for the whole clip.

    Args:
        face_boxes: [frames, 4] x0, y0, x1, y1 in pixels, NaN where there is no face.
        height, width: of the source picture, pixels.
        crop_scale: side of the square in heights of the detected face box.
        mode: ``auto`` that square, or the largest one if the picture is about that close anyway;
            ``whole`` the largest square that holds the face; ``centre`` the largest in the middle.
        min_side: of the square of ``auto``, pixels, where the picture is that large. ASSUME: the
            stored size, since a wider picture is better than enlarged pixels.

    The side is even and the square lies inside the picture. It grows beyond ``crop_scale`` by as
    much as the face wanders about, so that the head stays in view.
    """
    short_side = min(height, width)
    if mode == "centre":
        largest = short_side - short_side % 2
        return Crop((width - largest) // 2, (height - largest) // 2, largest)
    boxes = face_boxes[np.isfinite(face_boxes).all(axis=1)]
    centres = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    low, high = np.percentile(centres, [2, 98], axis=0)
    face_height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    wanted = float(short_side)
    if mode == "auto":
        wander = float((high - low).max())
        near = max(crop_scale * face_height + wander, min_side)
        if _ALREADY_PORTRAIT * near < short_side:
            wanted = near
    elif mode != "whole":
        raise ValueError(f"crop {mode!r} is unknown; one of auto, whole, centre")
    side = 2 * int(min(wanted, short_side) // 2)
    middle = 0.5 * (low + high)
    x = int(np.clip(round(middle[0] - 0.5 * side), 0, width - side))
    y = int(np.clip(round(middle[1] - _FACE_CENTRE_SHARE * side), 0, height - side))
    return Crop(x, y, side)


def _centre(box: np.ndarray) -> np.ndarray:
    return 0.5 * (box[:2] + box[2:4])
