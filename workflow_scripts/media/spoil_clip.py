"""A clean clip's frames and speech → the same with hands in front and noise, by strength."""

import math
from collections.abc import Callable

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.crop import follow_main_face
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.media.splits import load_split
from wildtalker_core.media.video_writer import VideoWriter
from wildtalker_core.progress import progress
from wildtalker_core.robustness import spoiling
from wildtalker_core.robustness.options import SpoilOptions
from workflow_scripts.job import job
from workflow_scripts.speech import corrupt_speech

#: In so many training frames, evenly spread, the face is looked for; hands follow its median place.
N_LOOKS = 60


def main(
    clean_frames_path: str,
    clean_manifest_path: str,
    clean_speech_path: str,
    clean_split_path: str,
    noise_path: str | None,
    outputs: dict[str, str],
    clip: str,
    strength_percent: int,
    options: SpoilOptions,
    find_faces: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Write the spoiled clip as the media stage leaves a clip, and where its hands are.

    Both grow with the strength: the time with a hand in view, and the noise's amplitude.

    Args:
        outputs: paths by name: frames, manifest, speech, occluder ([n, height, width], 255 where a
            hand is), video (to look at, or to train other methods on).
        find_faces: image → boxes [faces, 5] x0, y0, x1, y1, score.

    Raises InputError: no face is found, or the noise is unusable.
    """
    frames, manifest = FrameStore(clean_frames_path), load_json(clean_manifest_path)
    fps, size, n_frames = float(manifest["fps"]), int(manifest["size_px"]), len(frames)
    train = load_split(clean_split_path).frames("train")
    some = frames[train[np.unique(np.linspace(0, len(train) - 1, N_LOOKS).astype(int))]]
    given = options.face_box
    face_box = size * np.array(given) if given else median_face(some, find_faces, clip)
    placement = spoiling.place_on_face(face_box, size)
    hand_share, seed = options.hand_share * strength_percent / 100, options.seed
    gestures = spoiling.plan_gestures(n_frames / fps, hand_share, placement, seed, options.place)
    palette = spoiling.palette_of(some, face_box)
    spoil = spoiling.Spoiler(gestures, palette, placement, fps, seed)

    snr_db = options.snr_db - 20 * math.log10(strength_percent / 100)
    corruption = {"noise": options.noise, "snr_db": snr_db}
    corrupt_speech.main(
        clean_speech_path, noise_path, clean_split_path, outputs["speech"], corruption
    )

    with (
        write_frames(outputs["frames"], n_frames, (size, size, 3)) as spoiled,
        write_frames(outputs["occluder"], n_frames, (size, size)) as occluder,
        VideoWriter(outputs["video"], fps, outputs["speech"], crf=14) as video,
    ):
        for i, frame in enumerate(progress(frames, "drawing hands", n_frames)):
            picture, is_hand = spoil(frame, i)
            spoiled.append(picture)
            occluder.append(is_hand.astype(np.uint8) * 255)
            video.append(picture)
    # Its source are the clean clip's stored frames, which begin with its first one.
    source = {"path": clean_frames_path, "width": size, "height": size, "fps": fps,
              "rotation_degrees": 0, "duration_seconds": n_frames / fps, "codec": "zarr",
              "audio_codec": "pcm", "start_seconds": 0.0, "first_frame_seconds": 0.0}  # fmt: skip
    spoiled_by = {"strength_percent": strength_percent, "hand_share": hand_share,
                  "place": options.place, "snr_db": snr_db,
                  "face_box": [round(float(side), 1) for side in face_box],
                  "gestures": [vars(gesture) for gesture in gestures]}  # fmt: skip
    manifest |= {"clip": clip, "source_frames": list(range(n_frames)), "source": source,
                 "crop": {"x": 0, "y": 0, "size": size}, "spoiled": spoiled_by}  # fmt: skip
    save_json(outputs["manifest"], manifest)


def median_face(
    frames: np.ndarray, find_faces: Callable[[np.ndarray], np.ndarray], clip: str
) -> np.ndarray:
    """The main face's median box [4] over some frames [n, size, size, 3]."""
    boxes = follow_main_face([find_faces(frame) for frame in frames])
    found = boxes[np.isfinite(boxes).all(axis=1)]
    if not len(found):
        raise InputError(clip, "shows no face", "give its place as robustness.face_box")
    return np.median(found, axis=0)


if __name__ == "__main__":
    with job(snakemake):
        from wildtalker_core.pretrained.face_detector import FaceDetector

        with FaceDetector() as detector:
            main(
                snakemake.input.frames,
                snakemake.input.manifest,
                snakemake.input.speech,
                snakemake.input.split,
                str(snakemake.input.noise) or None,
                dict(snakemake.output.items()),
                snakemake.wildcards.clip,
                snakemake.params.strength_percent,
                SpoilOptions(**snakemake.params.options),
                detector,
            )
