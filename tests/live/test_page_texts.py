"""Typed texts on the page: a field where something speaks, and voices that fail."""

from __future__ import annotations

import json
import shlex
import socketserver
import sys
import threading

import pytest

pytest.importorskip("uvicorn", reason="starlette and uvicorn are not installed")
from websockets.sync.client import connect

from tests.live.test_page import read, serve, wait_for
from tests.live.test_session import RATE, tiny_kept, voice
from tests.report.chromium import CHROMIUM, Page
from wildtalker_core import open_portrait
from wildtalker_core.live.portrait_file import save_kept
from wildtalker_core.media.audio import write_waveform

KEY = "sk-very-secret"


def command(code):
    """A voice in Python, which finds its output in ``path`` and the text in ``text``."""
    code = f"import shutil, sys, time; path = sys.argv[1]; text = sys.stdin.read(); {code}"
    return shlex.join([sys.executable, "-c", code, "{output}"])


@pytest.fixture
def said(tmp_path):
    """A voice that says every text in one second, and notes it."""
    write_waveform(tmp_path / "said.wav", voice(1), RATE)
    return command(f"shutil.copy({str(tmp_path / 'said.wav')!r}, path); "
                   f"open({str(tmp_path / 'texts')!r}, 'a').write(text + '|')")  # fmt: skip


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A page whose portrait's voice is to be set."""
    path = tmp_path_factory.mktemp("texts") / "me.portrait"
    save_kept(path, tiny_kept(size=64))
    portrait = open_portrait(path)
    server, thread, port = serve(portrait)
    yield portrait, port
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def answering():
    """Starts a server that gives whoever asks the same bytes; its address."""
    servers = []

    def start(answer):
        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(65536)
                self.request.sendall(answer)

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/v1/audio/speech?voice=hidden"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def told_by(visitor):
    """The next JSON message."""
    while not isinstance(told := visitor.recv(timeout=20), str):
        pass
    return json.loads(told)


def speaks(visitor, n_frames=200):
    """Whether any of the next frames speaks."""
    messages = (visitor.recv(timeout=20) for _ in range(n_frames))
    return any(read(data)[0][5] for data in messages if isinstance(data, bytes))


@pytest.mark.parametrize("name", ["exits", "nothing", "no sound", "absent", "refuses", "junk",
                                  "no HTTP", "forbidden", "no address"])  # fmt: skip
def test_a_voice_that_fails(served, answering, monkeypatch, caplog, name):
    """The visit goes on; the log knows why, the visitor learns no command, address or key."""
    portrait, port = served
    monkeypatch.setenv("WILDTALKER_VOICE_KEY", KEY)
    ok = b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n"
    portrait.voice, logged = {
        "exits": lambda: (command("sys.exit('no model at /srv/private')"), "/srv/private"),
        "nothing": lambda: (command("0"), "wrote no sound"),
        "no sound": lambda: (command("open(path, 'w').write('junk')"), "wrote a file that"),
        "absent": lambda: ("/srv/private/say {output}", "cannot be run"),
        "refuses": lambda: ("http://127.0.0.1:9/private?voice=hidden", "does not answer"),
        "junk": lambda: (answering(ok + b"junk"), "wrote a file that"),
        "no HTTP": lambda: (answering(b"\0\1\2\3\n\n"), "does not answer"),
        "forbidden": lambda: (answering(b"HTTP/1.0 401 No\r\n\r\nwrong key " + KEY.encode()),
                              "answers 401"),
        "no address": lambda: ("http://[::1/private", "does not answer"),
    }[name]()  # fmt: skip
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:
        assert told_by(visitor)["voice"] is True
        visitor.send(json.dumps({"text": "Good day."}))
        reason = told_by(visitor)["error"]
        assert "voice failed" in reason and "log" in reason
        hidden = (KEY, "private", "hidden", "127.0.0.1", "python", "speech", portrait.voice)
        assert not any(word in reason for word in hidden), reason
        assert read(visitor.recv())[1] is not None
        visitor.send(json.dumps({"gain": 1.0}))
        assert not speaks(visitor, 5)
    assert logged in caplog.text and KEY not in caplog.text


def test_texts_are_spoken_one_after_the_other(served, said, tmp_path):
    portrait, port = served
    portrait.voice = said
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:
        visitor.recv()
        for text in ("one", "two"):
            visitor.send(json.dumps({"text": text}))
        n_samples = 0
        for _ in range(1000):
            data = visitor.recv(timeout=20)
            n_samples += read(data)[0][3]
            if n_samples >= 1.9 * RATE:
                break
    assert n_samples >= 1.9 * RATE
    assert (tmp_path / "texts").read_text() == "one|two|"


def test_what_is_being_made_can_be_interrupted(served, said):
    portrait, port = served
    portrait.voice = said.replace("shutil.copy", "time.sleep(2); shutil.copy")
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:
        visitor.recv()
        for text in ("one", "two", "three"):
            visitor.send(json.dumps({"text": text}))
        assert not speaks(visitor, 5)  # frames come while the voice works
        visitor.send(json.dumps({"interrupt": True}))
        assert not speaks(visitor, 100)


@pytest.mark.parametrize("text", ["", " \n", "x" * 5000])
def test_texts_that_cannot_be_spoken(served, said, text):
    portrait, port = served
    portrait.voice = said
    with connect(f"ws://127.0.0.1:{port}/live") as visitor:
        visitor.recv()
        visitor.send(json.dumps({"text": text}))
        assert "characters" in told_by(visitor)["error"]
        visitor.send(json.dumps({"text": "hello"}))
        assert speaks(visitor)


TYPE = """(() => {
  const field = document.getElementById("text");
  field.focus();
  document.execCommand("insertText", false, %s);
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true }));
})()"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")
def test_the_field_of_a_browser(served, said, tmp_path, caplog):
    portrait, port = served
    portrait.voice = said
    text = "Guten Tag, \u201eIhr\u201c <b>da</b> \u2014 it's $5."
    page = Page(f"http://127.0.0.1:{port}/", tmp_path / "profile")
    try:
        wait_for(page, "!document.getElementById('words').hidden")
        page.evaluate(TYPE % json.dumps(text))
        wait_for(page, "window.seen.some((frame) => frame.isSpeaking)", 40)
        wait_for(page, "document.getElementById('status').textContent === 'Ready'", 40)
        assert (tmp_path / "texts").read_text() == f"{text}|"
        portrait.voice = command("sys.exit(1)")
        # The old page answers until the new one has come.
        page.evaluate("window.isOld = true; location.reload()")
        wait_for(page, "!window.isOld && window.seen && window.seen.length > 2", 40)
        page.evaluate(TYPE % json.dumps("once more"))
        wait_for(page, "document.getElementById('status').textContent.includes('voice failed')", 40)
        page.evaluate("window.seen.length = 0")
        wait_for(page, "window.seen.length > 5")  # and the person moves on
        assert page.errors == []
    finally:
        page.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")
def test_no_field_where_nothing_speaks(served, tmp_path, monkeypatch):
    monkeypatch.setattr("wildtalker.visit.find_voice", lambda voice: None)
    page = Page(f"http://127.0.0.1:{served[1]}/", tmp_path / "profile")
    try:
        wait_for(page, "window.seen.length > 5")
        assert page.evaluate("document.getElementById('words').offsetHeight") == 0
    finally:
        page.close()
