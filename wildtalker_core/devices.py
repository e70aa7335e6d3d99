"""Which code computes on a device, and how values come there without waiting for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.errors import InputError


def resolve(key: str, name: str, works_on: Mapping[str, str], device: torch.device) -> str:
    """Which of several codes for the same ``name`` means on a device; never swapped in silence.

    ``auto`` is numba on the CPU, triton on a CUDA device where Triton is installed (PyTorch's
    CUDA builds bring it along), and else torch, which works on all.

    Args:
        key: of the config, for errors.
        works_on: kind of device that each code but torch works on.

    Raises InputError for a name that is unknown or cannot work here.
    """
    names = ("auto", "torch", *works_on)
    if name not in names:
        raise InputError(key, f"is {name!r}", f"use one of {', '.join(names)}")
    if name == "auto":
        if device.type == "cpu":
            return "numba"
        return "triton" if device.type == "cuda" and is_installed("triton") else "torch"
    if name != "torch" and device.type != works_on[name]:
        raise InputError(key, f"{name} cannot work on {device}", "use auto or torch")
    if not is_installed(name):
        raise InputError(key, f"{name} is not installed", "install it, or use auto or torch")
    return name


@cache
def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def floats(values: np.ndarray, device: torch.device) -> Tensor:
    """Host values as float32 on ``device``."""
    return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32, device=device)


def sent(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Host values as a tensor on ``device``.

    A copy from ordinary memory holds the host up until the GPU has done all that it was asked for;
    one from pinned memory is put in line behind it. PyTorch keeps pinned blocks for the next step.
    """
    tensor = torch.as_tensor(values, device="cpu")
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
