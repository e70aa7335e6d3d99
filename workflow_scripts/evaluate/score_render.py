"""A finished video against its reference → scores per frame and per video."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.face.landmarks import (
    FACE_CONTOUR,
    LEFT_EYE_CORNER,
    LOWER_LIP_INNER,
    MOUTH_OF_68,
    NOSE_TIP,
    RIGHT_EYE_CORNER,
    RIGID_POINTS,
    UPPER_LIP_INNER,
)
from wildtalker_core.media.audio import cut_to_frames, read_waveform
from wildtalker_core.media.files import atomic_path, load_arrays, load_json, save_json
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.video import read_video
from wildtalker_core.metrics import expression, image, landmarks, sync
from wildtalker_core.progress import progress
from workflow_scripts.evaluate.score_speech import clean_reference
from workflow_scripts.job import job
from workflow_scripts.reference import read_reference
from workflow_scripts.weight_inputs import read_tried

Scores = dict[str, dict[str, Any]]
NO_REFERENCE = "no reference video exists for driven speech"


@dataclass(frozen=True)
class Models:
    """Foreign networks as callables; None where their weights are not on this machine.

    find_landmarks: frame -> [faces, 478, 3] pixels. perceptual_distance: (reference, estimate) ->
    LPIPS. blendshapes: frame -> scores by name, or None. embed_sync: (crops, waveform) -> lip and
    audio embeddings. The ``_backend`` texts are printed with the scores.
    """

    find_landmarks: Callable[[np.ndarray], np.ndarray]
    landmark_backend: str
    perceptual_distance: Callable[[np.ndarray, np.ndarray], float] | None = None
    perceptual_backend: str = ""
    why_no_perceptual: str = "no backbone weights (evaluate.lpips_weights)"
    blendshapes: Callable[[np.ndarray], dict[str, float] | None] | None = None
    blendshape_backend: str = ""
    embed_sync: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    sync_backend: str = ""


def main(
    video_path: str,
    render_path: str,
    manifest_path: str,
    scene_path: str,
    parsing_path: str,
    reference_path: str,
    speech_path: str,
    clean_speech_path: str | None,
    training_paths: Sequence[str],
    frame_scores_path: str,
    video_scores_path: str,
    identity: dict[str, Any],
    models: Models,
    has_ms_ssim: bool = True,
    openface_paths: tuple[str, str] | None = None,
) -> None:
    """Score ``video_path`` and write a table of frames and a JSON of means.

    Args:
        render_path: the video's own JSON (frames, mode, seconds_per_frame, device, kind).
        reference_path: a known hand-free video at the clip's own size and rate, or the store
            ``motion/hand_free.zarr.zip``.
        speech_path: what the portrait should be seen to say: the clip's speech, or the driving one.
        clean_speech_path: the clip's known clean speech, heard instead of ``speech_path`` in
            frames of the clip: noise under a voice is nothing that lips follow.
        training_paths: JSON of each training stage; none for methods that are not trained here.
        identity: what the result is of: clip, method, setting, seed. Scores that need a reference
            are n/a for a render that is not of the clip's own frames.
        openface_paths: OpenFace tables of reference and estimate, a row a frame.

    Raises InputError: the video does not have the frames that its JSON announces.
    """
    render, manifest = load_json(render_path), load_json(manifest_path)
    size_px = int(manifest["size_px"])
    estimate = [resize_to(frame, size_px) for frame, _ in read_video(video_path)]
    find = progress(estimate, "faces of the render", len(estimate))
    estimate_landmarks = detect(find, models.find_landmarks)

    per_frame: dict[str, np.ndarray] = {}
    scores: Scores = {}
    # Frames of the clip have a reference; driven speech was never filmed.
    has_reference = "frames" in render
    if has_reference:
        frames = np.asarray(render["frames"], int)
        require_same_length(video_path, len(estimate), len(frames))
        reference = read_reference(reference_path, manifest, frames)
        scene = load_arrays(scene_path, "face_box", "lip_box")
        reference_landmarks = detect(reference, models.find_landmarks)
        regions = picture_regions(FrameStore(parsing_path), frames)
        per_frame |= score_pictures(
            reference, estimate, scene, frames, regions, models, has_ms_ssim
        )
        per_frame |= score_landmarks(reference_landmarks, estimate_landmarks, size_px)
    scores |= means_of(per_frame, models, has_reference, has_ms_ssim, size_px)
    if has_reference:
        scores["mouth_correlation"] = score_opening(
            opening(reference_landmarks), opening(estimate_landmarks), models
        )
        scores["blendshape_error"] = score_blendshapes(reference, estimate, models)
    else:
        scores["mouth_correlation"] = absent(NO_REFERENCE)
        scores["blendshape_error"] = absent(NO_REFERENCE)
    scores |= score_action_units(openface_paths, len(estimate), has_reference)
    scores["jitter_px"] = score_or_reason(
        float(
            landmarks.at_customary_size(
                landmarks.jitter(estimate_landmarks[:, list(RIGID_POINTS)]), size_px
            )
        ),
        models.landmark_backend,
        "no three frames with a face follow each other",
    )
    if has_reference:
        speech = clean_reference(clean_speech_path, speech_path, manifest)
        waveform = cut_to_frames(
            speech, manifest["sample_rate_hz"], np.asarray(frames), float(manifest["fps"])
        )
    else:
        waveform = read_waveform(speech_path)[0]
    scores |= score_sync(estimate, estimate_landmarks, waveform, manifest, models)
    scores |= costs(render, training_paths)

    is_faceless = ~np.isfinite(estimate_landmarks).all(axis=(1, 2))
    per_frame["has_face"] = ~is_faceless
    numbers = render["frames"] if has_reference else range(len(estimate))
    write_frame_table(frame_scores_path, per_frame, numbers)
    save_json(
        video_scores_path,
        {
            **identity,
            "kind": render["kind"],
            "mode": render.get("mode", "n/a"),
            "device": render.get("device", "n/a"),
            "training_device": training_device(training_paths),
            "reference": Path(reference_path).name if has_reference else None,
            "n_frames": len(estimate),
            "size_px": size_px,
            "n_faceless_frames": int(is_faceless.sum()),
            "faceless_frames": np.flatnonzero(is_faceless).tolist(),
            "scores": scores,
        },
    )


def resize_to(frame: np.ndarray, size_px: int) -> np.ndarray:
    """A square frame at the stored size. Finished videos of others may have another size."""
    if frame.shape[0] != frame.shape[1]:
        raise InputError(
            f"a frame of {frame.shape[1]}x{frame.shape[0]}",
            "is not square as the clip's frames are",
            "cut the finished video to the crop in media/manifest.json",
        )
    return resize_image(frame, size_px)


def require_same_length(video_path: str, n_estimate: int, n_expected: int) -> None:
    if n_estimate != n_expected:
        raise InputError(
            video_path,
            f"has {n_estimate} frames, its test split has {n_expected}",
            "render the test frames of scene/scene.npz, one picture each",
        )


def detect(
    frames: Sequence[np.ndarray], find_landmarks: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Landmarks of the first face of every frame, [frames, 478, 2] pixels, NaN without a face."""
    tracks = []
    for frame in frames:
        faces = find_landmarks(frame)
        tracks.append(faces[0, :, :2] if len(faces) else np.full((478, 2), np.nan))
    return np.asarray(tracks, np.float64)


@dataclass(frozen=True)
class Regions:
    """Parts of one picture, [height, width] bool each: the torso; where head or neck borders it."""

    torso: np.ndarray
    seam: np.ndarray


def picture_regions(parsing: FrameStore, frames: np.ndarray) -> list[Regions]:
    """The regions of each frame.

    ASSUME: a hand hides the torso, so that both count as torso where they are likelier than not.
    The seam lies within 2 % of the height of pixels that head (or neck) and torso both are at least
    a fifth likely to hold nearby.
    """
    import cv2

    radius = max(1, round(0.02 * parsing.shape[1]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    regions = []
    for i in frames:
        _, head, neck, torso, hands = np.moveaxis(parsing[int(i)], -1, 0)
        upper = (np.maximum(head, neck) > 51).astype(np.uint8)
        lower = (torso > 51).astype(np.uint8)
        seam = (cv2.dilate(upper, kernel) & cv2.dilate(lower, kernel)).astype(bool)
        regions.append(Regions(torso.astype(int) + hands >= 128, seam))
    return regions


def score_pictures(
    reference: Sequence[np.ndarray],
    estimate: Sequence[np.ndarray],
    scene: dict[str, np.ndarray],
    frames: np.ndarray,
    regions: Sequence[Regions],
    models: Models,
    has_ms_ssim: bool,
) -> dict[str, np.ndarray]:
    """Picture scores, [frames] each."""
    columns: dict[str, list[float]] = {}

    def add(name: str, value: float) -> None:
        columns.setdefault(name, []).append(value)

    is_large_enough = min(reference[0].shape[:2]) >= image.MS_SSIM_MIN_PX
    pairs = zip(frames, reference, estimate, regions, strict=True)
    for i, truth, guess, region in progress(pairs, "picture scores", len(frames)):
        add("psnr_db", image.psnr(truth, guess))
        add("psnr_face_db", image.psnr_in_box(truth, guess, scene["face_box"][i]))
        add("psnr_lips_db", image.psnr_in_box(truth, guess, scene["lip_box"][i]))
        add("ssim", image.ssim(truth, guess))
        torso, seam = region.torso, region.seam
        add("psnr_torso_db", image.psnr_in_mask(truth, guess, torso) if torso.any() else np.nan)
        add("seam", image.seam_error(truth, guess, seam) if seam.any() else np.nan)
        if has_ms_ssim and is_large_enough:
            add("ms_ssim", image.ms_ssim(truth, guess))
        if models.perceptual_distance is not None:
            add("lpips", models.perceptual_distance(truth, guess))
    return {name: np.asarray(values) for name, values in columns.items()}


def score_landmarks(
    reference: np.ndarray, estimate: np.ndarray, size_px: int
) -> dict[str, np.ndarray]:
    """LMD in both units, [frames], NaN where either side has no face."""
    mouth = list(MOUTH_OF_68)
    distance_px = landmarks.mouth_landmark_distance(reference[:, mouth], estimate[:, mouth])
    eyes = reference[:, LEFT_EYE_CORNER], reference[:, RIGHT_EYE_CORNER]
    return {
        "lmd_px": landmarks.at_customary_size(distance_px, size_px),
        "lmd_interocular": landmarks.per_interocular_distance(distance_px, *eyes),
        "mouth_opening": opening(estimate),
        "mouth_opening_reference": opening(reference),
    }


def opening(points: np.ndarray) -> np.ndarray:
    """Mouth opening [frames] of landmarks [frames, 478, 2]."""
    return landmarks.mouth_opening(
        points[:, UPPER_LIP_INNER],
        points[:, LOWER_LIP_INNER],
        points[:, LEFT_EYE_CORNER],
        points[:, RIGHT_EYE_CORNER],
    )


def lip_drop(points: np.ndarray) -> np.ndarray:
    """How far the lower lip is from the nose [frames], of landmarks [frames, 478, 2].

    It follows the jaw as well as the lips: on real clips it goes with the voice more than the gap
    between the lips does.
    """
    return landmarks.mouth_opening(
        points[:, NOSE_TIP],
        points[:, LOWER_LIP_INNER],
        points[:, LEFT_EYE_CORNER],
        points[:, RIGHT_EYE_CORNER],
    )


def means_of(
    per_frame: dict[str, np.ndarray],
    models: Models,
    has_reference: bool,
    has_ms_ssim: bool,
    size_px: int,
) -> Scores:
    """Mean over the frames in which there is a value, with its backend."""
    why_absent = {
        "lpips": models.why_no_perceptual,
        "ms_ssim": f"needs {image.MS_SSIM_MIN_PX} pixels a side, the frames have {size_px}"
        if has_ms_ssim
        else "switched off (evaluate.has_ms_ssim)",
        "lmd_px": "no face found in the reference or in the render",
        "lmd_interocular": "no face found in the reference or in the render",
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
    for key in ("psnr_db", "psnr_face_db", "psnr_lips_db", "psnr_torso_db", "ssim", "ms_ssim",
                "lpips", "lmd_px", "lmd_interocular", "seam"):  # fmt: skip
        values = per_frame.get(key, np.empty(0))
        values = values[np.isfinite(values)]
        if len(values):
            scores[key] = {"value": float(values.mean()), "backend": backends.get(key, "own")}
        else:
            reason = why_absent.get(key, "not measured") if has_reference else NO_REFERENCE
            scores[key] = absent(reason)
    return scores


def score_opening(reference: np.ndarray, estimate: np.ndarray, models: Models) -> dict[str, Any]:
    """Does the mouth open when the reference's does? Correlation of both openings [frames]."""
    still = "the mouth does not move, or too few frames show a face"
    for series in (reference, estimate):
        if np.isfinite(series).sum() < 3 or np.nanstd(series) < sync.STILL_MOUTH:
            return absent(still)
    return score_or_reason(
        landmarks.correlation(reference, estimate), models.landmark_backend, still
    )


def score_blendshapes(
    reference: Sequence[np.ndarray], estimate: Sequence[np.ndarray], models: Models
) -> dict[str, Any]:
    if models.blendshapes is None:
        return absent("no FaceLandmarker file (evaluate.blendshape_model)")
    sides = []
    for frames in (reference, estimate):
        found = [models.blendshapes(frame) for frame in frames]
        names = sorted(next((shapes for shapes in found if shapes), {}))
        sides.append(
            np.array([[s[n] for n in names] if s else [np.nan] * len(names) for s in found])
        )
    if not sides[0].size or sides[0].shape != sides[1].shape:
        return absent("no face found in the reference or in the render")
    return score_or_reason(
        expression.blendshape_error(*sides),
        models.blendshape_backend,
        "no frame shows a face on both sides",
    )


def score_action_units(
    openface_paths: tuple[str, str] | None, n_frames: int, has_reference: bool
) -> Scores:
    names = {"aue_sum": "sum", "aue_mean": "mean", "aue_lower": "lower", "aue_upper": "upper"}
    if not has_reference:
        return {key: absent(NO_REFERENCE) for key in names}
    if openface_paths is None:
        reason = "OpenFace's tables are not given (evaluate.openface_dir)"
        return {key: absent(reason) for key in names}
    intensities = [read_openface(path, n_frames) for path in openface_paths]
    errors = expression.action_unit_error(*intensities)
    return {key: {"value": errors[name], "backend": "OpenFace"} for key, name in names.items()}


def read_openface(path: str | os.PathLike[str], n_frames: int) -> np.ndarray:
    """[frames, 17] intensities of an OpenFace csv. Raises InputError if it does not fit."""
    import pandas

    if not Path(path).is_file():
        raise InputError(path, "does not exist", "run OpenFace on the video, or drop openface_dir")
    try:
        table = pandas.read_csv(path)
        intensities = expression.openface_intensities(table)
    except (KeyError, ValueError) as error:
        raise InputError(
            path, f"is no OpenFace table ({error.args[0]})", "run FeatureExtraction with -aus"
        ) from error
    if len(intensities) != n_frames:
        raise InputError(
            path,
            f"has {len(intensities)} rows, the video {n_frames} frames",
            "run OpenFace on the rendered video itself",
        )
    return intensities


def score_sync(
    estimate: Sequence[np.ndarray],
    points: np.ndarray,
    waveform: np.ndarray,
    manifest: dict[str, Any],
    models: Models,
) -> Scores:
    """LSE where SyncNet is here, and the correlation of the lower lip's way and loudness.

    Both hear the same speech for every method: not the sound that its video carries, which a
    denoiser may have changed.
    """
    fps = float(manifest["fps"])
    times = (np.arange(len(estimate)) + 0.5) / fps
    loudness = sync.speech_loudness(waveform, manifest["sample_rate_hz"], times)
    found = sync.lip_audio_correlation(lip_drop(points), loudness)
    backend = f"{models.landmark_backend}, loudness of 400 to 1200 Hz"
    still = "the mouth does not move, or too few frames show a face"
    scores: Scores = {
        "lip_audio_correlation": score_or_reason(found.correlation, backend, still),
        "lip_audio_lag_frames": score_or_reason(found.lag_frames, backend, still),
    }
    reason = why_no_lse(points, fps, models)
    if reason:
        return scores | {key: absent(reason) for key in ("lse_c", "lse_d", "lse_offset_frames")}
    from wildtalker_core.pretrained.syncnet import cut_face_crop, face_crop_boxes

    boxes = face_crop_boxes(fill_gaps(points), FACE_CONTOUR)
    crops = np.stack(
        [cut_face_crop(frame, box) for frame, box in zip(estimate, boxes, strict=True)]
    )
    found = sync.lip_sync_error(*models.embed_sync(crops, waveform))
    backend = f"{models.sync_backend}, crop from {models.landmark_backend}"
    return scores | {
        "lse_c": {"value": found.lse_c, "backend": backend},
        "lse_d": {"value": found.lse_d, "backend": backend},
        "lse_offset_frames": {"value": float(found.offset_frames), "backend": backend},
    }


def why_no_lse(points: np.ndarray, fps: float, models: Models) -> str:
    if models.embed_sync is None:
        return "no SyncNet weights (evaluate.syncnet_weights)"
    if abs(fps - 25.0) > 1e-6:
        return f"SyncNet is defined at 25 frames per second, the clip has {fps:g}"
    if not np.isfinite(points).all(axis=(1, 2)).any():
        return "no face found in the render"
    if len(points) < 6:
        return "fewer than six frames"
    return ""


def fill_gaps(points: np.ndarray) -> np.ndarray:
    """Frames without a face take the landmarks of the nearest frame that has one."""
    known = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    nearest = known[np.abs(np.arange(len(points))[:, None] - known).argmin(axis=1)]
    return points[nearest]


def costs(render: dict[str, Any], training_paths: Sequence[str]) -> Scores:
    """Training hours (head, lips and torso together, without preparation) and time per frame."""
    if training_paths:
        seconds = sum(float(load_json(path)["seconds"]) for path in training_paths)
        hours = {"value": seconds / 3600, "backend": "wall clock of head, lips and torso"}
    else:
        hours = absent("nothing is trained here")
    per_frame = render.get("seconds_per_frame")
    if per_frame is None:
        return {"training_hours": hours, "ms_per_frame": absent("not rendered here")}
    backend = f"wall clock, {render.get('device', 'unknown device')}"
    return {
        "training_hours": hours,
        "ms_per_frame": {"value": 1000 * float(per_frame), "backend": backend},
    }


def training_device(training_paths: Sequence[str]) -> str:
    devices = {str(load_json(path).get("device", "unknown")) for path in training_paths}
    return ", ".join(sorted(devices)) or "n/a"


def score_or_reason(value: float, backend: str, reason: str) -> dict[str, Any]:
    return {"value": value, "backend": backend} if np.isfinite(value) else absent(reason)


def absent(reason: str) -> dict[str, Any]:
    return {"value": None, "backend": None, "reason": reason}


def write_frame_table(path: str, per_frame: dict[str, np.ndarray], numbers: Sequence[int]) -> None:
    """Tab-separated, one row a frame; empty where a frame has no value."""
    lines = ["\t".join(["frame", *per_frame])]
    for row, number in enumerate(numbers):
        cells = []
        for values in per_frame.values():
            value = values[row]
            if values.dtype == bool:
                cells.append(str(int(value)))
            else:
                cells.append(f"{value:.6g}" if np.isfinite(value) else "")
        lines.append("\t".join([str(number), *cells]))
    with atomic_path(path) as partial:
        partial.write_text("\n".join(lines) + "\n")


def load_models(options: dict[str, Any], face_mesh: Any, blendshape_model: Any) -> Models:
    """The networks whose files the config names."""
    distance, distance_backend, embed, embed_backend = None, "", None, ""
    if options["lpips_weights"]:
        from wildtalker_core.pretrained.lpips_model import LpipsModel

        lpips_model = LpipsModel(options["lpips_weights"], options["lpips_net"])
        distance, distance_backend = lpips_model.score, lpips_model.backend
    if options["syncnet_weights"]:
        from wildtalker_core.pretrained.syncnet import SyncNetEmbedder

        embedder = SyncNetEmbedder(options["syncnet_weights"])
        embed, embed_backend = embedder, embedder.backend
    return Models(
        find_landmarks=face_mesh,
        landmark_backend="mediapipe face mesh",
        perceptual_distance=distance,
        perceptual_backend=distance_backend,
        blendshapes=blendshape_model,
        blendshape_backend="mediapipe FaceLandmarker",
        embed_sync=embed,
        sync_backend=embed_backend,
    )


if __name__ == "__main__":
    with job(snakemake):
        from contextlib import ExitStack

        from wildtalker_core.pretrained.mediapipe_models import BlendshapeModel, FaceMesh

        options, absence = dict(snakemake.params.options), {}
        if options["lpips_weights"] == "auto":
            tried = read_tried(snakemake.input.tried)
            options["lpips_weights"] = tried.path
            absence = {"why_no_perceptual": tried.reason}
        with ExitStack() as stack:
            # Detection anew in every frame: a blurred frame must not lean on the one before it.
            mesh = stack.enter_context(FaceMesh(max_faces=1, is_tracking=False))
            blendshapes = None
            if options["blendshape_model"]:
                blendshapes = stack.enter_context(BlendshapeModel(options["blendshape_model"]))
            truth = snakemake.input.truth
            openface_dir, wildcards = options["openface_dir"], snakemake.wildcards
            main(
                snakemake.input.video,
                snakemake.input.render,
                snakemake.input.manifest,
                snakemake.input.scene,
                snakemake.input.parsing,
                truth if truth else snakemake.input.hand_free,
                snakemake.input.speech,
                snakemake.input.clean_speech or None,
                list(snakemake.input.training),
                snakemake.output.frames,
                snakemake.output.video,
                {
                    "clip": wildcards.clip,
                    "method": wildcards.method,
                    "setting": wildcards.setting,
                    "seed": snakemake.params.seed,
                },
                replace(load_models(options, mesh, blendshapes), **absence),
                has_ms_ssim=options["has_ms_ssim"],
                openface_paths=(
                    f"{openface_dir}/{wildcards.clip}/reference.csv",
                    f"{openface_dir}/{wildcards.clip}/{wildcards.method}.csv",
                )
                if openface_dir and wildcards.setting == "self_driven"
                else None,
            )
