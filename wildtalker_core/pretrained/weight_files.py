"""Files of weights on this machine, read as data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath


def read_weights(path: AnyPath, if_absent: str, if_broken: str) -> dict[str, Any]:
    """What a ``.safetensors`` or a file of PyTorch's holds: tensors by name, or what it was given.

    Raises InputError: there is no such file (remedy ``if_absent``), or it is none (``if_broken``).
    """
    if not Path(path).is_file():
        raise InputError(path, "does not exist", if_absent)
    # Only now: a check that a file is there should not wait for PyTorch.
    import torch
    from safetensors.torch import load_file

    try:
        if Path(path).suffix == ".safetensors":
            return load_file(path)
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes of another kind fail in ways of their own
        problem = f"is not a readable weights file ({type(error).__name__})"
        raise InputError(path, problem, if_broken) from error
    if not isinstance(weights, dict):
        raise InputError(path, f"holds no tensors by name ({type(weights).__name__})", if_broken)
    return weights
