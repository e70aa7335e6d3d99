"""A portrait file that hears with Whisper's layers carries them, and hears the same."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import numpy as np
import torch
from safetensors.torch import save_file

from tests.live.test_session import RATE, Clock, session_of, tiny_kept, voice
from wildtalker_core.live.backgrounds import Background
from wildtalker_core.live.portrait_file import load_kept, save_kept
from wildtalker_core.live.session import Session
from wildtalker_core.live.talking import open_portrait
from wildtalker_core.media.audio import write_waveform
from wildtalker_core.media.tensor_file import load_tensors
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.speech.audio_features import LIVE_SECONDS
from wildtalker_core.speech.whisper_encoder import WhisperEncoder
from wildtalker_core.speech.whisper_features import whisper_features
from wildtalker_core.splats.portrait import SplatPortrait

WIDTH = 384


def whisper_kept():
    """The tiny portrait, taught with one random layer."""
    kept = tiny_kept()
    torch.manual_seed(1)
    encoder = WhisperEncoder(WIDTH, 80, 1, is_whole=False).eval().requires_grad_(False)
    shape = replace(kept.portrait.shape, n_audio_features=80 + WIDTH)
    found = whisper_features(voice(8), RATE, 200, 25.0, encoder, look_ahead_seconds=LIVE_SECONDS)
    features = torch.as_tensor(found.audio_features)
    shapes = torch.stack((features[:, :80].mean((1, 2)), features[:, :20].mean((1, 2))), 1) * 3
    ear = Ear(80 + WIDTH, 16, 2, shape.n_heard)
    frames = np.arange(10, 10 + shape.n_heard)
    ear.fit(features, torch.zeros(200, 3), shapes, torch.ones(2), frames, 1)
    portrait = SplatPortrait(shape, "torch")
    own = {k: v for k, v in kept.portrait.state_dict().items() if not k.startswith("ear.")}
    portrait.load_state_dict(own, strict=False)
    portrait.ear.load_state_dict(ear.state_dict())
    hearing = {**kept.hearing, "audio_features": "whisper"}
    return replace(kept, portrait=portrait, live_ear=ear, hearing=hearing, encoder=encoder)


def test_file_carries_the_encoder(tmp_path):
    torch.set_num_threads(1)
    kept = whisper_kept()
    save_kept(tmp_path / "me.portrait", kept)
    again = load_kept(tmp_path / "me.portrait", "torch")
    mel = np.random.default_rng(0).standard_normal((1, 80, 300)).astype("f4")
    one, two = kept.encoder(mel), again.encoder(mel)
    assert 0 < np.abs(one - two).max() < 0.1 * one.std()
    session, sound = session_of(again, Clock()), voice(2)
    session.hear(sound, RATE)
    frames = session.frames()
    mouths = []
    for _ in range(55):
        frame = next(frames)
        mouths.append(session._shape.numpy().copy())
    assert np.std(mouths, 0).max() > 0.01 and not frame.is_speaking
    write_waveform(tmp_path / "hello.wav", sound, RATE)
    assert (
        open_portrait(tmp_path / "me.portrait").say(tmp_path / "hello.wav", tmp_path / "hello.mp4")
        == 50
    )


def test_a_minute_at_once_does_not_hold_up_the_first_frame():
    """Rows are made as they are shown, not all when the sound comes."""
    kept, calls = whisper_kept(), []
    session = session_of(replace(kept, encoder=Counting(kept.encoder, calls)), Clock())
    session.hear(voice(60), RATE)
    assert len(calls) <= 6
    frames = session.frames()
    for _ in range(10):
        next(frames)
    assert 10 <= len(calls) <= 16 and session.seconds_waiting > 59


def test_a_machine_too_slow_for_the_encoder_shows_fewer_frames_and_none_later(monkeypatch):
    """An answer takes two frames' time: the sound goes on, and the picture keeps up with it."""
    monkeypatch.setattr(Background, "picture", lambda *_: np.zeros((2, 2, 3), np.uint8))
    kept, clock = whisper_kept(), Clock()
    slow = Counting(kept.encoder, Busy(clock, 0.08))
    session = session_of(replace(kept, encoder=slow), clock, is_microphone=True)
    sound, sent, shown, n_frames, delays = voice(40), 0, 0, 0, []
    for frame in session.frames():
        n_frames, shown = n_frames + 1, shown + len(frame.sound)
        delays.append(clock.now - shown / RATE - session.n_skipped / 25)
        while sent < min(clock.now, 40) * RATE:
            session.hear(sound[sent : sent + 320], RATE)
            sent += 320
        if clock.now > 39:
            break
    assert n_frames > 39 * 1.5
    early, late = np.median(delays[10:20]), np.median(delays[-10:])
    assert late < 1.5 and late < early + 0.5


class Busy(list):
    """Each call takes its time."""

    def __init__(self, clock, seconds):
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def append(self, call):
        super().append(call)
        self._clock.sleep(self._seconds)


class Counting(WhisperEncoder):
    def __init__(self, encoder, calls):
        torch.nn.Module.__init__(self)
        self._encoder, self._calls = encoder, calls
        self.n_mels, self.width = encoder.n_mels, encoder.width

    def forward(self, mel, n_last=None):
        self._calls.append(len(mel))
        return self._encoder(mel, n_last)


def test_files_of_the_first_version_open(tmp_path):
    """Each Gaussian had directions of its own, as where each is its own node."""
    kept = tiny_kept()
    body = kept.portrait.body
    with torch.no_grad():
        for directions in (*body.face.parameters(), *body.soft.parameters()):
            directions.normal_()
    save_kept(tmp_path / "now.portrait", kept)
    tensors, header = load_tensors(tmp_path / "now.portrait")
    first = {name: value for name, value in header.items() if name != "encoder"} | {"version": 1}
    del first["shape"]["body"]["n_face_nodes"], first["shape"]["body"]["n_soft_nodes"]
    held = {name: value for name, value in tensors.items() if not name.endswith(("near", "shares"))}
    assert len(tensors) == len(held) + 4
    save_file(held, tmp_path / "old.portrait", {"header": json.dumps(first)})
    old = load_kept(tmp_path / "old.portrait", "torch")
    assert old.encoder is None
    conditions = torch.randn(body.shape.n_face), torch.randn(body.shape.n_soft)
    moved = old.portrait.body(*conditions)
    now = load_kept(tmp_path / "now.portrait", "torch").portrait.body(*conditions)
    assert torch.equal(moved.means, now.means) and torch.equal(moved.opacities, now.opacities)
    directions = old.portrait.body.soft.means
    torch.testing.assert_close(
        moved.means[6:] - old.portrait.body.means[6:], directions @ conditions[1]
    )


def test_the_encoder_works_beside_the_drawing(monkeypatch):
    """One after the other they would take longer than a frame on a slow machine."""
    drawing, calls = threading.Event(), []

    def draw(*_):
        drawing.set()
        time.sleep(0.06)
        drawing.clear()
        return np.zeros((2, 2, 3), np.uint8)

    class Watched(Counting):
        def __call__(self, mel, n_last=None):
            calls.append(drawing.is_set())
            time.sleep(0.06)
            return super().__call__(mel, n_last)

    monkeypatch.setattr(Background, "picture", draw)
    kept = whisper_kept()
    kept = replace(kept, fps=12.5, encoder=Watched(kept.encoder, []))
    session = Session(kept, Background("plate", 16, 16), 1.0, is_microphone=False)
    session.hear(voice(3), RATE)
    for frame in session.frames():
        if frame.time_seconds > 2.4:
            break
    assert len(calls) > 10 and np.mean(calls) > 0.3
