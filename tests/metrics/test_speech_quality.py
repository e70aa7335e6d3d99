"""Speech scores: closed forms, the slow definition, and published figures on real pairs."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from wildtalker_core.metrics import speech_quality
from wildtalker_core.metrics.speech_quality import NotScorable

RATE = 16000


def made_speech(seconds: float = 2.0, seed: int = 0) -> np.ndarray:
    """A voice-like sound: pulses through two resonances, in syllables."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    n = round(seconds * RATE)
    pulses = np.zeros(n)
    pulses[:: RATE // 120] = 1
    sound = pulses + 0.01 * rng.normal(size=n)
    for hz, width in ((600, 80), (1800, 120)):
        r = np.exp(-np.pi * width / RATE)
        sound = lfilter([1], [1, -2 * r * np.cos(2 * np.pi * hz / RATE), r * r], sound)
    envelope = 0.05 + np.clip(np.sin(2 * np.pi * 3 * np.arange(n) / RATE), 0, 1)
    return (0.2 * envelope * sound / np.abs(sound).max()).astype(np.float32)


def test_si_sdr_by_hand():
    """Orthogonal error of a tenth of the amplitude: 20 dB, at any gain of the estimate."""
    n = np.arange(RATE)
    target = np.sin(2 * np.pi * 100 * n / RATE)
    error = 0.1 * np.cos(2 * np.pi * 100 * n / RATE)
    for gain in (1, 0.05, -7):
        assert speech_quality.si_sdr(target, gain * (target + error)) == pytest.approx(20, abs=1e-6)
    with pytest.raises(NotScorable, match="silent"):
        speech_quality.si_sdr(0 * target, target)
    with pytest.raises(NotScorable, match="infinite"):
        speech_quality.si_sdr(target, 2 * target)


def test_segmental_snr_of_a_scaled_error():
    """An error that is the signal at -12 dB has 12 dB in every frame; limits hold."""
    speech = made_speech()
    estimate = speech * (1 + 10 ** (-12 / 20))
    assert speech_quality.segmental_snr(speech, estimate, RATE) == pytest.approx(12, abs=0.01)
    assert speech_quality.segmental_snr(speech, speech, RATE) == pytest.approx(35)
    assert speech_quality.segmental_snr(speech, 100 * speech, RATE) == pytest.approx(-10)


def test_equal_speech_is_perfect():
    speech = made_speech()
    assert speech_quality.log_likelihood_ratio(speech, speech, RATE) == pytest.approx(0, abs=1e-9)
    assert speech_quality.weighted_spectral_slope(speech, speech, RATE) == 0
    # The scale ends at 5 and begins at 1.
    best = speech_quality.composite(4.64, 0, 0, 35)
    assert best == {"csig": 5.0, "cbak": 5.0, "covl": 5.0}
    worst = speech_quality.composite(1.0, 3.0, 100.0, -10.0)
    assert worst == {"csig": 1.0, "cbak": 1.0, "covl": 1.0}


def test_gain_changes_neither_envelope_nor_slope():
    speech = made_speech()
    quieter = 0.1 * speech
    assert speech_quality.log_likelihood_ratio(speech, quieter, RATE) == pytest.approx(0, abs=0.02)
    assert speech_quality.weighted_spectral_slope(speech, quieter, RATE) < 5


def test_composite_by_hand():
    """Hu and Loizou's regressions at LLR 0.5, WSS 30, segmental SNR 5 dB, PESQ 2."""
    found = speech_quality.composite(2.0, 0.5, 30.0, 5.0)
    assert found["csig"] == pytest.approx(3.093 - 0.5145 + 1.206 - 0.27)
    assert found["cbak"] == pytest.approx(1.634 + 0.956 - 0.21 + 0.315)
    assert found["covl"] == pytest.approx(1.594 + 1.61 - 0.256 - 0.21)


def test_nearest_peak_by_walking():
    """The vectorised search against the walk along each spectrum."""
    levels = np.random.default_rng(0).normal(0, 10, (200, 25))
    levels[0] = np.arange(25)
    levels[1] = -np.arange(25)
    found = speech_quality._nearest_peak(levels)
    for row, expected_row in zip(levels, found, strict=True):
        slope = np.diff(row)
        for i in range(24):
            n = i
            if slope[i] > 0:
                while n < 24 and slope[n] > 0:
                    n += 1
                expected = row[n - 1]
            else:
                while n >= 0 and slope[n] <= 0:
                    n -= 1
                expected = row[n + 1]
            assert expected_row[i] == expected


def test_prediction_filter_finds_a_known_resonance():
    """LPC of an order-2 process: its own coefficients, and an LLR of the known log ratio."""
    from scipy.signal import lfilter

    noise = np.random.default_rng(0).normal(size=RATE * 2)
    r, hz = 0.95, 1000
    a = [1, -2 * r * np.cos(2 * np.pi * hz / RATE), r * r]
    frames = np.lib.stride_tricks.sliding_window_view(lfilter([1], a, noise), 4000)[::4000]
    lags = speech_quality._autocorrelation(frames * np.hanning(4000))
    found = np.mean([speech_quality._predictor(row) for row in lags], axis=0)
    np.testing.assert_allclose(found[:3], a, atol=0.06)
    np.testing.assert_allclose(found[3:], 0, atol=0.06)


def test_long_recordings_are_cut_and_silent_parts_left_out():
    speech = np.concatenate([made_speech(10), np.zeros(RATE * 10, np.float32), made_speech(10)])
    bounds = speech_quality.utterance_bounds(speech, RATE, 10)
    assert len(bounds) == 2
    assert bounds[0][0] == 0 and bounds[1][1] == len(speech)
    assert speech_quality.utterance_bounds(made_speech(3), RATE, 10) == [(0, 3 * RATE)]


def test_what_cannot_be_scored_says_why():
    silence = np.zeros(RATE * 2, np.float32)
    with pytest.raises(NotScorable):
        speech_quality.score_speech(silence, silence, RATE)
    with pytest.raises(NotScorable, match="fewer"):
        speech_quality.segmental_snr(silence[:300], silence[:300], RATE)
    with pytest.raises(ValueError, match="16000"):
        speech_quality.pesq_wideband(silence, silence, 8000)


def test_published_figures_on_real_pairs(shared_data):
    """VoiceBank-DEMAND: published means over 824 utterances are, noisy, 1.97/3.35/2.44/2.63 and,
    CMGAN, 3.41/4.63/3.94/4.12 (PESQ/CSIG/CBAK/COVL). A handful of the same set must come near.
    """
    published = {"noisy": (1.97, 3.35, 2.44, 2.63), "cmgan": (3.41, 4.63, 3.94, 4.12)}
    names = sorted(path.name for path in (shared_data / "speech/pairs/cmgan").glob("*.wav"))
    for kind, expected in published.items():
        rows = []
        for name in names:
            clean, rate = soundfile.read(shared_data / "speech/pairs/clean" / name, dtype="float32")
            other, _ = soundfile.read(shared_data / "speech/pairs" / kind / name, dtype="float32")
            n = min(len(clean), len(other))
            scores = speech_quality.score_speech(clean[:n], other[:n], rate)
            rows.append([scores[key] for key in ("pesq", "csig", "cbak", "covl")])
        np.testing.assert_allclose(np.mean(rows, axis=0), expected, atol=0.35)
