"""Options of the commands that let a portrait speak."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wildtalker_core.live.talking import TalkingPortrait


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How mouth, head and eyes move."""
    parser.add_argument("--gain", type=float, help="factor of the mouth's motion")
    parser.add_argument(
        "--turn", type=float, nargs=3, metavar=("YAW", "PITCH", "ROLL"), default=(0.0, 0.0, 0.0),
        help="degrees added to the head's poses: left in the picture, up, clockwise; up to 20 each",
    )  # fmt: skip
    parser.add_argument(
        "--motion", type=float, default=1.0, help="part of the filmed idle motion, 0 (still) to 1"
    )
    parser.add_argument(
        "--blinks", type=float, default=1.0, help="factor of how often to blink, 0 (never) to 5"
    )


def add_voice(parser: argparse.ArgumentParser) -> None:
    """What speaks a text."""
    parser.add_argument(
        "--voice",
        help="address with OpenAI's /v1/audio/speech interface, or a command that writes {output} "
        "and reads the text from its input or as {text}; default: WILDTALKER_VOICE, or espeak-ng",
    )


def apply(arguments: argparse.Namespace, portrait: TalkingPortrait) -> None:
    """Let the portrait move as asked. Raises InputError: out of range."""
    from wildtalker_core.live.manner import Manner  # imports torch

    portrait.manner = Manner(tuple(arguments.turn), arguments.motion, arguments.blinks)
    if arguments.gain is not None:
        portrait.gain = arguments.gain
