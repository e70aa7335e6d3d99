"""Which hash grid computes: chosen by name, never swapped in silence."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import torch

from wildtalker_core.devices import resolve
from wildtalker_core.nerf.hash_grid import Features, HashGridShape, Positions, Tables

#: Kind of device that an encoder works on; torch works on all.
_DEVICES = {"numba": "cpu", "triton": "cuda", "tinycudann": "cuda"}
ENCODERS = ("auto", "torch", *_DEVICES)

#: (positions, tables, shape) -> features
LookUp = Callable[[Positions, Tables, HashGridShape], Features]


def resolve_encoder(name: str, device: torch.device) -> str:
    """The encoder that ``name`` means on a device: :func:`wildtalker_core.devices.resolve`."""
    return resolve("train.encoder", name, _DEVICES, device)


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
