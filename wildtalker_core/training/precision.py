"""Half precision where it is safe and pays: the small networks, on a GPU."""

from __future__ import annotations

import torch
from torch import nn

from wildtalker_core.errors import InputError
from wildtalker_core.nerf.layers import set_compute_dtype

MIXED_PRECISIONS = ("auto", "off", "float16", "bfloat16")


def compute_dtype(name: str, device: torch.device) -> torch.dtype | None:
    """What the networks compute in: ``auto`` is float16 on a CUDA device (as in the peers).

    None is float32. Raises InputError for an unknown name.
    """
    if name not in MIXED_PRECISIONS:
        raise InputError(
            "train.mixed_precision", f"is {name!r}", f"use one of {', '.join(MIXED_PRECISIONS)}"
        )
    if name == "auto":
        return torch.float16 if device.type == "cuda" else None
    return {"off": None, "float16": torch.float16, "bfloat16": torch.bfloat16}[name]


def mix_precision(model: nn.Module, name: str, device: torch.device) -> torch.amp.GradScaler:
    """Let ``model``'s networks compute as ``name`` says; the scaler that its gradients need.

    float16 ends at 6e-8, below many a gradient, so the loss is scaled up before the backward pass
    and the gradients down after it. bfloat16 reaches as far as float32 and needs none of this.
    """
    dtype = compute_dtype(name, device)
    set_compute_dtype(model, dtype)
    return torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)
