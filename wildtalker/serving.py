"""The page of a live portrait: static files and one WebSocket for each visitor."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from wildtalker.visit import Visit, closing_reason
from wildtalker_core.errors import InputError
from wildtalker_core.live.talking import TalkingPortrait

PAGE = Path(__file__).parent / "page"
#: Nothing else is served: no name in an address becomes a path.
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js",
         "/webrtc.js": "webrtc.js", "/worklet.js": "worklet.js"}  # fmt: skip
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass
class Server:
    """Who may look: hosts that the address may name, a token or None, how many at once.

    ``host`` is the address that is listened on.
    """

    portrait: TalkingPortrait | None
    token: str | None = None
    max_sessions: int = 4
    host: str = "127.0.0.1"
    n_sessions: int = 0

    def refusal(self, connection: HTTPConnection) -> str | None:
        """Why a request is not answered; None where it is."""
        host = connection.headers.get("host", "")
        origin = connection.headers.get("origin")
        if self.token is None and host.rsplit(":", 1)[0] not in _LOOPBACK:
            return "this page answers to 127.0.0.1 alone"
        if origin is not None and urlsplit(origin).netloc != host:
            return "another page may not use this one"
        given = connection.query_params.get("token", "")
        if self.token is not None and not hmac.compare_digest(given.encode(), self.token.encode()):
            return "the address lacks its token"
        return None

    def portrait_for(self, connection: HTTPConnection) -> TalkingPortrait | None:
        """The portrait that a visitor may talk to; None where there is none."""
        return self.portrait


def application(server: Server) -> Starlette:
    """The page for uvicorn."""
    return Starlette(routes=[*page_routes(server, FILES), live_route(server)])


def page_routes(server: Server, files: dict[str, str]) -> list[Route]:
    """The files of the page by address."""

    async def page(request: Request) -> Response:
        # Style and script say nothing of the portrait; pages and the socket ask for the token.
        name = files[request.url.path]
        refusal = server.refusal(request) if name.endswith(".html") else None
        if refusal:
            return PlainTextResponse(refusal, 403, HEADERS)
        return FileResponse(PAGE / name, headers=HEADERS)

    return [Route(path, page) for path in files]


def live_route(server: Server) -> WebSocketRoute:
    """The conversation."""

    async def live(socket: WebSocket) -> None:
        refusal = server.refusal(socket)
        if refusal is None and server.n_sessions >= server.max_sessions:
            refusal = "all seats are taken; try again later"
        await socket.accept()
        if refusal:
            await socket.close(1008, refusal)
            return
        server.n_sessions += 1
        try:
            portrait = await asyncio.to_thread(server.portrait_for, socket)
            if portrait is None:
                await socket.close(1008, "there is no such portrait")
            else:
                await Visit(portrait, socket, server.host).run()
        except InputError as error:  # its path is nobody's business
            await socket.close(
                1008, closing_reason(f"the portrait {error.problem}; {error.remedy}")
            )
        finally:
            server.n_sessions -= 1

    return WebSocketRoute("/live", live)
