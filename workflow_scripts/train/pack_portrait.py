"""Scene and finished Gaussians → one file that talks without the results folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildtalker_core.geometry.pose_order import longest_run
from wildtalker_core.live.portrait_file import Kept, save_kept
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.files import load_json
from wildtalker_core.media.splits import load_split
from wildtalker_core.mouth.blinks import blink_manner
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.learning import learn_mouth
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.shape import MouthBasis, measure_mouth
from wildtalker_core.option_types import options_of
from wildtalker_core.pretrained.whisper import load_whisper
from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.scene import Scene, load_scene
from wildtalker_core.speech.audio_features import LIVE_SECONDS, N_MELS
from wildtalker_core.speech.options import KEPT, SpeechSection
from wildtalker_core.speech.whisper_encoder import WhisperEncoder
from wildtalker_core.speech.whisper_features import whisper_features
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape
from wildtalker_core.training.build import open_portrait
from wildtalker_core.training.options import Drawing
from wildtalker_core.training.splat_build import filmed_moments
from workflow_scripts.job import job
from workflow_scripts.provenance import code_digest, digest, file_digest
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.speech.extract_audio_features import extract_by_parts, extract_in_noise
from workflow_scripts.weight_inputs import read_tried, settle_audio_features, whisper_path

# ASSUME a live ear hears one frame behind the one it shows: with the window's own reach that is
# 0.18 s at 25 fps, which leaves room for drawing within a quarter of a second.
_FRAMES_AHEAD = 1


@dataclass(frozen=True)
class Spoken:
    """A clip's speech: as the training heard it, as it was recorded, and the clip's split."""

    speech_path: str
    raw_speech_path: str
    split_path: str


def main(
    scene_files: dict[str, str],
    manifest_path: str,
    body_motion_path: str,
    portrait_path: str,
    video_path: str,
    spoken: Spoken,
    packed_path: str,
    clip_name: str,
    clip: Mapping[str, Any],
    speech: SpeechSection,
    render: SpeakingOptions,
    config_digest: str,
) -> None:
    """Write ``me.portrait``.

    Args:
        video_path: of the clip, whose digest is kept.
        clip: consent and licence.
        speech: ``audio_features`` are settled. It is kept for who speaks, as ``render`` is.
        config_digest: of these, and of what the portrait was trained with.
    """
    scene, motion = load_scene(**scene_files), load_body_motion(body_motion_path)
    fps = load_json(manifest_path)["fps"]
    device = torch.device("cpu")
    portrait = open_portrait(Path(portrait_path), Drawing(), device)
    assert isinstance(portrait, SplatPortrait)  # what the rule gives
    shapes, basis = measure_mouth(scene, portrait.shape.n_mouth)
    moments = filmed_moments(scene, motion, shapes, device)
    encoder = encoder_of(portrait.shape, speech)
    if encoder is None:
        portrait = hears_log_mel(portrait, scene, shapes, basis)
        live = only_log_mel(scene)
    else:
        live = heard_live(scene, encoder, spoken, fps, speech)
    features = "logmel" if encoder is None else "whisper"
    made_of = {
        "clip": clip_name,
        "clip_digest": file_digest(video_path),
        "config_digest": config_digest,
        "code_digest": code_digest(),
        "date": datetime.now(UTC).date().isoformat(),
        "consent": clip["consent"],
        "licence": clip["licence"],
    }
    kept = Kept(
        portrait=portrait,
        live_ear=taught_ear(portrait.shape, live, shapes, basis, _FRAMES_AHEAD),
        loop=moments[torch.as_tensor(longest_run(scene.seen_train_frames))],
        blinks=blink_manner(scene.expression[scene.train_frames], fps),
        fps=fps,
        hearing={
            **{name: getattr(speech, name) for name in KEPT},
            "audio_features": features,
            "sample_rate_hz": 16000,
        },
        render=render,
        made_of=made_of,
        encoder=encoder,
    )
    save_kept(packed_path, kept)


def encoder_of(shape: SplatShape, speech: SpeechSection) -> WhisperEncoder | None:
    """The layers of Whisper that the portrait was taught with, where it was and they are here."""
    if shape.n_audio_features == N_MELS or speech.audio_features != "whisper":
        return None
    return load_whisper(whisper_path(speech.whisper_model), speech.whisper_layer)


def heard_live(
    scene: Scene, encoder: WhisperEncoder, spoken: Spoken, fps: float, options: SpeechSection
) -> Scene:
    """The scene with the features that a stream gives: of three seconds of the past."""
    extract = partial(
        whisper_features, encoder=encoder, floor_db=options.logmel_floor_db,
        look_ahead_seconds=LIVE_SECONDS,
    )  # fmt: skip
    split = load_split(spoken.split_path)
    speech, rate_hz = read_waveform(spoken.speech_path)
    found = extract_by_parts(extract, speech, rate_hz, fps, split)
    noisy = None
    if scene.noisy_audio_features is not None:
        raw, _ = read_waveform(spoken.raw_speech_path)
        noisy = extract_in_noise(
            extract,
            raw,
            rate_hz,
            fps,
            split,
            options.denoiser,
            options,
        ).audio_features
    return replace(scene, audio_features=found.audio_features, noisy_audio_features=noisy)


def hears_log_mel(
    portrait: SplatPortrait, scene: Scene, shapes: np.ndarray, basis: MouthBasis
) -> SplatPortrait:
    """The portrait with an ear for log-mel alone.

    One that heard Whisper's states beside log-mel is taught to hear again without them.
    """
    if portrait.shape.n_audio_features == N_MELS:
        return portrait
    shape = replace(portrait.shape, n_audio_features=N_MELS)
    deaf = SplatPortrait(shape, portrait.rasteriser)
    own = {k: v for k, v in portrait.state_dict().items() if not k.startswith("ear.")}
    deaf.load_state_dict(own, strict=False)
    deaf.ear = taught_ear(shape, only_log_mel(scene), shapes, basis, None)
    return deaf


def only_log_mel(scene: Scene) -> Scene:
    """The scene without what an encoder heard."""
    noisy = scene.noisy_audio_features
    return replace(
        scene,
        audio_features=scene.audio_features[:, :N_MELS],
        noisy_audio_features=None if noisy is None else noisy[:, :N_MELS],
    )


def taught_ear(
    shape: SplatShape, scene: Scene, shapes: np.ndarray, basis: MouthBasis, ahead: int | None
) -> Ear:
    """An ear that has learnt the training frames, and of them in noise if there are.

    Args:
        ahead: frames behind the one that is shown to which it may listen; None for any.
    """
    ear = Ear(shape.n_audio_features, shape.audio_window, shape.n_mouth, shape.n_heard)
    learn_mouth(ear, replace(scene, frames_ahead=ahead), shapes, basis)
    return ear


if __name__ == "__main__":
    with job(snakemake):
        options = snakemake.params.options
        speech, _ = settle_audio_features(options["speech"], read_tried(snakemake.input.tried))
        read = json.dumps({**options, "speech": speech}, sort_keys=True, default=str)
        main(
            scene_paths(snakemake.input),
            snakemake.input.manifest,
            snakemake.input.body_motion,
            snakemake.input.portrait,
            snakemake.input.video,
            Spoken(snakemake.input.speech, snakemake.input.raw, snakemake.input.split),
            snakemake.output.portrait,
            snakemake.wildcards.clip,
            snakemake.params.clip,
            options_of(SpeechSection, speech),
            options_of(SpeakingOptions, options["render"]),
            digest(read.encode()),
        )
