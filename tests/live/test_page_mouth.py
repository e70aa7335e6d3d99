"""What the page shows moves with what it plays: the mouth's opening against the loudness."""

from __future__ import annotations

import base64
import io
import wave

import numpy as np
import pytest
import torch

pytest.importorskip("uvicorn", reason="starlette and uvicorn are not installed")

from tests.live.test_page import serve, wait_for
from tests.live.test_session import RATE, tiny_kept, voice
from tests.report.chromium import CHROMIUM, Page
from wildtalker import visit
from wildtalker_core.live.portrait_file import save_kept
from wildtalker_core.live.talking import open_portrait

#: Keeps the brightness of each picture that is drawn, in step with ``window.seen``.
LOOK = """(() => {
  window.looks = [];
  const draw = pen.drawImage.bind(pen);
  const copy = new OffscreenCanvas(64, 64).getContext("2d", { willReadFrequently: true });
  pen.drawImage = (picture, x, y) => {
    draw(picture, x, y);
    copy.drawImage(picture, 0, 0);
    const data = copy.getImageData(0, 0, 64, 64).data;
    window.looks.push(data.reduce((sum, x) => sum + x, 0) / data.length);
  };
  window.seen.length = 0;
})()"""


def bright_portrait(folder):
    """A portrait that is the brighter the wider its mouth is open."""
    kept = tiny_kept(size=64)
    with torch.no_grad():
        kept.portrait.body.opacity_logits.fill_(2.0)
        kept.portrait.body.colours.fill_(0.3)
        kept.portrait.body.face.colours[..., 0] = 0.2
    save_kept(folder / "me.portrait", kept)
    return open_portrait(folder / "me.portrait")


@pytest.fixture
def port(tmp_path, monkeypatch):
    monkeypatch.setattr(visit, "has_webrtc", lambda: False)  # pictures that the page draws itself
    server, thread, port = serve(bright_portrait(tmp_path))
    yield port
    server.should_exit = True
    thread.join(10)


def wav(samples):
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1), written.setsampwidth(2), written.setframerate(RATE)
        written.writeframes((samples * 32767).astype("<i2").tobytes())
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look with")
def test_the_mouth_opens_with_the_sound(port, tmp_path):
    page = Page(f"http://127.0.0.1:{port}/", tmp_path / "profile")
    try:
        wait_for(page, "window.seen.length > 5")
        page.evaluate(LOOK)
        sound = f"Uint8Array.from(atob('{wav(voice(6))}'), (c) => c.charCodeAt(0))"
        page.evaluate(f"speak(new File([{sound}], 'voice.wav')), 0")
        wait_for(page, "window.seen.filter((frame) => frame.isSpeaking).length > 100", 40)
        looks, loud, speaks = np.array(
            page.evaluate(
                "window.seen.map((x, i) => [window.looks[i], x.loudness, Number(x.isSpeaking)])"
            )
        ).T
        assert page.errors == []
    finally:
        page.close()
    speaks = speaks == 1
    assert np.corrcoef(looks[speaks], loud[speaks])[0, 1] > 0.7
    assert np.ptp(looks[speaks]) > 5 * np.ptp(looks[~speaks])  # it rests between sentences
