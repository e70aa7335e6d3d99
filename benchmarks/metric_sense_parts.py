"""What ``metric_sense.py`` asks of: clips, videos made of them, each score of drawn frames."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.files import load_json
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.options import FrameOptions
from wildtalker_core.media.splits import Split, save_split, split_frames
from wildtalker_core.metrics import sync, theval
from wildtalker_core.metrics.expression import blendshape_errors, blendshape_table
from wildtalker_core.metrics.frame_scores import (
    FramePair,
    Measured,
    Models,
    Reference,
    Regions,
    find_faces,
)
from wildtalker_core.metrics.landmarks import correlation, has_face
from wildtalker_core.person import landmarks as mesh
from wildtalker_core.scene.options import BoxOptions
from wildtalker_core.speech.audio_features import active_level_dbfs, frame_silence
from workflow_scripts.face_points import FACE, FEATURES
from workflow_scripts.media import extract_frames, extract_speech
from workflow_scripts.score_tables import BY_KEY

#: A score as a function of drawn frame numbers.
Statistic = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Clip:
    """frames: [n, size, size, 3] uint8; points: [n, 478, 2] pixels; waveform: [samples]."""

    frames: np.ndarray
    points: np.ndarray
    waveform: np.ndarray
    rate_hz: int
    fps: float


def read_clip(path: Path, seconds: float, size_px: int, models: Models) -> Clip:
    """The clip as the media stage leaves it, without its preparation."""
    from wildtalker_core.pretrained.face_detector import FaceDetector

    options = FrameOptions(max_seconds=seconds, size_px=size_px)
    with tempfile.TemporaryDirectory() as name, FaceDetector() as detector:
        names = ("frames.zarr.zip", "manifest.json", "split.json", "speech.wav", "speech.json")
        files = [str(Path(name) / part) for part in names]
        extract_frames.main(str(path), files[0], files[1], path.stem, options, detector)
        manifest = load_json(files[1])
        n = int(manifest["n_frames"])
        save_split(Path(files[2]), Split(split_frames(n), np.ones(n, bool)))
        extract_speech.main(str(path), files[1], files[2], files[3], files[4])
        frames = np.stack(list(FrameStore(files[0])))
        waveform, rate_hz = read_waveform(files[3])
    points = find_faces(frames, models.find_landmarks)
    return Clip(frames, points, waveform, rate_hz, float(manifest["fps"]))


def freeze_mouth(clip: Clip) -> Iterator[np.ndarray]:
    """Every frame with the mouth of the one that is open the median way, moved with the skull.

    ASSUME: what is replaced is both frames' lips and a third of the mouth's width around them, with
    a soft border; a frame without a face stays as it is.
    """
    opening = FACE.opening(clip.points)
    source = int(np.nanargmin(np.abs(opening - np.nanmedian(opening))))
    size = clip.frames.shape[1]
    rigid, lips = list(mesh.RIGID_POINTS), list(mesh.LIPS_OUTER)
    width = np.ptp(clip.points[source, lips, 0])
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(width / 3) + 1,) * 2)
    for frame, points in zip(clip.frames, clip.points, strict=True):
        if not np.isfinite(points).all():
            yield frame
            continue
        warp, _ = cv2.estimateAffinePartial2D(clip.points[source, rigid], points[rigid])
        moved = cv2.transform(clip.points[source, lips][None], warp)[0]
        mask = np.zeros((size, size), np.uint8)
        for outline in (moved, points[lips]):
            cv2.fillConvexPoly(mask, cv2.convexHull(np.round(outline).astype(np.int32)), (255,))
        soft = cv2.GaussianBlur(cv2.dilate(mask, kernel), (0, 0), width / 12)[..., None] / 255.0
        mouth = cv2.warpAffine(
            clip.frames[source], warp, (size, size), borderMode=cv2.BORDER_REPLICATE
        )
        yield np.round(soft * mouth + (1 - soft) * frame).astype(np.uint8)


def pairs(clip: Clip, pictures: list[np.ndarray]) -> Iterator[FramePair]:
    options = BoxOptions()
    size = clip.frames.shape[1]
    known = has_face(clip.points)
    # Frames without a face are not counted; their boxes are never looked into.
    points = np.where(known[:, None, None], clip.points, clip.points[known][0])
    faces = mesh.face_box(points, size, size, options.face_margin)
    lips = mesh.lip_box(points, size, size, options.lip_margin, known)
    nowhere = Regions(*[np.zeros((size, size), bool)] * 2)
    for i, picture in enumerate(pictures):
        reference = Reference(clip.frames[i], faces[i], lips[i], nowhere)
        yield FramePair(picture, reference, bool(known[i]))


def statistics(clip: Clip, measured: Measured, waveform: np.ndarray) -> dict[str, Statistic]:
    """Every score as :mod:`video_scores` and :mod:`theval` have it, of drawn frames."""
    n = len(clip.frames)
    times = (np.arange(n) + 0.5) / clip.fps
    found: dict[str, Statistic] = {key: mean_of(of) for key, of in measured.columns.items()
                                   if key in BY_KEY}  # fmt: skip
    rigid = measured.points[:, list(FACE.rigid)]
    tremble = np.linalg.norm(rigid[2:] - 2 * rigid[1:-1] + rigid[:-2], axis=2).mean(axis=1)
    found["jitter_px"] = mean_of(
        np.pad(tremble, 1, constant_values=np.nan) * 512 / clip.frames.shape[1]
    )
    if measured.shapes:
        sides = [blendshape_table(of) for of in (measured.reference_shapes, measured.shapes)]
        found["blendshape_error"] = mean_of(blendshape_errors(*sides))
    openings = [FACE.opening(of) for of in (clip.points, measured.points)]
    if np.nanstd(openings[1]) >= sync.STILL_MOUTH:
        found["mouth_correlation"] = lambda i: correlation(openings[0][i], openings[1][i])

    drop, loudness = FACE.lip_drop(measured.points), sync.speech_loudness(
        waveform, clip.rate_hz, times)  # fmt: skip
    best = sync.lip_audio_correlation(drop, loudness).lag_frames
    if np.isfinite(best):
        found["lip_audio_correlation"] = lambda i: sync.correlation_at(drop, loudness, int(best), i)

    level_dbfs = active_level_dbfs(waveform, clip.rate_hz)
    is_silent = frame_silence(waveform, clip.rate_hz, n, clip.fps, level_dbfs)
    lips = theval.lip_distances(measured.points, FEATURES)
    found["lip_dynamics"] = theval.mean_variance(lips)
    found["eyebrow_dynamics"] = mean_of(theval.eyebrow_steps(measured.points, FEATURES))
    centres = theval.face_centres(measured.points) * 512 / clip.frames.shape[1]
    found["head_motion"] = theval.head_motion(
        theval.head_angles(measured.meshes, FEATURES), centres
    )
    in_pause = theval.pauses(is_silent, clip.fps)
    gap = np.where(in_pause, theval.lip_gap(measured.points, FEATURES), np.nan)
    found["silent_lip_motion"] = lambda i: theval.unrest(gap[i])
    power = sync.mean_power(waveform, clip.rate_hz, times, theval.LOUDNESS_SECONDS)
    found["lip_loudness_gap"] = mean_of(
        theval.lip_loudness_gaps(measured.points, np.sqrt(power), ~is_silent, FEATURES)
    )
    return found


def mean_of(series: np.ndarray) -> Statistic:
    """Mean of a series [frames] where it is finite."""

    def statistic(frames: np.ndarray) -> float:
        drawn = series[frames]
        drawn = drawn[np.isfinite(drawn)]
        return float(drawn.mean()) if len(drawn) else float("nan")

    return statistic
