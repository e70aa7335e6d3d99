"""After a kill, the same command goes on: the lock that the dead run left is removed.

Snakemake locks its working directory, and a killed run cannot unlock it. The lock does not say
whose it is, so a run writes down its machine; on the same machine, a lock with no Snakemake process
alive in that directory is left over. On any other machine the lock is left alone.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

_OWNER = "owner_host"


def working_directory(arguments: Sequence[str]) -> Path:
    """Where Snakemake with these arguments works."""
    for option, value in zip(arguments, [*arguments[1:], ""], strict=True):
        if option in ("--directory", "-d"):
            return Path(value).resolve()
        if option.startswith("--directory="):
            return Path(option.split("=", 1)[1]).resolve()
    return Path.cwd()


def release(arguments: Sequence[str]) -> None:
    """Remove a dead run's lock, and say so; called while the command line is read."""
    if "--mode" in arguments or "--nolock" in arguments:
        return  # a job of a run
    folder = working_directory(arguments)
    locks = sorted((folder / ".snakemake" / "locks").glob("*.lock"))
    owner = folder / ".snakemake" / _OWNER
    if not locks:
        owner.parent.mkdir(parents=True, exist_ok=True)
        owner.write_text(platform.node())
        return
    is_ours = owner.is_file() and owner.read_text() == platform.node()
    if is_ours and not has_live_run(folder):
        for lock in locks:
            lock.unlink(missing_ok=True)
        print(f"{folder}: the lock of a killed run is removed", file=sys.stderr)
    else:
        where = "another run works there"
        if not is_ours:
            where = "it may be of a run on another machine"
        print(
            f"{folder}: is locked, {where}; if that was killed, type: "
            f"snakemake --unlock {' '.join(_config_options(arguments))}".rstrip(),
            file=sys.stderr,
        )


def _config_options(arguments: Sequence[str]) -> list[str]:
    """The options that a ``snakemake --unlock`` needs as well, as they were typed."""
    kept, is_kept = [], False
    for argument in arguments:
        if argument.startswith("-"):
            is_kept = argument.split("=")[0] in (
                "--configfile",
                "--configfiles",
                "--directory",
                "-d",
            )
        if is_kept:
            kept.append(argument)
    return kept


def has_live_run(folder: Path) -> bool:
    """Whether another Snakemake works in ``folder``; one that cannot be looked at may."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter(["pid", "cmdline"]):
        words = process.info["cmdline"] or []
        is_snakemake = any(Path(word).name == "snakemake" for word in words[:4])
        if process.info["pid"] in own or not is_snakemake:
            continue
        try:
            if Path(process.cwd()) == folder:
                return True
        except psutil.NoSuchProcess:
            continue
        except psutil.AccessDenied:
            return True
    return False
