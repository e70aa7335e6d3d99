"""Trivial rows of the tables: no portrait, only frames of the clip itself."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.media.options import CodecOptions
from wildtalker_core.media.video_writer import VideoWriter
from wildtalker_core.scene.scene import Scene, load_scene
from workflow_scripts.frame_sound import sound_of_frames
from workflow_scripts.job import call, job
from workflow_scripts.reference import read_reference
from workflow_scripts.scene_inputs import scene_paths


def mean_frame(scene: Scene) -> Callable[[int], np.ndarray]:
    """The mean of all training frames, whatever the frame asked for."""
    total = np.zeros(scene.frames.shape[1:], np.float64)
    for frame in scene.train_frames:
        total += scene.frames[int(frame)]
    mean = np.round(total / len(scene.train_frames)).astype(np.uint8)
    return lambda frame: mean


def nearest_training_frame(landmarks: np.ndarray, train_frames: np.ndarray, frame: int) -> int:
    """The training frame whose landmarks [n, points, 2], each set minus its mean, are nearest."""
    shapes = landmarks - landmarks.mean(1, keepdims=True)
    distances = np.linalg.norm(shapes[train_frames] - shapes[frame], axis=-1).mean(-1)
    return int(train_frames[distances.argmin()])


def pictures_of(
    method: str, scene: Scene, manifest: dict[str, Any], truth_path: str | None
) -> Iterator[np.ndarray]:
    """The test frames as a baseline shows them, one at a time."""
    if method == "ground_truth" and truth_path:
        return read_reference(truth_path, manifest, scene.test_frames)
    if method == "ground_truth":
        picture_of = scene.hand_free_frames.__getitem__
    elif method == "mean_frame":
        picture_of = mean_frame(scene)
    elif method == "nearest_landmarks":

        def picture_of(frame: int) -> np.ndarray:
            return scene.frames[nearest_training_frame(scene.landmarks, scene.train_frames, frame)]
    else:
        raise ValueError(f"{method} is not a baseline")
    return (picture_of(int(frame)) for frame in scene.test_frames)


def main(
    method: str,
    scene_files: dict[str, str],
    manifest_path: str,
    speech_path: str,
    truth_path: str | None,
    video_path: str,
    facts_path: str,
    options: CodecOptions,
) -> None:
    """Write the test split as ``method`` shows it.

    Args:
        truth_path: the clip's true hand-free frames, or None where nobody knows them.
        method: ``ground_truth`` (the hand-free reference through the same codec), ``mean_frame``
            or ``nearest_landmarks``.
    """
    scene, manifest = load_scene(**scene_files), load_json(manifest_path)
    fps = manifest["fps"]
    started = time.monotonic()
    with (
        sound_of_frames(speech_path, scene.test_frames, fps) as sound_path,
        VideoWriter(video_path, fps, sound_path, **vars(options)) as video,
    ):
        for picture in pictures_of(method, scene, manifest, truth_path):
            video.append(picture)
    save_json(
        facts_path,
        {
            "kind": "baseline",
            "mode": "portrait",
            "frames": scene.test_frames.tolist(),
            "seconds_per_frame": (time.monotonic() - started) / len(scene.test_frames),
            "device": "cpu",
        },
    )


if __name__ == "__main__":
    with job(snakemake):
        options = CodecOptions(**snakemake.params.options)
        call(main, snakemake, scene_files=scene_paths(snakemake.input), options=options)
