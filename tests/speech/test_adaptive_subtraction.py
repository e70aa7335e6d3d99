from dataclasses import replace

import numpy as np
import pytest

from tests.speech.test_spectral_subtraction import noise, snr_db
from wildtalker_core.speech.adaptive_subtraction import (
    _GAIN_TABLE,
    DEFAULTS,
    Constants,
    _cepstral_bases,
    _limited_log_amplitude_gain,
    _smooth_both_ways,
    adaptive_gain,
    denoise_adaptive,
    smoothed_ratio,
    track_noise,
)
from wildtalker_core.speech.log_mmse import denoise_log_mmse, log_amplitude_gain
from wildtalker_core.speech.spectral_subtraction import Scale

RATE_HZ = 16000
SCALE = Scale(512, 128, 512)
HOP_SECONDS = 0.008


def noise_powers(n_hops, n_bins=64, seed=0):
    """Periodograms of white noise of power 1: exponentially distributed."""
    return np.random.default_rng(seed).exponential(1.0, (n_hops, n_bins)).astype(np.float32)


def voice(seconds=3.0, starts_at=0.0):
    """A buzz of harmonics with a moving pitch and three syllables a second."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * t)) / RATE_HZ
    buzz = sum(np.sin(k * phase) / k for k in range(1, 20))
    syllables = np.maximum(np.sin(2 * np.pi * 3 * t + 0.5), 0) * (t >= starts_at)
    return (0.2 * buzz * syllables).astype(np.float32)


def test_tracker_finds_stationary_noise():
    """To 2 dB: the two runs lean to the low side, which spares speech; noise_bias is left to
    the constants."""
    constants = replace(DEFAULTS, noise_bias=1.0)
    for level in (0.01, 3.0):
        tracked = track_noise(level * noise_powers(2000), HOP_SECONDS, constants)
        assert -2.0 < 10 * np.log10(tracked[100:].mean() / level) < 0.5


def test_tracker_does_not_follow_speech_from_the_first_hop_on():
    """Bursts 20 dB above the noise, already there at hop 0, hardly raise the estimate."""
    power = noise_powers(1500)
    is_speech = np.sin(np.arange(1500) / 12) > 0
    power[is_speech] *= 100.0
    tracked = track_noise(power, HOP_SECONDS, DEFAULTS)
    assert 0.5 < np.median(tracked[:50]) < 2.0
    assert 0.5 < np.median(tracked) < 2.0


def test_tracker_follows_noise_that_rises():
    power = noise_powers(2000)
    power[1000:] *= 4.0
    tracked = np.median(track_noise(power, HOP_SECONDS, DEFAULTS), axis=1)
    assert tracked[:900].mean() == pytest.approx(1.0, rel=0.3)
    assert tracked[1250:].mean() == pytest.approx(4.0, rel=0.3)  # 2 s later


def test_tracker_is_the_same_backwards():
    power = noise_powers(400)
    np.testing.assert_allclose(
        track_noise(power, HOP_SECONDS, DEFAULTS)[100:-100],
        track_noise(power[::-1].copy(), HOP_SECONDS, DEFAULTS)[::-1][100:-100],
        rtol=0.05,
    )


def test_smoothing_of_the_first_coefficients_is_that_of_the_whole_cepstrum():
    """The short cut against the plain way: transform every hop, smooth, transform back."""
    power, noise_power = noise_powers(60, 257, 1) * 5, noise_powers(60, 257, 2) + 0.5
    floor = 10 ** (DEFAULTS.ratio_floor_db / 10)
    log_speech = np.log(np.maximum(power - noise_power, floor * noise_power)).astype(float)
    cepstrum = np.fft.irfft(log_speech, 512, axis=1)
    memory = np.full(512, DEFAULTS.fine_memory)
    quefrency = np.minimum(np.arange(512), 512 - np.arange(512)) / RATE_HZ
    n_level = round(DEFAULTS.level_seconds * RATE_HZ)
    n_first = round(DEFAULTS.envelope_seconds * RATE_HZ)
    memory[quefrency < n_first / RATE_HZ] = DEFAULTS.envelope_memory
    memory[quefrency < n_level / RATE_HZ] = DEFAULTS.level_memory
    runs = []
    for rows in (cepstrum, cepstrum[::-1]):
        state, run = rows[0].copy(), []
        for row in rows:
            state = memory * state + (1 - memory) * row
            run.append(state.copy())
        runs.append(run)
    plain = 0.5 * (np.array(runs[0]) + np.array(runs[1])[::-1])
    expected = np.exp(np.fft.rfft(plain, axis=1).real + DEFAULTS.ratio_bias) / noise_power
    ratio = smoothed_ratio(power, noise_power, SCALE, RATE_HZ, DEFAULTS)
    np.testing.assert_allclose(ratio, expected, rtol=2e-3)


@pytest.mark.parametrize("n_fft", [256, 512, 510])
def test_cepstral_bases_are_the_fourier_transform(n_fft):
    log_spectrum = np.random.default_rng(0).standard_normal(n_fft // 2 + 1)
    analysis, synthesis = _cepstral_bases(n_fft, 20)
    cepstrum = np.fft.irfft(log_spectrum, n_fft)
    np.testing.assert_allclose(log_spectrum @ analysis, cepstrum[:20], atol=1e-6)
    cepstrum[20 : n_fft - 19] = 0
    np.testing.assert_allclose(
        (log_spectrum @ analysis) @ synthesis, np.fft.rfft(cepstrum).real, atol=1e-5
    )


def test_smoothing_keeps_constants_and_memory_zero_changes_nothing():
    values = np.ones((50, 3), np.float32) * np.array([1, 2, 3], np.float32)
    np.testing.assert_allclose(_smooth_both_ways(values, np.full(3, 0.9, np.float32)), values)
    rough = noise(150).reshape(50, 3)
    np.testing.assert_allclose(_smooth_both_ways(rough, np.zeros(3, np.float32)), rough, atol=1e-6)


def test_gain_by_table_is_the_gain_of_the_equation():
    rng = np.random.default_rng(0)
    ratio = (10 ** rng.uniform(-3, 3, (200, 50))).astype(np.float32)
    power = (10 ** rng.uniform(-4, 4, (200, 50))).astype(np.float32)
    noise_power = np.full_like(power, 2.0)
    table = _limited_log_amplitude_gain(ratio, power, noise_power, np.float32(0.1), _GAIN_TABLE)
    equation = np.clip(log_amplitude_gain(ratio.astype(float), power / 2.0), 0.1, 1.0)
    np.testing.assert_allclose(table, equation, rtol=2e-4)


def test_gain_is_between_floor_and_one_and_grows_with_the_power():
    power = noise_powers(300, 257)
    power[100:200, 40:60] *= 1000.0
    gain = adaptive_gain(power, SCALE, RATE_HZ)
    assert gain.min() >= DEFAULTS.gain_floor**DEFAULTS.high_exponent - 1e-6 and gain.max() <= 1.0
    assert gain[110:190, 42:58].mean() > 0.9
    assert gain[:80].mean() < 0.35


@pytest.mark.parametrize("is_late", [False, True])
def test_voice_in_noise_gains_snr_with_and_without_a_silent_start(is_late):
    clean = voice(starts_at=0.5 if is_late else 0.0)
    noisy = clean + 0.05 * noise(clean.size)
    gain_db = snr_db(clean, denoise_adaptive(noisy, RATE_HZ)) - snr_db(clean, noisy)
    assert gain_db > 4.0


def test_clean_voice_is_hardly_touched():
    clean = voice() + 1e-4 * noise(3 * RATE_HZ)
    assert snr_db(clean, denoise_adaptive(clean, RATE_HZ)) > 20


def test_scaling_the_input_scales_the_output_and_rows_are_independent():
    noisy = voice() + 0.05 * noise(3 * RATE_HZ)
    plain = denoise_adaptive(noisy, RATE_HZ)
    np.testing.assert_allclose(denoise_adaptive(0.01 * noisy, RATE_HZ), 0.01 * plain, atol=1e-6)
    rows = np.stack([noisy, 2 * noisy[::-1]])
    np.testing.assert_allclose(denoise_adaptive(rows, RATE_HZ)[0], plain, atol=1e-6)


@pytest.mark.parametrize("n_samples", [1, 63, 900, 5001])
def test_any_length_and_silence(n_samples):
    result = denoise_adaptive(noise(n_samples), RATE_HZ)
    assert result.shape == (n_samples,) and np.isfinite(result).all()
    silence = np.zeros(n_samples, np.float32)
    np.testing.assert_array_equal(denoise_adaptive(silence, RATE_HZ), silence)


def test_digital_silence_before_speech_does_not_break_the_tracker():
    clean = voice(starts_at=1.0)
    noisy = clean + np.where(np.arange(clean.size) < RATE_HZ, 0, 0.03 * noise(clean.size))
    result = denoise_adaptive(noisy.astype(np.float32), RATE_HZ)
    assert np.isfinite(result).all()
    assert np.abs(result).max() < 1.5 * np.abs(noisy).max()


def test_log_mmse_gains_snr_after_a_silent_start():
    clean = voice(starts_at=0.5)
    noisy = clean + 0.05 * noise(clean.size)
    cleaned = denoise_log_mmse(noisy, RATE_HZ, SCALE, 0.4)
    assert cleaned.dtype == np.float32 and cleaned.shape == noisy.shape
    assert snr_db(clean, cleaned) - snr_db(clean, noisy) > 4.0
    rows = denoise_log_mmse(np.stack([noisy, 3 * noisy]), RATE_HZ, SCALE, 0.4)
    np.testing.assert_allclose(rows, [cleaned, 3 * cleaned], atol=1e-4)


def test_no_floor_no_residue():
    """With a floor of 0 silence between words may vanish: the floor is what keeps it."""
    noisy = 0.1 * noise(2 * RATE_HZ)
    levels = [
        np.std(denoise_adaptive(noisy, RATE_HZ, constants=Constants(gain_floor=floor)))
        for floor in (0.05, 0.2, 0.5)
    ]
    assert levels[0] < levels[1] < levels[2] < 0.1
