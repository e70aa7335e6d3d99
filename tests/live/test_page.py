"""The page in a real browser over loopback, and its server against visitors that break rules."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="starlette and uvicorn are not installed")
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.live.test_session import RATE, tiny_kept, voice
from tests.report.chromium import CHROMIUM, Page
from wildtalker.serving import Server, application
from wildtalker.visit import MOST_MESSAGE
from wildtalker_core import open_portrait
from wildtalker_core.live.portrait_file import save_kept
from wildtalker_core.media.audio import write_waveform

#: A portrait to look at in place of a made one, and where its pictures go.
PORTRAIT, PICTURES = os.environ.get("WILDTALKER_PORTRAIT"), os.environ.get("WILDTALKER_PICTURES")


def serve(portrait, **options):
    return serve_application(application(Server(portrait, **options)))


def serve_application(app):
    """A running server, its thread and its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = uvicorn.Config(
        app, port=port, log_level="error", ws_max_size=MOST_MESSAGE, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return server, thread, port


@pytest.fixture(scope="module")
def portrait(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "me.portrait"
    save_kept(path, tiny_kept(size=64))
    return open_portrait(PORTRAIT or path)


@pytest.fixture(scope="module")
def port(portrait):
    server, thread, port = serve(portrait, max_sessions=20)
    yield port
    server.should_exit = True
    thread.join(10)


def message(pcm, rate=RATE):
    return struct.pack("<I", rate) + (pcm * 32767).astype("<i2").tobytes()


def read(data):
    """Header values and picture of a frame's message."""
    values = struct.unpack_from("<dfIIfI", data)
    jpeg = np.frombuffer(data[28 + 2 * values[3] :], np.uint8)
    return values, cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def test_two_visitors_apart(port):
    address = f"ws://127.0.0.1:{port}/live"
    with connect(address) as one, connect(address) as other:
        assert "gain" in json.loads(one.recv()) and "gain" in json.loads(other.recv())
        for first in range(0, RATE, 4000):
            one.send(message(voice(1)[first : first + 4000]))
        told = {"one": [read(one.recv())[0] for _ in range(60)],
                "other": [read(other.recv())[0] for _ in range(60)]}  # fmt: skip
    assert sum(v[3] for v in told["one"]) >= RATE  # no sound is lost
    assert not any(v[5] or v[3] for v in told["other"])


@pytest.mark.parametrize(
    "bad", [b"", b"\1", struct.pack("<I", 5) + b"\0\0", message(voice(0.1))[:-1], "no json",
            "[]", json.dumps({"background": "/etc/passwd"}), json.dumps({"gain": "loud"}),
            b"\0" * (MOST_MESSAGE + 10)],
    ids=range(9),
)  # fmt: skip
def test_broken_messages_end_their_own_visit(port, bad):
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:
        visitor.recv()
        visitor.send(bad)
        with pytest.raises(ConnectionClosed) as closed:
            for _ in range(200):
                visitor.recv(timeout=5)
        assert closed.value.rcvd.code in (1008, 1009)
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:  # nobody else suffers
        visitor.recv()
        assert read(visitor.recv())[1] is not None


def test_a_fourth_visitor_waits(portrait):
    server, thread, port = serve(portrait, max_sessions=3)
    address = f"ws://127.0.0.1:{port}/live"
    seats = [connect(address) for _ in range(3)]
    for seat in seats:
        seat.recv()
    with connect(address) as late, pytest.raises(ConnectionClosed) as closed:
        late.recv()
    assert "seats" in closed.value.rcvd.reason
    for seat in seats:
        seat.close()
    server.should_exit = True
    thread.join(10)


def get(port, path="/", **headers):
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_strange_hosts_pages_and_paths(port, portrait):
    assert get(port)[0] == 200
    assert get(port, Host="evil.example")[0] == 403
    assert get(port, Origin="https://evil.example")[0] == 403
    for path in ("/../serving.py", "/page/page.js", "/%2e%2e/cli.py", "//etc/passwd"):
        assert get(port, path)[0] == 404
    with connect(f"ws://127.0.0.1:{port}/live", origin="https://evil.example") as visitor:
        with pytest.raises(ConnectionClosed):
            visitor.recv()
    server, thread, other = serve(portrait, token="secret")
    assert get(other)[0] == 403 and get(other, "/?token=no")[0] == 403
    assert get(other, "/?token=secret")[0] == 200
    server.should_exit = True
    thread.join(10)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")
def test_in_a_browser(port, tmp_path):
    speech = os.environ.get("WILDTALKER_SPEECH") or tmp_path / "voice.wav"
    if not Path(speech).exists():
        write_waveform(speech, voice(6), RATE)
    page = Page(
        f"http://127.0.0.1:{port}/", tmp_path / "profile", "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={speech}",
    )  # fmt: skip
    try:
        wait_for(page, "window.seen.length > 10")
        assert page.evaluate("window.seen.every((frame) => !frame.isSpeaking)")
        page.evaluate("document.getElementById('microphone').click()")
        wait_for(page, "window.seen.filter((frame) => frame.isSpeaking).length > 25")
        assert page.evaluate("document.getElementById('delay').textContent").endswith("ms")
        for name, size, is_dark in (("wide", (1100, 640), False), ("narrow", (380, 800), True)):
            picture = page.picture(*size, is_dark)
            if PICTURES:
                (Path(PICTURES) / f"{name}.png").write_bytes(picture)
            assert not page.evaluate("document.body.scrollWidth > innerWidth")
        page.evaluate("document.getElementById('microphone').click()")
        page.evaluate("document.getElementById('interrupt').click()")
        time.sleep(0.5)
        assert not page.evaluate("window.seen.at(-1).isSpeaking")
        page.evaluate("speak(new File([new Uint8Array(5000)], 'broken.mp3'))")
        assert "no sound" in page.evaluate("document.getElementById('status').textContent")
        assert page.errors == []
        asked = [urlsplit(address) for address in page.requests]
        here = [a for a in asked if a.scheme not in ("data", "blob")]
        assert here and all(a.netloc == f"127.0.0.1:{port}" for a in here)
    finally:
        page.close()


def wait_for(page, condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, condition
        time.sleep(0.1)
