"""What was measured of every frame → scores of the video, with standard errors and reasons.

A score is ``{"value", "backend", "standard_error"}``, or ``{"value": None, "reason"}`` where it
cannot be had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from wildtalker_core.metrics import bootstrap, expression, image, landmarks, sync
from wildtalker_core.metrics.frame_scores import FacePoints, Measured, Models

Scores = dict[str, dict[str, Any]]
NO_REFERENCE = "no reference video exists for driven speech"
STILL_MOUTH = "the mouth does not move, or too few frames show a face"
NO_FACE = "no face found in the reference or in the render"
#: Scores that are means over frames, so that two rows can be compared frame by frame.
MEANS = ("psnr_db", "psnr_face_db", "psnr_lips_db", "psnr_torso_db", "ssim", "ms_ssim", "lpips",
         "lmd_px", "lmd_interocular", "seam")  # fmt: skip
ACTION_UNITS = ("aue_sum", "aue_mean", "aue_lower", "aue_upper")


def scored(value: float, backend: str, reason: str, error: float | None = None) -> dict[str, Any]:
    """A score, or n/a with ``reason`` where the value is not finite."""
    if not np.isfinite(value):
        return absent(reason)
    return {"value": float(value), "backend": backend, "standard_error": error}


def scored_mean(values: np.ndarray, backend: str, reason: str, block: int) -> dict[str, Any]:
    """Mean of values [frames] as a score, NaN frames left out; n/a if none has one."""
    known = values[np.isfinite(values)]
    value = known.mean() if len(known) else np.nan
    return scored(value, backend, reason, bootstrap.error_of_mean(values, block))


def absent(reason: str) -> dict[str, Any]:
    return {"value": None, "backend": None, "reason": reason}


def score_frames(
    measured: Measured,
    models: Models,
    face: FacePoints,
    frames: np.ndarray,
    fps: float,
    size_px: int,
    has_ms_ssim: bool,
) -> Scores:
    """All scores that need neither sound nor OpenFace.

    Args:
        frames: [n] numbers of the frames on the clip's time line, ascending; where one is left
            out, the frames beside the gap are no neighbours.
        fps: frames per second, which sets the length of the bootstrap's blocks.
    """
    block = bootstrap.block_frames(len(frames), fps)
    scores = means_of(measured, models, block, size_px, has_ms_ssim)
    rigid = on_time_line(measured.points[:, list(face.rigid)], frames)
    scores["jitter_px"] = scored(
        landmarks.at_customary_size(landmarks.jitter(rigid), size_px),
        models.landmark_backend,
        "no three frames with a face follow each other",
    )
    if measured.reference_points is None:
        missing = absent(NO_REFERENCE)
        return scores | {"mouth_correlation": missing, "blendshape_error": missing}
    pair = face.opening(measured.reference_points), face.opening(measured.points)
    return scores | {
        "mouth_correlation": score_opening(*pair, models.landmark_backend, block),
        "blendshape_error": score_blendshapes(measured, models, block),
    }


def means_of(
    measured: Measured, models: Models, block: int, size_px: int, has_ms_ssim: bool
) -> Scores:
    """Mean over the frames in which there is a value, with its standard error and backend."""
    why_absent = {
        "lpips": models.why_no_perceptual,
        "ms_ssim": f"needs {image.MS_SSIM_MIN_PX} pixels a side, the frames have {size_px}"
        if has_ms_ssim
        else "switched off (evaluate.has_ms_ssim)",
        "lmd_px": NO_FACE,
        "lmd_interocular": NO_FACE,
        "psnr_torso_db": "no torso is in view",
        "seam": "no border of head and torso is in view",
    }
    backends = {
        "lpips": models.perceptual_backend,
        "ssim": "own, settings of Wang et al. 2004 (11x11 Gaussian, 1.5 px)",
        "ms_ssim": "own, five scales",
        "lmd_px": models.landmark_backend + ", 20 mouth points, at 512",
        "lmd_interocular": models.landmark_backend + ", 20 mouth points",
    }
    scores: Scores = {}
    for key in MEANS:
        values = measured.columns.get(key, np.empty(0))
        if measured.reference_points is None:
            reason = NO_REFERENCE
        elif not measured.is_counted.any():
            reason = "the person is in view in no frame"
        elif np.isposinf(values).any():
            reason = "every frame is identical to the reference"
        else:
            reason = why_absent.get(key, "not measured")
        scores[key] = scored_mean(values, backends.get(key, "own"), reason, block)
    return scores


def on_time_line(points: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Points [k, ...] of ascending frames [k] -> one row for every frame from the first to the
    last, NaN where a frame was left out."""
    placed = np.full((int(frames[-1] - frames[0]) + 1, *points.shape[1:]), np.nan)
    placed[np.asarray(frames) - frames[0]] = points
    return placed


def score_opening(
    reference: np.ndarray, estimate: np.ndarray, backend: str, block: int
) -> dict[str, Any]:
    """Does the mouth open when the reference's does? Correlation of both openings [frames]."""
    for series in (reference, estimate):
        if np.isfinite(series).sum() < 3 or np.nanstd(series) < sync.STILL_MOUTH:
            return absent(STILL_MOUTH)
    return scored(
        landmarks.correlation(reference, estimate),
        backend,
        STILL_MOUTH,
        bootstrap.error_of(
            lambda i: landmarks.correlation(reference[i], estimate[i]), len(reference), block
        ),
    )


def score_blendshapes(measured: Measured, models: Models, block: int) -> dict[str, Any]:
    if models.blendshapes is None:
        return absent("no FaceLandmarker file (evaluate.blendshape_model)")
    both = (measured.reference_shapes, measured.shapes)
    sides = [expression.blendshape_table(found) for found in both]
    if not sides[0].size or sides[0].shape != sides[1].shape:
        return absent(NO_FACE)
    errors = expression.blendshape_errors(*sides)
    no_face = "no frame shows a face on both sides"
    return scored_mean(errors, models.blendshape_backend, no_face, block)


def score_action_units(
    reference: np.ndarray, estimate: np.ndarray, is_counted: np.ndarray, fps: float
) -> Scores:
    """AUE of OpenFace's intensities [frames, 17] over the frames that count.

    OpenFace leaves no frame out. Where a table lacks one that counts, a mean over the others would
    be one of other frames than the rows beside it have.
    """
    block = bootstrap.block_frames(len(reference), fps)
    errors = expression.action_unit_errors(reference, estimate)
    if not np.isfinite(errors["aue_sum"][is_counted]).all():
        return {key: absent("OpenFace's tables lack frames that count") for key in ACTION_UNITS}
    return {
        key: scored_mean(np.where(is_counted, values, np.nan), "OpenFace", "no frame counts", block)
        for key, values in errors.items()
    }


def score_sync(
    points: np.ndarray,
    face: FacePoints,
    waveform: np.ndarray,
    sample_rate_hz: int,
    fps: float,
    models: Models,
    face_crops: Callable[[], Iterable[np.ndarray]],
) -> Scores:
    """LSE where SyncNet is here, and the correlation of the lower lip's way and loudness.

    Both hear the same speech for every method: not the sound that its video carries, which a
    denoiser may have changed.

    Args:
        points: [frames, points, 2] of the estimate, NaN without a face.
        face_crops: gives SyncNet's pictures of the estimate's face, one after the other.
    """
    times = (np.arange(len(points)) + 0.5) / fps
    loudness, drop = sync.speech_loudness(waveform, sample_rate_hz, times), face.lip_drop(points)
    block = bootstrap.block_frames(len(points), fps)
    found = sync.lip_audio_correlation(drop, loudness)
    error = None
    if np.isfinite(found.correlation):
        error = bootstrap.error_of(
            lambda i: sync.correlation_at(drop, loudness, int(found.lag_frames), i),
            len(points),
            block,
        )
    backend = f"{models.landmark_backend}, loudness of 400 to 1200 Hz"
    scores: Scores = {
        "lip_audio_correlation": scored(found.correlation, backend, STILL_MOUTH, error),
        "lip_audio_lag_frames": scored(found.lag_frames, backend, STILL_MOUTH),
    }
    reason = why_no_lse(points, fps, models)
    if reason:
        return scores | {key: absent(reason) for key in ("lse_c", "lse_d", "lse_offset_frames")}
    assert models.embed_sync is not None  # else there is a reason
    of_lips, of_voice = models.embed_sync(face_crops(), waveform)
    lse = sync.lip_sync_error(of_lips, of_voice, block)
    errors = lse.standard_errors
    backend = f"{models.sync_backend}, crop from {models.landmark_backend}"
    return scores | {
        "lse_c": scored(lse.lse_c, backend, "", errors[0]),
        "lse_d": scored(lse.lse_d, backend, "", errors[1]),
        "lse_offset_frames": scored(lse.offset_frames, backend, ""),
    }


def why_no_lse(points: np.ndarray, fps: float, models: Models) -> str:
    if models.embed_sync is None:
        return "no SyncNet weights (evaluate.syncnet_weights)"
    if abs(fps - 25.0) > 1e-6:
        return f"SyncNet is defined at 25 frames per second, the clip has {fps:g}"
    if not landmarks.has_face(points).any():
        return "no face found in the render"
    if len(points) < 6:
        return "fewer than six frames"
    return ""


def fill_gaps(points: np.ndarray) -> np.ndarray:
    """Frames without a face take the landmarks of the nearest frame that has one."""
    known = np.flatnonzero(landmarks.has_face(points))
    middles = (known[:-1] + known[1:]) / 2
    return points[known[np.searchsorted(middles, np.arange(len(points)))]]
