"""Portrait and speech → video, frame by frame into the encoder."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from wildtalker_core.devices import floats
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.geometry.pose_order import back_and_forth, longest_run
from wildtalker_core.media.files import load_arrays, load_json, save_json
from wildtalker_core.media.options import CodecOptions
from wildtalker_core.media.video_writer import VideoWriter
from wildtalker_core.mouth.blinks import BLINK_CHANNELS, new_blinks
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.option_types import options_of
from wildtalker_core.progress import progress
from wildtalker_core.scene.body_motion import BodyMotion, load_body_motion
from wildtalker_core.scene.scene import Scene, load_scene
from wildtalker_core.splats.portrait import SplatPortrait
from wildtalker_core.training.build import choose_device, device_name, open_portrait
from workflow_scripts.frame_sound import sound_of_frames
from workflow_scripts.job import call, job
from workflow_scripts.render.options import RenderOptions
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.settings import is_driven, is_head


@dataclass(frozen=True)
class Performance:
    """What is shown: one row per picture.

    Attributes:
        pose_frames: [k] frame of the clip whose head pose (and, in mode head, picture) is taken.
        audio_frames: [k] frame of the driving audio features.
        expression: [k, 7].
    """

    pose_frames: np.ndarray
    audio_frames: np.ndarray
    expression: np.ndarray


def own_performance(scene: Scene, frames: np.ndarray) -> Performance:
    """Frames [k] of the clip as they were."""
    return Performance(frames, frames, scene.expression[frames])


def last_seen_frames(scene: Scene) -> np.ndarray:
    """As many of the last training frames as there are test frames, or all, in order."""
    return np.sort(scene.train_frames)[-len(scene.test_frames) :]


def driven_performance(scene: Scene, n_frames: int, fps: float, seed: int) -> Performance:
    """Other speech: known poses back and forth, and new blinks like the clip's own."""
    known = longest_run(scene.seen_train_frames)
    pose_frames = known[back_and_forth(len(known), n_frames)]
    expression = scene.expression[pose_frames].copy()
    expression[:, BLINK_CHANNELS] = new_blinks(
        scene.expression[scene.train_frames], n_frames, fps, seed
    )
    return Performance(pose_frames, np.arange(n_frames), expression)


def moments_of(
    scene: Scene,
    motion: BodyMotion,
    performance: Performance,
    mouth: torch.Tensor,
) -> Moment:
    """What the renderer is told, one row per picture, on the device of ``mouth`` [k, n].

    The torso's motion is replayed with the head pose of the same frame, so both always fit.
    """
    frames = performance.pose_frames

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=mouth.device)

    return Moment(
        T_camera_head=tensor(scene.T_camera_head[frames]),
        mouth=mouth,
        expression=tensor(performance.expression),
        gaze=tensor(motion.gaze[frames]),
        torso=tensor(motion.torso_numbers[frames]),
        camera=tensor(motion.camera[frames]),
    )


def render(
    portrait: Portrait | SplatPortrait,
    moments: Moment,
    behind: Callable[[int], np.ndarray] | None = None,
) -> Iterator[np.ndarray]:
    """Pictures [height, width, 3] uint8, one at a time.

    Args:
        moments: one row per picture.
        behind: gives what stands behind the head of a picture [height, width, 3] uint8 (mode
            ``head``); None for the whole portrait.
    """
    for i in range(len(moments.mouth)):
        below = None
        if behind is not None:
            below = torch.as_tensor(behind(i), device=moments.mouth.device).float() / 255
        picture, _ = portrait.picture(moments[i], below)
        yield (picture * 255).round().byte().cpu().numpy()


def main(
    scene_files: dict[str, str],
    manifest_path: str,
    body_motion_path: str,
    portrait_path: str,
    driving_features_path: str,
    speech_path: str,
    setting: str,
    video_path: str,
    facts_path: str,
    options: RenderOptions,
) -> None:
    """Write the video with its sound, and the facts of its making.

    Args:
        scene_files: arguments of ``load_scene``.
        driving_features_path, speech_path: of the speech that drives: the method's own, or another.
        setting: ``self_driven`` shows the test split, ``torso_given`` the same with the torso where
            it was filmed instead of where the head's pose says, ``head`` and ``head_{corruption}``
            the split in mode head, ``training_frames`` as many frames that the portrait was trained
            on (its ceiling), ``drive_{name}`` all of the driving speech.
    """
    scene, fps = load_scene(**scene_files), load_json(manifest_path)["fps"]
    device = choose_device(options.device)
    portrait = open_portrait(Path(portrait_path), options, device, options.chunk_rays)
    driving = load_arrays(driving_features_path, "audio_features", "is_silent")
    if is_driven(setting):
        n_frames = len(driving["audio_features"])
        performance = driven_performance(scene, n_frames, fps, options.seed)
    elif setting == "training_frames":
        performance = own_performance(scene, last_seen_frames(scene))
    else:
        performance = own_performance(scene, scene.test_frames)
    mode = "head" if is_head(setting) else options.mode
    poses = floats(scene.T_camera_head[performance.pose_frames], device)
    told = torch.as_tensor(driving["audio_features"], device=device)
    is_silent = driving["is_silent"]
    mouth = portrait.hear(told, is_silent, performance.audio_frames, poses, fps, options)
    moments = moments_of(scene, load_body_motion(body_motion_path), performance, mouth)
    if setting == "self_driven" or is_head(setting):
        # A test frame's torso was not filmed, as far as the portrait knows.
        moments = replace(moments, torso=portrait.predicted_torso(moments.T_camera_head))
    behind = None
    if mode == "head":
        behind = lambda i: scene.hand_free_frames[int(performance.pose_frames[i])]  # noqa: E731
    codec = options_of(CodecOptions, vars(options))
    started, n_pictures = time.monotonic(), len(performance.pose_frames)
    with (
        sound_of_frames(speech_path, performance.audio_frames, fps) as sound_path,
        VideoWriter(video_path, fps, sound_path, **vars(codec)) as video,
    ):
        for picture in progress(render(portrait, moments, behind), "render", n_pictures):
            video.append(picture)
    facts = {
        "kind": "nerf",
        "mode": mode,
        "pose_frames": performance.pose_frames.tolist(),
        "seconds_per_frame": (time.monotonic() - started) / n_pictures,
        "device": device_name(device),
    }
    if not is_driven(setting):
        facts["frames"] = performance.audio_frames.tolist()
    save_json(facts_path, facts)


if __name__ == "__main__":
    with job(snakemake):
        call(
            main,
            snakemake,
            scene_files=scene_paths(snakemake.input),
            options=options_of(RenderOptions, snakemake.params.options),
        )
