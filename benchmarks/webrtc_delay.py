"""Delay of a portrait by WebRTC over loopback, from a microphone to the picture that shows it.

    python benchmarks/webrtc_delay.py me.portrait speech.wav [--seconds 40]

Starts ``wildtalker live`` and visits it as its page does, with aiortc in place of a browser: speech
is sent by Opus in real time, pictures come as VP8, and with them the sound that they show. Each
second of that sound is looked for in what was sent, so that for each picture it is known when its
sound began to be spoken. Codecs, packets, listening and drawing are in the delay; a browser's
buffer against jitter and its screen come on top.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from fractions import Fraction
from typing import Any

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from av import AudioFrame
from av.audio.resampler import AudioResampler
from scipy.signal import correlate
from websockets.asyncio.client import ClientConnection, connect

from wildtalker_core.media.audio import decode_sound

RATE_HZ, PIECE = 16000, 320
#: A second that is quieter tells no place; one that is less like what was sent was not found.
_LEAST_LOUDNESS, _ALIKE = 0.01, 0.6


class Microphone(MediaStreamTrack):
    """A recording, each piece when it was spoken; silence behind it."""

    kind = "audio"

    def __init__(self, sound: np.ndarray) -> None:
        super().__init__()
        self._sound, self._n = sound, 0
        self.started: float | None = None

    async def recv(self) -> AudioFrame:
        if self.started is None:
            self.started = time.monotonic()
        piece = np.zeros(PIECE, np.int16)
        spoken = self._sound[self._n : self._n + PIECE]
        piece[: len(spoken)] = spoken * 32767
        frame = AudioFrame.from_ndarray(piece[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self._n, Fraction(1, RATE_HZ)
        self._n += PIECE
        await asyncio.sleep(self.started + self._n / RATE_HZ - time.monotonic())
        return frame


async def visit(address: str, sound: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Speak ``sound``: pictures [k, 2] (their time, when they came), sound, when speech began."""
    microphone, tasks = Microphone(sound), []
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTrack(microphone)
    connection.addTransceiver("video", direction="recvonly")
    pictures: list[tuple[float, float]] = []
    heard = np.zeros(len(sound) + 60 * RATE_HZ, np.float32)
    async with connect(address, max_size=None) as visitor:
        await connection.setLocalDescription(await connection.createOffer())
        await visitor.send(json.dumps({"microphone": True}))
        await visitor.send(json.dumps({"offer": connection.localDescription.sdp}))
        answer = await answer_of(visitor)
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        tracks = {r.track.kind: r.track for r in connection.getReceivers()}
        for work in (look(tracks["video"], pictures), listen(tracks["audio"], heard),
                     leave_unread(visitor)):  # fmt: skip
            tasks.append(asyncio.create_task(work))
        await asyncio.sleep(len(sound) / RATE_HZ + 3)
        for task in tasks:
            task.cancel()
        await connection.close()
    assert microphone.started is not None, "nothing was sent"
    return np.array(pictures), heard, microphone.started


async def answer_of(visitor: ClientConnection) -> str:
    while True:
        told = await visitor.recv()
        if isinstance(told, str) and "answer" in json.loads(told):
            return json.loads(told)["answer"]


async def leave_unread(visitor: ClientConnection) -> None:
    async for _ in visitor:
        pass


async def look(track: MediaStreamTrack, found: list[tuple[float, float]]) -> None:
    while True:
        picture = await track.recv()
        found.append((seconds_of(picture), time.monotonic()))


async def listen(track: MediaStreamTrack, heard: np.ndarray) -> None:
    """Sound at its own time, of which that of the pictures has the same zero."""
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
    while True:
        piece = await track.recv()
        assert isinstance(piece, AudioFrame)
        first = round(seconds_of(piece) * RATE_HZ)
        for part in resampler.resample(piece):
            samples = part.to_ndarray()[0] / 32767
            heard[first : first + len(samples)] = samples[: max(0, len(heard) - first)]
            first += len(samples)


def seconds_of(frame: Any) -> float:
    """Its own time; the first of each track is at zero."""
    return float(frame.pts * frame.time_base)


def delays(pictures: np.ndarray, heard: np.ndarray, sound: np.ndarray, began: float) -> np.ndarray:
    """Seconds from when a picture's sound began to be spoken until the picture came."""
    found: list[float] = []
    times = pictures[:, 0]  # their zero is that of the sound
    for first in range(0, len(heard) - RATE_HZ, RATE_HZ):
        piece = heard[first : first + RATE_HZ]
        shown = pictures[(times >= first / RATE_HZ) & (times < first / RATE_HZ + 1)]
        if piece.std() < _LEAST_LOUDNESS or not len(shown):
            continue
        start = place_of(piece, sound)
        if start is not None:
            spoken = began + (start - first) / RATE_HZ + shown[:, 0]
            found.extend(shown[:, 1] - spoken)
    return np.array(found)


def place_of(piece: np.ndarray, sound: np.ndarray) -> int | None:
    """Sample of ``sound`` at which ``piece`` begins, where it is found."""
    products = correlate(sound, piece, "valid", method="fft")
    powers = correlate(sound**2, np.ones(len(piece)), "valid", method="fft")
    likeness = products / np.sqrt(np.maximum(powers, 1e-6) * (piece**2).sum())
    best = int(np.argmax(likeness))
    return best if likeness[best] >= _ALIKE else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("portrait")
    parser.add_argument("speech")
    parser.add_argument("--seconds", type=float, default=40.0, help="of speech")
    parser.add_argument("--port", type=int, default=8799)
    arguments = parser.parse_args()
    sound = decode_sound(arguments.speech, RATE_HZ)[: int(arguments.seconds * RATE_HZ)]
    command = [sys.executable, "-m", "wildtalker.cli", "live", arguments.portrait,
               "--port", str(arguments.port)]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None and server.stdout.readline(), "no server"
            time.sleep(1)
            address = f"ws://127.0.0.1:{arguments.port}/live"
            asyncio.run(visit(address, sound[: 5 * RATE_HZ]))  # loops are compiled
            pictures, heard, began = asyncio.run(visit(address, sound))
        finally:
            server.terminate()
    found = 1000 * delays(pictures, heard, sound, began)
    p50, p95, p99 = np.percentile(found, (50, 95, 99))
    print(f"{len(found)} pictures that speak, {p50:.0f} {p95:.0f} {p99:.0f} ms (50, 95, 99 %)")


if __name__ == "__main__":
    main()
