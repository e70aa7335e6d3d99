"""The 478 landmarks of MediaPipe's refined face mesh: which is which, and one track of them.

"Left" and "right" are the person's, as in MediaPipe and ARKit; the person's right is at the
picture's left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.signal import savgol_filter

from wildtalker_core.errors import InputError
from wildtalker_core.media.splits import Split, by_parts

N_LANDMARKS = 478

# Closed curves, in order around the shape.
# fmt: off
FACE_CONTOUR = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400,
                377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67,
                109)
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40,
              185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80,
              191)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
# From temple to temple under the chin: the lower half of the contour, person's right to left.
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361,
       323, 454)

#: Points that move with the skull: nose, eye corners, forehead, temples, cheekbones.
RIGID_POINTS = (1, 4, 5, 195, 197, 6, 168, 8, 9, 151, 10, 108, 337, 109, 338, 67, 297, 69, 299, 104,
                333, 103, 332, 54, 284, 21, 251, 162, 389, 127, 356, 234, 454, 133, 362, 33, 263,
                193, 417, 122, 351, 196, 419, 114, 343, 116, 345)

#: The mouth of the 68-point scheme (its points 48 to 67) within the mesh, in that scheme's order.
MOUTH_OF_68 = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14,
               178)
# fmt: on

NOSE_TIP, FOREHEAD, CHIN = 4, 10, 152
RIGHT_CONTOUR, LEFT_CONTOUR = 234, 454
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 33, 263  # outer corners
RIGHT_EYE_INNER, LEFT_EYE_INNER = 133, 362
UPPER_LIP_INNER, LOWER_LIP_INNER = 13, 14
#: Points of the inner lips that face each other, from the person's right to the left.
UPPER_LIP_EDGE = (191, 80, 81, 82, 13, 312, 311, 310)
LOWER_LIP_EDGE = (95, 88, 178, 87, 14, 317, 402, 318)

_CONTOUR = list(FACE_CONTOUR)


class LandmarkModel(Protocol):
    """Finds faces in a frame; remembers the last frame until reset."""

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """[faces, 478, 3] pixels."""
        ...

    def reset(self) -> None: ...


@dataclass(frozen=True)
class LandmarkTrack:
    """Landmarks of one person over a clip.

    Attributes:
        landmarks: [n, 478, 2] float32 pixels.
        depth: [n, 478] float32 pixels, smaller is nearer.
        is_interpolated: [n] bool, true where the face was not seen.
    """

    landmarks: np.ndarray
    depth: np.ndarray
    is_interpolated: np.ndarray


def find_faces(frames: Iterable[np.ndarray], model: LandmarkModel) -> Iterator[np.ndarray]:
    """Faces of each frame, [faces, 478, 3] pixels; the model starts afresh after losing them."""
    was_seen = True
    for frame in frames:
        faces = model(frame)
        if not len(faces) and was_seen:
            # A tracker that follows something else than a face finds it again by detection only.
            model.reset()
            faces = model(frame)
        was_seen = len(faces) > 0
        yield faces.astype(np.float32)


def select_track(
    faces: Sequence[np.ndarray], height: int, width: int, n_deciding: int | None = None
) -> np.ndarray:
    """Choose the same person's face in every frame.

    The track starts at the frame whose face is the largest and most central (the crop was made
    around the person), and grows forwards and backwards. A face joins it only if it lies where the
    person's last one was and has its size: when a hand hides the person, another face in view is
    not taken instead.

    Args:
        faces: per frame, [faces, 478, 3] pixels.
        height, width: of the frames, pixels.
        n_deciding: the track starts within so many frames from the first on; None: anywhere.

    Returns:
        [n, 478, 3] pixels, NaN where the person's face is not seen.
    """
    boxes = [np.stack([_centre_and_size(f) for f in found]) if len(found) else np.empty((0, 3))
             for found in faces]  # fmt: skip
    track = np.full((len(faces), N_LANDMARKS, 3), np.nan, np.float32)
    centre = np.array([width / 2, height / 2])

    def prominence(box: np.ndarray) -> float:
        # ASSUME: a face half a frame off the centre counts as one of half its size.
        off_centre = np.linalg.norm(box[:2] - centre) / (0.5 * max(height, width))
        return float(box[2] / (1 + off_centre))

    best = max(
        ((i, j) for i, found in enumerate(boxes[:n_deciding]) for j in range(len(found))),
        key=lambda ij: prominence(boxes[ij[0]][ij[1]]),
        default=None,
    )
    if best is None:
        return track
    start, choice = best
    track[start] = faces[start][choice]
    for order in (range(start + 1, len(faces)), range(start - 1, -1, -1)):
        last, n_missed = boxes[start][choice], 0
        for i in order:
            j = _continuation(boxes[i], last, n_missed)
            if j is None:
                n_missed += 1
                continue
            last, n_missed = boxes[i][j], 0
            track[i] = faces[i][j]
    return track


def _centre_and_size(face: np.ndarray) -> np.ndarray:
    contour = face[_CONTOUR, :2]
    spread = np.ptp(contour, axis=0)
    return np.array([*contour.mean(0), np.sqrt(spread.prod())])


def _continuation(boxes: np.ndarray, last: np.ndarray, n_missed: int) -> int | None:
    """Index of the face that continues a track, or None."""
    if not len(boxes):
        return None
    jump = np.linalg.norm(boxes[:, :2] - last[:2], axis=1) / last[2]
    growth = np.abs(np.log(boxes[:, 2] / last[2]))
    # ASSUME: at 25 fps a head moves less than 0.35 of its size between frames (motion-blurred
    # turns of the test clips stay below 0.2); unseen it may drift further, but two heads side by
    # side are at least one size apart.
    is_same = (jump < min(0.35 + 0.05 * n_missed, 0.8)) & (growth < 0.5)
    if not is_same.any():
        return None
    return int(np.argmin(np.where(is_same, jump, np.inf)))


def require_faces(
    points: np.ndarray,
    split: Split,
    fps: float,
    max_gap_seconds: float,
    max_faceless_share: float,
    subject: str,
) -> None:
    """Check that enough of the frames that count show the face.

    Args:
        points: [n, 478, 3], NaN where unseen.
        fps: frames a second.
        max_gap_seconds: longest run of unseen frames.
        max_faceless_share: largest share of unseen frames, 0 to 1.
        subject: name of the clip for errors.

    Raises:
        InputError: too few frames show the face, or a gap is too long.
    """
    is_missing = np.isnan(points[:, 0, 0]) & split.is_counted
    n_counted = int(split.is_counted.sum())
    if is_missing.sum() > max_faceless_share * n_counted or not _seen_in_training(points, split):
        first = int(np.argmax(is_missing))
        raise InputError(
            subject,
            f"no face in {is_missing.sum()} of {n_counted} frames (first in frame {first}), "
            f"more than the allowed {max_faceless_share:.0%}, or in all that are trained on",
            "use a part of the video that shows the face or raise person.max_faceless_share",
        )
    for start, stop in _runs(is_missing):
        if (stop - start) / fps > max_gap_seconds:
            raise InputError(
                subject,
                f"no face from {start / fps:.1f} s to {stop / fps:.1f} s (frames {start} to "
                f"{stop - 1}), longer than person.max_gap_seconds = {max_gap_seconds:g}",
                "cut that part out of the video or raise person.max_gap_seconds",
            )


def _seen_in_training(points: np.ndarray, split: Split) -> bool:
    return bool(np.isfinite(points[split.is_fitted, 0, 0]).any())


def complete_track(points: np.ndarray) -> np.ndarray:
    """Fill the frames without a face: linearly within gaps, by the nearest at the ends.

    Args:
        points: [n, 478, 3], NaN where unseen; seen at least once.
    """
    is_missing = np.isnan(points[:, 0, 0])
    seen = np.flatnonzero(~is_missing)
    filled = points.copy()
    if is_missing.any():
        at = np.clip(np.flatnonzero(is_missing), seen[0], seen[-1])
        after = np.searchsorted(seen, at)
        before = np.maximum(after - (seen[after] != at), 0)
        span = np.maximum(seen[after] - seen[before], 1)
        share_after = ((at - seen[before]) / span)[:, None, None].astype(points.dtype)
        filled[is_missing] = (
            points[seen[before]] * (1 - share_after) + points[seen[after]] * share_after
        )
    return filled


def _runs(is_set: np.ndarray) -> list[tuple[int, int]]:
    """Half-open ranges where a boolean array is true."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], is_set, [False]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def smooth_without_lag(values: np.ndarray, window_frames: int, order: int) -> np.ndarray:
    """Savitzky-Golay filter along the first axis; symmetric in time, so nothing arrives late.

    Polynomials up to ``order`` pass unchanged. Clips shorter than the window use the largest odd
    window that fits.
    """
    window = min(window_frames, len(values) - (len(values) % 2 == 0))
    if window <= order:
        return values
    return savgol_filter(values, window, order, axis=0).astype(values.dtype)


def smooth_shape(points: np.ndarray, window_frames: int, order: int) -> np.ndarray:
    """Filter a face's shape over time, not its place: [n, 478, 3] pixels.

    Each frame is brought to the first one by the similarity of the rigid points in the picture
    (shift, turn, scale), filtered there by :func:`smooth_without_lag`, and brought back: a head
    that is thrown about keeps its place to the pixel.
    """
    plane = points[..., 0] + 1j * points[..., 1].astype(np.float64)
    rigid = plane[:, list(RIGID_POINTS)]
    centre = rigid.mean(1, keepdims=True)
    target = rigid[0] - centre[0]
    # The least-squares similarity of complex points is one complex factor.
    factor = ((rigid - centre).conj() * target).sum(1) / (np.abs(rigid - centre) ** 2).sum(1)
    scale = np.abs(factor)[:, None]
    shape = (plane - centre) * factor[:, None]
    stacked = np.stack((shape.real, shape.imag, points[..., 2] * scale), -1)
    smooth = smooth_without_lag(stacked, window_frames, order)
    plane = (smooth[..., 0] + 1j * smooth[..., 1]) / factor[:, None] + centre
    return np.stack((plane.real, plane.imag, smooth[..., 2] / scale), -1).astype(points.dtype)


def track_landmarks(
    faces: Sequence[np.ndarray],
    height: int,
    width: int,
    fps: float,
    max_gap_seconds: float,
    max_faceless_share: float,
    smoothing_window_frames: int,
    smoothing_order: int,
    split: Split,
    subject: str,
) -> LandmarkTrack:
    """From the faces of every frame to one smooth track of the portrayed person.

    Arguments as of :func:`select_track`, :func:`require_faces` and :func:`smooth_shape`.
    """
    points = select_track(faces, height, width, split.ends[0])
    require_faces(points, split, fps, max_gap_seconds, max_faceless_share, subject)
    is_interpolated = np.isnan(points[:, 0, 0])
    points = by_parts(
        lambda known: smooth_shape(complete_track(known), smoothing_window_frames, smoothing_order),
        points,
        split,
    )
    return LandmarkTrack(points[..., :2].copy(), points[..., 2].copy(), is_interpolated)


def face_box(landmarks: np.ndarray, height: int, width: int, margin: float) -> np.ndarray:
    """Box around the face contour [n, 4] int64: x0, y0, x1, y1, half open, inside the image.

    Args:
        landmarks: [n, 478, 2] pixels.
        height, width: of the image, pixels.
        margin: added on each side, as a share of the contour's width or height.
    """
    contour = landmarks[:, _CONTOUR]
    low, high = contour.min(1), contour.max(1)
    reach = margin * (high - low)
    return _clip_boxes(np.concatenate((low - reach, high + reach), 1), height, width)


def lip_box(
    landmarks: np.ndarray, height: int, width: int, margin: float, is_fitted: np.ndarray
) -> np.ndarray:
    """Square box around the lips [n, 4] int64: x0, y0, x1, y1, half open, inside the image.

    The square keeps one size over the clip (that of the widest mouth in frames that are
    ``is_fitted`` [n] bool), so that lip patches need no
    resizing; near the border it is moved, not cut.

    Args:
        landmarks: [n, 478, 2] pixels.
        height, width: of the image, pixels.
        margin: added on each side, as a share of the mouth's size.
    """
    lips = landmarks[:, list(LIPS_OUTER)]
    low, high = lips.min(1), lips.max(1)
    # ASSUME: the 99th percentile, so that one bad frame does not blow up every patch.
    size = np.percentile((high - low).max(1)[is_fitted], 99) * (1 + 2 * margin)
    size_px = int(np.clip(np.ceil(size), 2, min(height, width)))
    corner = np.round((low + high) / 2 - size_px / 2).astype(np.int64)
    corner = np.clip(corner, 0, np.array([width - size_px, height - size_px]))
    return np.concatenate((corner, corner + size_px), 1)


def _clip_boxes(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    limit = np.array([width, height])
    low = np.clip(np.floor(boxes[:, :2]), 0, limit - 1)
    high = np.clip(np.ceil(boxes[:, 2:]), low + 1, limit)
    return np.concatenate((low, high), 1).astype(np.int64)


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """Distance of the inner lips over that of the outer eye corners, [n], without unit."""
    gap = landmarks[:, UPPER_LIP_INNER] - landmarks[:, LOWER_LIP_INNER]
    eyes = landmarks[:, RIGHT_EYE_CORNER] - landmarks[:, LEFT_EYE_CORNER]
    return np.linalg.norm(gap, axis=-1) / np.linalg.norm(eyes, axis=-1)
