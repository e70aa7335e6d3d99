"""What a training run depends on: its options and its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wildtalker_core.media.digests import digest_of_arrays, digest_of_file, digest_of_stack
from wildtalker_core.scene.body_motion import BodyMotion
from wildtalker_core.scene.scene import STACKS, Scene
from wildtalker_core.training.reads import deciding


def run_config(
    train: Mapping[str, Any],
    stage: str,
    scene: Scene,
    portrait_path: Path | None = None,
    motion: BodyMotion | None = None,
) -> dict[str, Any]:
    """All that decides a stage's result: a checkpoint of another one may not be continued.

    Args:
        portrait_path: weights that the stage starts from, if any.
        motion: of the body, where the stage is given it.

    Returns: the options that the stage reads, and digests of its inputs by name.
    """
    sound = {
        "audio_features": scene.audio_features,
        "is_silent": scene.is_silent,
        "noisy_audio_features": scene.noisy_audio_features,
        "frames_ahead": scene.frames_ahead,
    }
    inputs = {
        "scene": digest_of_arrays(scene.facts()),
        "sound": digest_of_arrays({k: v for k, v in sound.items() if v is not None}),
        **{name: digest_of_stack(getattr(scene, name)) for name in STACKS},
    }
    if portrait_path is not None:
        inputs["portrait"] = digest_of_file(portrait_path)
    if motion is not None:
        inputs["body_motion"] = digest_of_arrays(motion.to_arrays())
    return {"train": deciding(train, stage), "inputs": inputs}
