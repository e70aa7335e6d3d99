"""Foreign weights files on their way here: from the first source that answers, and proven."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.weight_formats import convert
from wildtalker_core.pretrained.weight_sources import Source, Weights, check_sum


def fetch(weights: Weights, path: AnyPath) -> str:
    """Put the file to ``path``, where it appears whole and proven, or not at all.

    A file that is there already is proven and kept. What a broken connection leaves stays beside
    ``path`` as ``.{name}.part``, and the next call fetches the rest.

    Returns the sha256 of the file, hexadecimal.

    Raises InputError: no source answers, broken off, another content than the registry's, folder
        not writable.
    """
    path = Path(path)
    if path.is_file():
        return verify(weights, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return _from_any_source(weights, path)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
            raise
        raise InputError(
            path.parent,
            f"cannot be written to ({error.strerror})",
            f"make it writable, or name a present {path.name} in the config ({weights.purpose})",
        ) from error


def verify(weights: Weights, path: AnyPath) -> str:
    """Check a file that is there. Returns its sha256. Raises InputError if it is another."""
    return check_sum(path, path, weights.sha256, weights.name)


def _from_any_source(weights: Weights, path: Path) -> str:
    errors = []
    for source in weights.sources:
        try:
            return _from_source(weights, source, path)
        except InputError as error:
            errors.append(error)
    reasons = "; ".join(f"{error.subject} {error.problem}" for error in errors)
    raise InputError(
        path,
        f"cannot be fetched: {reasons}",
        f"{errors[-1].remedy}, or copy the file from another machine to {path}, or do without it "
        f"({weights.without})",
    ) from errors[-1]


def _from_source(weights: Weights, source: Source, path: Path) -> str:
    raw = path.with_name(f".{path.name}.part")
    source.download(raw)
    try:
        check_sum(raw, source.title, source.sha256, weights.name)
        if source.format:
            made = path.with_name(f".{path.name}.made")
            try:
                convert(source.format, raw, made)
                os.replace(made, raw)
            finally:
                made.unlink(missing_ok=True)
        found = check_sum(raw, source.title, weights.sha256, weights.name)
        os.replace(raw, path)
    finally:
        raw.unlink(missing_ok=True)
    return found
