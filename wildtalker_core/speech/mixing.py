"""Speech over noise at a known signal-to-noise ratio, and noises made from nothing."""

from __future__ import annotations

import numpy as np

# ASSUME: speech is active in the 20 ms pieces that lie less than this below the loudest ones
# (95th percentile); pauses between words then do not count as speech level.
_ACTIVE_RANGE_DB = 25.0
_PIECE_SECONDS = 0.02


def active_power(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Mean square of the pieces in which somebody speaks (0 for digital silence).

    In the spirit of ITU-T P.56: pauses do not lower the level of a speech file.
    """
    powers = piece_powers(waveform, sample_rate_hz)
    active = powers[is_active(powers)]
    return float(active.mean()) if active.size else 0.0


def piece_powers(waveform: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Mean square [pieces] of consecutive 20 ms; a last incomplete piece counts if it is alone."""
    n_piece = max(1, round(_PIECE_SECONDS * sample_rate_hz))
    n_pieces = waveform.size // n_piece
    if n_pieces == 0:
        return np.array([np.mean(np.square(waveform, dtype=np.float64))])
    pieces = waveform[: n_pieces * n_piece].reshape(n_pieces, n_piece)
    return np.square(pieces, dtype=np.float64).mean(axis=1)


def is_active(powers: np.ndarray) -> np.ndarray:
    """Which pieces [pieces] hold speech, from their mean squares."""
    loud = np.percentile(powers, 95)
    return (powers > loud * 10.0 ** (-_ACTIVE_RANGE_DB / 10.0)) & (powers > 0)


def mix_at_snr(
    speech: np.ndarray,
    noise: np.ndarray,
    snr_db: float,
    sample_rate_hz: int,
    n_measured: int | None = None,
) -> np.ndarray:
    """``speech`` plus scaled ``noise``, both [samples]; the speech keeps its level.

    ``snr_db`` is 10 log10 of the speech's active power over the noise's mean power. Should the sum
    leave [-1, 1], the whole mix is scaled down, so that nothing clips and the ratio holds. Powers
    and peak are those of the first ``n_measured`` samples (None: all).

    Raises ValueError: unequal lengths, silent speech or silent noise.
    """
    if speech.shape != noise.shape:
        raise ValueError(f"speech {speech.shape} and noise {noise.shape} differ in length")
    speech_power = active_power(speech[:n_measured], sample_rate_hz)
    noise_power = float(np.mean(np.square(noise[:n_measured], dtype=np.float64)))
    if speech_power == 0.0 or noise_power == 0.0:
        raise ValueError("a ratio of speech to noise needs both, one of them is silent")
    gain = np.sqrt(speech_power / noise_power * 10.0 ** (-snr_db / 10.0))
    mixed = speech + gain * noise
    peak = np.abs(mixed[:n_measured]).max()
    return (mixed / max(1.0, peak)).astype(speech.dtype)


def fit_length(noise: np.ndarray, n_samples: int, sample_rate_hz: int) -> np.ndarray:
    """``noise`` [samples] cut, or repeated with cross-faded seams, to ``n_samples``."""
    n_fade = min(noise.size // 4, round(0.05 * sample_rate_hz))
    fade = np.sqrt(np.linspace(0.0, 1.0, n_fade, dtype=noise.dtype))  # equal power: uncorrelated
    result = noise
    while result.size < n_samples:
        seam = result[result.size - n_fade :] * fade[::-1] + noise[:n_fade] * fade
        result = np.concatenate([result[: result.size - n_fade], seam, noise[n_fade:]])
    return result[:n_samples]


def pink_noise(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noise [n_samples] float32 whose power falls as 1 / frequency; unit mean square."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1.0))
    spectrum[0] = 0.0
    noise = np.fft.irfft(spectrum, n_samples)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def changing_noise(speech: np.ndarray, sample_rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """``speech`` [samples] in a noise that changes: three seconds each of babble or pink noise.

    ASSUME: 20 to -5 dB, each level as likely as any other: from a quiet room to a street in which
    one has to shout. What is silent stays so.
    """
    power = active_power(speech, sample_rate_hz)
    if power == 0.0:
        return speech
    kinds = (babble_noise(speech, speech.size, rng), pink_noise(speech.size, rng))
    noise = np.zeros(speech.size, np.float32)
    for first in range(0, speech.size, 3 * sample_rate_hz):
        part = slice(first, first + 3 * sample_rate_hz)
        gain = np.sqrt(power * 10.0 ** (-rng.uniform(-5.0, 20.0) / 10.0))
        noise[part] = gain * kinds[rng.integers(len(kinds))][part]
    mixed = speech + noise
    return (mixed / max(1.0, np.abs(mixed).max())).astype(np.float32)


def babble_noise(
    speech: np.ndarray, n_samples: int, rng: np.random.Generator, n_talkers: int = 8
) -> np.ndarray:
    """Many voices at once, made of one: [n_samples] float32 of unit mean square.

    ASSUME: shifted copies of the speech itself, each at its own pace and pitch (0.8 to 1.25 times)
    and every other one backwards, stand for other talkers: the spectrum and rhythm of speech
    without a word that could be followed, and no recording needs to be shipped.
    """
    total = np.zeros(n_samples)
    for talker in range(n_talkers):
        pace = np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
        voice = speech[::-1] if talker % 2 else speech
        at = (rng.uniform(0, speech.size) + pace * np.arange(n_samples)) % (speech.size - 1)
        whole = at.astype(int)
        part = at - whole
        total += (1.0 - part) * voice[whole] + part * voice[whole + 1]
    power = np.mean(total**2)
    if power == 0.0:
        raise ValueError("babble made of silence is silence")
    return (total / np.sqrt(power)).astype(np.float32)
