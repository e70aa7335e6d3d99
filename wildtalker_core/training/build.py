"""A portrait from a scene and options, and back from its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from wildtalker_core.errors import InputError
from wildtalker_core.mouth.ear import n_remembered
from wildtalker_core.nerf.cpu_products import use_exact_onednn
from wildtalker_core.nerf.encoders import layout_of, resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.head_field import HeadShape
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.nerf.portrait_shape import PortraitShape
from wildtalker_core.nerf.position_encoding import grid_tables
from wildtalker_core.nerf.torso_field import TorsoShape
from wildtalker_core.option_types import Options, names_of, options_of
from wildtalker_core.scene.scene import Scene
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape
from wildtalker_core.training.checkpoints import load_portrait
from wildtalker_core.training.options import Drawing


def choose_device(name: str) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``mps``, made ready. Raises InputError if it is not there.

    ``auto`` does not take mps (Apple's GPU): nothing here has run on one.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device", "no CUDA device can be used", "use auto or cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise InputError("train.device", "no Metal device can be used", "use auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        # PyTorch lets convolutions round to TF32's ten binary digits; SSIM subtracts nearly equal
        # products of them.
        torch.backends.cudnn.allow_tf32 = False
    if name == "cpu":
        use_exact_onednn()
    return torch.device(name)


def device_name(device: torch.device) -> str:
    """What tables call a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def portrait_shape(
    scene: Scene, model: Mapping[str, Any], layout: str = "torch_ngp"
) -> PortraitShape:
    """Sizes of a portrait of ``scene`` with the config section ``train.model``.

    Args:
        model: entries may be absent whose part the portrait does not have, and those of the torso
            where it will be made anew (:func:`with_new_torso`).
        layout: of the hash tables (:class:`HashGridShape`).
    """
    return options_of(
        PortraitShape,
        model,
        height=scene.height,
        width=scene.width,
        focal_length=scene.focal_length,
        n_frames=scene.n_frames,
        n_audio_features=scene.audio_features.shape[1],
        audio_window=scene.audio_features.shape[2],
        n_heard=n_remembered(len(scene.mouth_train_frames), scene.noisy_audio_features is not None),
        head=options_of(
            HeadShape,
            model,
            grid=_prefixed(HashGridShape, model, "grid_", layout=layout),
            half_extents=tuple(model["half_extents"]),
        ),
        torso=_torso_shape(model, layout),
    )


def _torso_shape(model: Mapping[str, Any], layout: str) -> TorsoShape:
    if "torso_levels" not in model:  # made anew in its own stage
        return TorsoShape(HashGridShape(n_levels=1, log2_hashmap_size=4, layout=layout))
    grid = _prefixed(
        HashGridShape, model, "torso_", layout=layout, n_features_per_level=2, base_resolution=16
    )
    return _prefixed(TorsoShape, model, "torso_", grid=grid)


def _prefixed(
    kind: type[Options], values: Mapping[str, Any], prefix: str, **others: Any
) -> Options:
    """As :func:`options_of`; ``n_levels`` is the entry ``{prefix}levels``."""
    named = {name: prefix + name.removeprefix("n_") for name in names_of(kind)}
    return options_of(kind, {n: values[key] for n, key in named.items() if key in values}, **others)


def new_portrait(
    scene: Scene, model: Mapping[str, Any], encoder: str, device: torch.device, seed: int
) -> Portrait:
    """An untrained portrait of ``scene`` on ``device``; the same for the same seed."""
    encoder = resolve_encoder(encoder, device)
    shape = portrait_shape(scene, model, layout_of(encoder))
    portrait = _untrained(shape, encoder, model.get("grid_init", 0.0), seed)
    with torch.no_grad():
        portrait.background.copy_(torch.as_tensor(scene.background).float() / 255)
    return portrait.to(device)


def with_new_torso(portrait: Portrait, model: Mapping[str, Any], seed: int) -> Portrait:
    """The portrait with an untrained torso of the sizes in ``train.model``; all else stays."""
    shape = replace(
        portrait.shape,
        torso=_torso_shape(model, layout_of(portrait.encoder)),
        alpha_resolution=model["alpha_resolution"],
    )
    new = _untrained(shape, portrait.encoder, model["grid_init"], seed)
    of_torso = ("torso.", "torso_codes", "alpha_grid.")
    kept = {k: v for k, v in portrait.state_dict().items() if not k.startswith(of_torso)}
    new.load_state_dict(new.state_dict() | kept)
    return new.to(portrait.background.device)


def _untrained(shape: PortraitShape, encoder: str, grid_init: float, seed: int) -> Portrait:
    torch.manual_seed(seed)
    portrait = Portrait(shape, encoder)
    with torch.no_grad():
        for tables in grid_tables(portrait):
            tables.uniform_(-grid_init, grid_init)
    return portrait


def open_portrait(
    path: Path, drawing: Drawing, device: torch.device, chunk_rays: int = 1 << 15
) -> Portrait | SplatPortrait:
    """The finished portrait of a file, whatever draws it.

    The file says which renderer it is of; nothing else asks.

    Args:
        drawing: what computes, not what is seen. device: that ``drawing`` means.
        chunk_rays: of a radiance field, rendered at once.
    """
    tensors, facts = load_portrait(path)
    if facts["stage"] == "splats":
        shape = _shape_of(SplatShape, facts, path)
        portrait = SplatPortrait(shape, drawing.rasteriser)
        _load(portrait, tensors, path)
        return portrait.to(device)
    field, _ = restore_portrait(path, drawing.encoder, device)
    field.chunk_rays = chunk_rays
    return field


def restore_portrait(
    path: Path, encoder: str, device: torch.device
) -> tuple[Portrait, dict[str, Any]]:
    """The radiance field of a file written by ``checkpoints.save_portrait``, and its facts."""
    tensors, facts = load_portrait(path)
    portrait = Portrait(_shape_of(PortraitShape, facts, path), resolve_encoder(encoder, device))
    _load(portrait, tensors, path)
    return portrait.to(device), facts


def _shape_of(kind: Any, facts: Mapping[str, Any], path: Path) -> Any:
    try:
        return kind.from_dict(facts["shape"])
    except (TypeError, KeyError) as error:  # an entry that this version does not know, or lacks
        raise InputError(path, f"is of another version ({error})", "train it again") from None


def _load(portrait: torch.nn.Module, tensors: dict[str, torch.Tensor], path: Path) -> None:
    try:
        portrait.load_state_dict(tensors)
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise InputError(
            path, f"does not fit this version ({first_line})", "train it again"
        ) from None
