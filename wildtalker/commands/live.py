"""``wildtalker live PORTRAIT``: a page on which the portrait answers to a microphone."""

from __future__ import annotations

import argparse
from pathlib import Path

from wildtalker import listening, manners

HELP = "serve a page on which a finished portrait speaks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("portrait", type=Path, help="a .portrait file")
    listening.add_arguments(parser)
    manners.add_voice(parser)
    manners.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    listening.require_server()
    from wildtalker.serving import Server, application
    from wildtalker_core import open_portrait
    from wildtalker_core.live.voice import find_voice

    token = listening.token_for(arguments.host)
    portrait = open_portrait(arguments.portrait)
    manners.apply(arguments, portrait)
    portrait.voice = find_voice(arguments.voice)
    server = Server(portrait, token, arguments.sessions, arguments.host)
    listening.serve(application(server), arguments, token)
    return 0
