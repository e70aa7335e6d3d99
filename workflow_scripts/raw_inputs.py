"""What comes from outside: paths as the user writes them, and whether a file is still the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wildtalker_core.errors import InputError
from workflow_scripts.weight_inputs import is_fetchable


def expand_home(config: Any) -> Any:
    """A config with ``~`` and ``~user`` at the beginning of its texts replaced, as a shell would.

    >>> expand_home({"clips": {"me": {"path": "~/me.mp4"}}})["clips"]["me"]["path"][0]
    '/'
    """
    if isinstance(config, Mapping):
        return {key: expand_home(value) for key, value in config.items()}
    if isinstance(config, list):
        return [expand_home(value) for value in config]
    if isinstance(config, str) and config.startswith("~"):
        return os.path.expanduser(config)
    return config


def require(key: str, path: str, is_folder: bool = False) -> None:
    """Raise InputError unless ``path``, which the config names at ``key``, is there and usable."""
    if "{" in path or "}" in path:
        raise InputError(
            path,
            f"has braces in its name, which a workflow takes for a placeholder (config {key})",
            "rename it",
        )
    if not Path(path).exists():
        raise InputError(path, f"does not exist (config {key})", "correct the path")
    if Path(path).is_dir() and not is_folder:
        raise InputError(path, f"is a folder (config {key})", "name the file in it")
    if not Path(path).is_dir() and is_folder:
        raise InputError(path, f"is a file (config {key})", "name the folder that it is in")


def stamp(paths: str | Iterable[str]) -> list[str]:
    """Size and time stamp of files, in a folder of all that lie in it; for a rule's params.

    Snakemake makes a result again if an input is newer. A file that another one has replaced may be
    older (mv, cp -p, rsync -t): then its stamp is another one. Weights of the registry have none;
    they are proven by their hash, and may be fetched in the run itself.
    """
    stamps = []
    for path in [paths] if isinstance(paths, str) else paths:
        if is_fetchable(path):
            continue
        files = sorted(Path(path).rglob("*")) if Path(path).is_dir() else [Path(path)]
        for file in files:
            if file.is_file():
                facts = file.stat()
                stamps.append(f"{file.name} {facts.st_size} {facts.st_mtime_ns}")
    return stamps
