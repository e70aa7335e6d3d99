"""A run survives a kill: everything that decides its future, on disk, whole or not at all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import atomic_path

_N_KEPT = 2
_NAME = re.compile(r"step_(\d+)\.pt")


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], config: dict) -> Path:
    """Write ``step_XXXXXXXX.pt`` and remove all but the last two.

    Args:
        state: tensors, numbers, strings, and lists and dicts of them.
        config: what the run depends on; a run with another one may not resume from here.
    """
    path = folder / f"step_{step:08d}.pt"
    with atomic_path(path) as partial:
        torch.save({"state": state, "config": json.dumps(config, sort_keys=True)}, partial)
    for old in _found(folder)[:-_N_KEPT]:
        old.unlink()
    return path


def load_latest_checkpoint(folder: Path, config: dict) -> tuple[Path, dict[str, Any]] | None:
    """The newest checkpoint's path and state, or None if there is none.

    Raises InputError if it is unreadable or belongs to another config (naming the differing keys).
    """
    paths = _found(folder)
    if not paths:
        return None
    path = paths[-1]
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        state, stored_config = stored["state"], json.loads(stored["config"])
    except Exception as error:
        raise InputError(
            path, f"cannot be read ({error})", "remove it to use the one before"
        ) from error
    keys = _differing_keys(stored_config, json.loads(json.dumps(config)))
    if keys:
        raise InputError(
            path,
            f"was written with another {', '.join(keys)}",
            f"restore these settings, or remove {folder} to train anew",
        )
    return path, state


def _found(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _differing_keys(a: Any, b: Any, prefix: str = "") -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        return [
            key
            for name in sorted(a.keys() | b.keys())
            for key in _differing_keys(a.get(name), b.get(name), f"{prefix}.{name}".strip("."))
        ]
    return [] if a == b else [prefix]


def save_portrait(path: Path, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    """Write weights as safetensors with JSON ``facts`` (shape, stage) in the header, atomically."""
    with atomic_path(path) as partial:
        save_file(
            {name: tensor.contiguous().cpu() for name, tensor in tensors.items()},
            partial,
            metadata={"facts": json.dumps(facts)},
        )


def load_portrait(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and facts of :func:`save_portrait`. Raises InputError if absent or broken."""
    if not Path(path).is_file():
        raise InputError(path, "does not exist", "run the training rule that makes it")
    try:
        with safe_open(path, framework="pt") as archive:
            facts = json.loads((archive.metadata() or {})["facts"])
            return {name: archive.get_tensor(name) for name in archive.keys()}, facts
    except (SafetensorError, KeyError) as error:
        raise InputError(path, f"is not a portrait ({error})", "train it again") from error
