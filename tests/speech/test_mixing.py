import numpy as np
import pytest

from wildtalker_core.speech.mixing import (
    active_power,
    babble_noise,
    changing_noise,
    fit_length,
    is_active,
    mix_at_snr,
    piece_powers,
    pink_noise,
)

RATE_HZ = 16000


def tone(seconds=1.0, amplitude=0.5):
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 400 * t)).astype(np.float32)


def test_pauses_do_not_lower_the_level_of_speech():
    spoken = tone(amplitude=0.5)
    with_pauses = np.concatenate([np.zeros(RATE_HZ, np.float32), spoken, np.zeros(2 * RATE_HZ)])
    assert active_power(spoken, RATE_HZ) == pytest.approx(0.125, rel=1e-3)
    assert active_power(with_pauses.astype(np.float32), RATE_HZ) == pytest.approx(0.125, rel=1e-3)
    assert active_power(np.zeros(1000, np.float32), RATE_HZ) == 0.0
    assert is_active(piece_powers(with_pauses, RATE_HZ)).mean() == pytest.approx(0.25)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
def test_ratio_is_what_was_asked_for(snr_db):
    speech = np.concatenate([tone(amplitude=0.1), np.zeros(RATE_HZ, np.float32)])
    noise = np.random.default_rng(0).standard_normal(speech.size).astype(np.float32)
    added = mix_at_snr(speech, noise, snr_db, RATE_HZ) - speech
    peak = np.abs(speech + added).max()
    if peak < 1:  # nothing was scaled: 0.005 is the tone's power, pauses left out
        assert 10 * np.log10(0.005 / np.mean(added**2)) == pytest.approx(snr_db, abs=0.02)
        np.testing.assert_allclose(added / noise, (added / noise)[0], rtol=1e-2)


def test_loud_mixes_do_not_clip_and_keep_the_ratio():
    speech, noise = tone(amplitude=0.9), np.ones(RATE_HZ, np.float32)
    mixed = mix_at_snr(speech, noise, 0.0, RATE_HZ)
    assert np.abs(mixed).max() == pytest.approx(1.0)
    constant = mixed.mean()  # the noise; the tone has no mean
    assert np.mean((mixed - constant) ** 2) == pytest.approx(constant**2, rel=1e-2)


def test_silence_cannot_be_mixed():
    with pytest.raises(ValueError, match="silent"):
        mix_at_snr(np.zeros(1000, np.float32), np.ones(1000, np.float32), 5.0, RATE_HZ)
    with pytest.raises(ValueError, match="length"):
        mix_at_snr(np.ones(1000, np.float32), np.ones(10, np.float32), 5.0, RATE_HZ)


@pytest.mark.parametrize("n_samples", [100, 1000, 4567])
def test_short_noise_is_repeated_without_a_dip_or_a_bump(n_samples):
    noise = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    longer = fit_length(noise, n_samples, RATE_HZ)
    assert longer.size == n_samples
    np.testing.assert_array_equal(longer[:500], noise[:500][:n_samples])
    assert np.mean(longer**2) == pytest.approx(1.0, abs=0.3)


def test_pink_noise_falls_three_decibels_an_octave():
    noise = pink_noise(4 * RATE_HZ, np.random.default_rng(0))
    assert np.mean(noise**2) == pytest.approx(1.0, rel=1e-4)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hz = np.fft.rfftfreq(noise.size, 1 / RATE_HZ)
    bands = [power[(hz >= low) & (hz < 2 * low)].mean() for low in (125, 250, 500, 1000, 2000)]
    np.testing.assert_allclose(-np.diff(10 * np.log10(bands)), 3.01, atol=0.6)


def test_babble_sounds_like_speech_but_not_like_this_one():
    rng = np.random.default_rng(0)
    speech = (tone(2.0) * (np.sin(np.arange(2 * RATE_HZ) / 1500) > 0)).astype(np.float32)
    babble = babble_noise(speech, speech.size, rng)
    assert babble.shape == speech.shape and np.mean(babble**2) == pytest.approx(1.0, rel=1e-4)
    spectrum = np.abs(np.fft.rfft(babble)) ** 2
    hz = np.fft.rfftfreq(babble.size, 1 / RATE_HZ)
    near = (hz > 400 * 0.78) & (hz < 400 * 1.28)
    assert spectrum[near].sum() > 0.95 * spectrum.sum()
    assert abs(np.corrcoef(speech, babble)[0, 1]) < 0.2


def test_changing_noise_has_every_level_and_leaves_the_speech():
    speech = tone(30.0, 0.1)
    noisy = changing_noise(speech, RATE_HZ, np.random.default_rng(0))
    again = changing_noise(speech, RATE_HZ, np.random.default_rng(0))
    np.testing.assert_array_equal(noisy, again)
    assert noisy.shape == speech.shape and np.abs(noisy).max() <= 1
    scale = (noisy @ speech) / (speech @ speech)
    noise = noisy - scale * speech
    power = active_power(scale * speech, RATE_HZ)
    parts = [noise[a : a + 3 * RATE_HZ] for a in range(0, noise.size - 3 * RATE_HZ, 3 * RATE_HZ)]
    snrs_db = [10 * np.log10(power / np.mean(part**2)) for part in parts]
    assert -8 < min(snrs_db) and max(snrs_db) < 23 and np.ptp(snrs_db) > 3
    assert not changing_noise(np.zeros(RATE_HZ, "f4"), RATE_HZ, np.random.default_rng(0)).any()
