"""Raw video → square frames around the main face, and the manifest that all stages index by."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.crop import follow_main_face, square_around_face
from wildtalker_core.media.files import save_json
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.splits import split_frames
from wildtalker_core.media.video import VideoFacts, first_frame_seconds, probe, sample_frames
from wildtalker_core.progress import progress
from workflow_scripts.job import job


def main(
    video_path: str,
    frames_path: str,
    manifest_path: str,
    clip: str,
    options: dict,
    find_faces: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Decode twice: once to find the face, once to cut it out; one frame in memory at a time.

    Args:
        options: the config section ``media``.
        find_faces: image [height, width, 3] uint8 → boxes [faces, 5] x0, y0, x1, y1, score.

    Raises InputError: the video cannot be read or used; the remedy is in the message.
    """
    fps, size_px = options["fps"], options["size_px"]
    span = (fps, options["start_seconds"], options["max_seconds"])
    facts = probe(video_path)
    _require_size(facts, options["min_source_px"])

    boxes_per_source, shown_by, source_frames = [], [], []
    n_promised = round(facts.duration_seconds * fps) or None
    for sampled in progress(sample_frames(video_path, *span), "finding faces", n_promised):
        boxes_per_source.append(find_faces(sampled.image))
        shown_by += [len(boxes_per_source) - 1] * len(sampled.outputs)
        source_frames += [sampled.number] * len(sampled.outputs)
    n_frames = len(source_frames)
    _require_duration(facts, n_frames / fps, options)

    # What is filmed is chosen by training frames, for the test must not change what is learnt.
    n_train = split_frames(n_frames, options["train_fraction"])[0]
    face_boxes = follow_main_face(boxes_per_source, shown_by[n_train - 1] + 1)[shown_by]
    has_face = np.isfinite(face_boxes).all(axis=1)
    _require_face(facts, has_face, options["max_faceless_share"])
    if not has_face[:n_train].any():
        raise InputError(
            facts.path,
            "shows no face in the part that is trained on",
            "cut off what comes before the person (media.start_seconds)",
        )
    crop = square_around_face(
        face_boxes[:n_train],
        facts.height,
        facts.width,
        options["crop_scale"],
        options["crop"],
        size_px,
    )
    if crop.size < options["min_source_px"]:
        raise InputError(
            facts.path,
            f"shows a face so small that the portrait would have {crop.size} pixels a side",
            "film from nearer, or lower media.min_source_px or raise media.crop_scale",
        )

    with write_frames(frames_path, n_frames, (size_px, size_px, 3)) as writer:
        for sampled in progress(sample_frames(video_path, *span), "cutting frames", n_promised):
            frame = resize_image(crop.of(sampled.image), size_px)
            for _ in sampled.outputs:
                writer.append(frame)

    save_json(
        manifest_path,
        {
            "clip": clip,
            "fps": fps,
            "n_frames": n_frames,
            "size_px": size_px,
            "frame_times_seconds": [round(i / fps, 6) for i in range(n_frames)],
            "source_frames": source_frames,
            "crop": {"x": crop.x, "y": crop.y, "size": crop.size},
            "faceless_frames": np.flatnonzero(~has_face).tolist(),
            "sample_rate_hz": options["sample_rate_hz"],
            "n_samples": round(n_frames / fps * options["sample_rate_hz"]),
            "source": {
                "path": facts.path,
                "width": facts.width,
                "height": facts.height,
                "fps": facts.fps,
                "rotation_degrees": facts.rotation_degrees,
                "duration_seconds": facts.duration_seconds,
                "codec": facts.codec,
                "audio_codec": facts.audio_codec,
                "start_seconds": options["start_seconds"],
                "first_frame_seconds": first_frame_seconds(video_path),
            },
        },
    )


def _require_size(facts: VideoFacts, min_source_px: int) -> None:
    if min(facts.width, facts.height) < min_source_px:
        raise InputError(
            facts.path,
            f"has {facts.width}x{facts.height} pixels, {min_source_px} a side are needed",
            "give a larger video",
        )


def _require_duration(facts: VideoFacts, seconds: float, options: dict) -> None:
    if seconds < options["min_seconds"]:
        raise InputError(
            facts.path,
            f"gives {seconds:.1f} s of frames, at least {options['min_seconds']:g} s are needed",
            "give a longer clip (minutes are best) or check media.start_seconds and max_seconds",
        )


def _require_face(facts: VideoFacts, has_face: np.ndarray, max_faceless_share: float) -> None:
    if not has_face.any():
        raise InputError(
            facts.path, "shows no face in any frame", "give a video of a person facing the camera"
        )
    faceless_share = 1.0 - has_face.mean()
    if faceless_share > max_faceless_share:
        first = int(np.flatnonzero(~has_face)[0])
        raise InputError(
            facts.path,
            f"shows the main face in only {100 * has_face.mean():.0f} % of its frames "
            f"(frame {first} is the first without)",
            "cut the clip to one take of one person (media.start_seconds, media.max_seconds), "
            "or raise media.max_faceless_share",
        )


if __name__ == "__main__":
    with job(snakemake):
        from wildtalker_core.pretrained.face_detector import FaceDetector

        with FaceDetector() as detector:
            main(
                str(Path(snakemake.input.video)),
                snakemake.output.frames,
                snakemake.output.manifest,
                snakemake.wildcards.clip,
                snakemake.params.options,
                detector,
            )
