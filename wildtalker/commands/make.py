"""``wildtalker make VIDEO``: the workflow on one video, in the folder one stands in."""

from __future__ import annotations

import argparse
import importlib.util
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from wildtalker.running import Progress, WatchedRun, clip_config, snakemake_command, stage_of
from wildtalker_core.errors import InputError

HELP = "make a portrait, its tables and its report from one video"


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
    require_snakemake()
    name, results = clip_name(arguments.video), arguments.results
    config = clip_config(name, arguments.video, results, arguments.preset, arguments.size)
    results.mkdir(parents=True, exist_ok=True)
    config_path = results / f"{name}.yaml"
    config_path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = snakemake_command(config_path, arguments.cores, is_plan=arguments.plan)
    if arguments.plan:
        return subprocess.run(command, check=False).returncode
    status = watch(command)
    if status == 0:
        print((results / "report" / "summary.txt").read_text())
    return status


def require_snakemake() -> None:
    """Raises InputError where the workflow's engine is not installed."""
    if importlib.util.find_spec("snakemake") is None:
        raise InputError("snakemake", "is not installed", 'pip install "wildtalker[workflow]"')


def watch(command: list[str]) -> int:
    """Run Snakemake and tell of it on the terminal; whatever ends this process ends the run."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    running = WatchedRun(command, echo=sys.stderr.buffer, told=tell)
    try:
        status = running.wait()
    except KeyboardInterrupt:
        running.stop()
        return 130
    if status and running.progress.error is None:
        print(running.progress.failure, file=sys.stderr)
    return status


def tell(progress: Progress, event: dict[str, Any]) -> None:
    """A line on the terminal for each job that starts."""
    if event["event"] == "job_info":
        rule, n_started = event["rule_name"], progress.n_done.total() + len(progress.running)
        print(f"[{n_started}/{progress.n_jobs.total()}] {stage_of(rule)}: {rule}", file=sys.stderr)


def clip_name(video: Path) -> str:
    """A name that the config takes: other characters become ``_``, ``clip_`` precedes a bad one.

    The schema keeps a few names for itself (report, logs, denoised, spoiled_N).
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", video.stem)
    reserved = re.fullmatch(r"report|logs|denoised|spoiled_[0-9]+", name)
    return f"clip_{name}" if reserved or not re.match(r"[A-Za-z0-9]", name) else name
