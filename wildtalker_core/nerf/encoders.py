"""Which hash grid computes: chosen by name, never swapped in silence."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor

from wildtalker_core.errors import InputError
from wildtalker_core.nerf.hash_grid import HashGridShape

ENCODERS = ("auto", "torch", "numba")

#: (positions [grids, n, dims], tables [grids, entries, features], shape) -> [n, features]
LookUp = Callable[[Tensor, Tensor, HashGridShape], Tensor]


def resolve_encoder(name: str, device: torch.device) -> str:
    """The encoder that ``name`` means on a device: ``auto`` is numba on the CPU, else torch.

    Raises InputError for a name that is unknown or cannot work here.
    """
    if name not in ENCODERS:
        raise InputError("train.encoder", f"is {name!r}", f"use one of {', '.join(ENCODERS)}")
    if name == "auto":
        return "numba" if device.type == "cpu" else "torch"
    if name == "numba" and device.type != "cpu":
        raise InputError("train.encoder", f"numba cannot work on {device}", "use auto or torch")
    if name == "numba" and importlib.util.find_spec("numba") is None:
        raise InputError("train.encoder", "numba is not installed", "install it or use torch")
    return name


def look_up_of(name: str) -> LookUp:
    """The look-up function of a resolved encoder."""
    if name == "torch":
        from wildtalker_core.nerf.hash_grid import look_up
    elif name == "numba":
        from wildtalker_core.nerf.hash_grid_numba import look_up
    else:
        raise ValueError(f"{name!r} is not a resolved encoder")
    return look_up
