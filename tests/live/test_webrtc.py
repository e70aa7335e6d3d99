"""Sound and picture by WebRTC over loopback: in a browser, and visitors that break rules."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="starlette and uvicorn are not installed")
pytest.importorskip("aiortc", reason="aiortc is not installed")
import aiortc
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.live.test_page import message, read, serve, wait_for
from tests.live.test_page_mouth import bright_portrait
from tests.live.test_session import RATE, voice
from tests.report.chromium import CHROMIUM, Page
from wildtalker.webrtc import Peer
from wildtalker_core.live.session import Frame
from wildtalker_core.media.audio import write_waveform

#: Keeps the brightness of each picture of the video and how loud its sound is meanwhile.
LOOK = """(() => {
  window.looks = [];
  const context = new AudioContext(), ear = context.createAnalyser();
  ear.fftSize = 2048;
  context.createMediaStreamSource(moving.srcObject).connect(ear);
  const wave = new Float32Array(ear.fftSize);
  const copy = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
  const look = () => {
    moving.requestVideoFrameCallback(look);
    copy.drawImage(moving, 0, 0, 64, 64);
    const data = copy.getImageData(0, 0, 64, 64).data;
    ear.getFloatTimeDomainData(wave);
    window.looks.push([performance.now() / 1000, data.reduce((sum, x) => sum + x, 0) / data.length,
      Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length)]);
  };
  look();
})()"""
#: The browser's noise suppression takes the test's steady tones for noise.
AS_IT_IS = """(() => {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = () => ask({ audio: {
    echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
})()"""
BY_WEBRTC = "document.getElementById('transport').textContent === 'WebRTC'"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = serve(bright_portrait(tmp_path_factory.mktemp("webrtc")))
    yield served
    served[0].should_exit = True
    served[1].join(10)


@pytest.fixture
def port(served):
    return served[2]


def microphone(tmp_path):
    """Flags of a browser whose microphone hears words; the mouth does not rest between them."""
    lasts = np.random.default_rng(0).uniform(0.12, [[0.28, 0.6]], (40, 2)).ravel()
    speaks = np.repeat(np.arange(80) % 2, (lasts * RATE).astype(int)).astype(np.float32)
    t = np.arange(len(speaks)) / RATE
    tones = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20))
    write_waveform(tmp_path / "voice.wav", (0.1 * speaks * tones).astype(np.float32), RATE)
    return ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-audio-capture={tmp_path / 'voice.wav'}")  # fmt: skip


def click(page, name):
    page.evaluate(f"document.getElementById('{name}').click()")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")
def test_a_microphone_moves_the_video(port, tmp_path):
    page = Page(f"http://127.0.0.1:{port}/", tmp_path / "profile", *microphone(tmp_path))
    try:
        wait_for(page, BY_WEBRTC, 40)
        page.evaluate(AS_IT_IS)
        click(page, "microphone")
        wait_for(page, "window.seen.some((frame) => frame.isSpeaking)", 40)
        page.evaluate(LOOK)
        wait_for(page, "window.looks.length > 300", 60)
        looks = np.array(page.evaluate("window.looks"))
        is_muted = page.evaluate("moving.muted && !moving.paused")
        counts = page.evaluate(
            "peer.getStats().then((all) => [...all.values()].filter((x) => x.type.endsWith('-rtp'))"
            ".map((x) => [x.type, x.kind, x.packetsSent || x.packetsReceived || 0]))"
        )
        assert page.errors == []
        hosts = {a.split("/")[2] for a in page.requests if not a.startswith(("data:", "blob:"))}
        assert hosts == {f"127.0.0.1:{port}"}
    finally:
        page.close()
    assert is_muted  # nobody hears their own voice
    for kind in (["outbound-rtp", "audio"], ["inbound-rtp", "audio"], ["inbound-rtp", "video"]):
        assert any(found[:2] == kind and found[2] > 50 for found in counts), counts
    assert np.ptp(looks[:, 1]) > 3 and looks[:, 2].max() > 0.02  # it moves, and sounds
    if np.median(np.diff(looks[:, 0])) > 0.05 or np.quantile(np.diff(looks[:, 0]), 0.9) > 0.1:
        pytest.skip("this machine is too busy for 25 frames a second, so nothing stays in step")
    found = [best_lag(*looks[first : first + 100].T) for first in range(0, len(looks) - 99, 25)]
    # After a stall the browser loses step and finds it again.
    assert any(abs(lag) < 0.15 and likeness > 0.7 for lag, likeness in found), found


def best_lag(seconds, brightness, loudness):
    """By how much the loudness comes behind the brightness, and how well they go together."""
    at = np.arange(seconds[0] + 0.5, seconds[-1] - 0.5, 0.01)
    bright = np.interp(at, seconds, brightness)
    lags = np.arange(-0.5, 0.51, 0.02)
    found = [np.corrcoef(bright, np.interp(at + lag, seconds, loudness))[0, 1] for lag in lags]
    return round(lags[np.argmax(found)], 2), round(max(found), 2)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")
def test_the_websocket_goes_on_where_webrtc_ends(port, tmp_path):
    page = Page(f"http://127.0.0.1:{port}/", tmp_path / "profile", *microphone(tmp_path))
    try:
        wait_for(page, BY_WEBRTC, 40)
        click(page, "microphone")
        wait_for(page, "window.seen.filter((frame) => frame.isSpeaking).length > 5", 40)
        page.evaluate("leavePeer()")
        page.evaluate("window.seen.length = 0")
        wait_for(page, "window.seen.filter((x) => x.isSpeaking && x.loudness > 0).length > 5", 40)
        assert not page.evaluate(BY_WEBRTC) and page.errors == []
    finally:
        page.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")
def test_a_page_without_aiortc(port, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "aiortc", None)
    monkeypatch.delitem(sys.modules, "wildtalker.webrtc", raising=False)
    page = Page(f"http://127.0.0.1:{port}/", tmp_path / "profile", *microphone(tmp_path))
    try:
        click(page, "microphone")
        wait_for(page, "window.seen.filter((x) => x.isSpeaking && x.loudness > 0).length > 5", 40)
        assert not page.evaluate(BY_WEBRTC) and page.errors == []
        assert page.evaluate("peer === null")
    finally:
        page.close()


@pytest.mark.parametrize("fps", [25.0, 30000 / 1001])
def test_sound_belongs_to_its_picture(fps):
    """Flashes that are heard, silence between, and frames that bring two frames' sound."""
    pictures, sound = asyncio.run(tracks_of(fps))
    heard = np.zeros(2 * RATE)
    for piece in sound:
        assert piece.time_base == Fraction(1, RATE)
        heard[piece.pts : piece.pts + piece.samples] = np.abs(piece.to_ndarray()[0] / 32767)
    assert [piece.pts for piece in sound] == [320 * i for i in range(len(sound))]  # no gap
    bright = [picture.to_ndarray(format="gray").mean() for picture in pictures]
    times = [float(picture.pts * picture.time_base) for picture in pictures]
    assert sum(x > 128 for x in bright) == 8 and len(pictures) == 38
    for at, light in zip(times[:-1], bright[:-1], strict=True):
        during = heard[round(at * RATE) + 2 : round((at + 1 / fps) * RATE) - 2]
        assert during.min() > 0.4 if light > 128 else during.max() < 0.1


async def tracks_of(fps):
    """What is sent of 40 frames, of which those with a number divisible by 4 flash and sound."""
    peer, pictures, sound = Peer("127.0.0.1", fps, lambda pcm, rate: None), [], []

    async def collect(track, found):
        while True:
            found.append(await track.recv())

    tasks = [asyncio.create_task(collect(peer.pictures, pictures)),
             asyncio.create_task(collect(peer.sound, sound))]  # fmt: skip
    late = np.zeros(0, np.float32)
    for i in range(40):
        n = round((i + 1) / fps * RATE) - round(i / fps * RATE)
        own = np.full(n if i % 4 == 0 else 0, 0.5, np.float32)
        if i in (12, 24):  # not drawn in time: the next one brings its sound
            late = own
            continue
        if len(late):
            own = np.concatenate((late, np.zeros(n, np.float32)))
            late = np.zeros(0, np.float32)
        picture = np.full((16, 16, 3), 255 if i % 4 == 0 else 0, np.uint8)
        await asyncio.to_thread(peer.show, Frame(i / fps, picture, own, bool(len(own))))
        await asyncio.sleep(0.01)
    await asyncio.sleep(1.0)
    for task in tasks:
        task.cancel()
    await peer.close()
    return pictures, sound


async def offer_of(connection):
    connection.addTransceiver("audio", direction="sendrecv")
    connection.addTransceiver("video", direction="recvonly")
    await connection.setLocalDescription(await connection.createOffer())
    return connection.localDescription.sdp


def an_offer():
    async def made():
        connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
        sdp = await offer_of(connection)
        await connection.close()
        return sdp

    return asyncio.run(made())


def test_the_server_listens_on_its_own_address_and_calls_nobody(port):
    """A visitor's offer names somebody else's address: nothing is sent there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as third:
        third.bind(("127.0.0.1", 0))
        third.settimeout(2)
        other = f"a=candidate:1 1 udp 2130706431 127.0.0.1 {third.getsockname()[1]} typ host"
        offer = an_offer().splitlines()
        first = next(i for i, line in enumerate(offer) if line.startswith("a=ice-ufrag"))
        offer = [line for line in offer if not line.startswith("a=candidate")]
        offer.insert(first, other)
        with connect(f"ws://127.0.0.1:{port}/live") as visitor:
            assert json.loads(visitor.recv())["webrtc"] is True
            visitor.send(json.dumps({"offer": "\r\n".join([*offer, ""])}))
            while not isinstance(told := visitor.recv(), str):
                pass
            with pytest.raises(TimeoutError):
                third.recv(2000)
    answer = json.loads(told)["answer"]
    candidates = [x.split() for x in answer.splitlines() if x.startswith("a=candidate")]
    assert candidates and {words[4] for words in candidates} == {"127.0.0.1"}


@pytest.mark.parametrize("name", ["nonsense", "none", "many tracks", "number", "long"])
def test_broken_offers_end_their_own_visit(port, name):
    good = an_offer()
    sound = good[good.index("m=audio") : good.index("m=video")]
    bad = {"nonsense": "m=audio\r\nm=video\r\n", "none": "", "many tracks": good + 50 * sound,
           "number": 7, "long": good + "a=x\r\n" * 5000}[name]  # fmt: skip
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:
        visitor.send(json.dumps({"offer": bad}))
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(200):
                visitor.recv(timeout=5)
        assert closed.value.rcvd.code == 1008
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:
        visitor.recv()
        assert read(visitor.recv())[1] is not None


def test_the_token_and_the_seats_are_the_websockets(tmp_path):
    """There is no other way to an answer; who leaves takes the peer along."""
    server, thread, port = serve(bright_portrait(tmp_path), token="secret", max_sessions=1)
    try:
        with connect(f"ws://127.0.0.1:{port}/live") as visitor, pytest.raises(ConnectionClosed):
            visitor.send(json.dumps({"offer": an_offer()}))
            visitor.recv()
        asyncio.run(one_who_vanishes(f"ws://127.0.0.1:{port}/live?token=secret"))
        deadline = time.monotonic() + 20
        while True:
            with connect(f"ws://127.0.0.1:{port}/live?token=secret") as visitor:
                try:
                    visitor.recv()
                    break
                except ConnectionClosed:
                    assert time.monotonic() < deadline
                    time.sleep(0.1)
    finally:
        server.should_exit = True
        thread.join(10)


async def one_who_vanishes(address):
    """Hears and sees something by WebRTC, and is gone without a word."""
    visitor = await asyncio.to_thread(connect, address)
    connection = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    visitor.send(json.dumps({"offer": await offer_of(connection)}))
    while (
        not isinstance(told := await asyncio.to_thread(visitor.recv), str) or "answer" not in told
    ):
        pass
    answer = aiortc.RTCSessionDescription(json.loads(told)["answer"], "answer")
    await connection.setRemoteDescription(answer)
    for piece in range(0, RATE, 4000):
        await asyncio.to_thread(visitor.send, message(voice(1)[piece : piece + 4000]))
    tracks = {r.track.kind: r.track for r in connection.getReceivers()}
    pictures = [await asyncio.wait_for(tracks["video"].recv(), 20) for _ in range(10)]
    sounds = [await asyncio.wait_for(tracks["audio"].recv(), 20) for _ in range(100)]
    assert {(p.width, p.height) for p in pictures} == {(64, 64)}
    assert max(np.abs(sound.to_ndarray()).max() for sound in sounds) > 1000
    visitor.socket.shutdown(socket.SHUT_RDWR)
    await connection.close()
