"""The hash grid of ``hash_grid.look_up`` through tiny-cuda-nn's own HashGrid encoding.

For users who have built tiny-cuda-nn (``import tinycudann``) on an NVIDIA GPU. It counts the
vertices of a level in its own way, so tables must be of the layout ``tinycudann``; such tables are
read by every other encoder too, only not the other way round.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import nn

from wildtalker_core.errors import InputError
from wildtalker_core.nerf.hash_grid import Features, HashGridShape, Positions, Tables


def encoding_config(shape: HashGridShape) -> dict:
    """What tiny-cuda-nn is asked for (its DOCUMENTATION.md, section Grid)."""
    return {
        "otype": "HashGrid",
        "n_levels": shape.n_levels,
        "n_features_per_level": shape.n_features_per_level,
        "log2_hashmap_size": shape.log2_hashmap_size,
        "base_resolution": shape.base_resolution,
        "per_level_scale": shape.per_level_scale,
        "interpolation": "Linear",
    }


@lru_cache
def _encoding(shape: HashGridShape, device: torch.device) -> nn.Module:
    # Imported here: the module looks for a GPU when it is imported.
    import tinycudann

    encoding = tinycudann.Encoding(shape.n_dims, encoding_config(shape), dtype=torch.float32)
    encoding.requires_grad_(False)
    n_expected = shape.n_entries * shape.n_features_per_level
    if encoding.params.numel() != n_expected:
        raise InputError(
            "train.encoder",
            f"this build of tiny-cuda-nn has {encoding.params.numel()} parameters for a grid of "
            f"{n_expected}",
            "use auto, torch or triton",
        )
    return encoding.to(device)


def look_up(positions: Positions, tables: Tables, shape: HashGridShape) -> Features:
    """As :func:`wildtalker_core.nerf.hash_grid.look_up`; float32, tables of its own layout.

    Raises InputError for tables of another layout.
    """
    if shape.layout != "tinycudann":
        raise InputError(
            "train.encoder",
            f"tinycudann cannot read hash grids of the layout {shape.layout}, in which this "
            "portrait was trained",
            "use auto, torch, numba or triton for this portrait, or train it anew",
        )
    encoding = _encoding(shape, positions.device)
    features = []
    for position, table in zip(positions, tables, strict=True):
        # tiny-cuda-nn knows no outside.
        is_inside = ((position >= 0) & (position <= 1)).all(-1, keepdim=True)
        position = torch.where(is_inside, position, torch.zeros_like(position))
        parameters = {"params": table.reshape(-1)}
        found = torch.func.functional_call(encoding, parameters, (position,))
        features.append(found.float() * is_inside)
    return torch.cat(features, -1)
