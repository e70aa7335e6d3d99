"""Driven by speech with pauses, the mouth of the example moves, rests, and moves again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.training.conftest import preset
from tests.training.tiny_scene import make_scene
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.rest import rest_shape
from wildtalker_core.speech.audio_features import AudioFeatures, log_mel
from wildtalker_core.training.build import new_portrait

FPS, PAUSE_SECONDS = 25.0, 2.0
OPTIONS = SpeakingOptions(mouth_gain=1.3)


def features_of(waveform: np.ndarray, rate_hz: int, n_frames: int) -> AudioFeatures:
    return log_mel(waveform, rate_hz, n_frames, FPS)


@pytest.fixture(scope="module")
def example():
    """A portrait whose lip feature is the example's opening and rounding, taught to hear them."""
    with np.load(ROOT / "examples" / "truth" / "truth.npz") as truth:
        mouth = np.stack((truth["mouth_opening"], truth["mouth_rounding"]), 1)
    speech, rate_hz = read_waveform(ROOT / "examples" / "truth" / "clean_speech.flac")
    heard = features_of(speech, rate_hz, len(mouth))
    shape = preset("smoke")["model"] | {"n_mouth_shapes": 2, "n_lip": 2}
    scene = make_scene()
    scene = type(scene)(**{
        name: getattr(scene, name) for name in scene.__dataclass_fields__
    } | {"audio_features": heard.audio_features[: scene.n_frames]})  # fmt: skip
    portrait = new_portrait(scene, shape, "torch", torch.device("cpu"), 0)
    portrait.ear = Ear(*heard.audio_features.shape[1:], 2, len(mouth))
    with torch.no_grad():
        portrait.mouth_to_lip.weight.copy_(torch.eye(2))
        portrait.mouth_to_lip.bias.zero_()
    portrait.ear.fit(
        torch.as_tensor(heard.audio_features), torch.zeros(len(mouth), 3),
        torch.as_tensor(mouth, dtype=torch.float32), torch.ones(2), np.arange(len(mouth)),
    )  # fmt: skip
    rest = rest_shape(mouth, mouth[:, 0], heard.is_silent)
    portrait.ear.rest.copy_(torch.as_tensor(rest))
    return portrait, mouth


@pytest.mark.parametrize("hiss", [0.0, 1e-4])
def test_silence_closes_the_mouth(example, hiss):
    portrait, mouth = example
    speech, rate_hz = read_waveform(ROOT / "examples" / "greeting.wav")
    pause = np.zeros(round(PAUSE_SECONDS * rate_hz), np.float32)
    driving = np.concatenate((pause, speech, pause, speech))
    driving = driving + hiss * np.random.default_rng(0).standard_normal(len(driving))
    n_frames = round(len(driving) / rate_hz * FPS)
    heard = features_of(driving.astype(np.float32), rate_hz, n_frames)
    opening = portrait.hear(
        torch.as_tensor(heard.audio_features), heard.is_silent, np.arange(n_frames),
        torch.eye(4).repeat(n_frames, 1, 1), FPS, OPTIONS,
    )[:, 0].numpy()  # fmt: skip
    seconds, length = np.arange(n_frames) / FPS, len(speech) / rate_hz
    middle = PAUSE_SECONDS + length
    edge = 0.6  # a pause between words leaves the mouth as it was, and speech fades
    is_pause = (seconds < PAUSE_SECONDS - edge) | (
        (seconds > middle + edge) & (seconds < middle + PAUSE_SECONDS - edge)
    )
    is_speech = ((seconds > PAUSE_SECONDS) & (seconds < middle)) | (
        seconds > middle + PAUSE_SECONDS
    )
    low, high = np.percentile(opening[is_speech], (5, 95))
    assert high - low > 0.4 * np.ptp(np.percentile(mouth[:, 0], (5, 95)))  # it does speak
    assert is_pause.sum() > 40
    closed = np.percentile(mouth[:, 0], 1)
    assert (opening[is_pause] - closed).max() < 0.15 * (high - low)
    assert np.abs(np.diff(opening)).max() < 0.8 * (high - low)  # and never snaps


def test_gain_widens_the_mouth_around_its_mean(example):
    ear = example[0].ear
    features = torch.randn(20, *ear.components.shape[1:], 16)
    frames = torch.arange(20)
    once = ear.shapes(features, frames) - ear.mean_shape
    twice = ear.shapes(features, frames, gain=2.0) - ear.mean_shape
    torch.testing.assert_close(twice, 2 * once)
