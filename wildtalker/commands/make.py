"""``wildtalker make VIDEO``: the workflow on one video, in the folder one stands in."""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from wildtalker_core.errors import InputError

HELP = "make a portrait, its tables and its report from one video"
ROOT = Path(__file__).resolve().parents[1]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("video", type=Path, help="a person talking, in any format ffmpeg reads")
    parser.add_argument("--preset", help="training preset; default: the schema's")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of the frames")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    parser.add_argument("--plan", action="store_true", help="only say what would be done")


def run(arguments: argparse.Namespace) -> int:
    """Write ``{results}/{clip}.yaml`` and let Snakemake make what it asks for."""
    if not arguments.video.is_file():
        raise InputError(arguments.video, "is not a file", "give the path of a video")
    if importlib.util.find_spec("snakemake") is None:
        raise InputError("snakemake", "is not installed", 'pip install "wildtalker[workflow]"')
    config = clip_config(arguments)
    arguments.results.mkdir(parents=True, exist_ok=True)
    config_path = arguments.results / f"{clip_name(arguments.video)}.yaml"
    config_path.write_text(yaml.safe_dump(config, sort_keys=False))
    status = subprocess.run(snakemake_command(config_path, arguments), check=False).returncode
    if status == 0 and not arguments.plan:
        print((arguments.results / "report" / "summary.txt").read_text())
    return status


def clip_config(arguments: argparse.Namespace) -> dict[str, Any]:
    """The workflow's config for one video: the clip, and only what the user asked to change."""
    config: dict[str, Any] = {
        "results_dir": str(arguments.results),
        "clips": {clip_name(arguments.video): {"path": str(arguments.video)}},
    }
    if arguments.preset is not None:
        config["train"] = {"preset": arguments.preset}
    if arguments.size is not None:
        config["media"] = {"size_px": arguments.size}
    return config


def clip_name(video: Path) -> str:
    """A name that the config takes: other characters become ``_``, ``clip_`` precedes a bad one.

    The schema keeps a few names for itself (report, logs, denoised, spoiled_N).
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", video.stem)
    reserved = re.fullmatch(r"report|logs|denoised|spoiled_[0-9]+", name)
    return f"clip_{name}" if reserved or not re.match(r"[A-Za-z0-9]", name) else name


def workflow_dir() -> Path:
    """Folder of the Snakefile: package data of an installed wheel, or the checkout."""
    packaged = ROOT / "workflow"
    return packaged if packaged.is_dir() else ROOT.parent


def snakemake_command(config_path: Path, arguments: argparse.Namespace) -> list[str]:
    workflow = workflow_dir()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow / "Snakefile"),
               "--workflow-profile", str(workflow / "profiles" / "default"),
               "--configfile", os.fspath(config_path), "--cores", arguments.cores]  # fmt: skip
    return [*command, "--dry-run", "--quiet", "rules"] if arguments.plan else command
