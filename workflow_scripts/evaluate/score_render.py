"""A finished video against its reference → scores per frame and per video."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import cut_to_frames, read_waveform
from wildtalker_core.media.files import atomic_path, load_arrays, load_json, save_json
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.video import read_video
from wildtalker_core.metrics import bootstrap, theval, video_scores
from wildtalker_core.metrics.frame_scores import (
    FramePair,
    Measured,
    Models,
    Reference,
    measure_frames,
    picture_regions,
)
from wildtalker_core.metrics.landmarks import has_face
from wildtalker_core.metrics.video_scores import Scores, absent, scored
from wildtalker_core.person.landmarks import FACE_CONTOUR
from wildtalker_core.progress import progress
from wildtalker_core.speech.audio_features import active_level_dbfs, frame_silence
from workflow_scripts.evaluate.options import ScoreOptions
from workflow_scripts.evaluate.score_speech import clean_reference
from workflow_scripts.face_points import FACE, FEATURES
from workflow_scripts.job import job
from workflow_scripts.openface import openface_tables, score_action_units
from workflow_scripts.reference import read_reference
from workflow_scripts.scene_inputs import left_out
from workflow_scripts.weight_inputs import Tried, read_tried


@dataclass(frozen=True)
class Files:
    """What is read.

    render: the video's own JSON (frames, mode, seconds_per_frame, device, kind). reference: a known
    hand-free video at the clip's own size and rate, or the store ``occlusion/hand_free.zarr.zip``.
    speech: what the portrait should be seen to say: the clip's speech, or the driving one.
    clean_speech: the clip's known clean speech, heard instead of ``speech`` in frames of the clip:
    noise under a voice is nothing that lips follow. training: JSON of each training stage; none for
    methods that are not trained here. openface: tables of reference and estimate, a row a frame.
    """

    video: str
    render: str
    manifest: str
    scene: str
    parsing: str
    reference: str
    speech: str
    clean_speech: str | None = None
    training: Sequence[str] = ()
    openface: tuple[str, str] | None = None


def main(
    files: Files,
    frame_scores_path: str,
    video_scores_path: str,
    identity: dict[str, Any],
    models: Models,
    has_ms_ssim: bool = True,
) -> None:
    """Score a video and write a table of frames and a JSON of means.

    Args:
        identity: what the result is of: clip, method, setting, seed. Scores that need a reference
            are n/a for a render that is not of the clip's own frames.

    Raises InputError: the video does not have the frames that its JSON announces.
    """
    render, manifest = load_json(files.render), load_json(files.manifest)
    scene = load_arrays(files.scene, "face_box", "lip_box", "is_counted")
    size_px, fps = int(manifest["size_px"]), float(manifest["fps"])
    # Frames of the clip have a reference; driven speech was never filmed.
    own_frames = np.asarray(render["frames"], int) if "frames" in render else None
    pairs = frame_pairs(files, manifest, scene, own_frames)
    total = None if own_frames is None else len(own_frames)
    measured = measure_frames(progress(pairs, "frames", total), models, FACE, has_ms_ssim)
    n_frames = len(measured.points)
    frames = np.arange(n_frames) if own_frames is None else own_frames
    scores = video_scores.score_frames(measured, models, FACE, frames, fps, size_px, has_ms_ssim)
    scores |= score_action_units(files.openface, measured, fps)
    waveform = heard(files, manifest, own_frames)
    scores |= score_liveliness(
        measured, frames, waveform, manifest["sample_rate_hz"], models.landmark_backend, fps,
        size_px,
    )  # fmt: skip
    scores |= video_scores.score_sync(
        measured.points, FACE, waveform, manifest["sample_rate_hz"], fps, models,
        lambda: face_crops(files.video, size_px, measured.points),
    )  # fmt: skip
    training = [load_json(path) for path in files.training]
    scores |= costs(render, training)
    write_frame_table(frame_scores_path, measured, frames)
    faceless = np.flatnonzero(measured.is_counted & ~has_face(measured.points))
    devices = sorted({str(of.get("device", "unknown")) for of in training})
    save_json(
        video_scores_path,
        {
            **identity,
            "kind": render["kind"],
            "mode": render.get("mode", "n/a"),
            "device": render.get("device", "n/a"),
            "training_device": ", ".join(devices) or "n/a",
            "head_of": next((of["head_of"] for of in training if of.get("head_of")), None),
            "reference": None if own_frames is None else Path(files.reference).name,
            "n_frames": n_frames,
            "n_left_out": 0 if own_frames is None else left_out(scene["is_counted"], frames),
            "block_frames": bootstrap.block_frames(n_frames, fps),
            "size_px": size_px,
            "n_faceless_frames": len(faceless),
            "faceless_frames": faceless.tolist(),
            "scores": scores,
        },
    )


def frame_pairs(
    files: Files,
    manifest: dict[str, Any],
    scene: dict[str, np.ndarray],
    frames: np.ndarray | None,
) -> Iterator[FramePair]:
    """The video's frames beside their references, one at a time."""
    pictures = sized_pictures(files.video, int(manifest["size_px"]))
    if frames is None:
        yield from (FramePair(picture) for picture in pictures)
        return
    parsing, is_counted = FrameStore(files.parsing), scene["is_counted"]
    references = read_reference(files.reference, manifest, frames)
    n_found = 0
    for picture in pictures:
        n_found += 1
        if n_found > len(frames):
            continue
        i = int(frames[n_found - 1])
        reference = Reference(
            next(references), scene["face_box"][i], scene["lip_box"][i], picture_regions(parsing[i])
        )
        yield FramePair(picture, reference, bool(is_counted[i]))
    if n_found != len(frames):
        raise InputError(
            files.video,
            f"has {n_found} frames, its test split has {len(frames)}",
            "render the test frames of scene/scene.npz, one picture each",
        )


def sized_pictures(path: str, size_px: int) -> Iterator[np.ndarray]:
    """Frames of a video at the stored size, one at a time."""
    for frame, _ in read_video(path):
        if frame.shape[0] != frame.shape[1]:
            raise InputError(
                f"a frame of {frame.shape[1]}x{frame.shape[0]}",
                "is not square as the clip's frames are",
                "cut the finished video to the crop in media/manifest.json",
            )
        yield resize_image(frame, size_px)


def face_crops(path: str, size_px: int, points: np.ndarray) -> Iterator[np.ndarray]:
    """SyncNet's pictures of the face, read once more from the video, one at a time."""
    from wildtalker_core.pretrained.syncnet import cut_face_crop, face_crop_boxes

    boxes = face_crop_boxes(video_scores.fill_gaps(points), FACE_CONTOUR)
    for picture, box in zip(sized_pictures(path, size_px), boxes, strict=True):
        yield cut_face_crop(picture, box)


def heard(files: Files, manifest: dict[str, Any], frames: np.ndarray | None) -> np.ndarray:
    """The speech that the lips should follow, [samples] with the video's time zero."""
    if frames is None:
        return read_waveform(files.speech)[0]
    speech = clean_reference(files.clean_speech, files.speech, manifest)
    return cut_to_frames(speech, manifest["sample_rate_hz"], frames, float(manifest["fps"]))


def score_liveliness(
    measured: Measured,
    frames: np.ndarray,
    waveform: np.ndarray,
    sample_rate_hz: int,
    backend: str,
    fps: float,
    size_px: int,
) -> Scores:
    """How the face moves, and whether it rests when the voice does: scores after THEval.

    ASSUME: a pause is where the sound stays 30 dB below the speech, as for the resting mouth.
    """
    level_dbfs = active_level_dbfs(waveform, sample_rate_hz)
    is_silent = frame_silence(waveform, sample_rate_hz, len(frames), fps, level_dbfs)
    return theval.score_movement(
        measured.meshes, frames, FEATURES, backend, fps, size_px
    ) | theval.score_pauses(
        measured.points, waveform, sample_rate_hz, is_silent, FEATURES, backend, fps
    )


def costs(render: dict[str, Any], training: Sequence[dict[str, Any]]) -> Scores:
    """Training hours (head, lips and torso together, without preparation) and time per frame."""
    hours, per_frame = absent("nothing is trained here"), absent("not rendered here")
    if training:
        seconds = sum(float(of["seconds"]) for of in training)
        hours = scored(seconds / 3600, "wall clock of head, lips and torso", "")
    if render.get("seconds_per_frame") is not None:
        backend = f"wall clock, {render.get('device', 'unknown device')}"
        per_frame = scored(1000 * float(render["seconds_per_frame"]), backend, "")
    return {"training_hours": hours, "ms_per_frame": per_frame}


def write_frame_table(path: str, measured: Measured, numbers: np.ndarray) -> None:
    """Tab-separated, one row a frame; empty where a frame has no value."""
    table = pandas.DataFrame({"frame": numbers} | measured.columns)
    table = table.replace([np.inf, -np.inf], np.nan)
    table["is_counted"] = measured.is_counted.astype(int)
    table["has_face"] = has_face(measured.points).astype(int)
    with atomic_path(path) as partial:
        table.to_csv(partial, sep="\t", index=False, float_format="%.6g")


def load_models(options: ScoreOptions, tried: Tried, train_device: str, stack: ExitStack) -> Models:
    """The networks whose files the config names, open as long as ``stack`` is.

    They use a CUDA device where there is one, unless ``train.device`` says cpu. A job that scores
    may run on another machine than the one that trained, so none is asked for.

    Args:
        tried: what became of LPIPS' backbone, for ``evaluate.lpips_weights: auto``.
    """
    from wildtalker_core.pretrained.mediapipe_models import BlendshapeModel, FaceMesh
    from wildtalker_core.training.build import choose_device

    device = choose_device("cpu" if train_device == "cpu" else "auto")
    # Detection anew in every frame: a blurred frame must not lean on the one before it.
    face_mesh = stack.enter_context(FaceMesh(max_faces=1, is_tracking=False))
    models = Models(face_mesh, "mediapipe face mesh", blendshape_backend="mediapipe FaceLandmarker")
    if options.blendshape_model:
        blendshapes = stack.enter_context(BlendshapeModel(options.blendshape_model))
        models = replace(models, blendshapes=blendshapes)
    lpips_weights = options.lpips_weights
    if lpips_weights == "auto":
        lpips_weights = tried.path
        models = replace(models, why_no_perceptual=tried.reason)
    if lpips_weights:
        from wildtalker_core.pretrained.lpips_model import LpipsModel

        lpips = LpipsModel(lpips_weights, options.lpips_net, device)
        models = replace(models, perceptual_distance=lpips.score, perceptual_backend=lpips.backend)
    if options.syncnet_weights:
        from wildtalker_core.pretrained.syncnet import SyncNetEmbedder

        syncnet = SyncNetEmbedder(options.syncnet_weights, device)
        models = replace(models, embed_sync=syncnet, sync_backend=syncnet.backend)
    return models


if __name__ == "__main__":
    with job(snakemake), ExitStack() as stack:
        given, wildcards = snakemake.input, snakemake.wildcards
        options = ScoreOptions(**snakemake.params.options)
        main(
            Files(
                video=given.video,
                render=given.render,
                manifest=given.manifest,
                scene=given.scene,
                parsing=given.parsing,
                reference=given.truth or given.hand_free,
                speech=given.speech,
                clean_speech=given.clean_speech or None,
                training=list(given.training),
                openface=openface_tables(options.openface_dir, wildcards),
            ),
            snakemake.output.frames,
            snakemake.output.video,
            {
                "clip": wildcards.clip,
                "method": wildcards.method,
                "setting": wildcards.setting,
                "seed": snakemake.params.seed,
            },
            load_models(options, read_tried(given.tried), snakemake.params.device, stack),
            has_ms_ssim=options.has_ms_ssim,
        )
