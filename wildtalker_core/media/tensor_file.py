"""Named tensors with a JSON header in one safetensors file: read as data, nothing is run.

Each tensor is deflated, its bytes in order of significance, as a tensor of bytes; the header's
entry ``deflated`` has types and shapes. Files without that entry hold the tensors themselves.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath, atomic_path


def save_tensors(path: AnyPath, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and a plain JSON ``header``, atomically."""
    plain = {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}
    kinds = {name: (array.dtype.name, array.shape) for name, array in plain.items()}
    header = {**header, "deflated": kinds}
    whole = {name: torch.frombuffer(_deflated(a), dtype=torch.uint8) for name, a in plain.items()}
    with atomic_path(path) as partial:
        save_file(whole, partial, metadata={"header": json.dumps(header, allow_nan=False)})


def load_tensors(path: AnyPath) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of :func:`save_tensors`. Raises InputError if absent or broken."""
    if not Path(path).is_file():
        raise InputError(path, "does not exist", "give the path of a .portrait file")
    try:
        with safe_open(path, framework="pt") as archive:
            header = json.loads((archive.metadata() or {})["header"])
            tensors = {name: archive.get_tensor(name) for name in archive.keys()}
        for name, (dtype, shape) in header.pop("deflated", {}).items():
            tensors[name] = _inflated(tensors[name], np.dtype(dtype), shape)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, OSError,
            zlib.error) as error:  # fmt: skip
        raise InputError(path, f"is not readable ({error})", "copy or make it again") from None
    if not isinstance(header, dict):
        raise InputError(path, "has no header", "copy or make it again")
    return tensors, header


def _deflated(array: np.ndarray) -> bytearray:
    """All first bytes, then all second ones: exponents lie together, and pack."""
    count = array.dtype.itemsize
    by_rank = np.frombuffer(array.tobytes(), np.uint8).reshape(-1, count).T
    return bytearray(zlib.compress(by_rank.tobytes(), 9))


def _inflated(packed: Tensor, dtype: np.dtype, shape: list[int]) -> Tensor:
    n_bytes = math.prod(shape) * dtype.itemsize
    # No further than the header says, however much a broken file would give.
    raw = zlib.decompressobj().decompress(packed.numpy().tobytes(), n_bytes + 1)
    by_rank = np.frombuffer(raw, np.uint8)
    if len(by_rank) != n_bytes:
        raise ValueError("a tensor has another size than its header says")
    values = np.frombuffer(bytearray(by_rank.reshape(dtype.itemsize, -1).T.tobytes()), dtype)
    return torch.from_numpy(values.reshape(shape))
