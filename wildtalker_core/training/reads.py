"""Which entries of the config section ``train`` each stage of training reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NERF = ("device", "encoder", "mixed_precision", "seed")
_PERCEPTUAL = ("perceptual", "lambda_lpips")
_TORSO = ("static_weight", "torso_reference")
#: What decides a stage's result, besides its own section.
_DECIDE = {
    "head": _NERF,
    "lips": (*_NERF, *_PERCEPTUAL),
    "torso": (*_NERF, *_TORSO),
    "splats": ("device", "seed", *_PERCEPTUAL, *_TORSO),
}
# Read, too, but they change only how a run goes. The rules compare the file of `lpips_backbone`.
_ACCOMPANY = {
    "head": ("preview_every",),
    "lips": ("preview_every", "lpips_backbone"),
    "torso": ("preview_every",),
    "splats": ("preview_every", "lpips_backbone", "rasteriser"),
}
#: Entries of a section that its stage does not read: the sections of a field have the same keys.
_UNREAD = {
    "head": ("lambda_patches", "face_patch_size", "patch_size"),
    "lips": ("smoothness",),
    "torso": (
        "audio_attention_factor", "audio_attention_decay", "lip_share", "attention_outside",
        "attention_region", "expression_attention", "uncertainty", "smoothness",
        "expression_noise", "lambda_patches", "face_patch_size", "hide", "patch_size",
    ),
    "splats": (),
}  # fmt: skip
#: Those that a stage reads for its perceptual loss alone.
_OF_PERCEPTUAL = {
    "lips": ("lambda_patches", "face_patch_size"),
    "splats": ("lambda_patches", "perceptual_from", "perceptual_every", "patch_size"),
}


def deciding(train: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """The entries of the section ``train`` that decide what a stage gives.

    A stage is given these and :func:`accompanying` and nothing else. Equal ones, with equal inputs,
    give equal weights.

    Args:
        stage: head, lips, torso or splats.
    """
    unread = {"checkpoint_every", *_UNREAD[stage]}
    # A section that holds these entries only is as good.
    if train.get("model", {}).get("lip_feature") == "mouth_shape":
        unread |= {"audio_attention_factor", "audio_attention_decay"}
    read = {key: train[key] for key in _DECIDE[stage] if key in train}
    if read.get("perceptual") == "none":
        read.pop("lambda_lpips", None)
        unread |= set(_OF_PERCEPTUAL[stage])
    read[stage] = {key: value for key, value in train[stage].items() if key not in unread}
    if stage in ("head", "torso"):
        read["model"] = _model(train["model"], stage)
    return read


def accompanying(train: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """What the stage reads besides: it may change during a run, and for a finished portrait."""
    read = {key: train[key] for key in _ACCOMPANY[stage]}
    return read | {stage: {"checkpoint_every": train[stage]["checkpoint_every"]}}


def joined(decide: Mapping[str, Any], accompany: Mapping[str, Any]) -> dict[str, Any]:
    """:func:`deciding` and :func:`accompanying` as the one section that a stage reads.

    >>> joined({"seed": 0, "head": {"steps": 1}}, {"head": {"checkpoint_every": 5}})
    {'seed': 0, 'head': {'steps': 1, 'checkpoint_every': 5}}
    """
    sections = {k: {**decide[k], **v} for k, v in accompany.items() if k in decide}
    return {**decide, **accompany, **sections}


def _model(model: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """The entries of ``train.model`` that a stage builds its part of the portrait from."""
    of_torso = {key for key in model if key.startswith("torso_")} | {"alpha_resolution"}
    if stage == "torso":
        return {key: model[key] for key in sorted(of_torso | {"grid_init"})}
    has_grid = model["position_encoding"] != "frequency" or model["conditioning"] == "ambient"
    is_used = {
        "n_mouth_shapes": model["lip_feature"] == "mouth_shape",
        "n_fine_samples": model["sampling"] == "hierarchical",
        "n_octaves": model["position_encoding"] == "frequency",
        "n_ambient": model["conditioning"] == "ambient",
        "n_attention": model["conditioning"] != "concatenate",
        "n_expression_attention": model["conditioning"] == "region_attention"
        and model["expression"] != "none",
    } | {key: has_grid for key in model if key.startswith("grid_")}
    return {
        key: value for key, value in model.items() if key not in of_torso and is_used.get(key, True)
    }
