"""The stages of training as whole jobs: a scene and options in, a portrait and its figures out.

A radiance field takes three (head, lips, torso), a portrait of Gaussians one.

This is what the rules' scripts call; the loops themselves know nothing of options or devices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.devices import floats
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.mouth.learning import learn_mouth
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.option_types import options_of
from wildtalker_core.scene.body_motion import BodyMotion
from wildtalker_core.scene.scene import Scene
from wildtalker_core.splats.portrait import SplatPortrait
from wildtalker_core.splats.rasterisers import resolve_rasteriser
from wildtalker_core.training import head, lips, torso
from wildtalker_core.training.build import (
    choose_device,
    device_name,
    new_portrait,
    restore_portrait,
    with_new_torso,
)
from wildtalker_core.training.checkpoints import load_latest_checkpoint
from wildtalker_core.training.clip import Clip
from wildtalker_core.training.losses import PerceptualLoss
from wildtalker_core.training.optimise import Outcome, Run
from wildtalker_core.training.options import (
    FieldOptimiser,
    HeadOptions,
    LipOptions,
    Optimiser,
    SplatOptions,
    TorsoOptions,
)
from wildtalker_core.training.precision import compute_dtype
from wildtalker_core.training.run_config import run_config
from wildtalker_core.training.splat_build import new_splat_portrait
from wildtalker_core.training.splats import train_splats

Log = Callable[[int, dict[str, float]], None]
#: (step, picture [height, width, 3] uint8)
Show = Callable[[int, np.ndarray], None]

# Wider previews are thinned to this, pixels: there are many of them in a run.
_PREVIEW_WIDTH = 256


@dataclass(frozen=True)
class Trained:
    """A portrait after a stage, and what the stage took."""

    portrait: Portrait | SplatPortrait
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
    run = _run(portrait, clip, train, "head", folder, log, show, run_config(train, "head", scene))
    is_new = load_latest_checkpoint(folder, run.config) is None
    # Chosen once, before the first step; a resumed run tells of it as well.
    chosen_path = folder / "hearing.json"
    if portrait.shape.lip_feature == "mouth_shape" and is_new:
        shapes, basis = measure_mouth(scene, portrait.shape.n_mouth_shapes)
        hearing = learn_mouth(portrait.ear, scene, shapes, basis)
        save_json(chosen_path, hearing)
    elif portrait.shape.lip_feature == "mouth_shape":
        hearing = load_json(chosen_path)
    elif is_new:
        portrait.audio.standardise(clip.audio_features[scene.train_frames])
    outcome = head.train_head(
        portrait, clip, told_lips(portrait, clip),
        options_of(HeadOptions, train["head"]),
        options_of(FieldOptimiser, train["head"]),
        run,
    )  # fmt: skip
    return Trained(portrait, outcome, _nerf_figures(portrait, device, outcome) | hearing)


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
    config = run_config(train, "lips", scene, portrait_path)
    outcome = lips.finetune_lips(
        portrait, clip, told_lips(portrait, clip),
        options_of(HeadOptions, train["lips"]),
        options_of(LipOptions, {**train, **train["lips"]}),
        perceptual,
        options_of(FieldOptimiser, train["lips"]),
        _run(portrait, clip, train, "lips", folder, log, show, config),
    )  # fmt: skip
    return Trained(portrait, outcome, _nerf_figures(portrait, device, outcome))


def torso_stage(
    scene: Scene,
    motion: BodyMotion,
    portrait_path: Path,
    train: Mapping[str, Any],
    folder: Path,
    log: Log,
    show: Show | None = None,
) -> Trained:
    """Third stage: the torso under the frozen head."""
    device = choose_device(train["device"])
    finished_head, _ = restore_portrait(portrait_path, train["encoder"], device)
    portrait = with_new_torso(finished_head, train["model"], train["seed"])
    clip = Clip.of(scene, device)
    values = train["torso"]
    config = run_config(train, "torso", scene, portrait_path, motion)
    outcome = torso.train_torso(
        portrait, clip, motion, told_lips(portrait, clip),
        options_of(TorsoOptions, {**train, **values}),
        options_of(FieldOptimiser, values),
        _run(portrait, clip, train, "torso", folder, log, show, config),
    )  # fmt: skip
    return Trained(portrait, outcome, _nerf_figures(portrait, device, outcome))


def splats_stage(
    scene: Scene,
    motion: BodyMotion,
    train: Mapping[str, Any],
    perceptual: PerceptualLoss | None,
    folder: Path,
    log: Log,
    show: Show | None = None,
) -> Trained:
    """The only stage of a portrait of Gaussians: the whole person at once."""
    device = choose_device(train["device"])
    values = train["splats"]
    rasteriser = resolve_rasteriser(train["rasteriser"], device)
    portrait, moments, figures = new_splat_portrait(
        scene, motion, {**values, "rasteriser": rasteriser}, device, train["seed"]
    )
    options = options_of(SplatOptions, {**train, **values})
    print(f"splats on {device}: rasteriser {rasteriser}, {portrait.shape.body.n} Gaussians")

    def picture_of(frame: int) -> Tensor:
        return portrait.picture(moments[frame])[0]

    outcome = train_splats(
        portrait, scene, moments, options, perceptual, options_of(Optimiser, values),
        Run(
            config=run_config(train, "splats", scene, motion=motion), folder=folder,
            seed=train["seed"], log=log, preview=_preview(scene, picture_of, train, show),
            preview_every=train["preview_every"],
        ),
    )  # fmt: skip
    made = _figures(outcome, device, torch.float32)
    made |= {"rasteriser": rasteriser, "kernel": portrait.shape.kernel}
    return Trained(portrait, outcome, made | figures)


def _run(
    portrait: Portrait,
    clip: Clip,
    train: Mapping[str, Any],
    stage: str,
    folder: Path,
    log: Log,
    show: Show | None,
    config: dict[str, Any],
) -> Run:
    precision = _precision(compute_dtype(train["mixed_precision"], clip.device))
    print(f"{stage} on {clip.device}: encoder {portrait.encoder}, networks in {precision}")

    @torch.no_grad()
    def picture_of(frame: int) -> Tensor:
        """Driven by its sound; until the torso is trained the frame itself stands behind."""
        index = torch.tensor([frame], device=clip.device)
        behind = None if stage == "torso" else clip.unit(clip.scene.hand_free_frames[frame])
        lip_feature = portrait.lip_features(clip.audio_features, index, clip.T_camera_head[index])
        return portrait.render_frame(
            clip.T_camera_head[frame], lip_feature[0], clip.expression[frame], behind
        )[0]

    return Run(
        config=config,
        folder=folder,
        seed=train["seed"] + ("head", "lips", "torso").index(stage),
        mixed_precision=train["mixed_precision"],
        log=log,
        preview=_preview(clip.scene, picture_of, train, show),
        preview_every=train["preview_every"],
    )


def _preview(
    scene: Scene,
    picture_of: Callable[[int], Tensor],
    train: Mapping[str, Any],
    show: Show | None,
) -> Callable[[int], None] | None:
    """A function that shows a validation frame and, right of it, ``picture_of`` it.

    The weights are those of the step, not their average.
    """
    if show is None or not train["preview_every"]:
        return None
    # Any of the frames would do, always the same one can be compared.
    frame = int(scene.validation_frames[len(scene.validation_frames) // 2])
    thin = slice(None, None, -(-scene.width // _PREVIEW_WIDTH))

    def preview(step: int) -> None:
        drawn = (picture_of(frame)[thin, thin] * 255).round().byte().cpu().numpy()
        show(step, np.concatenate((scene.hand_free_frames[frame][thin, thin], drawn), 1))

    return preview


def told_lips(portrait: Portrait, clip: Clip) -> head.LipFeatures:
    """f_l of training frames: of what is heard (``audio``), or of the mouth as it was seen.

    With ``mouth_shape`` the field learns from true shapes: what cannot be heard must not blur the
    picture.
    """
    if portrait.shape.lip_feature == "audio":
        return lambda frames: portrait.lip_features(
            clip.training_sound, frames, clip.T_camera_head[frames]
        )
    shapes, _ = measure_mouth(clip.scene, portrait.shape.n_mouth_shapes)
    true_shapes = floats(shapes, clip.device)
    return lambda frames: portrait.mouth_to_lip(true_shapes[frames])


def _precision(dtype: torch.dtype | None) -> str:
    return str(dtype or torch.float32).removeprefix("torch.")


def _nerf_figures(portrait: Portrait, device: torch.device, outcome: Outcome) -> dict[str, Any]:
    made = _figures(outcome, device, portrait.head.density_net.compute_dtype)
    return made | {"encoder": portrait.encoder}


def _figures(outcome: Outcome, device: torch.device, dtype: torch.dtype | None) -> dict[str, Any]:
    return {
        "seconds": outcome.seconds,
        "steps": outcome.steps,
        "device": device_name(device),
        "precision": _precision(dtype),
        "losses": outcome.losses,
    }
