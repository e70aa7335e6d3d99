"""Named tensors with a JSON header in one safetensors file: read as data, nothing is run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import atomic_path


def save_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> None:
    """Write tensors and a plain JSON ``header``, atomically."""
    whole = {name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}
    with atomic_path(path) as partial:
        save_file(whole, partial, metadata={"header": json.dumps(header, allow_nan=False)})


def load_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of :func:`save_tensors`. Raises InputError if absent or broken."""
    if not Path(path).is_file():
        raise InputError(path, "does not exist", "give the path of a .portrait file")
    try:
        with safe_open(path, framework="pt") as archive:
            header = json.loads((archive.metadata() or {})["header"])
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise InputError(path, f"is not readable ({error})", "copy or make it again") from None
    if not isinstance(header, dict):
        raise InputError(path, "has no header", "copy or make it again")
    return tensors, header
