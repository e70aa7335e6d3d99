"""LSE arithmetic against the definition, loudness and lag of made-up speech."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.metrics import sync


def embeddings(n: int = 80, size: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, size))


def test_lse_by_the_double_loop():
    lips, audio = embeddings(seed=0), embeddings(seed=1)
    found = sync.lip_sync_error(lips, audio)
    means = []
    for shift in range(-15, 16):
        distances = []
        for i in range(len(lips)):
            j = i + shift
            other = audio[j] if 0 <= j < len(audio) else np.zeros(16)
            distances.append(np.sqrt(np.sum((lips[i] - other) ** 2)))
        means.append(np.mean(distances))
    assert found.lse_d == pytest.approx(min(means))
    assert found.lse_c == pytest.approx(np.median(means) - min(means))
    assert found.offset_frames == 15 - int(np.argmin(means))


@pytest.mark.parametrize("offset", [-7, 0, 3])
def test_offset_of_a_late_picture(offset):
    """The picture shows what was heard ``offset`` windows before."""
    lips = embeddings(120)
    found = sync.lip_sync_error(lips, np.roll(lips, -offset, axis=0))
    assert found.offset_frames == offset
    matched, strange = found, sync.lip_sync_error(lips, embeddings(120, seed=5))
    assert matched.lse_d < strange.lse_d
    assert matched.lse_c > 3 * strange.lse_c


def made_speech(rate: int = 16000) -> tuple[np.ndarray, np.ndarray]:
    """Syllables of known loudness: waveform and its envelope at 25 frames a second (4 s)."""
    times = np.arange(4 * rate) / rate
    rng = np.random.default_rng(3)
    knots = rng.uniform(0.02, 1, 21)
    envelope = np.interp(times, np.linspace(0, 4, 21), knots)
    frame_times = (np.arange(100) + 0.5) / 25
    return 0.3 * envelope * np.sin(2 * np.pi * 700 * times), np.interp(frame_times, times, envelope)


@pytest.mark.parametrize("lag", [-3, 0, 4])
def test_lag_of_a_mouth_that_follows_the_voice(lag):
    waveform, envelope = made_speech()
    times = (np.arange(100) + 0.5) / 25
    loudness = sync.speech_loudness(waveform, 16000, times)
    found = sync.lip_audio_correlation(0.1 * np.roll(np.log(envelope), lag), loudness)
    assert found.lag_frames == lag
    assert found.correlation > 0.95


def test_other_speech_correlates_less():
    waveform, envelope = made_speech()
    times = (np.arange(100) + 0.5) / 25
    loudness = sync.speech_loudness(waveform, 16000, times)
    right = sync.lip_audio_correlation(np.log(envelope), loudness).correlation
    wrong = sync.lip_audio_correlation(np.log(envelope[::-1]), loudness).correlation
    assert wrong < 0.6 * right


def test_a_still_mouth_has_no_correlation():
    """Not a correlation of zero, and not the chance one of a trembling detector."""
    loudness = np.random.default_rng(0).normal(size=60)
    trembling = 0.001 * np.random.default_rng(1).normal(size=60)
    for opening in (np.zeros(60), trembling, np.full(60, np.nan)):
        assert np.isnan(sync.lip_audio_correlation(opening, loudness).correlation)


def test_loudness_hears_the_voice_and_not_the_hum():
    rate = 16000
    times = np.arange(rate) / rate
    hum = 0.5 * np.sin(2 * np.pi * 50 * times)
    voice = np.where(times > 0.5, 0.1 * np.sin(2 * np.pi * 800 * times), 0)
    frame_times = (np.arange(25) + 0.5) / 25
    loudness = sync.speech_loudness(hum + voice, rate, frame_times)
    assert loudness[3:10].max() < 3
    assert loudness[16:23].min() > 25
    # Ten times as loud, all of it: no difference.
    np.testing.assert_allclose(
        loudness, sync.speech_loudness(10 * (hum + voice), rate, frame_times), atol=1e-6
    )
