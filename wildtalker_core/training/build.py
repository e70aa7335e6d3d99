"""A portrait from a scene and options, and back from its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from wildtalker_core.errors import InputError
from wildtalker_core.mouth.ear import n_remembered
from wildtalker_core.nerf.cpu_products import use_exact_onednn
from wildtalker_core.nerf.encoders import layout_of, resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.head_field import HeadShape
from wildtalker_core.nerf.portrait import Portrait, PortraitShape
from wildtalker_core.nerf.position_encoding import grid_tables
from wildtalker_core.nerf.torso_field import TorsoShape
from wildtalker_core.scene.scene import Scene
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape
from wildtalker_core.training.checkpoints import load_portrait

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def options_of(kind: type[Options], values: Mapping[str, Any], **others: Any) -> Options:
    """A dataclass of options from the entries of a config section that it names, and ``others``."""
    names = {field.name for field in fields(kind)} - others.keys()
    return kind(**{name: values[name] for name in names if name in values}, **others)


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
        layout: of the hash tables (:class:`HashGridShape`).
    """
    head_grid = HashGridShape(
        n_levels=model["grid_levels"],
        n_features_per_level=model["grid_features_per_level"],
        log2_hashmap_size=model["grid_log2_hashmap_size"],
        base_resolution=model["grid_base_resolution"],
        finest_resolution=model["grid_finest_resolution"],
        layout=layout,
    )
    torso_grid = HashGridShape(
        n_dims=2,
        n_levels=model["torso_levels"],
        n_features_per_level=2,
        log2_hashmap_size=model["torso_log2_hashmap_size"],
        base_resolution=16,
        finest_resolution=model["torso_finest_resolution"],
        layout=layout,
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
        n_heard=n_remembered(len(scene.seen_train_frames), scene.noisy_audio_features is not None),
        sampling=model["sampling"],
        n_steps_across=model["n_steps_across"],
        n_samples=model["n_samples"],
        n_fine_samples=model["n_fine_samples"],
        occupancy_resolution=model["occupancy_resolution"],
        alpha_resolution=model["alpha_resolution"],
        head=options_of(
            HeadShape, model, grid=head_grid, half_extents=tuple(model["half_extents"])
        ),
        torso=TorsoShape(
            grid=torso_grid,
            pose=model["torso_pose"],
            n_pose_octaves=model["torso_pose_octaves"],
            n_pixel_octaves=model["torso_pixel_octaves"],
            n_hidden=model["torso_hidden"],
            n_deform_hidden=model["torso_deform_hidden"],
            follows_head=model["torso_follows_head"],
        ),
    )


def new_portrait(
    scene: Scene, model: Mapping[str, Any], encoder: str, device: torch.device, seed: int
) -> Portrait:
    """An untrained portrait of ``scene`` on ``device``; the same for the same seed."""
    torch.manual_seed(seed)
    encoder = resolve_encoder(encoder, device)
    portrait = Portrait(portrait_shape(scene, model, layout_of(encoder)), encoder)
    with torch.no_grad():
        for tables in grid_tables(portrait):
            tables.uniform_(-model["grid_init"], model["grid_init"])
        portrait.background.copy_(torch.as_tensor(scene.background).float() / 255)
    return portrait.to(device)


def open_portrait(
    path: Path, options: Mapping[str, Any], device: torch.device
) -> Portrait | SplatPortrait:
    """The finished portrait of a file, whatever draws it.

    The file says which renderer it is of; nothing else asks.

    Args:
        options: ``encoder``, ``rasteriser`` and ``chunk_rays``: what computes, not what is seen.
    """
    tensors, facts = load_portrait(path)
    if facts["stage"] == "splats":
        shape = _shape_of(SplatShape, facts, path)
        portrait = SplatPortrait(shape, options["rasteriser"])
        _load(portrait, tensors, path)
        return portrait.to(device)
    field, _ = restore_portrait(path, options["encoder"], device)
    field.chunk_rays = options["chunk_rays"]
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
