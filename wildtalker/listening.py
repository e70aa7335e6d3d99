"""Where the commands that serve a page listen, and who may come."""

from __future__ import annotations

import argparse
import importlib.util
import secrets
from typing import Any

from wildtalker_core.errors import InputError

_LOCAL = ("127.0.0.1", "::1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; others need a token"
    )
    parser.add_argument("--port", type=int, default=8765, help="port (default: 8765)")
    parser.add_argument("--sessions", type=int, default=4, help="visitors at once (default: 4)")


def require_server() -> None:
    """Raises InputError where what serves pages is not installed."""
    for name in ("starlette", "uvicorn", "websockets"):
        if importlib.util.find_spec(name) is None:
            raise InputError(name, "is not installed", 'pip install "wildtalker[live]"')


def token_for(host: str) -> str | None:
    """What visitors of this address have to know; None on the machine itself."""
    return None if host in _LOCAL else secrets.token_urlsafe(16)


def serve(application: Any, arguments: argparse.Namespace, token: str | None) -> None:
    """Print the address and serve until interrupted."""
    import uvicorn

    from wildtalker.visit import MOST_MESSAGE

    query = f"?token={token}" if token else ""
    host = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(f"http://{host}:{arguments.port}/{query}", flush=True)
    uvicorn.run(
        application, host=arguments.host, port=arguments.port, log_level="warning",
        ws_max_size=MOST_MESSAGE, ws_max_queue=8, limit_concurrency=64, timeout_graceful_shutdown=5,
    )  # fmt: skip
