"""Portrait and speech → video, frame by frame into the encoder."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wildtalker_core.media.files import load_arrays, load_json, save_json
from wildtalker_core.media.video import VideoWriter, codec_of
from wildtalker_core.nerf import playback
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.progress import progress
from wildtalker_core.scene.scene import Scene, load_scene
from wildtalker_core.training.build import choose_device, restore_portrait
from workflow_scripts.frame_sound import sound_of_frames
from workflow_scripts.job import job
from workflow_scripts.scene_inputs import scene_paths


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
    known = playback.longest_run(scene.seen_train_frames)
    pose_frames = known[playback.back_and_forth(len(known), n_frames)]
    expression = scene.expression[pose_frames].copy()
    expression[:, playback.BLINK_CHANNELS] = playback.new_blinks(
        scene.expression[scene.train_frames], n_frames, fps, seed
    )
    return Performance(pose_frames, np.arange(n_frames), expression)


def render(
    portrait: Portrait,
    scene: Scene,
    performance: Performance,
    lip_features: torch.Tensor,
    mode: str,
    chunk_rays: int,
) -> Iterator[np.ndarray]:
    """Pictures [height, width, 3] uint8, one at a time.

    Args:
        lip_features: [k, n_lip], one per picture.
        mode: ``portrait`` or ``head`` (before the hand-free reference).
    """
    device = lip_features.device
    poses = torch.as_tensor(scene.T_camera_head, dtype=torch.float32, device=device)
    expression = torch.as_tensor(performance.expression, dtype=torch.float32, device=device)
    for i, frame in enumerate(performance.pose_frames):
        behind = None
        if mode == "head":
            reference = scene.hand_free_frames[int(frame)]
            behind = torch.as_tensor(reference, device=device).float() / 255
        picture, _ = portrait.render_frame(
            poses[int(frame)], lip_features[i], expression[i], behind, chunk_rays
        )
        yield (picture * 255).round().byte().cpu().numpy()


@torch.no_grad()
def lip_features_of(
    portrait: Portrait,
    audio_features: torch.Tensor,
    is_silent: np.ndarray,
    T_camera_head: np.ndarray,
    performance: Performance,
    fps: float,
    options: dict,
) -> torch.Tensor:
    """Lip features [k, n_lip] of the driving speech, on its device.

    Args:
        audio_features, is_silent: of the driving speech.
        T_camera_head: [n, 4, 4] of the clip.
        options: the config section ``render``.
    """
    frames = torch.as_tensor(performance.audio_frames, device=audio_features.device)
    silence = None
    if options["close_in_silence"] and portrait.shape.lip_feature == "mouth_shape":
        ramp = playback.silence_ramp(is_silent, fps)[performance.audio_frames]
        silence = torch.as_tensor(ramp, dtype=torch.float32, device=frames.device)
    poses = torch.as_tensor(
        T_camera_head[performance.pose_frames], dtype=torch.float32, device=frames.device
    )
    features = portrait.lip_features(audio_features, frames, poses, silence, options["mouth_gain"])
    if options["lip_smoothing"]:
        smooth = playback.smooth_causally(features.cpu().numpy(), options["lip_smoothing"])
        features = torch.as_tensor(smooth, device=frames.device)
    return features


def main(
    scene_files: dict[str, str],
    manifest_path: str,
    portrait_path: str,
    driving_features_path: str,
    speech_path: str,
    setting: str,
    video_path: str,
    facts_path: str,
    options: dict,
    train: dict,
) -> None:
    """Write the video with its sound, and the facts of its making.

    Args:
        scene_files: arguments of ``load_scene``.
        driving_features_path, speech_path: of the speech that drives: the method's own, or another.
        setting: ``self_driven`` shows the test split, ``training_frames`` as many frames that the
            portrait was trained on (its ceiling), any other all of the driving speech.
        options: the config section ``render``; train: ``train`` (encoder, device, seed).
    """
    scene, fps = load_scene(**scene_files), load_json(manifest_path)["fps"]
    device = choose_device(train["device"])
    portrait, _ = restore_portrait(Path(portrait_path), train["encoder"], device)
    driving = load_arrays(driving_features_path, "audio_features", "is_silent")
    own_frames = {
        "self_driven": scene.test_frames,
        "training_frames": last_seen_frames(scene),
    }.get(setting)
    if own_frames is not None:
        performance = own_performance(scene, own_frames)
    else:
        n_frames = len(driving["audio_features"])
        performance = driven_performance(scene, n_frames, fps, train["seed"])
    audio_features = torch.as_tensor(driving["audio_features"], device=device)
    lip_features = lip_features_of(
        portrait,
        audio_features,
        driving["is_silent"],
        scene.T_camera_head,
        performance,
        fps,
        options,
    )
    started = time.monotonic()
    pictures = render(
        portrait, scene, performance, lip_features, options["mode"], options["chunk_rays"]
    )
    n_pictures = len(performance.pose_frames)
    with (
        sound_of_frames(speech_path, performance.audio_frames, fps) as sound_path,
        VideoWriter(video_path, fps, sound_path, **codec_of(options)) as video,
    ):
        for picture in progress(pictures, "render", n_pictures):
            video.append(picture)
    facts = {
        "kind": "nerf",
        "mode": options["mode"],
        "pose_frames": performance.pose_frames.tolist(),
        "seconds_per_frame": (time.monotonic() - started) / n_pictures,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }
    if own_frames is not None:
        facts["frames"] = performance.audio_frames.tolist()
    save_json(facts_path, facts)


if __name__ == "__main__":
    with job(snakemake):
        main(
            scene_paths(snakemake.input),
            snakemake.input.manifest,
            snakemake.input.portrait,
            snakemake.input.driving_features,
            snakemake.input.speech,
            snakemake.wildcards.setting,
            snakemake.output.video,
            snakemake.output.facts,
            snakemake.params.options,
            snakemake.params.train,
        )
