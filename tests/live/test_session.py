"""The live engine on a simulated clock: step, idle, interruption, back-pressure, drift."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch

from wildtalker_core.errors import InputError
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.geometry.pose_order import back_and_forth
from wildtalker_core.live.backgrounds import Background
from wildtalker_core.live.listening import Listener
from wildtalker_core.live.portrait_file import Kept, load_kept, save_kept
from wildtalker_core.live.session import Session, back_and_forth_at
from wildtalker_core.media.tensor_file import load_tensors, save_tensors
from wildtalker_core.mouth.blinks import BlinkManner
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.speech.audio_features import log_mel
from wildtalker_core.speech.streaming import StreamingFeatures
from wildtalker_core.splats.body import BodyShape
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape

RATE = 16000


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def voice(seconds, seed=0, rate=RATE):
    """Bursts of harmonics with pauses."""
    t = np.arange(int(seconds * rate)) / rate
    tones = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 20))
    return (0.1 * tones * (np.sin(2 * np.pi * 2.3 * t + seed) > -0.3)).astype(np.float32)


def tiny_kept(fps=25.0, n_loop=12, size=16):
    torch.manual_seed(0)
    n_mouth, n_torso = 2, 5
    n_face = n_mouth + 7 + 2 + 3
    n_known = 60
    body = BodyShape(6, 4, n_face, n_torso - 4 + n_mouth + 3, 6, 4)
    shape = SplatShape(
        size, size, 3.0 * size, 0, body, n_mouth, 7, 2, n_torso, 80, 16, n_known, "compact",
    )  # fmt: skip
    portrait = SplatPortrait(shape, "torch")
    features = torch.as_tensor(log_mel(voice(8), RATE, 200, fps).audio_features)
    shapes = torch.stack((features.mean((1, 2)), features[:, :20].mean((1, 2))), 1) * 3
    turns = torch.zeros(200, 3)
    live = Ear(80, 16, n_mouth, n_known)
    frames = np.arange(10, 10 + n_known)
    live.fit(features, turns, shapes, torch.ones(n_mouth), frames, 1)
    portrait.ear.load_state_dict(live.state_dict())
    with torch.no_grad():
        portrait.body.means.copy_(torch.randn(10, 3) * 0.2)
        portrait.body.log_scales.fill_(-2.0)
        portrait.body.quaternions[:, 0] = 1
        portrait.body.weights[:, 0] = 1
    pose = torch.eye(4).repeat(n_loop, 1, 1)
    pose[:, 2, 3] = 5.0
    loop = Moment(
        pose, torch.zeros(n_loop, n_mouth), torch.zeros(n_loop, 7), torch.zeros(n_loop, 2),
        torch.zeros(n_loop, n_torso), torch.zeros(n_loop, 4),
    )  # fmt: skip
    blinks = BlinkManner(np.full((15, 2), 0.5), np.zeros(2), 3.0)
    hearing = {"audio_features": "logmel", "logmel_floor_db": -40.0, "denoiser": "none",
               "scales": [[512, 128, 512]], "over_subtraction": 1, "leading_seconds": 0.2,
               "sample_rate_hz": RATE}  # fmt: skip
    render = SpeakingOptions(mouth_gain=1.3)
    return Kept(portrait, live, loop, blinks, fps, hearing, render, {"clip": "made"})


@pytest.fixture(scope="module")
def kept():
    return tiny_kept()


def session_of(kept, clock, **options):
    options = {"is_microphone": False, **options}
    behind = Background("plate", kept.portrait.shape.height, kept.portrait.shape.width)
    return Session(kept, behind, 1.3, clock=clock, sleep=clock.sleep, **options)


@pytest.mark.parametrize("fps", [25.0, 30000 / 1001])
def test_streaming_rows_are_the_whole_recordings(fps):
    sound = voice(9)
    whole = log_mel(sound, RATE, int(9 * fps), fps, level_dbfs=-20.0)
    stream = StreamingFeatures(fps, level_dbfs=-20.0)
    rng, first, found, silent = np.random.default_rng(0), 0, [], []
    while first < len(sound):
        n = int(rng.integers(1, 3000))
        rows = stream.push(sound[first : first + n])
        found.append(rows.audio_features)
        silent.append(rows.is_silent)
        first += n
    rows = np.concatenate(found)
    assert len(rows) >= 9 * fps - 4
    np.testing.assert_allclose(rows, whole.audio_features[: len(rows)], atol=1e-5)
    np.testing.assert_array_equal(np.concatenate(silent), whole.is_silent[: len(rows)])


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_any_rate_gives_as_many_frames_as_its_time(kept, rate):
    listener = Listener(kept.live_ear, kept.hearing, kept.fps)
    sound = voice(3, rate=rate)
    for first in range(0, len(sound), 777):
        piece = (sound[first : first + 777, None] * 32767).astype(np.int16).repeat(2, 1)
        listener.push(piece, rate)
    listener.finish()
    assert abs(listener.n_ready - 75) <= 1


def test_bad_sound_is_refused(kept):
    listener = Listener(kept.live_ear, kept.hearing, kept.fps)
    for pcm, rate in ((np.array([np.nan]), RATE), (np.zeros((2, 2, 2)), RATE), (np.zeros(5), 3)):
        with pytest.raises(ValueError):
            listener.push(pcm, rate)


def test_sound_comes_back_whole_and_in_step(kept):
    clock = Clock()
    session, sound = session_of(kept, clock), voice(2)
    session.hear(sound, RATE)
    frames = session.frames()
    shown = [next(frames) for _ in range(70)]
    heard = np.concatenate([frame.sound for frame in shown])
    np.testing.assert_allclose(heard[: len(sound)], sound, atol=1e-6)
    np.testing.assert_allclose([f.time_seconds for f in shown], np.arange(70) / 25, atol=1e-9)
    assert shown[0].is_speaking and not shown[-1].is_speaking
    assert all(abs(len(f.sound) - 640) <= 1 for f in shown if f.is_speaking)


def test_slow_reader_misses_frames_and_no_sound(kept):
    clock = Clock()
    session, sound = session_of(kept, clock), voice(2)
    session.hear(sound, RATE)
    heard = []
    for frame in session.frames():
        heard.append(frame.sound)
        clock.now += 0.1  # two and a half frames
        if frame.time_seconds > 3:
            session.close()
    assert session.n_dropped > 30
    np.testing.assert_allclose(np.concatenate(heard)[: len(sound)], sound, atol=1e-6)


def test_where_frames_are_late_a_microphone_moves_the_mouth_and_loses_no_sound(kept):
    clock = Clock()
    session = session_of(kept, clock, is_microphone=True)
    sound, sent, heard, mouths = voice(4), 0, [], set()
    for frame in session.frames():
        heard.append(frame.sound)
        mouths.add(round(float(session._shape[0]), 4))
        clock.now += 0.21  # five frames and a quarter
        spoken = sound[sent : int(clock.now * RATE)]
        if len(spoken):
            session.hear(spoken, RATE)
            sent += len(spoken)
        if frame.time_seconds > 5:
            session.close()
    assert session.n_dropped > 50 and session.n_skipped == 0 and len(mouths) > 10
    np.testing.assert_allclose(np.concatenate(heard)[: len(sound)], sound, atol=1e-6)


def test_interrupted_mouth_is_at_rest_within_a_tenth_of_a_second(kept):
    clock = Clock()
    session = session_of(kept, clock)
    session.hear(voice(5), RATE)
    frames = session.frames()
    for _ in range(20):
        next(frames)
    assert session._closed < 1
    session.interrupt()
    after = [next(frames) for _ in range(2)]
    assert session._closed == 1 and not any(f.is_speaking for f in after)
    assert after[-1].time_seconds - 19 / 25 <= 0.1
    session.hear(voice(1), RATE)
    assert next(frames).is_speaking


def test_mouth_does_not_jump_where_speech_begins_and_ends(kept):
    """What the ear itself says between two frames is the largest step that is ever made."""
    clock = Clock()
    session = session_of(kept, clock)
    mouths, eases = [], []
    frames = session.frames()
    for i in range(150):
        if i in (20, 90):
            session.hear(voice(1.5), RATE)
        next(frames)
        eases.append(session._closed)
        mouths.append(session._shape.clone())
    steps = np.abs(np.diff(eases))
    assert steps.max() <= 1 / (0.2 * 25) + 1e-9
    assert eases[0] == 1 and min(eases) == 0 and eases[85] == 1


def test_microphone_that_runs_fast(kept, monkeypatch):
    """A microphone that runs fast: neither delay nor memory grows (an hour: benchmarks/live.py)."""
    torch.set_num_threads(1)
    monkeypatch.setattr(Background, "picture", lambda *_: np.zeros((2, 2, 3), np.uint8))
    clock = Clock()
    session = session_of(kept, clock, is_microphone=True)
    piece = voice(0.4)
    frames, sent, delays = session.frames(), 0, []
    tracemalloc.start()
    seconds, early = 120, 0
    for i in range(seconds * 25):
        while sent < clock.now * RATE * 1.003:  # an hour's drift at 100 ppm
            session.hear(piece[sent % 6400 : sent % 6400 + 320], RATE)
            sent += 320
        next(frames)
        delays.append(session.seconds_waiting)
        if i == 2000:
            early = tracemalloc.get_traced_memory()[0]
    late = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert abs(np.median(delays[-500:]) - np.median(delays[500:1000])) <= 0.04
    assert max(delays[500:]) < 0.4
    assert session.n_skipped > 0
    assert late - early < 2e6


def test_too_much_sound_is_refused(kept):
    session = session_of(kept, Clock())
    with pytest.raises(InputError, match="two minutes"):
        for _ in range(130):
            session.hear(np.zeros(RATE, np.float32), RATE)


def test_loop_index():
    for n in (1, 2, 7):
        whole = back_and_forth(n, 50)
        assert [back_and_forth_at(n, k) for k in range(50)] == whole.tolist()


def test_file_keeps_what_is_drawn_and_heard(kept, tmp_path):
    path = tmp_path / "me.portrait"
    save_kept(path, kept)
    again = load_kept(path, "torch")
    moment = kept.loop[3]
    a, b = kept.portrait.picture(moment)[0], again.portrait.picture(again.loop[3])[0]
    assert (a - b).abs().max() < 2 / 255
    turns = torch.zeros(50, 3)
    features = torch.as_tensor(log_mel(voice(2), RATE, 50, 25).audio_features)
    one, two = (k.live_ear.shapes(features, torch.arange(50), turns) for k in (kept, again))
    assert (one - two).abs().max() < 0.02 * one.std()
    assert again.made_of == {"clip": "made"} and again.fps == 25


def test_newer_and_broken_files_are_one_line(kept, tmp_path):
    path = tmp_path / "me.portrait"
    save_kept(path, kept)
    tensors, header = load_tensors(path)
    bad = [({}, {**header, "version": 99}), (tensors, {**header, "version": "x"}), ({}, header),
           (tensors, {**header, "shape": {}}), (tensors, {**header, "fps": None}),
           ({**tensors, "colours": torch.zeros(2)}, header)]  # fmt: skip
    for content, head in bad:
        save_tensors(tmp_path / "bad.portrait", content, head)
        with pytest.raises(InputError) as error:
            load_kept(tmp_path / "bad.portrait")
        assert "\n" not in str(error.value)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(20):
        (tmp_path / "cut.portrait").write_bytes(whole[: rng.integers(0, len(whole))])
        with pytest.raises(InputError):
            load_kept(tmp_path / "cut.portrait")
