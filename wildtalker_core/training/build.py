"""A portrait from a scene and options, and back from its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from wildtalker_core.errors import InputError
from wildtalker_core.nerf.encoders import resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.head_field import HeadShape
from wildtalker_core.nerf.portrait import Portrait, PortraitShape
from wildtalker_core.nerf.torso_field import TorsoShape
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training.checkpoints import load_portrait

Options = TypeVar("Options")


def options_of(kind: type[Options], values: Mapping[str, Any], **others: Any) -> Options:
    """A dataclass of options from the entries of a config section that it names, and ``others``."""
    names = {field.name for field in fields(kind)} - others.keys()
    return kind(**{name: values[name] for name in names if name in values}, **others)


def choose_device(name: str) -> torch.device:
    """``auto``, ``cpu`` or ``cuda``. Raises InputError if there is no such device."""
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("train.device", "no CUDA device can be used", "use auto or cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def portrait_shape(scene: Scene, model: Mapping[str, Any]) -> PortraitShape:
    """Sizes of a portrait of ``scene`` with the config section ``train.model``."""
    head_grid = HashGridShape(
        n_dims=2,
        n_levels=model["grid_levels"],
        n_features_per_level=model["grid_features_per_level"],
        log2_hashmap_size=model["grid_log2_hashmap_size"],
        base_resolution=model["grid_base_resolution"],
        finest_resolution=model["grid_finest_resolution"],
    )
    torso_grid = HashGridShape(
        n_dims=2,
        n_levels=model["torso_levels"],
        n_features_per_level=2,
        log2_hashmap_size=model["torso_log2_hashmap_size"],
        base_resolution=16,
        finest_resolution=model["torso_finest_resolution"],
    )
    return PortraitShape(
        height=scene.height,
        width=scene.width,
        focal_length=scene.focal_length,
        n_frames=scene.n_frames,
        n_audio_features=scene.audio_features.shape[1],
        audio_window=scene.audio_features.shape[2],
        lip_feature=model["lip_feature"],
        n_mouth_shapes=model["n_mouth_shapes"],
        n_heard=int(scene.is_face_visible[scene.train_frames].sum()),
        n_steps_across=model["n_steps_across"],
        n_samples=model["n_samples"],
        occupancy_resolution=model["occupancy_resolution"],
        alpha_resolution=model["alpha_resolution"],
        head=HeadShape(
            grid=head_grid,
            half_extents=tuple(model["half_extents"]),
            n_lip=model["n_lip"],
            n_expression=scene.expression.shape[1],
            n_code=model["n_code"],
            n_hidden=model["n_hidden"],
            n_attention=model["n_attention"],
        ),
        torso=TorsoShape(grid=torso_grid, n_hidden=model["torso_hidden"]),
    )


def new_portrait(
    scene: Scene, model: Mapping[str, Any], encoder: str, device: torch.device, seed: int
) -> Portrait:
    """An untrained portrait of ``scene`` on ``device``; the same for the same seed."""
    torch.manual_seed(seed)
    portrait = Portrait(portrait_shape(scene, model), resolve_encoder(encoder, device))
    with torch.no_grad():
        for tables in (portrait.head.planes.tables, portrait.torso.grid.tables):
            tables.uniform_(-model["grid_init"], model["grid_init"])
        portrait.background.copy_(torch.as_tensor(scene.background).float() / 255)
    return portrait.to(device)


def restore_portrait(
    path: Path, encoder: str, device: torch.device
) -> tuple[Portrait, dict[str, Any]]:
    """The portrait of a file written by ``checkpoints.save_portrait``, and the file's facts."""
    tensors, facts = load_portrait(path)
    shape = PortraitShape.from_dict(facts["shape"])
    portrait = Portrait(shape, resolve_encoder(encoder, device))
    try:
        portrait.load_state_dict(tensors)
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise InputError(
            path, f"does not fit this version ({first_line})", "train it again"
        ) from None
    return portrait.to(device), facts
