import numpy as np
import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.speech.spectral_subtraction import (
    PAPER_SCALES,
    Scale,
    denoise,
    istft,
    leading_noise_magnitude,
    scales_from_config,
    stft,
    subtract_noise,
)

RATE_HZ = 16000
SCALES = [*PAPER_SCALES, Scale(256, 64, 256), Scale(512, 100, 400), Scale(1024, 512, 1024)]


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).standard_normal(n_samples).astype(np.float32)


def snr_db(reference, estimate):
    return 10 * np.log10(np.sum(reference**2) / np.sum((estimate - reference) ** 2))


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("n_samples", [1, 100, 511, 2048, 5000, 16001])
def test_transform_and_inverse_give_the_waveform_back(scale, n_samples):
    waveform = noise(n_samples)
    again = istft(stft(waveform, scale), scale, n_samples)
    assert again.shape == waveform.shape and again.dtype == np.float32
    np.testing.assert_allclose(again, waveform, atol=2e-5)


def test_spectrum_is_the_windowed_transform_by_hand():
    scale = Scale(512, 128, 400)
    waveform = noise(4000).astype(np.float64)
    spectrum = stft(waveform, scale)
    window = np.zeros(512)
    window[56:456] = np.hanning(401)[:-1]
    for hop in (5, 11, 20):
        piece = waveform[hop * 128 - 256 : hop * 128 + 256] * window
        by_hand = [
            np.sum(piece * np.exp(-2j * np.pi * k * np.arange(512) / 512)) for k in (0, 7, 256)
        ]
        np.testing.assert_allclose(spectrum[[0, 7, 256], hop], by_hand, atol=1e-9)


def test_equation_1_never_adds_and_never_turns():
    rng = np.random.default_rng(0)
    spectrum = rng.standard_normal((5, 7)) + 1j * rng.standard_normal((5, 7))
    magnitude = rng.uniform(0, 1, (5, 1))
    previous = np.abs(spectrum)
    for alpha in (0.3, 1.0, 2.0, 5.0):
        kept = subtract_noise(spectrum, magnitude, alpha)
        assert (np.abs(kept) <= previous + 1e-12).all()  # monotone in alpha, below the input
        np.testing.assert_allclose(
            np.abs(kept), np.maximum(np.abs(spectrum) - alpha * magnitude, 0), atol=1e-12
        )
        alive = np.abs(kept) > 1e-9
        np.testing.assert_allclose(np.angle(kept[alive]), np.angle(spectrum[alive]))
        previous = np.abs(kept)
    np.testing.assert_allclose(subtract_noise(spectrum, magnitude, 0.0), spectrum)
    np.testing.assert_allclose(subtract_noise(spectrum, 0 * magnitude, 3.0), spectrum)
    assert (subtract_noise(np.zeros((3, 3), complex), np.ones((3, 1)), 1.0) == 0).all()


def test_leading_noise_is_the_mean_of_the_first_hops():
    magnitude = np.arange(12.0).reshape(2, 6)
    np.testing.assert_allclose(leading_noise_magnitude(magnitude, 3), [[1.0], [7.0]])
    np.testing.assert_allclose(leading_noise_magnitude(magnitude, 0), [[0.0], [6.0]])


def test_equation_2_is_the_mean_over_scales():
    waveform = noise(8000)
    alone = [denoise(waveform, RATE_HZ, [scale]) for scale in PAPER_SCALES]
    np.testing.assert_allclose(denoise(waveform, RATE_HZ), np.mean(alone, axis=0), atol=1e-6)


@pytest.mark.parametrize("n_samples", [1, 700, 12345])
def test_length_and_type_are_kept(n_samples):
    result = denoise(noise(n_samples), RATE_HZ)
    assert result.shape == (n_samples,) and result.dtype == np.float32
    assert np.isfinite(result).all()


def test_scaling_the_input_scales_the_output():
    waveform = noise(8000)
    np.testing.assert_allclose(
        denoise(8 * waveform, RATE_HZ), 8 * denoise(waveform, RATE_HZ), atol=1e-5
    )


def test_batch_equals_loop():
    rows = np.stack([noise(6000, 1), 3 * noise(6000, 2)])
    np.testing.assert_allclose(
        denoise(rows, RATE_HZ), [denoise(row, RATE_HZ) for row in rows], atol=1e-6
    )


def test_tone_that_begins_after_silence_gains_snr():
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    tone = np.where(t > 0.5, np.sin(2 * np.pi * 700 * t), 0).astype(np.float32)
    noisy = tone + 0.3 * noise(t.size)
    gain_db = snr_db(tone, denoise(noisy, RATE_HZ, leading_seconds=0.4)) - snr_db(tone, noisy)
    # Magnitude subtraction of the mean leaves E[max(R - mean R, 0)^2] = 0.096 of Rayleigh noise
    # power (10.2 dB less) between the tones; mixing scales averages some of that away.
    assert 9.0 < gain_db < 16.0
    nothing = denoise(tone, RATE_HZ, leading_seconds=0.4)
    assert snr_db(tone, nothing) > 60  # no noise: nothing to take


def test_impossible_scales_are_refused():
    for triple in ([512, 300, 512], [256, 64, 512], [512, 0, 512]):
        with pytest.raises(InputError, match="speech.scales"):
            scales_from_config([triple])
    assert scales_from_config([[512, 128, 512]]) == (Scale(512, 128, 512),)
    with pytest.raises(ValueError, match="at least one"):
        denoise(noise(100), RATE_HZ, [])
