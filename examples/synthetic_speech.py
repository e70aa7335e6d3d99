"""Speech-driven mouth tracks and procedural noise for the synthetic portrait.

Waveforms are float64 in [-1, 1].
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, resample, sosfiltfilt


def band_level(
    waveform: np.ndarray,
    sample_rate_hz: int,
    low_hz: float,
    high_hz: float,
    width_seconds: float = 0.018,
) -> np.ndarray:
    """Smoothed amplitude [samples] of `waveform` [samples] between two frequencies."""
    sos = butter(3, (low_hz, high_hz), btype="bandpass", fs=sample_rate_hz, output="sos")
    power = sosfiltfilt(sos, waveform) ** 2
    return np.sqrt(np.maximum(gaussian_filter1d(power, width_seconds * sample_rate_hz), 0.0))


def mouth_track(
    waveform: np.ndarray, sample_rate_hz: int, n_frames: int, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """How the mouth follows clean speech.

    Returns opening [n_frames] in 0..1 (0 closed) and rounding [n_frames] in -1..1 (1 rounded as in
    "who", -1 spread as in "see"), at the instants frame / fps. Vowels open the jaw, closures and
    fricatives close it.
    """
    vowel = band_level(waveform, sample_rate_hz, 300.0, 2600.0)
    low = band_level(waveform, sample_rate_hz, 250.0, 900.0, 0.03)
    high = band_level(waveform, sample_rate_hz, 1400.0, 3200.0, 0.03)
    loud = max(float(np.percentile(vowel, 97)), 1e-9)
    level_db = 20.0 * np.log10(np.maximum(vowel, 1e-9) / loud)
    # ASSUME: 26 dB below a loud vowel the lips meet, and the jaw follows the level in decibels with
    # a bend that keeps weak sounds nearly closed.
    opening = np.clip((level_db + 26.0) / 30.0, 0.0, 1.0) ** 1.6
    opening = gaussian_filter1d(opening, 0.022 * sample_rate_hz)
    tilt_db = 20.0 * np.log10(np.maximum(low, 1e-9) / np.maximum(high, 1e-9))
    rounding = np.clip((tilt_db - 11.0) / 12.0, -1.0, 1.0) * np.clip(opening * 4.0, 0.0, 1.0)
    rounding = gaussian_filter1d(rounding, 0.035 * sample_rate_hz)
    instants = np.arange(n_frames) / fps * sample_rate_hz
    samples = np.arange(len(waveform))
    return np.interp(instants, samples, opening), np.interp(instants, samples, rounding)


def _pink_noise(n_samples: int, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Noise [n_samples] whose power falls as 1/f above 40 Hz, unit standard deviation."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequency = np.fft.rfftfreq(n_samples, 1.0 / sample_rate_hz)
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency, 40.0)), n_samples)
    return noise / noise.std()


def room_noise(
    voices: list[np.ndarray], n_samples: int, sample_rate_hz: int, rng: np.random.Generator
) -> np.ndarray:
    """The sound of a busy room [n_samples], unit standard deviation.

    Babble (each of `voices` reversed, re-pitched and shifted several times over: nobody can be
    understood), pink room tone, mains hum, and a few clatters.
    """
    babble = np.zeros(n_samples)
    for _ in range(4):
        for voice in voices:
            speed = rng.uniform(0.82, 1.25)
            talker = resample(voice[::-1], int(len(voice) / speed))
            talker = np.tile(talker, n_samples // len(talker) + 1)[:n_samples]
            babble += (
                np.roll(talker, rng.integers(n_samples))
                / max(talker.std(), 1e-9)
                * rng.uniform(0.5, 1.0)
            )
    # A voice from across the room has lost its treble.
    sos = butter(1, 2500.0, btype="lowpass", fs=sample_rate_hz, output="sos")
    babble = sosfiltfilt(sos, babble)
    times = np.arange(n_samples) / sample_rate_hz
    hum = sum(np.sin(2 * np.pi * 50.0 * k * times + rng.uniform(0, 6.28)) / k for k in (1, 2, 3, 5))
    clatter = np.zeros(n_samples)
    for start in rng.uniform(0.8, max(n_samples / sample_rate_hz - 0.5, 0.9), size=5):
        since = times - start
        decay = np.where(since > 0, np.exp(-np.maximum(since, 0) * rng.uniform(30, 70)), 0.0)
        ring = sum(np.sin(2 * np.pi * f * since) for f in rng.uniform(1200, 5200, size=4))
        clatter += decay * (0.5 * ring + rng.standard_normal(n_samples)) * rng.uniform(0.6, 1.2)
    noise = babble / babble.std() + 0.45 * _pink_noise(n_samples, sample_rate_hz, rng) + 0.12 * hum
    noise = noise + 1.6 * clatter
    return noise / noise.std()


def mix_at_snr(clean: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """`clean` + scaled `noise`, both [samples].

    Snr_db is the ratio of their powers over the whole length.
    """
    gain = np.sqrt(np.mean(clean**2) / np.mean(noise**2) / 10.0 ** (snr_db / 10.0))
    return clean + gain * noise
