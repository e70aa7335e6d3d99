"""Digests by which a run knows whether its inputs are still the same."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def digest_of_arrays(arrays: Mapping[str, Any]) -> str:
    """Digest of names, types, shapes and values; the order of the names does not matter.

    >>> a = np.arange(6)
    >>> digest_of_arrays({"a": a}) == digest_of_arrays({"a": a.reshape(2, 3)})
    False
    """
    digest = hashlib.sha256()
    for name, value in sorted(arrays.items()):
        array = np.ascontiguousarray(value)
        digest.update(f"{name} {array.dtype} {np.shape(value)} ".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def digest_of_file(path: Path) -> str:
    """Digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_stack(stack: Any) -> str:
    """Digest of a stack [frames, ...]: every frame counts, though none is decoded.

    The zip file of a :class:`FrameStore` lists the CRC-32 of each frame's chunk. A stack in memory
    is digested by its values.
    """
    path = getattr(stack, "path", None)
    if path is None:
        return digest_of_arrays({"stack": stack})
    with zipfile.ZipFile(path) as archive:
        entries = sorted((entry.filename, entry.CRC) for entry in archive.infolist())
    return hashlib.sha256(repr(entries).encode()).hexdigest()
