"""Text through whatever speaks: a command, a local address with OpenAI's interface."""

from __future__ import annotations

import json
import shutil
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from tests.live.test_session import RATE, tiny_kept, voice
from wildtalker.cli import main
from wildtalker_core.errors import InputError
from wildtalker_core.live.portrait_file import save_kept
from wildtalker_core.live.voice import SAMPLE_RATE_HZ, find_voice, speak
from wildtalker_core.media.audio import write_waveform


@pytest.fixture
def address(tmp_path):
    """A server that answers as OpenAI's does, and what it was asked."""
    write_waveform(tmp_path / "said.wav", voice(1), RATE)
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers.get("Authorization"), body))
            is_known = body["voice"] != "nobody"
            self.send_response(200 if is_known else 400)
            self.end_headers()
            said = (tmp_path / "said.wav").read_bytes()
            self.wfile.write(said if is_known else b"no such voice")

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/audio/speech", asked
    server.shutdown()
    server.server_close()


def test_address(address, monkeypatch):
    url, asked = address
    monkeypatch.setenv("WILDTALKER_VOICE_KEY", "key")
    assert len(speak("Good day.", f"{url}?voice=coral")) == SAMPLE_RATE_HZ
    path, key, body = asked[0]
    assert path == "/v1/audio/speech" and key == "Bearer key"
    assert body == {"model": "tts-1", "voice": "coral", "input": "Good day.",
                    "response_format": "wav"}  # fmt: skip
    with pytest.raises(InputError, match="400.*no such voice"):
        speak("Good day.", f"{url}?voice=nobody")


def test_command(tmp_path):
    """The text reaches it as one word and on its input, and no shell reads it."""
    write_waveform(tmp_path / "said.wav", voice(1), RATE)
    text = "it's; $(touch x) -v"
    script = tmp_path / "say.py"
    script.write_text(
        "import shutil, sys\n"
        f"assert sys.argv[2] == sys.stdin.read() == {text!r}\n"
        f"shutil.copy({str(tmp_path / 'said.wav')!r}, sys.argv[1])\n"
    )
    sound = speak(text, f"{sys.executable} {script} {{output}} {{text}}")
    assert len(sound) == SAMPLE_RATE_HZ and np.abs(sound).max() > 0.01


@pytest.mark.parametrize(
    "text, spoken_by",
    [("", "true"), ("x" * 5000, "true"), ("hello", "false"), ("hello", "true"),
     ("hello", "no_such_program"), ("hello", "a 'b"), ("hello", "http://127.0.0.1:9/")],
)  # fmt: skip
def test_what_fails_is_one_line(text, spoken_by):
    with pytest.raises(InputError) as error:
        speak(text, spoken_by)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_espeak():
    assert find_voice(None, {}) and len(speak("Good day to you.", None)) > SAMPLE_RATE_HZ / 2


def test_the_named_voice_comes_first():
    assert find_voice("a", {"WILDTALKER_VOICE": "b"}) == "a"
    assert find_voice(None, {"WILDTALKER_VOICE": "b"}) == "b"


def test_say_text_from_the_command(address, tmp_path, capsys):
    url, asked = address
    save_kept(tmp_path / "me.portrait", tiny_kept())
    arguments = ["say", str(tmp_path / "me.portrait"), str(tmp_path / "a.mp4"), "--text", "Hello.",
                 "--voice", url, "--turn", "5", "0", "0", "--motion", "0.5", "--blinks", "2",
                 "--gain", "1.1"]  # fmt: skip
    assert main(arguments) == 0 and asked[0][2]["input"] == "Hello."
    assert "25 frames" in capsys.readouterr().out
    assert main(["say", str(tmp_path / "me.portrait"), str(tmp_path / "b.mp4")]) == 1
    assert "--text" in capsys.readouterr().err
