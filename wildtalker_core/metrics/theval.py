"""How a face moves, and whether it pauses with the voice: five scores after THEval.

THEval (Quignon et al. 2025, arXiv 2511.04520, and its published evaluation) has eight scores, each
read by how near it is to the ground truth's. Lip and eyebrow dynamics are its definitions. The
other three here have its formulas on another front end, so they are ours: head motion takes its
pose from the mesh (theirs: FaceXFormer, RetinaFace), silent lips and the lip-loudness gap take
pauses from the loudness (theirs: Silero VAD). Its three picture qualities need networks and are
not here.

ASSUME: frames in which no face is found take no part, and no difference is taken across them;
theirs joins the frames on either side. Landmarks are found anew in each frame; theirs follow the
frame before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from wildtalker_core.metrics import bootstrap
from wildtalker_core.metrics.landmarks import at_customary_size, has_face
from wildtalker_core.metrics.mouth_errors import runs
from wildtalker_core.metrics.sync import mean_power
from wildtalker_core.metrics.video_scores import Scores, on_time_line, scored, scored_mean

#: Width of the window in which loudness is measured; shortest pause that counts; least share of
#: spoken frames. All THEval's.
LOUDNESS_SECONDS, PAUSE_SECONDS, SPOKEN_SHARE = 0.05, 0.3, 0.1
TOO_FEW_FACES = "too few frames show a face"
NO_PAUSE = f"no pause of {PAUSE_SECONDS} s in which a face is seen"
NO_SPEECH = "too few spoken frames in which a face is seen"


@dataclass(frozen=True)
class FeaturePoints:
    """Which landmarks of the detector's are what.

    lips: all points of both lips' contours. upper_lip, lower_lip: points of the inner edges that
    face each other, one by one. brows, eyes: points of the right and of the left one.
    outer_corners: of the eyes, right and left. corners: both of the right eye, and of the left one.
    rigid: points that move with the skull.
    """

    lips: Sequence[int]
    upper_lip: Sequence[int]
    lower_lip: Sequence[int]
    brows: tuple[Sequence[int], Sequence[int]]
    eyes: tuple[Sequence[int], Sequence[int]]
    outer_corners: tuple[int, int]
    corners: tuple[Sequence[int], Sequence[int]]
    rigid: Sequence[int]


def lip_distances(points: np.ndarray, face: FeaturePoints) -> np.ndarray:
    """Distances of all pairs of lip points as shares of the eyes' distance, [frames, pairs].

    Args:
        points: [frames, points, 2] pixels, NaN without a face, as everywhere below.
    """
    lips = points[:, list(face.lips)]
    first, second = np.triu_indices(lips.shape[1], 1)
    distances = np.linalg.norm(lips[:, first] - lips[:, second], axis=2)
    return distances / _outer_eye_distance(points, face)[:, None]


def mean_variance(series: np.ndarray) -> Callable[[np.ndarray], float]:
    """Series [frames, k] -> function of drawn frame numbers: variance over them, mean over k.

    NaN frames take no part; the function is NaN below two others.
    """
    is_known = np.isfinite(series).all(axis=1)
    known = np.where(is_known[:, None], series, 0.0)
    squares = np.square(known).mean(axis=1)

    def statistic(frames: np.ndarray) -> float:
        weights = np.bincount(frames, minlength=len(series)) * is_known
        if weights.sum() < 2:
            return float("nan")
        weights = weights / weights.sum()
        return float(weights @ squares - np.square(weights @ known).mean())

    return statistic


def eyebrow_steps(points: np.ndarray, face: FeaturePoints) -> np.ndarray:
    """How much each frame's brows rise or fall against the eyes since the last, [frames].

    Mean of right and left; the distance of a brow's centre to its eye's, as a share of the distance
    of both eyes' centres. NaN in the first frame and beside a frame without a face.
    """
    eyes = [points[:, list(of)].mean(axis=1) for of in face.eyes]
    brows = [points[:, list(of)].mean(axis=1) for of in face.brows]
    scale = np.linalg.norm(eyes[0] - eyes[1], axis=1)
    heights = [np.linalg.norm(b - e, axis=1) / scale for b, e in zip(brows, eyes, strict=True)]
    steps = np.abs(np.diff(heights, axis=1)).mean(axis=0)
    return np.concatenate([[np.nan], steps])


def head_angles(meshes: np.ndarray, face: FeaturePoints) -> np.ndarray:
    """Pitch, yaw and roll of the head against the middle frame that shows it, [frames, 3] degrees.

    ASSUME: the turn that brings the skull's mesh points of that frame nearest to those of each;
    zero does not matter, since spreads and differences alone are used.

    Args:
        meshes: [frames, points, 3] pixels, NaN without a face.
    """
    points = meshes[:, list(face.rigid)]
    points = points - points.mean(axis=1, keepdims=True)
    known = np.flatnonzero(has_face(points))
    angles = np.full((len(points), 3), np.nan)
    if len(known):
        middle = points[known[len(known) // 2]]
        for i in known:
            turn, _ = Rotation.align_vectors(points[i], middle)
            angles[i] = turn.as_euler("xyz", degrees=True)
    return angles


def head_motion(angles: np.ndarray, centres: np.ndarray) -> Callable[[np.ndarray], float]:
    """THEval's head motion, as a function of drawn frame numbers.

    The root of (spread of the angles x variance of their steps + variance of the face's place),
    each a mean over axes. Degrees and pixels are added as they are, so it holds at one size only.

    Args:
        angles: [frames, 3] degrees. centres: [frames, 2] of the face, pixels.
    """
    steps = np.concatenate([np.full((1, 3), np.nan), np.diff(angles, axis=0)])

    def statistic(frames: np.ndarray) -> float:
        turned, stepped, placed = (_known(of[frames]) for of in (angles, steps, centres))
        if min(len(turned), len(stepped)) < 2:
            return float("nan")
        turning = turned.std(axis=0).mean() * stepped.var(axis=0).mean()
        return float(np.sqrt(turning + placed.var(axis=0).mean()))

    return statistic


def face_centres(points: np.ndarray) -> np.ndarray:
    """Middle of the box around all landmarks, [frames, 2] pixels."""
    return 0.5 * (points.min(axis=1) + points.max(axis=1))


def lip_gap(points: np.ndarray, face: FeaturePoints) -> np.ndarray:
    """Mean height between facing points of the inner lips over the outer eye corners' distance."""
    upper, lower = points[:, list(face.upper_lip), 1], points[:, list(face.lower_lip), 1]
    return np.abs(upper - lower).mean(axis=1) / _outer_eye_distance(points, face)


def pauses(is_silent: np.ndarray, fps: float) -> np.ndarray:
    """Which frames [frames] lie in a pause of 0.3 s or more."""
    is_long = np.zeros(len(is_silent), bool)
    for first, end in runs(is_silent):
        is_long[first:end] = end - first >= PAUSE_SECONDS * fps
    return is_long


def unrest(gap: np.ndarray) -> float:
    """Median distance of a lip gap [frames] from its mean; NaN below two known frames."""
    known = gap[np.isfinite(gap)]
    return float(np.median(np.abs(known - known.mean()))) if len(known) >= 2 else float("nan")


def lip_loudness_gaps(
    points: np.ndarray, loudness: np.ndarray, is_spoken: np.ndarray, face: FeaturePoints
) -> np.ndarray:
    """Distance of mouth opening and loudness, each scaled to 0 ... 1 over the spoken frames.

    NaN in frames that are silent or show no face, and everywhere if they are more than 90 % or
    either side does not move.

    Args:
        loudness: root mean square of the sound around each frame, [frames].
    """
    upper, lower = (points[:, list(of), 1].mean(axis=1) for of in (face.upper_lip, face.lower_lip))
    right, left = (points[:, list(of), 0].mean(axis=1) for of in face.corners)
    opening = np.abs(upper - lower) / np.abs(left - right)
    is_used = is_spoken & np.isfinite(opening)
    gaps = np.full(len(points), np.nan)
    if is_used.sum() < 2 or is_spoken.mean() < SPOKEN_SHARE:
        return gaps
    sides = [of[is_used] for of in (opening, loudness)]
    if min(np.ptp(side) for side in sides) > 0:
        scaled = [(side - side.min()) / np.ptp(side) for side in sides]
        gaps[is_used] = np.abs(scaled[0] - scaled[1])
    return gaps


def score_movement(
    meshes: np.ndarray, frames: np.ndarray, face: FeaturePoints, backend: str, fps: float,
    size_px: int,
) -> Scores:  # fmt: skip
    """Lip dynamics, eyebrow dynamics and head motion of a video.

    Args:
        meshes: [k, points, 3] pixels, NaN without a face.
        frames: [k] their numbers on the time line, ascending.
    """
    block = bootstrap.block_frames(len(frames), fps)
    placed = on_time_line(meshes, frames)
    steps = eyebrow_steps(placed[..., :2], face)
    centres = at_customary_size(face_centres(placed[..., :2]), size_px)
    statistics = {
        "lip_dynamics": mean_variance(lip_distances(placed[..., :2], face)),
        "head_motion": head_motion(head_angles(placed, face), centres),
    }
    scores: Scores = {}
    for key, statistic in statistics.items():
        error = bootstrap.error_of(statistic, len(placed), block)
        scores[key] = scored(statistic(np.arange(len(placed))), backend, TOO_FEW_FACES, error)
    return scores | {"eyebrow_dynamics": scored_mean(steps, backend, TOO_FEW_FACES, block)}


def score_pauses(
    points: np.ndarray,
    waveform: np.ndarray,
    sample_rate_hz: int,
    is_silent: np.ndarray,
    face: FeaturePoints,
    backend: str,
    fps: float,
) -> Scores:
    """Are the lips still while nobody speaks, and as open as the voice is loud while somebody does?

    Args:
        points: [frames, points, 2] pixels, NaN without a face.
        waveform: [samples] what the lips should follow. is_silent: [frames] where it pauses.
    """
    block = bootstrap.block_frames(len(points), fps)
    gap = np.where(pauses(is_silent, fps), lip_gap(points, face), np.nan)
    times = (np.arange(len(points)) + 0.5) / fps
    loudness = np.sqrt(mean_power(waveform, sample_rate_hz, times, LOUDNESS_SECONDS))
    differences = lip_loudness_gaps(points, loudness, ~is_silent, face)
    error = bootstrap.error_of(lambda i: unrest(gap[i]), len(gap), block)
    backend = f"{backend}, pauses by loudness"
    return {
        "silent_lip_motion": scored(unrest(gap), backend, NO_PAUSE, error),
        "lip_loudness_gap": scored_mean(differences, backend, NO_SPEECH, block),
    }


def _outer_eye_distance(points: np.ndarray, face: FeaturePoints) -> np.ndarray:
    right, left = face.outer_corners
    return np.linalg.norm(points[:, right] - points[:, left], axis=1)


def _known(series: np.ndarray) -> np.ndarray:
    return series[np.isfinite(series).all(axis=1)]
