"""Multi-scale spectral subtraction (MSS): Eq. 1 and 2 of the paper.

    Eq. 1   |S'_l| = max(|S_l| - alpha * N_l, 0)          at each scale l, with the noisy phase
    Eq. 2   s' = mean over l of ISTFT_l(S'_l)

A spectrum is complex [..., bins, hops]; ``noise_magnitude`` broadcasts against it ([bins, 1] for
stationary noise).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import librosa
import numpy as np

from wildtalker_core.errors import InputError


@dataclass(frozen=True)
class Scale:
    """One short-time Fourier transform, in samples; a Hann window, centred in n_fft."""

    n_fft: int
    hop_length: int
    win_length: int

    def __post_init__(self) -> None:
        if not 0 < self.hop_length <= self.win_length // 2:
            raise ValueError(f"{self}: hop_length must lie in 1 .. win_length / 2")
        if not self.win_length <= self.n_fft:
            raise ValueError(f"{self}: win_length must not exceed n_fft")


# ASSUME: three octaves from 32 to 128 ms at 16 kHz, a quarter of the window a hop; the paper names
# neither scales nor their number.
PAPER_SCALES = (Scale(512, 128, 512), Scale(1024, 256, 1024), Scale(2048, 512, 2048))

# ASSUME: alpha 1, which on real pairs is within 0.02 PESQ of the best and spares intelligibility
# (docs/denoising.md); the paper does not tell its own.
PAPER_OVER_SUBTRACTION = 1.0

# ASSUME: the paper estimates noise from "initial frames" without saying how many; on real pairs
# longer is a little better, but few recordings begin with more silence than this.
PAPER_LEADING_SECONDS = 0.2


def stft(waveform: np.ndarray, scale: Scale) -> np.ndarray:
    """Complex spectrum [..., n_fft / 2 + 1, hops] of [..., samples]; hop t is centred at t * hop.

    The waveform is mirrored at both ends, so that the first and last samples count fully.
    """
    n_samples, half = waveform.shape[-1], scale.n_fft // 2
    n_hops = 1 + -(-n_samples // scale.hop_length)
    n_padded = (n_hops - 1) * scale.hop_length + scale.n_fft
    sides = [(0, 0)] * (waveform.ndim - 1) + [(half, n_padded - n_samples - half)]
    # A very short waveform has not enough to mirror.
    padded = np.pad(waveform, sides, mode="reflect" if n_samples > scale.n_fft else "constant")
    return librosa.stft(padded, **vars(scale), center=False)


def istft(spectrum: np.ndarray, scale: Scale, n_samples: int) -> np.ndarray:
    """The waveform [..., n_samples] whose spectrum is nearest (Griffin and Lim 1984, Eq. 6)."""
    half = scale.n_fft // 2
    padded = librosa.istft(spectrum, **vars(scale), center=False)
    return padded[..., half : half + n_samples]


def leading_noise_magnitude(magnitude: np.ndarray, n_hops: int) -> np.ndarray:
    """Mean magnitude [..., bins, 1] of the first hops, in which nobody speaks yet (the paper)."""
    return magnitude[..., : max(1, n_hops)].mean(axis=-1, keepdims=True)


def subtract_noise(
    spectrum: np.ndarray, noise_magnitude: np.ndarray, over_subtraction: float | np.ndarray
) -> np.ndarray:
    """Eq. 1: lower each magnitude by ``over_subtraction`` times the noise, at least to 0.

    Never above the input; the phase stays. Shapes broadcast to ``spectrum`` [..., bins, hops].
    """
    magnitude = np.abs(spectrum)
    kept = np.maximum(magnitude - over_subtraction * noise_magnitude, 0.0)
    return spectrum * (kept / np.maximum(magnitude, np.finfo(magnitude.dtype).tiny))


def denoise(
    waveform: np.ndarray,
    sample_rate_hz: int,
    scales: Sequence[Scale] = PAPER_SCALES,
    over_subtraction: float = PAPER_OVER_SUBTRACTION,
    leading_seconds: float = PAPER_LEADING_SECONDS,
) -> np.ndarray:
    """Eq. 2: the mean over scales of the waveforms denoised by Eq. 1.

    Args:
        waveform: [..., samples] float; each row has its own noise.
        leading_seconds: the beginning that holds noise only.

    Returns:
        [..., samples], same dtype.
    """
    if not scales:
        raise ValueError("denoise needs at least one scale")
    total = np.zeros_like(waveform)
    for scale in scales:
        spectrum = stft(waveform, scale)
        n_leading = round(leading_seconds * sample_rate_hz / scale.hop_length)
        noise_magnitude = leading_noise_magnitude(np.abs(spectrum), n_leading)
        cleaned = subtract_noise(spectrum, noise_magnitude, over_subtraction)
        total += istft(cleaned, scale, waveform.shape[-1])
    return total / len(scales)


def scales_from_config(triples: Sequence[Sequence[int]]) -> tuple[Scale, ...]:
    """Scales of [n_fft, hop_length, win_length] lists. Raises InputError for impossible ones."""
    try:
        return tuple(Scale(*map(int, triple)) for triple in triples)
    except (ValueError, TypeError) as error:
        raise InputError(
            "config speech.scales", str(error), "give lists of [n_fft, hop_length, win_length]"
        ) from error
