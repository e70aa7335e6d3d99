"""Scene and finished Gaussians → one file that talks without the results folder."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildtalker_core.geometry.pose_order import longest_run
from wildtalker_core.live.portrait_file import Kept, save_kept
from wildtalker_core.media.files import load_json
from wildtalker_core.mouth.blinks import blink_manner
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.learning import learn_mouth
from wildtalker_core.mouth.shape import MouthBasis, measure_mouth
from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.scene import Scene, load_scene
from wildtalker_core.speech.audio_features import N_MELS
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape
from wildtalker_core.training.build import open_portrait
from wildtalker_core.training.splat_build import filmed_moments
from workflow_scripts.job import job
from workflow_scripts.provenance import code_digest, digest, file_digest
from workflow_scripts.scene_inputs import scene_paths

# ASSUME a live ear hears one frame behind the one it shows: with the window's own reach that is
# 0.18 s at 25 fps, which leaves room for drawing within a quarter of a second.
_FRAMES_AHEAD = 1
_HEARING = ("audio_features", "logmel_floor_db", "denoiser", "scales", "over_subtraction",
            "leading_seconds")  # fmt: skip
_RENDER = ("mouth_gain", "close_in_silence", "lip_smoothing")


def main(
    scene_files: dict[str, str],
    manifest_path: str,
    body_motion_path: str,
    portrait_path: str,
    video_path: str,
    packed_path: str,
    clip_name: str,
    clip: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Write ``me.portrait``.

    Args:
        video_path: of the clip, whose digest is kept.
        clip: the config entry of the clip; options: all sections as the method sees them.
    """
    scene, motion = load_scene(**scene_files), load_body_motion(body_motion_path)
    fps = load_json(manifest_path)["fps"]
    device = torch.device("cpu")
    portrait = open_portrait(Path(portrait_path), {**options["train"], **options["render"]}, device)
    assert isinstance(portrait, SplatPortrait)  # what the rule gives
    shapes, basis = measure_mouth(scene, portrait.shape.n_mouth)
    moments = filmed_moments(scene, motion, shapes, device)
    portrait = hears_log_mel(portrait, scene, shapes, basis)
    speech = options["speech"] | {"audio_features": "logmel"}
    made_of = {
        "clip": clip_name,
        "clip_digest": file_digest(video_path),
        "config_digest": digest(json.dumps(options, sort_keys=True, default=str).encode()),
        "code_digest": code_digest(),
        "date": datetime.now(UTC).date().isoformat(),
        "consent": clip.get("consent"),
        "licence": clip.get("licence"),
    }
    kept = Kept(
        portrait=portrait,
        live_ear=log_mel_ear(portrait.shape, scene, shapes, basis, _FRAMES_AHEAD),
        loop=moments[torch.as_tensor(longest_run(scene.seen_train_frames))],
        blinks=blink_manner(scene.expression[scene.train_frames], fps),
        fps=fps,
        hearing={**{n: speech[n] for n in _HEARING}, "sample_rate_hz": 16000},
        render={name: options["render"][name] for name in _RENDER},
        made_of=made_of,
    )
    save_kept(packed_path, kept)


def hears_log_mel(
    portrait: SplatPortrait, scene: Scene, shapes: np.ndarray, basis: MouthBasis
) -> SplatPortrait:
    """The portrait with an ear for log-mel alone: a file that talks needs no other network.

    A portrait that heard Whisper's states beside log-mel is taught to hear again without them.
    """
    if portrait.shape.n_audio_features == N_MELS:
        return portrait
    shape = replace(portrait.shape, n_audio_features=N_MELS)
    deaf = SplatPortrait(shape, portrait.rasteriser)
    own = {k: v for k, v in portrait.state_dict().items() if not k.startswith("ear.")}
    deaf.load_state_dict(own, strict=False)
    deaf.ear = log_mel_ear(shape, scene, shapes, basis, None)
    return deaf


def log_mel_ear(
    shape: SplatShape, scene: Scene, shapes: np.ndarray, basis: MouthBasis, ahead: int | None
) -> Ear:
    """An ear that has learnt log-mel of the training frames, and of them in noise if there are.

    Args:
        ahead: frames behind the one that is shown to which it may listen; None for any.
    """
    ear = Ear(N_MELS, shape.audio_window, shape.n_mouth, shape.n_heard)
    noisy = scene.noisy_audio_features
    known = replace(
        scene,
        audio_features=scene.audio_features[:, :N_MELS],
        noisy_audio_features=None if noisy is None else noisy[:, :N_MELS],
        frames_ahead=ahead,
    )
    learn_mouth(ear, known, shapes, basis)
    return ear


if __name__ == "__main__":
    with job(snakemake):
        main(
            scene_paths(snakemake.input),
            snakemake.input.manifest,
            snakemake.input.body_motion,
            snakemake.input.portrait,
            snakemake.input.video,
            snakemake.output.portrait,
            snakemake.wildcards.clip,
            snakemake.params.clip,
            snakemake.params.options,
        )
