"""The page of a live portrait: static files and one WebSocket for each visitor."""

from __future__ import annotations

import asyncio
import hmac
import json
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from wildtalker_core.errors import InputError
from wildtalker_core.live.backgrounds import COLOURS, Background
from wildtalker_core.live.session import Frame, Session
from wildtalker_core.live.talking import TalkingPortrait
from wildtalker_core.live.voice import SAMPLE_RATE_HZ as VOICE_RATE_HZ
from wildtalker_core.live.voice import find_voice, speak

PAGE = Path(__file__).parent / "page"
#: Nothing else is served: no name in an address becomes a path.
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js",
         "/worklet.js": "worklet.js"}  # fmt: skip
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
#: Bytes of one message, of sound in any ten seconds, and controls in any ten seconds.
MOST_MESSAGE, MOST_SOUND, MOST_CONTROLS = 1 << 18, 8_000_000, 200
_WINDOW_SECONDS = 10.0
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_JPEG_QUALITY = 88


@dataclass
class Server:
    """Who may look: hosts that the address may name, a token or None, how many at once."""

    portrait: TalkingPortrait | None
    token: str | None = None
    max_sessions: int = 4
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
                await Visit(portrait, socket).run()
        except InputError as error:  # its path is nobody's business
            await socket.close(1008, _reason(f"the portrait {error.problem}; {error.remedy}"))
        finally:
            server.n_sessions -= 1

    return WebSocketRoute("/live", live)


class Visit:
    """One visitor with a session of their own; a thread draws, the event loop talks."""

    def __init__(self, portrait: TalkingPortrait, socket: WebSocket) -> None:
        self._portrait, self._socket = portrait, socket
        self._session: Session = portrait.live()
        self._heard: list[tuple[float, int, int]] = []

    async def run(self) -> None:
        """Until the visitor leaves, or breaks a rule."""
        loop = asyncio.get_running_loop()
        told = {"gain": self._session.gain, "voice": find_voice(self._portrait.voice) is not None}
        await self._socket.send_text(json.dumps(told))
        drawing = threading.Thread(target=self._draw, args=(loop,), daemon=True)
        drawing.start()
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await asyncio.to_thread(self._take, message)
        except (InputError, ValueError, TypeError) as error:
            await self._socket.close(1008, _reason(error))
        finally:
            self._session.close()
            await asyncio.to_thread(drawing.join, 5)

    def _draw(self, loop: asyncio.AbstractEventLoop) -> None:
        for frame in self._session.frames():
            try:
                sent = self._socket.send_bytes(packed(frame, self._session))
                # Waiting here is what drops frames for a visitor who cannot follow.
                asyncio.run_coroutine_threadsafe(sent, loop).result(timeout=10)
            except (WebSocketDisconnect, RuntimeError, TimeoutError, OSError):
                self._session.close()

    def _take(self, message: Mapping[str, Any]) -> None:
        data, text = message.get("bytes"), message.get("text")
        self._limit(len(data or b""), int(text is not None))
        if data is not None:
            if len(data) < 4 or len(data) % 2:
                raise ValueError("a piece of sound is a rate and whole samples")
            (rate_hz,) = struct.unpack_from("<I", data)
            self._session.hear(np.frombuffer(data[4:], "<i2"), rate_hz)
            return
        values = json.loads(text or "")
        if not isinstance(values, dict):
            raise ValueError("a control is a JSON object")
        if "microphone" in values:
            self._session.is_microphone = values["microphone"] is True
        if "gain" in values:
            self._session.gain = float(min(3.0, max(0.0, float(values["gain"]))))
        if values.get("interrupt") is True:
            self._session.interrupt()
        if "text" in values:
            self._session.hear(speak(str(values["text"]), self._portrait.voice), VOICE_RATE_HZ)
        moved = {name: values[name] for name in ("motion", "blinks") if name in values}
        if "turn" in values:
            moved["turn_degrees"] = tuple(float(angle) for angle in values["turn"])
        if moved:
            self._session.manner = replace(self._session.manner, **moved)
        if "background" in values:
            if values["background"] not in ("plate", *COLOURS):
                raise ValueError("unknown background")
            self._session.background = Background(
                values["background"], self._portrait.height, self._portrait.width
            )

    def _limit(self, n_bytes: int, n_controls: int) -> None:
        now = time.monotonic()
        self._heard = [x for x in self._heard if now - x[0] < _WINDOW_SECONDS]
        self._heard.append((now, n_bytes, n_controls))
        if sum(x[1] for x in self._heard) > MOST_SOUND:
            raise ValueError("too much sound at once")
        if sum(x[2] for x in self._heard) > MOST_CONTROLS:
            raise ValueError("too many controls at once")


def _reason(error: Exception | str) -> str:
    """An error as a closing frame holds it, 123 bytes."""
    return " ".join(str(error).split()).encode()[:120].decode(errors="ignore")


def packed(frame: Frame, session: Session) -> bytes:
    """A frame as the page reads it: a header of 28 bytes, int16 sound at 16 kHz, a JPEG.

    Header, little-endian: float64 seconds, float32 delay, uint32 frames dropped, uint32 samples,
    float32 seconds that wait, uint32 whether it speaks.
    """
    sound = (frame.sound * 32767).astype("<i2").tobytes()
    _, jpeg = cv2.imencode(
        ".jpg", frame.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    waiting = session.seconds_waiting
    header = struct.pack(
        "<dfIIfI", frame.time_seconds, waiting, session.n_dropped, len(sound) // 2, waiting,
        int(frame.is_speaking),
    )  # fmt: skip
    return header + sound + jpeg.tobytes()
