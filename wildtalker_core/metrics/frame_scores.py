"""A stream of frames, each with its reference where there is one → scores of every frame.

One frame at a time: a video is never held whole. What is kept of a frame are numbers: its scores,
its landmarks and its blendshapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from wildtalker_core.metrics import image, landmarks


@dataclass(frozen=True)
class Models:
    """Foreign networks as callables; None where their weights are not on this machine.

    find_landmarks: frame -> [faces, points, 3] pixels. perceptual_distance: (reference, estimate)
    -> LPIPS. blendshapes: frame -> scores by name, or None. embed_sync: (crops one by one,
    waveform) -> lip and audio embeddings. The ``_backend`` texts are printed with the scores.
    """

    find_landmarks: Callable[[np.ndarray], np.ndarray]
    landmark_backend: str
    perceptual_distance: Callable[[np.ndarray, np.ndarray], float] | None = None
    perceptual_backend: str = ""
    why_no_perceptual: str = "no backbone weights (evaluate.lpips_weights)"
    blendshapes: Callable[[np.ndarray], dict[str, float] | None] | None = None
    blendshape_backend: str = ""
    embed_sync: (
        Callable[[Iterable[np.ndarray], np.ndarray], tuple[np.ndarray, np.ndarray]] | None
    ) = None
    sync_backend: str = ""


@dataclass(frozen=True)
class FacePoints:
    """Which landmarks of the detector's are what.

    mouth: the 20 points of LMD. eyes: outer corners, left and right. lips: inner edges, upper and
    lower. rigid: points that move with the skull. n_points: of the detector in all.
    """

    mouth: Sequence[int]
    eyes: tuple[int, int]
    lips: tuple[int, int]
    nose_tip: int
    rigid: Sequence[int]
    n_points: int = 478

    def opening(self, points: np.ndarray) -> np.ndarray:
        """Gap between the lips [frames] as a share of the eyes' distance, of [frames, n, 2]."""
        return landmarks.mouth_opening(*(points[:, i] for i in (*self.lips, *self.eyes)))

    def lip_drop(self, points: np.ndarray) -> np.ndarray:
        """How far the lower lip is from the nose [frames], of landmarks [frames, n, 2].

        It follows the jaw as well as the lips: on real clips it goes with the voice more than the
        gap between the lips does.
        """
        chosen = (self.nose_tip, self.lips[1], *self.eyes)
        return landmarks.mouth_opening(*(points[:, i] for i in chosen))


@dataclass(frozen=True)
class Regions:
    """Parts of one picture, [height, width] bool each: the torso; where head or neck borders it."""

    torso: np.ndarray
    seam: np.ndarray


def picture_regions(parsing: np.ndarray) -> Regions:
    """Regions of a soft parsing [height, width, 5] uint8: background, head, neck, torso, hands.

    ASSUME: a hand hides the torso, so that both count as torso where they are likelier than not.
    The seam lies within 2 % of the height of pixels that head (or neck) and torso both are at least
    a fifth likely to hold nearby.
    """
    import cv2

    radius = max(1, round(0.02 * parsing.shape[0]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    _, head, neck, torso, hands = np.moveaxis(parsing, -1, 0)
    upper = (np.maximum(head, neck) > 51).astype(np.uint8)
    lower = (torso > 51).astype(np.uint8)
    seam = (cv2.dilate(upper, kernel) > 0) & (cv2.dilate(lower, kernel) > 0)
    return Regions(torso.astype(int) + hands >= 128, seam)


@dataclass(frozen=True)
class Reference:
    """What a frame should look like: the picture, boxes x0, y0, x1, y1 in pixels, and regions."""

    picture: np.ndarray
    face_box: np.ndarray
    lip_box: np.ndarray
    regions: Regions


@dataclass(frozen=True)
class FramePair:
    """One frame of a video. reference: None where nobody knows what should be seen.

    is_counted: False where the person is not in view: such a frame has no scores.
    """

    estimate: np.ndarray
    reference: Reference | None = None
    is_counted: bool = True


@dataclass(frozen=True)
class Measured:
    """All that is known of the frames of a video.

    is_counted: [n] bool. columns: scores [n] by key, NaN where a frame has none. points,
    reference_points: [n, points, 2] pixels, NaN without a face; meshes: points with their depth,
    [n, points, 3]. shapes, reference_shapes: blendshapes of each frame by name, None without a
    face; empty lists without the network.
    """

    is_counted: np.ndarray
    columns: dict[str, np.ndarray]
    meshes: np.ndarray
    reference_points: np.ndarray | None
    shapes: list[dict[str, float] | None]
    reference_shapes: list[dict[str, float] | None]

    @property
    def points(self) -> np.ndarray:
        return self.meshes[..., :2]


def measure_frames(
    pairs: Iterable[FramePair], models: Models, face: FacePoints, has_ms_ssim: bool
) -> Measured:
    """Score a video frame by frame; either all frames have a reference or none has."""
    counted, rows = [], []
    tracks: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    shapes: tuple[list[dict[str, float] | None], list[dict[str, float] | None]] = ([], [])
    for pair in pairs:
        counted.append(pair.is_counted)
        pictures = [pair.estimate] + ([pair.reference.picture] if pair.reference else [])
        for side, picture in enumerate(pictures):
            found = find_meshes([picture], models.find_landmarks, face.n_points)[0]
            tracks[side].append(found if pair.is_counted else np.full_like(found, np.nan))
            if models.blendshapes is not None:
                shapes[side].append(models.blendshapes(picture) if pair.is_counted else None)
        if pair.reference:
            row = score_picture(pair, models, has_ms_ssim) if pair.is_counted else {}
            sides = tracks[1][-1][:, :2], tracks[0][-1][:, :2]
            rows.append(row | score_landmarks(*sides, face, pair.estimate))
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = {key: np.array([row.get(key, np.nan) for row in rows]) for key in keys}
    return Measured(
        np.array(counted, bool),
        columns,
        np.asarray(tracks[0]),
        np.asarray(tracks[1])[..., :2] if rows else None,
        *shapes,
    )


def find_faces(
    pictures: Iterable[np.ndarray],
    find_landmarks: Callable[[np.ndarray], np.ndarray],
    n_points: int = 478,
) -> np.ndarray:
    """Landmarks of the first face of each picture, [pictures, points, 2] px, NaN without a face."""
    return find_meshes(pictures, find_landmarks, n_points)[..., :2]


def find_meshes(
    pictures: Iterable[np.ndarray],
    find_landmarks: Callable[[np.ndarray], np.ndarray],
    n_points: int = 478,
) -> np.ndarray:
    """The same with the depth, [pictures, points, 3] px."""
    tracks = []
    for picture in pictures:
        faces = find_landmarks(picture)
        tracks.append(faces[0] if len(faces) else np.full((n_points, 3), np.nan))
    return np.asarray(tracks, np.float64)


def score_picture(pair: FramePair, models: Models, has_ms_ssim: bool) -> dict[str, float]:
    """Picture scores of one frame; those that it cannot have are left out."""
    reference, guess = pair.reference, pair.estimate
    if reference is None:
        raise ValueError("a frame without a reference has no picture scores")
    truth, regions = reference.picture, reference.regions
    row = {
        "psnr_db": image.psnr(truth, guess),
        "psnr_face_db": image.psnr_in_box(truth, guess, reference.face_box),
        "psnr_lips_db": image.psnr_in_box(truth, guess, reference.lip_box),
        "ssim": image.ssim(truth, guess),
    }
    if regions.torso.any():
        row["psnr_torso_db"] = image.psnr_in_mask(truth, guess, regions.torso)
    if regions.seam.any():
        row["seam"] = image.seam_error(truth, guess, regions.seam)
    if has_ms_ssim and min(truth.shape[:2]) >= image.MS_SSIM_MIN_PX:
        row["ms_ssim"] = image.ms_ssim(truth, guess)
    if models.perceptual_distance is not None:
        row["lpips"] = models.perceptual_distance(truth, guess)
    return row


def score_landmarks(
    reference: np.ndarray, estimate: np.ndarray, face: FacePoints, picture: np.ndarray
) -> dict[str, float]:
    """Scores of one frame's landmarks [points, 2], NaN where either side has no face."""
    reference, estimate = reference[None], estimate[None]
    mouth = list(face.mouth)
    distance_px = landmarks.mouth_landmark_distance(reference[:, mouth], estimate[:, mouth])
    eyes = [reference[:, i] for i in face.eyes]
    columns = {
        "lmd_px": landmarks.at_customary_size(distance_px, picture.shape[0]),
        "lmd_interocular": landmarks.per_interocular_distance(distance_px, *eyes),
        "mouth_opening": face.opening(estimate),
        "mouth_opening_reference": face.opening(reference),
    }
    return {key: float(values[0]) for key, values in columns.items()}
