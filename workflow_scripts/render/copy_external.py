"""A finished video of a method outside → the place where all methods' videos are scored."""

import cv2
import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, load_json, save_json
from wildtalker_core.media.video import VideoWriter, codec_of, read_video
from workflow_scripts.frame_sound import sound_of_frames
from workflow_scripts.job import job


def frames_to_take(
    n_found: int, n_wanted: int, test_frames: np.ndarray | None, path: str
) -> np.ndarray:
    """Which pictures of a finished video of ``n_found`` are the ``n_wanted`` that are scored.

    A video of the whole clip (as many frames as the test split reaches into) gives its test frames;
    any other its first ones. Raises InputError if there are too few.

    Args:
        test_frames: [n_wanted] for the test split; None for driven speech.
    """
    if test_frames is not None and n_found > test_frames.max():
        return test_frames
    if n_found >= n_wanted:
        return np.arange(n_wanted)
    raise InputError(
        path,
        f"has {n_found} frames, {n_wanted} are scored",
        "render all of them at the clip's rate",
    )


def main(
    external_path: str,
    scene_path: str,
    manifest_path: str,
    features_path: str,
    speech_path: str,
    is_self_driven: bool,
    video_path: str,
    facts_path: str,
    options: dict,
) -> None:
    """Write the frames that are scored, at the clip's size, with the driving sound."""
    manifest = load_json(manifest_path)
    size, fps = manifest["size_px"], manifest["fps"]
    try:
        pictures = [picture for picture, _ in read_video(external_path)]
    except FileNotFoundError:
        raise InputError(external_path, "does not exist", "put the finished video there") from None
    test_frames = None
    if is_self_driven:
        test_frames = load_arrays(scene_path, "test_frames")["test_frames"]
        n_wanted = len(test_frames)
        sounding = test_frames
    else:
        n_wanted = len(load_arrays(features_path, "audio_features")["audio_features"])
        sounding = np.arange(n_wanted)
    taken = frames_to_take(len(pictures), n_wanted, test_frames, external_path)
    height, width = pictures[0].shape[:2]
    if height != width:
        raise InputError(
            external_path,
            f"is {width}x{height} pixels, the clip's frames are square",
            "crop it as the clip was cropped",
        )
    with (
        sound_of_frames(speech_path, sounding, fps) as sound_path,
        VideoWriter(video_path, fps, sound_path, **codec_of(options)) as video,
    ):
        for i in taken:
            picture = pictures[i]
            if height != size:
                picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
            video.append(picture)
    facts = {"kind": "external", "mode": "portrait", "seconds_per_frame": None, "device": None}
    if is_self_driven:
        facts["frames"] = test_frames.tolist()
    save_json(facts_path, facts)


if __name__ == "__main__":
    with job(snakemake):
        main(
            snakemake.input.video,
            snakemake.input.scene,
            snakemake.input.manifest,
            snakemake.input.driving_features,
            snakemake.input.speech,
            snakemake.wildcards.setting == "self_driven",
            snakemake.output.video,
            snakemake.output.facts,
            snakemake.params.options,
        )
