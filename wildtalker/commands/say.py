"""``wildtalker say PORTRAIT SPEECH VIDEO``: a finished portrait says a recording, or a text."""

from __future__ import annotations

import argparse
from pathlib import Path

from wildtalker import manners
from wildtalker_core.errors import InputError

HELP = "let a finished portrait say a recording, or a text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("portrait", type=Path, help="a .portrait file")
    parser.add_argument("speech", type=Path, nargs="?", help="any file with sound")
    parser.add_argument("video", type=Path, help=".mp4; with alpha .webm, .mov or a new folder")
    parser.add_argument(
        "--background", default="plate", help="plate, alpha, green, white, black or a picture"
    )
    parser.add_argument("--text", help="say this in place of a recording")
    manners.add_voice(parser)
    manners.add_arguments(parser)
    parser.add_argument(
        "--denoiser", help="what cleans the recording for the ear: none, mss_adaptive, ...; "
        "default: what cleaned the clip's own speech"
    )  # fmt: skip
    parser.add_argument("--label", help="text to show in a corner, such as synthetic")


def run(arguments: argparse.Namespace) -> int:
    """Write the video."""
    if (arguments.speech is None) == (arguments.text is None):
        raise InputError("say", "wants a recording or --text", "give one of them")
    from wildtalker_core import open_portrait  # seconds; only where it is asked for

    portrait = open_portrait(arguments.portrait)
    manners.apply(arguments, portrait)
    options = {name: getattr(arguments, name) for name in ("background", "label", "denoiser")}
    if arguments.text is None:
        n_frames = portrait.say(arguments.speech, arguments.video, **options)
    else:
        n_frames = portrait.say_text(arguments.text, arguments.video, arguments.voice, **options)
    print(f"{arguments.video}: {n_frames} frames")
    return 0
