"""Raw video → square frames around the main face, and the manifest that all stages index by."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from wildtalker_core.errors import InputError, warn
from wildtalker_core.media.crop import Crop, follow_main_face, square_around_face
from wildtalker_core.media.files import save_json
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.options import FrameOptions
from wildtalker_core.media.shots import Shots, Stills, find_shots, shot_warnings, thumbnail
from wildtalker_core.media.splits import split_frames
from wildtalker_core.media.video import VideoFacts, first_frame_seconds, probe, sample_frames
from wildtalker_core.progress import progress
from workflow_scripts.job import call, job


def main(
    video_path: str,
    frames_path: str,
    manifest_path: str,
    clip: str,
    options: FrameOptions,
    find_faces: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Decode twice: once to find the face, once to cut it out; one frame in memory at a time.

    Args:
        find_faces: image [height, width, 3] uint8 → boxes [faces, 5] x0, y0, x1, y1, score.

    Raises InputError: the video cannot be read or used; the remedy is in the message.
    """
    fps = options.fps
    facts = probe(video_path, options.video_stream)
    looks = look(video_path, facts, find_faces, options)
    _require_size(facts, looks.shape, options.min_source_px)
    n_frames = len(looks.source_frames)
    _require_duration(facts, n_frames / fps, options)

    # What is filmed is chosen by training frames, for the test must not change what is learnt.
    n_train = split_frames(n_frames, options.train_fraction)[0]
    face_boxes = follow_main_face(looks.boxes, int(looks.shown[n_train - 1]) + 1)[looks.shown]
    has_face = np.isfinite(face_boxes).all(axis=1)
    is_blank = np.isin(looks.shown, looks.shots.blank)
    _require_face(facts, has_face, is_blank, options.max_faceless_share, n_train)
    crop = _crop_of(facts, face_boxes[:n_train], looks.shape, options)
    # Enlarged pictures would hold nothing more.
    size_px = min(options.size_px, crop.size - crop.size % 2)
    stills = _cut_out(video_path, frames_path, crop, size_px, looks, options)

    # First frames of new shots, as they are numbered here.
    cuts = np.searchsorted(looks.shown, looks.shots.cuts)
    boxes_of_crop = (face_boxes - np.tile([crop.x, crop.y], 2)) / crop.size
    captions = stills.captions(np.flatnonzero(is_blank), cuts, boxes_of_crop)
    warnings = [
        *facts.notes,
        *looks.warnings,
        *shot_warnings(np.flatnonzero(is_blank), cuts, captions, fps),
    ]
    for line in warnings:
        warn(facts.path, line)
    save_json(
        manifest_path,
        {
            "clip": clip,
            "fps": fps,
            "n_frames": n_frames,
            "size_px": size_px,
            "frame_times_seconds": [round(i / fps, 6) for i in range(n_frames)],
            "source_frames": looks.source_frames,
            "crop": {"x": crop.x, "y": crop.y, "size": crop.size},
            "faceless_frames": np.flatnonzero(~has_face).tolist(),
            "blank_frames": np.flatnonzero(is_blank).tolist(),
            "cut_frames": cuts.tolist(),
            "warnings": warnings,
            "sample_rate_hz": options.sample_rate_hz,
            "n_samples": round(n_frames / fps * options.sample_rate_hz),
            "source": _source_of(facts, looks.shape, options),
        },
    )


def span_of(options: FrameOptions) -> dict:
    """Which part of which stream, as arguments of ``sample_frames``."""
    return {
        "fps": options.fps,
        "start_seconds": options.start_seconds,
        "max_seconds": options.max_seconds,
        "stream_number": options.video_stream,
    }


@dataclass(frozen=True)
class Looks:
    """The whole clip looked at once.

    shape: height and width of the largest picture, to which all are scaled. boxes: per source frame
    that is shown, faces [faces, 5] in pixels of that picture, none in blank frames. shown: [n] the
    source frame that each output frame shows, as a place in ``boxes``; source_frames: [n] the same
    as numbers of decoded frames. shots: by places in ``boxes``. warnings: lines.
    """

    shape: tuple[int, int]
    boxes: list[np.ndarray]
    shown: np.ndarray
    source_frames: list[int]
    shots: Shots
    warnings: list[str]


def look(
    video_path: str,
    facts: VideoFacts,
    find_faces: Callable[[np.ndarray], np.ndarray],
    options: FrameOptions,
) -> Looks:
    """Decode once: faces, thumbnails and sizes; one frame in memory at a time."""
    boxes, shown, source_frames, seconds, sizes, thumbnails = [], [], [], [], [], []
    n_promised = round(facts.duration_seconds * options.fps) or None
    pictures = sample_frames(video_path, **span_of(options), may_change_size=True)
    for sampled in progress(pictures, "finding faces", n_promised):
        boxes.append(np.asarray(find_faces(sampled.image), float).reshape(-1, 5))
        thumbnails.append(thumbnail(sampled.image))
        sizes.append((sampled.image.shape[0], sampled.image.shape[1]))
        seconds.append(sampled.time_seconds)
        shown += [len(boxes) - 1] * len(sampled.outputs)
        source_frames += [sampled.number] * len(sampled.outputs)
    if not boxes:
        return Looks((facts.height, facts.width), [], np.zeros(0, int), [], Shots.none(), [])
    shape = max(sizes, key=lambda size: size[0] * size[1])
    for i, (height, width) in enumerate(sizes):
        boxes[i][:, :4] *= np.tile([shape[1] / width, shape[0] / height], 2)
    shots = find_shots(np.stack(thumbnails), np.array(seconds))
    for i in shots.blank:
        boxes[i] = np.empty((0, 5))
    changes = [i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1]]
    warnings = [
        f"the picture changes from {sizes[i - 1][1]}x{sizes[i - 1][0]} to "
        f"{sizes[i][1]}x{sizes[i][0]} pixels at {seconds[i]:.2f} s; all frames are scaled to "
        f"{shape[1]}x{shape[0]}"
        for i in changes[:3]
    ]
    return Looks(shape, boxes, np.array(shown, int), source_frames, shots, warnings)


def _cut_out(
    video_path: str, frames_path: str, crop: Crop, size_px: int, looks: Looks, options: FrameOptions
) -> Stills:
    """Decode again, and write the crop of every output frame."""
    n_frames = len(looks.shown)
    stills = Stills(n_frames)
    with write_frames(frames_path, n_frames, (size_px, size_px, 3)) as writer:
        pictures = sample_frames(video_path, **span_of(options), shape=looks.shape)
        for sampled in progress(pictures, "cutting frames", n_frames):
            frame = resize_image(np.ascontiguousarray(crop.of(sampled.image)), size_px)
            for _ in sampled.outputs:
                writer.append(frame)
                stills.see(frame)
    return stills


def _crop_of(
    facts: VideoFacts, face_boxes: np.ndarray, shape: tuple[int, int], options: FrameOptions
) -> Crop:
    crop = square_around_face(face_boxes, *shape, options.crop_scale, options.crop, options.size_px)
    if crop.size < options.min_source_px:
        raise InputError(
            facts.path,
            f"shows a face so small that the portrait would have {crop.size} pixels a side",
            "film from nearer, or lower media.min_source_px or raise media.crop_scale",
        )
    return crop


def _source_of(facts: VideoFacts, shape: tuple[int, int], options: FrameOptions) -> dict:
    """What the manifest says about the video."""
    return {
        "path": facts.path,
        "width": shape[1],
        "height": shape[0],
        "fps": facts.fps,
        "rotation_degrees": facts.rotation_degrees,
        "duration_seconds": facts.duration_seconds,
        "codec": facts.codec,
        "dynamic_range": facts.dynamic_range,
        "is_interlaced": facts.is_interlaced,
        "audio_codec": facts.audio_codec,
        "start_seconds": options.start_seconds,
        "first_frame_seconds": first_frame_seconds(facts.path, options.video_stream),
    }


def _require_size(facts: VideoFacts, shape: tuple[int, int], min_source_px: int) -> None:
    if min(shape) < min_source_px:
        raise InputError(
            facts.path,
            f"has {shape[1]}x{shape[0]} pixels, {min_source_px} a side are needed",
            "give a larger video",
        )


def _require_duration(facts: VideoFacts, seconds: float, options: FrameOptions) -> None:
    if seconds < options.min_seconds:
        raise InputError(
            facts.path,
            f"gives {seconds:.1f} s of frames, at least {options.min_seconds:g} s are needed",
            "give a longer clip (minutes are best) or check media.start_seconds and max_seconds",
        )


def _require_face(
    facts: VideoFacts,
    has_face: np.ndarray,
    is_blank: np.ndarray,
    max_faceless_share: float,
    n_train: int,
) -> None:
    """Blank frames show nobody and are known for it: they do not count."""
    if not has_face.any():
        raise InputError(
            facts.path, "shows no face in any frame", "give a video of a person facing the camera"
        )
    found_share = has_face[~is_blank].mean()
    if 1.0 - found_share > max_faceless_share:
        first = int(np.flatnonzero(~has_face & ~is_blank)[0])
        raise InputError(
            facts.path,
            f"shows the main face in only {100 * found_share:.0f} % of its frames "
            f"(frame {first} is the first without)",
            "cut the clip to one take of one person (media.start_seconds, media.max_seconds), "
            "or raise media.max_faceless_share",
        )
    if not has_face[:n_train].any():
        raise InputError(
            facts.path,
            "shows no face in the part that is trained on",
            "cut off what comes before the person (media.start_seconds)",
        )


if __name__ == "__main__":
    with job(snakemake):
        from wildtalker_core.pretrained.face_detector import FaceDetector

        with FaceDetector() as detector:
            options = FrameOptions(**snakemake.params.options)
            call(main, snakemake, options=options, find_faces=detector)
