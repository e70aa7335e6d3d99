"""One smooth track of the portrayed person's landmarks, from the faces of every frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.signal import savgol_filter

from wildtalker_core.errors import InputError
from wildtalker_core.media.splits import Split, by_parts, interpolated
from wildtalker_core.person.landmarks import FACE_CONTOUR, N_LANDMARKS, RIGID_POINTS
from wildtalker_core.person.options import LandmarkOptions


@runtime_checkable
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
    contour = face[list(FACE_CONTOUR), :2]
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
    for (run,) in find_objects(label(is_missing)[0]):
        start, stop = run.start, run.stop
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
    return interpolated(points, ~np.isnan(points[:, 0, 0]))


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
    options: LandmarkOptions,
    split: Split,
    subject: str,
) -> LandmarkTrack:
    """From the faces of every frame to one smooth track of the portrayed person.

    Arguments as of :func:`select_track` and :func:`require_faces`.
    """
    window, order = options.smoothing_window_frames, options.smoothing_order
    points = select_track(faces, height, width, split.ends[0])
    require_faces(points, split, fps, options.max_gap_seconds, options.max_faceless_share, subject)
    is_interpolated = np.isnan(points[:, 0, 0])
    points = by_parts(
        lambda known: smooth_shape(complete_track(known), window, order), points, split
    )
    return LandmarkTrack(points[..., :2].copy(), points[..., 2].copy(), is_interpolated)
