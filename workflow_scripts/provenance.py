"""What a result was made with: commit, code digest, package versions, hardware."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import wildtalker_core
from wildtalker_core.media.digests import digest_of_file
from wildtalker_core.media.files import AnyPath

ROOT = Path(__file__).resolve().parents[1]
CORE = Path(wildtalker_core.__file__).resolve().parent  # not below ROOT in an installed wheel
PACKAGES = ("torch", "numpy", "mediapipe", "ai-edge-litert", "opencv-python-headless", "lpips",
            "pesq", "pystoi", "scipy", "snakemake")  # fmt: skip


def describe(config: Mapping[str, Any]) -> dict[str, Any]:
    """Commit, digests of code and config, versions, hardware; every value plain JSON."""
    return {
        "commit": commit(),
        "code_digest": code_digest(),
        "config_digest": digest(json.dumps(config, sort_keys=True, default=str).encode()),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "system": f"{platform.system()} {platform.release()}",
        "cpu": cpu_name(),
        "n_cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "gpu": gpu_names(),
    }


def commit() -> str:
    """The checkout's commit, ``+`` where files differ from it."""
    if not (ROOT / ".git").exists():  # a wheel in someone else's checkout has not its commit
        return f"unknown (wildtalker {version('wildtalker')}, no checkout)"
    if shutil.which("git") is None:
        return "unknown (no git here)"
    found = _output(["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"])
    if not found:
        return "unknown (no commit)"
    changed = _output(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"])
    return found + ("+" if changed else "")


def code_digest() -> str:
    """Digest of all sources that a result can depend on, whether committed or not."""
    whole = hashlib.sha256()
    for folder in (CORE, *(ROOT / name for name in ("workflow_scripts", "rules", "config"))):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".smk", ".yaml"):
                whole.update(
                    str(path.relative_to(folder.parent)).encode() + b"\0" + path.read_bytes()
                )
    return whole.hexdigest()[:12]


def digest(content: bytes) -> str:
    """First 12 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:12]


def file_digest(path: AnyPath) -> str:
    """As :func:`digest`, of a file of any size."""
    return digest_of_file(Path(path))[:12]


def version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def gpu_names() -> str:
    if shutil.which("nvidia-smi") is None:
        return "none"
    found = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ", ".join(found.splitlines()) or "none"


def _output(command: list[str]) -> str:
    """What a command prints, empty if it fails."""
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else ""
