"""On real noisy speech: what the denoisers are worth, and what the portrait hears of it."""

import numpy as np
import pytest

from tests.speech.made_encoders import save_tiny_hf
from tests.speech.test_denoisers import OPTIONS
from wildtalker_core.media.audio import decode_sound, read_waveform
from wildtalker_core.pretrained.audio_encoders import load_hf_encoder
from wildtalker_core.speech import mixing
from wildtalker_core.speech.audio_features import log_mel
from wildtalker_core.speech.denoisers import make_denoiser
from wildtalker_core.speech.encoder_features import waveform_features

RATE_HZ = 16000
# Two speakers, short files, quiet and loud noise.
NAMES = ("p232_005", "p232_014", "p232_052", "p287_002", "p287_005", "p287_006")


@pytest.fixture(scope="module")
def pairs(shared_data):
    folder = shared_data / "speech" / "pairs"
    return [[read_waveform(folder / kind / f"{name}.wav")[0] for kind in ("clean", "noisy")]
            for name in NAMES]  # fmt: skip


def mean_scores(pairs, name):
    pesq = pytest.importorskip("pesq").pesq
    stoi = pytest.importorskip("pystoi").stoi
    denoiser = make_denoiser(name, OPTIONS)
    table = []
    for clean, noisy in pairs:
        estimate = denoiser(noisy, RATE_HZ)
        table.append((pesq(RATE_HZ, clean, estimate, "wb"), stoi(clean, estimate, RATE_HZ)))
    return np.mean(table, axis=0)


def test_adaptive_form_beats_the_paper_s_beats_nothing(pairs):
    none, mss, adaptive = (mean_scores(pairs, name) for name in ("none", "mss", "mss_adaptive"))
    assert mss[0] > none[0] + 0.1
    assert adaptive[0] > mss[0] + 0.1
    assert adaptive[1] > none[1] - 0.005  # as intelligible as before


def noise_at_5_db(shared_data, clean):
    noise = decode_sound(shared_data / "speech" / "noise" / "noise1.wav", RATE_HZ)
    noise = mixing.fit_length(noise[RATE_HZ:], clean.size, RATE_HZ)
    return mixing.mix_at_snr(clean, noise, 5.0, RATE_HZ)


def hf_features(folder):
    """Features of a tiny HuBERT of random weights."""
    pytest.importorskip("transformers")
    encode = load_hf_encoder(str(save_tiny_hf(folder)), -1)
    return lambda waveform, n_frames: waveform_features(waveform, RATE_HZ, n_frames, 25.0, encode)


@pytest.mark.parametrize("backend", ["logmel", "hf"])
def test_denoised_features_are_nearer_to_the_clean_ones(shared_data, pairs, backend, tmp_path):
    denoiser = make_denoiser("mss_adaptive", OPTIONS)
    extract = (
        hf_features(tmp_path)
        if backend == "hf"
        else lambda waveform, n_frames: log_mel(waveform, RATE_HZ, n_frames, 25.0)
    )
    cosines = {"noisy": [], "denoised": []}
    for clean, _ in pairs:
        noisy = noise_at_5_db(shared_data, clean)
        n_frames = int(clean.size / RATE_HZ * 25)
        reference = extract(clean, n_frames).audio_features
        if backend == "hf":  # what all frames have in common says nothing
            middle = reference.mean(axis=(0, 2), keepdims=True)
        else:
            middle = 0.0
        for name, waveform in (("noisy", noisy), ("denoised", denoiser(noisy, RATE_HZ))):
            a, b = extract(waveform, n_frames).audio_features - middle, reference - middle
            cosines[name].append(np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2)))
    assert np.mean(cosines["denoised"]) > np.mean(cosines["noisy"]) + 0.03, cosines


def test_speech_is_not_silent_and_pauses_are(pairs):
    clean = pairs[0][0]
    padded = np.concatenate([np.zeros(RATE_HZ, np.float32), clean, np.zeros(RATE_HZ, np.float32)])
    n_frames = int(padded.size / RATE_HZ * 25)
    is_silent = log_mel(padded, RATE_HZ, n_frames, 25.0).is_silent
    assert is_silent[:24].all() and is_silent[-24:].all()
    assert is_silent[25:-25].mean() < 0.6
