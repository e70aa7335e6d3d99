"""``wildtalker say PORTRAIT SPEECH VIDEO``: a finished portrait says a recording."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "let a finished portrait say a recording"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("portrait", type=Path, help="a .portrait file")
    parser.add_argument("speech", type=Path, help="any file with sound")
    parser.add_argument("video", type=Path, help=".mp4; with alpha .webm, .mov or a new folder")
    parser.add_argument(
        "--background", default="plate", help="plate, alpha, green, white, black or a picture"
    )
    parser.add_argument("--gain", type=float, help="factor of the mouth's motion")
    parser.add_argument("--label", help="text to show in a corner, such as synthetic")


def run(arguments: argparse.Namespace) -> int:
    """Write the video."""
    from wildtalker_core import open_portrait  # seconds; only where it is asked for

    n_frames = open_portrait(arguments.portrait).say(
        arguments.speech, arguments.video, arguments.background, arguments.gain, arguments.label
    )
    print(f"{arguments.video}: {n_frames} frames")
    return 0
