"""``wildtalker studio``: a page on which a video becomes a portrait that talks."""

from __future__ import annotations

import argparse
from pathlib import Path

from wildtalker import listening
from wildtalker.commands.make import require_snakemake
from wildtalker.running import snakemake_command

HELP = "serve a page that makes a portrait of a video and lets it speak"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, default=Path("studio"), help="videos and results (default: studio)"
    )
    parser.add_argument("--preset", help="training preset; default: the schema's")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of the frames")
    parser.add_argument("--cores", default="all", help="cores to use (default: all)")
    listening.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted; runs end with it, and go on when it is started again."""
    listening.require_server()
    require_snakemake()
    from wildtalker.studio import Studio, studio_application
    from wildtalker.videos import Videos

    def command(config_path: str, target: str) -> list[str]:
        return snakemake_command(config_path, arguments.cores, [target])

    token = listening.token_for(arguments.host)
    videos = Videos(arguments.folder, command, arguments.preset, arguments.size)
    studio = Studio(videos, token, arguments.sessions, host=arguments.host)
    listening.serve(studio_application(studio), arguments, token)
    return 0
