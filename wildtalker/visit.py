"""One visitor of a live portrait's page: what their WebSocket brings and what it is sent."""

from __future__ import annotations

import asyncio
import importlib
import json
import struct
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from wildtalker.texts import Texts
from wildtalker_core.errors import InputError
from wildtalker_core.live.backgrounds import COLOURS, Background
from wildtalker_core.live.session import Frame, Session
from wildtalker_core.live.talking import TalkingPortrait
from wildtalker_core.live.voice import find_voice

if TYPE_CHECKING:
    from wildtalker.webrtc import Peer

#: Bytes of one message, of sound in any ten seconds, and controls in any ten seconds.
MOST_MESSAGE, MOST_SOUND, MOST_CONTROLS = 1 << 18, 8_000_000, 200
_WINDOW_SECONDS = 10.0
_JPEG_QUALITY = 88


def has_webrtc() -> bool:
    """Whether aiortc is installed."""
    try:
        importlib.import_module("wildtalker.webrtc")
    except ImportError:
        return False
    return True


class Visit:
    """One visitor with a session of their own; a thread draws, the event loop talks.

    Args:
        host: address that the page listens on, for WebRTC.
    """

    def __init__(self, portrait: TalkingPortrait, socket: WebSocket, host: str) -> None:
        self._portrait, self._socket, self._host = portrait, socket, host
        self._session: Session = portrait.live()
        self._heard: list[tuple[float, int, int]] = []
        self._peer: Peer | None = None

    async def run(self) -> None:
        """Until the visitor leaves, or breaks a rule."""
        loop = self._loop = asyncio.get_running_loop()

        def tell(reason: str) -> None:
            asyncio.run_coroutine_threadsafe(self._tell(error=reason), loop)

        self._texts = Texts(self._session, self._portrait.voice, tell)
        has_voice = find_voice(self._portrait.voice) is not None
        await self._tell(gain=self._session.gain, voice=has_voice, webrtc=has_webrtc())
        drawing = threading.Thread(target=self._draw, daemon=True)
        drawing.start()
        try:
            while True:
                message = await self._socket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                values = await asyncio.to_thread(self._take, message)
                if "offer" in values:
                    await self._connect(values["offer"])
        except (InputError, ValueError, TypeError) as error:
            await self._socket.close(1008, closing_reason(error))
        finally:
            self._session.close()
            self._texts.close()
            await self._connect(None)
            await asyncio.to_thread(drawing.join, 5)

    async def _tell(self, **values: Any) -> None:
        try:
            await self._socket.send_text(json.dumps(values))
        except (WebSocketDisconnect, RuntimeError):  # who has left is told nothing
            pass

    async def _connect(self, offer: Any) -> None:
        """Answer an offer of WebRTC; None ends what there is."""
        if self._peer is not None:
            peer, self._peer = self._peer, None
            await peer.close()
        if offer is None:
            return
        if not isinstance(offer, str) or not has_webrtc():
            raise ValueError("this offer cannot be answered")
        from wildtalker.webrtc import Peer

        self._peer = Peer(self._host, self._session.fps, self._hear_microphone)
        await self._tell(answer=await self._peer.answer(offer))

    def _draw(self) -> None:
        told: Future[None] | None = None
        for frame in self._session.frames():
            try:
                peer = self._peer
                if peer is not None and peer.is_connected:
                    peer.show(frame)
                    # A line that is too slow for the rest says less often how things stand.
                    if told is None or told.done():
                        header = packed(frame, self._session, peer.n_dropped)
                        sent = self._socket.send_bytes(header)
                        told = asyncio.run_coroutine_threadsafe(sent, self._loop)
                else:
                    sent = self._socket.send_bytes(packed(frame, self._session))
                    # Waiting here is what drops frames for a visitor who cannot follow.
                    asyncio.run_coroutine_threadsafe(sent, self._loop).result(timeout=10)
            except (WebSocketDisconnect, RuntimeError, TimeoutError, OSError):
                self._session.close()

    def _take(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Obey a message; the controls that it held."""
        data, text = message.get("bytes"), message.get("text")
        self._limit(len(data or b""), int(text is not None))
        if data is not None:
            if len(data) < 4 or len(data) % 2:
                raise ValueError("a piece of sound is a rate and whole samples")
            (rate_hz,) = struct.unpack_from("<I", data)
            self._session.hear(np.frombuffer(data[4:], "<i2"), rate_hz)
            return {}
        values = json.loads(text or "")
        if not isinstance(values, dict):
            raise ValueError("a control is a JSON object")
        if "microphone" in values:
            self._session.is_microphone = values["microphone"] is True
        if "gain" in values:
            self._session.gain = float(min(3.0, max(0.0, float(values["gain"]))))
        if values.get("interrupt") is True:
            self._texts.forget()
            self._session.interrupt()
        if "text" in values:
            self._texts.say(str(values["text"]))
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
        return values

    def _hear_microphone(self, pcm: np.ndarray, rate_hz: int) -> None:
        """What WebRTC brings; where the microphone is off, it is nothing to say."""
        try:
            self._limit(pcm.nbytes, 0)
        except ValueError as error:
            closing = self._socket.close(1008, closing_reason(error))
            asyncio.run_coroutine_threadsafe(closing, self._loop)
        if self._session.is_microphone:
            self._session.hear(pcm, rate_hz)

    def _limit(self, n_bytes: int, n_controls: int) -> None:
        now = time.monotonic()
        self._heard = [x for x in self._heard if now - x[0] < _WINDOW_SECONDS]
        self._heard.append((now, n_bytes, n_controls))
        if sum(x[1] for x in self._heard) > MOST_SOUND:
            raise ValueError("too much sound at once")
        if sum(x[2] for x in self._heard) > MOST_CONTROLS:
            raise ValueError("too many controls at once")


def closing_reason(error: Exception | str) -> str:
    """An error as a closing frame holds it, 123 bytes."""
    return " ".join(str(error).split()).encode()[:120].decode(errors="ignore")


def packed(frame: Frame, session: Session, n_dropped_by_peer: int | None = None) -> bytes:
    """A frame as the page reads it: a header of 28 bytes, int16 sound at 16 kHz, a JPEG.

    Header, little-endian: float64 seconds, float32 delay, uint32 frames dropped, uint32 samples,
    float32 seconds that wait, uint32 whether it speaks. Where WebRTC has sound and picture
    (``n_dropped_by_peer`` is given), the header alone.
    """
    is_whole = n_dropped_by_peer is None
    sound = (frame.sound * 32767).astype("<i2").tobytes() if is_whole else b""
    waiting = session.seconds_waiting
    header = struct.pack(
        "<dfIIfI", frame.time_seconds, waiting, session.n_dropped + (n_dropped_by_peer or 0),
        len(sound) // 2, waiting, int(frame.is_speaking),
    )  # fmt: skip
    if not is_whole:
        return header
    _, jpeg = cv2.imencode(
        ".jpg", frame.picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    return header + sound + jpeg.tobytes()
