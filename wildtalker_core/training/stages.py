"""The three stages as whole jobs: a scene and options in, a portrait and its figures out.

This is what the rules' scripts call; the loops themselves know nothing of options or devices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.mouth.ear import sync_warning
from wildtalker_core.mouth.rest import rest_shape
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training import head, lips, torso
from wildtalker_core.training.build import choose_device, new_portrait, options_of, restore_portrait
from wildtalker_core.training.checkpoints import load_latest_checkpoint
from wildtalker_core.training.clip import Clip
from wildtalker_core.training.losses import PerceptualLoss
from wildtalker_core.training.optimise import Optimiser, Outcome, Run
from wildtalker_core.training.options import INDIFFERENT
from wildtalker_core.training.precision import compute_dtype

Log = Callable[[int, dict[str, float]], None]
#: (step, picture [height, width, 3] uint8)
Show = Callable[[int, np.ndarray], None]

# Wider previews are thinned to this, pixels: there are many of them in a run.
_PREVIEW_WIDTH = 256


@dataclass(frozen=True)
class Trained:
    """A portrait after a stage, and what the stage took."""

    portrait: Portrait
    outcome: Outcome
    figures: dict[str, Any]


def head_stage(
    scene: Scene, train: Mapping[str, Any], folder: Path, log: Log, show: Show | None = None
) -> Trained:
    """First stage: learn to hear the mouth (for ``mouth_shape``), then the head."""
    device = choose_device(train["device"])
    portrait = new_portrait(scene, train["model"], train["encoder"], device, train["seed"])
    clip = Clip.of(scene, device)
    hearing: dict[str, Any] = {}
    is_new = load_latest_checkpoint(folder, run_config(train, "head", scene)) is None
    if portrait.shape.lip_feature == "mouth_shape" and is_new:
        hearing = _learn_mouth(portrait, clip)
    elif is_new:
        portrait.audio.standardise(clip.audio_features[scene.train_frames])
    outcome = head.train_head(
        portrait, clip, told_lips(portrait, clip),
        options_of(head.HeadOptions, train["head"]),
        options_of(Optimiser, train["head"]),
        _run(portrait, clip, train, "head", folder, log, show),
    )  # fmt: skip
    return Trained(portrait, outcome, _figures(portrait, device, outcome) | hearing)


def lips_stage(
    scene: Scene,
    portrait_path: Path,
    train: Mapping[str, Any],
    perceptual: PerceptualLoss | None,
    folder: Path,
    log: Log,
    show: Show | None = None,
) -> Trained:
    """Second stage: the lips."""
    device = choose_device(train["device"])
    portrait, _ = restore_portrait(portrait_path, train["encoder"], device)
    clip = Clip.of(scene, device)
    outcome = lips.finetune_lips(
        portrait, clip, told_lips(portrait, clip),
        options_of(head.HeadOptions, train["lips"]),
        options_of(lips.LipOptions, train["lips"], lambda_lpips=train["lambda_lpips"]),
        perceptual,
        options_of(Optimiser, train["lips"]),
        _run(portrait, clip, train, "lips", folder, log, show),
    )  # fmt: skip
    return Trained(portrait, outcome, _figures(portrait, device, outcome))


def torso_stage(
    scene: Scene,
    portrait_path: Path,
    train: Mapping[str, Any],
    folder: Path,
    log: Log,
    show: Show | None = None,
) -> Trained:
    """Third stage: the torso under the frozen head."""
    device = choose_device(train["device"])
    portrait, _ = restore_portrait(portrait_path, train["encoder"], device)
    clip = Clip.of(scene, device)
    values = train["torso"]
    options = torso.TorsoOptions(
        pixels_per_step=values["rays_per_step"],
        frames_per_step=values["frames_per_step"],
        static_weight=train["static_weight"],
        reference=train["torso_reference"],
        photometric=values["photometric"],
        alpha_entropy=values["opacity_entropy"],
        alpha_every=values["occupancy_every"],
    )
    outcome = torso.train_torso(
        portrait, clip, told_lips(portrait, clip), options, options_of(Optimiser, values),
        _run(portrait, clip, train, "torso", folder, log, show),
    )  # fmt: skip
    return Trained(portrait, outcome, _figures(portrait, device, outcome))


def run_config(train: Mapping[str, Any], stage: str, scene: Scene) -> dict[str, Any]:
    """All that decides a stage's result: a checkpoint of another one may not be continued."""
    others = {"head", "lips", "torso"} - {stage}
    config = {key: value for key, value in train.items() if key not in (*others, *INDIFFERENT)}
    digest = hashlib.sha256()
    for name, value in sorted(scene.facts().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    digest.update(np.ascontiguousarray(scene.audio_features).tobytes())
    return {"train": config, "scene": digest.hexdigest()}


def _run(
    portrait: Portrait,
    clip: Clip,
    train: Mapping[str, Any],
    stage: str,
    folder: Path,
    log: Log,
    show: Show | None,
) -> Run:
    every = train["preview_every"]
    precision = _precision(compute_dtype(train["mixed_precision"], clip.device))
    print(f"{stage} on {clip.device}: encoder {portrait.encoder}, networks in {precision}")
    return Run(
        config=run_config(train, stage, clip.scene),
        folder=folder,
        seed=train["seed"] + ("head", "lips", "torso").index(stage),
        mixed_precision=train["mixed_precision"],
        log=log,
        preview=_preview(portrait, clip, stage, show) if show is not None and every else None,
        preview_every=every,
    )


def _preview(portrait: Portrait, clip: Clip, stage: str, show: Show) -> Callable[[int], None]:
    """A function that shows an unseen frame, driven by its sound, right of the frame itself.

    Until the torso is trained the frame itself stands behind the head. The weights are those of the
    step, not their average.
    """
    scene = clip.scene
    # The middle of the test split: any of its frames would do, always the same one can be compared.
    frame = int(scene.test_frames[len(scene.test_frames) // 2])
    reference = torch.as_tensor(scene.hand_free_frames[frame], device=clip.device).float() / 255
    behind = None if stage == "torso" else reference
    thin = slice(None, None, -(-scene.width // _PREVIEW_WIDTH))

    def preview(step: int) -> None:
        index = torch.tensor([frame], device=clip.device)
        with torch.no_grad():
            lip_feature = portrait.lip_features(
                clip.audio_features, index, clip.T_camera_head[index]
            )[0]
        picture, _ = portrait.render_frame(
            clip.T_camera_head[frame], lip_feature, clip.expression[frame], behind
        )
        both = torch.cat((reference[thin, thin], picture[thin, thin]), 1)
        show(step, (both * 255).round().byte().cpu().numpy())

    return preview


def _learn_mouth(portrait: Portrait, clip: Clip) -> dict[str, Any]:
    scene = clip.scene
    shapes, basis = measure_mouth(scene, portrait.shape.n_mouth_shapes)
    seen = scene.seen_train_frames
    rest = rest_shape(shapes[seen], basis.opening(shapes[seen]), scene.is_silent[seen])
    portrait.ear.rest.copy_(torch.as_tensor(rest))
    figures = portrait.ear.fit(
        clip.audio_features, matrix_to_axis_angle(clip.T_camera_head[:, :3, :3]),
        _tensor(shapes, clip.device), _tensor(basis.variances, clip.device), seen,
        ahead=scene.frames_ahead,
        noisy=None if scene.noisy_audio_features is None
        else _tensor(scene.noisy_audio_features, clip.device),
    )  # fmt: skip
    times = scene.frame_times_seconds
    delay_seconds = figures["delay_frames"] * (times[-1] - times[0]) / (len(times) - 1)
    warning = sync_warning(delay_seconds)
    if warning:
        print(f"warning: {scene.clip}: {warning}")
    return figures | {"delay_seconds": delay_seconds, "sync_warning": warning}


def told_lips(portrait: Portrait, clip: Clip) -> head.LipFeatures:
    """f_l of training frames: of what is heard (``audio``), or of the mouth as it was seen.

    With ``mouth_shape`` the field learns from true shapes: what cannot be heard must not blur the
    picture.
    """
    if portrait.shape.lip_feature == "audio":
        return lambda frames: portrait.lip_features(
            clip.audio_features, frames, clip.T_camera_head[frames]
        )
    shapes, _ = measure_mouth(clip.scene, portrait.shape.n_mouth_shapes)
    true_shapes = _tensor(shapes, clip.device)
    return lambda frames: portrait.mouth_to_lip(true_shapes[frames])


def _precision(dtype: torch.dtype | None) -> str:
    return str(dtype or torch.float32).removeprefix("torch.")


def _tensor(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32, device=device)


def _figures(portrait: Portrait, device: torch.device, outcome: Outcome) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    return {
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "device": name,
        "encoder": portrait.encoder,
        "precision": _precision(portrait.head.density_net.compute_dtype),
        "losses": outcome.losses,
    }
