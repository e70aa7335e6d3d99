"""``wildtalker live PORTRAIT``: a page on which the portrait answers to a microphone."""

from __future__ import annotations

import argparse
import importlib.util
import secrets
from pathlib import Path

from wildtalker_core.errors import InputError

HELP = "serve a page on which a finished portrait speaks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("portrait", type=Path, help="a .portrait file")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others need a token"
    )
    parser.add_argument("--port", type=int, default=8765, help="port (default: 8765)")
    parser.add_argument("--sessions", type=int, default=4, help="visitors at once (default: 4)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until interrupted."""
    if any(importlib.util.find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise InputError("starlette", "is not installed", 'pip install "wildtalker[live]"')
    import uvicorn

    from wildtalker.serving import MOST_MESSAGE, Server, application
    from wildtalker_core import open_portrait

    is_local = arguments.host in ("127.0.0.1", "::1", "localhost")
    token = None if is_local else secrets.token_urlsafe(16)
    server = Server(open_portrait(arguments.portrait), token, arguments.sessions)
    query = f"?token={token}" if token else ""
    print(f"http://{arguments.host}:{arguments.port}/{query}", flush=True)
    uvicorn.run(
        application(server), host=arguments.host, port=arguments.port, log_level="warning",
        ws_max_size=MOST_MESSAGE, ws_max_queue=8, limit_concurrency=64,
    )  # fmt: skip
    return 0
