"""Small files: arrays, JSON and atomic replacement.

Whatever a rule writes appears whole or not at all: it is written beside its final place and moved
there in one step.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wildtalker_core.errors import InputError

#: A path as anybody may give it.
AnyPath = str | os.PathLike[str]


@contextmanager
def atomic_path(path: AnyPath) -> Iterator[Path]:
    """Give a path beside ``path`` to write to; on success it replaces ``path``, else it is removed.

    The temporary name keeps the suffix, since writers choose their format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield partial
        # Some writers make files that only their owner can read.
        os.chmod(partial, (0o777 if partial.is_dir() else 0o666) & ~_umask())
        os.replace(partial, path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def _umask() -> int:
    """What the user's shell says that new files must not allow; it can only be read by setting."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def save_arrays(path: AnyPath, **arrays: Any) -> None:
    """Write named arrays (and scalars, strings) to one compressed ``.npz``, atomically."""
    with atomic_path(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)


def load_arrays(path: AnyPath, *required: str) -> dict[str, np.ndarray]:
    """Read a ``.npz`` whole; without pickles. Raises InputError if a required name is missing."""
    if not Path(path).is_file():
        raise InputError(path, "does not exist", "run the rule that makes it")
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError) as error:
        raise InputError(path, f"is not a readable npz file ({error})", "make it again") from error
    missing = sorted(set(required) - set(arrays))
    if missing:
        raise InputError(path, f"lacks {', '.join(missing)}", "make it again with this version")
    return arrays


def save_json(path: AnyPath, value: Mapping[str, Any]) -> None:
    """Write a mapping as indented JSON, atomically. NaN is refused: it is not JSON."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def save_bytes(path: AnyPath, content: bytes) -> None:
    """Write a file as it is."""
    with atomic_path(path) as partial:
        partial.write_bytes(content)


def load_json(path: AnyPath) -> dict[str, Any]:
    """Read a JSON object. Raises InputError if it is absent or broken."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise InputError(path, "does not exist", "run the rule that makes it") from None
    except json.JSONDecodeError as error:
        raise InputError(path, f"is not valid JSON ({error})", "make it again") from error
