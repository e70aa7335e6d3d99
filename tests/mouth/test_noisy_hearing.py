"""What denoising is for: a mouth that was learnt from clean speech, heard from noisy speech."""

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.speech.test_denoisers import OPTIONS
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.speech import mixing
from wildtalker_core.speech.audio_features import log_mel
from wildtalker_core.speech.denoisers import make_denoiser

FPS = 25.0
TRAIN = torch.arange(200)
TEST = torch.arange(210, 300)


@pytest.fixture(scope="module")
def speech():
    return read_waveform(ROOT / "examples" / "truth" / "clean_speech.flac")


@pytest.fixture(scope="module")
def mouth():
    """Opening and rounding of the example's mouth [frames, 2], of unit variance."""
    with np.load(ROOT / "examples" / "truth" / "truth.npz") as truth:
        shapes = np.stack([truth["mouth_opening"], truth["mouth_rounding"]], 1)
    return torch.as_tensor(shapes / shapes[TRAIN].std(0))


@pytest.fixture(scope="module")
def ear(speech, mouth):
    features = heard_features(*speech, len(mouth))
    ear = Ear(*features.shape[1:], mouth.shape[1], len(TRAIN))
    ear.standardise(features[TRAIN])
    ear.remember(ear.describe(features, TRAIN), mouth[TRAIN], 1.0, 0.3)
    return ear


def heard_features(waveform, rate_hz, n_frames):
    return torch.as_tensor(log_mel(waveform, rate_hz, n_frames, FPS).audio_features)


@pytest.mark.parametrize("snr_db", [15.0, 10.0])
@pytest.mark.parametrize("kind", ["babble", "pink"])
def test_denoised_speech_moves_the_mouth_better_than_noisy_speech(speech, mouth, ear, kind, snr_db):
    waveform, rate_hz = speech
    rng = np.random.default_rng(0)
    if kind == "babble":
        noise = mixing.babble_noise(waveform, waveform.size, rng)
    else:
        noise = mixing.pink_noise(waveform.size, rng)
    noisy = mixing.mix_at_snr(waveform, noise, snr_db, rate_hz)
    errors = {}
    for name in ("none", "mss_adaptive"):
        denoised = make_denoiser(name, OPTIONS)(noisy, rate_hz)
        guess = ear.shapes(heard_features(denoised, rate_hz, len(mouth)), TEST)
        errors[name] = (guess - mouth[TEST]).square().mean().item()
    guess = ear.shapes(heard_features(waveform, rate_hz, len(mouth)), TEST)
    errors["clean"] = (guess - mouth[TEST]).square().mean().item()
    assert errors["clean"] < errors["mss_adaptive"] < errors["none"], errors
