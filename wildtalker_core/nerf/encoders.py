"""Which hash grid computes: chosen by name, never swapped in silence."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor

from wildtalker_core.errors import InputError
from wildtalker_core.nerf.hash_grid import HashGridShape

ENCODERS = ("auto", "torch", "numba", "triton", "tinycudann")

#: Kind of device that an encoder works on; torch works on all.
_DEVICES = {"numba": "cpu", "triton": "cuda", "tinycudann": "cuda"}

#: (positions [grids, n, dims], tables [grids, entries, features], shape) -> [n, features]
LookUp = Callable[[Tensor, Tensor, HashGridShape], Tensor]


def resolve_encoder(name: str, device: torch.device) -> str:
    """The encoder that ``name`` means on a device.

    ``auto`` is numba on the CPU, triton on a CUDA device where Triton is installed (PyTorch's
    CUDA builds bring it along), and else torch.

    Raises InputError for a name that is unknown or cannot work here.
    """
    if name not in ENCODERS:
        raise InputError("train.encoder", f"is {name!r}", f"use one of {', '.join(ENCODERS)}")
    if name == "auto":
        if device.type == "cpu":
            return "numba"
        return "triton" if device.type == "cuda" and _is_installed("triton") else "torch"
    if name == "torch":
        return name
    if device.type != _DEVICES[name]:
        raise InputError("train.encoder", f"{name} cannot work on {device}", "use auto or torch")
    if not _is_installed(name):
        raise InputError(
            "train.encoder", f"{name} is not installed", "install it, or use auto or torch"
        )
    return name


def layout_of(name: str) -> str:
    """Layout of the tables that a new portrait gets for a resolved encoder.

    Every encoder but tinycudann reads both layouts.
    """
    return "tinycudann" if name == "tinycudann" else "torch_ngp"


def look_up_of(name: str) -> LookUp:
    """The look-up function of a resolved encoder."""
    if name not in ENCODERS or name == "auto":
        raise ValueError(f"{name!r} is not a resolved encoder")
    suffix = "" if name == "torch" else f"_{name}"
    return importlib.import_module(f"wildtalker_core.nerf.hash_grid{suffix}").look_up


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
