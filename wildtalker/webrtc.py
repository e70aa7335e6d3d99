"""A visit's sound and picture by WebRTC; needs aiortc."""

from __future__ import annotations

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import aioice.ice
import numpy as np
from aiortc import (
    MediaStreamError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from av import AudioFrame, VideoFrame

from wildtalker_core.live.session import Frame

MOST_OFFER = 20_000
_SOUND_HZ, _PICTURE_HZ = 16_000, 90_000
_PIECE = _SOUND_HZ // 50
_MOST_PIECES, _MOST_PICTURES = 50, 2
_EVERYWHERE = aioice.ice.get_host_addresses


class _Track(MediaStreamTrack):
    """Frames to be sent, each at its time; of more than ``most`` the oldest are dropped."""

    def __init__(self, kind: str, most: int) -> None:
        super().__init__()
        self.kind = kind
        self.n_dropped = 0
        self._pending: deque[tuple[float, AudioFrame | VideoFrame]] = deque(maxlen=most)
        self._has_some = asyncio.Event()

    def put(self, due_seconds: float, frame: AudioFrame | VideoFrame) -> None:
        self.n_dropped += len(self._pending) == self._pending.maxlen
        self._pending.append((due_seconds, frame))
        self._has_some.set()

    async def recv(self) -> AudioFrame | VideoFrame:
        while not self._pending:
            self._has_some.clear()
            await self._has_some.wait()
        due_seconds, frame = self._pending.popleft()
        await asyncio.sleep(max(0.0, due_seconds - time.monotonic()))
        return frame


class Peer:
    """A visitor's browser: a microphone in, picture and sound out, in step.

    Args:
        host: address that the page listens on; UDP is listened to there and nowhere else.
        fps: frames a second of the session.
        hear: takes the microphone's samples [k, channels] int16 and their rate, from a thread.

    Attributes:
        pictures, sound: tracks of what is sent; their time stamps have the same zero.
    """

    def __init__(self, host: str, fps: float, hear: Callable[[np.ndarray, int], None]) -> None:
        self._host, self._fps, self._hear = host, fps, hear
        self._loop = asyncio.get_running_loop()
        # Without a list of its own aiortc asks a STUN server on the internet.
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.pictures = _Track("video", _MOST_PICTURES)
        self.sound = _Track("audio", _MOST_PIECES)
        self._connection.addTrack(self.sound)
        self._connection.addTrack(self.pictures)
        self._connection.on("track", self._on_track)
        self._listening: asyncio.Task | None = None
        self._zero_seconds: float | None = None
        self._rest, self._n_sent = np.zeros(0, np.float32), 0

    async def answer(self, offer: str) -> str:
        """The answer to a browser's offer, both in SDP. Raises ValueError: it cannot be used."""
        lines = offer.splitlines()
        if len(offer) > MOST_OFFER or sum(line.startswith("m=") for line in lines) != 2:
            raise ValueError("an offer has one track of sound and one of pictures")
        # The browser finds the server, never the other way: it cannot be sent to third addresses.
        kept = [x for x in lines if not x.startswith(("a=candidate:", "a=end-of-candidates"))]
        aioice.ice.get_host_addresses = lambda **kinds: _addresses(self._host, **kinds)
        try:
            description = RTCSessionDescription("\r\n".join([*kept, ""]), "offer")
            await self._connection.setRemoteDescription(description)
            await self._connection.setLocalDescription(await self._connection.createAnswer())
        except Exception as error:  # its parser raises whatever it stumbles over
            raise ValueError("the offer cannot be read") from error
        return self._connection.localDescription.sdp

    @property
    def is_connected(self) -> bool:
        """Whether :meth:`show` reaches the browser."""
        return self._connection.connectionState == "connected"

    @property
    def n_dropped(self) -> int:
        """Frames that were not sent because the line or the encoder is too slow."""
        return self.pictures.n_dropped

    def show(self, frame: Frame) -> None:
        """Send a frame and its sound; from any thread."""
        self._loop.call_soon_threadsafe(self._put, frame, time.monotonic())

    async def close(self) -> None:
        await self._connection.close()
        if self._listening is not None:
            self._listening.cancel()

    def _put(self, frame: Frame, now: float) -> None:
        if self._zero_seconds is None:
            self._zero_seconds = frame.time_seconds
        seconds = frame.time_seconds - self._zero_seconds
        picture = VideoFrame.from_ndarray(np.ascontiguousarray(frame.picture), format="rgb24")
        picture.pts, picture.time_base = round(seconds * _PICTURE_HZ), Fraction(1, _PICTURE_HZ)
        self.pictures.put(now, picture)
        # Sound goes on where nobody speaks, so that it stays in step with the pictures.
        n_due = round((seconds + 1 / self._fps) * _SOUND_HZ) - self._n_sent - len(self._rest)
        silence = np.zeros(max(0, n_due - len(frame.sound)), np.float32)
        sound = np.concatenate((self._rest, silence, frame.sound))
        while len(sound) >= _PIECE:
            samples = (sound[:_PIECE].clip(-1, 1) * 32767).astype(np.int16)
            piece = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
            piece.sample_rate, piece.pts = _SOUND_HZ, self._n_sent
            piece.time_base = Fraction(1, _SOUND_HZ)
            # Both tracks' clocks are told by when their frames are sent.
            self.sound.put(now + self._n_sent / _SOUND_HZ - seconds, piece)
            self._n_sent += _PIECE
            sound = sound[_PIECE:]
        self._rest = sound

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio" and self._listening is None:
            self._listening = asyncio.ensure_future(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                piece = await track.recv()
                assert isinstance(piece, AudioFrame)
                pcm = piece.to_ndarray().reshape(-1, piece.layout.nb_channels)
                await asyncio.to_thread(self._hear, pcm, piece.sample_rate)
        except MediaStreamError:
            pass


def _addresses(host: str, use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """Where ICE listens; aioice has no option for it, and leaves loopback out."""
    if host in ("", "0.0.0.0", "::"):
        return _EVERYWHERE(use_ipv4=use_ipv4, use_ipv6=use_ipv6)
    found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    return sorted({str(address[0]) for *_, address in found})
