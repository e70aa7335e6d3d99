"""``wildtalker doctor``: what this machine has and lacks, one line each."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata

HELP = "say what this machine has and lacks, one line each"

#: Distribution, module, what it is for, and whether `wildtalker make` needs it.
PARTS = (
    ("torch", "torch", "training and rendering", True),
    ("numba", "numba", "compiled CPU kernels", True),
    ("mediapipe", "mediapipe", "landmarks, hands, parsing", sys.version_info < (3, 13)),
    (
        "ai-edge-litert",
        "ai_edge_litert",
        "the same from Python 3.13 on",
        sys.version_info >= (3, 13),
    ),
    ("av", "av", "reading and writing video", True),
    ("snakemake", "snakemake", "the workflow", True),
    ("lpips", "lpips", "score LPIPS and the lips' finetuning loss", True),
    ("starlette", "starlette", "the pages of live and studio", False),
    ("uvicorn", "uvicorn", "the pages of live and studio", False),
    ("websockets", "websockets", "the pages of live and studio", False),
    ("aiortc", "aiortc", "WebRTC on these pages, which do without", False),
    ("ptlflow", "ptlflow", "occlusion.flow: ptlflow", False),
    ("simple-lama-inpainting", "simple_lama_inpainting", "occlusion.inpaint: lama", False),
    ("noisereduce", "noisereduce", "speech.denoiser: noisereduce", False),
    ("tinycudann", "tinycudann", "train.encoder: tinycudann", False),
    ("triton", "triton", "train.encoder and train.rasteriser: triton", False),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = f"{HELP}; exit status 1 where `wildtalker make` cannot run"


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; 1 if something that ``make`` needs is absent, else 0."""
    findings = [*machine(), *parts()]
    for state, subject, remark in findings:
        print(f"{state:8} {subject:24} {remark}")
    return int(any(state == "missing" for state, _, _ in findings))


def machine() -> Iterator[tuple[str, str, str]]:
    """(state, subject, remark) of Python, processor, disk, GPU and what speaks texts."""
    yield "ok", "python", f"{platform.python_version()} ({sys.executable})"
    yield "ok", "processor", f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    free_gb = shutil.disk_usage(".").free / 1e9
    yield "ok", "disk", f"{free_gb:.0f} GB free here"
    yield gpu()
    yield voice()


def gpu() -> tuple[str, str, str]:
    if importlib.util.find_spec("torch") is None:
        return "absent", "gpu", "unknown without torch"
    import torch  # seconds; only where it is asked for

    if torch.cuda.is_available():
        return "ok", "gpu", f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return "absent", "gpu", "no CUDA device that torch sees; the CPU does everything, slower"


def voice() -> tuple[str, str, str]:
    """As ``wildtalker_core.live.voice.find_voice``, which imports what may be absent here."""
    if os.environ.get("WILDTALKER_VOICE"):
        return "ok", "voice", "WILDTALKER_VOICE"
    if found := shutil.which("espeak-ng"):
        return "ok", "voice", found
    return "absent", "voice", "say --text, live: install espeak-ng or set WILDTALKER_VOICE"


def parts() -> Iterator[tuple[str, str, str]]:
    """(state, distribution, version or what it would be for) of every Python part."""
    for distribution, module, purpose, is_needed in PARTS:
        if importlib.util.find_spec(module) is None:
            yield "missing" if is_needed else "absent", distribution, purpose
            continue
        try:
            version = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            version = "version unknown"
        yield "ok", distribution, f"{version}, {purpose}"
