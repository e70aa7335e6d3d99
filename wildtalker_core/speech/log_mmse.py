"""The log-spectral amplitude estimator of Ephraim and Malah (1984, 1985)."""

from __future__ import annotations

import numpy as np
from scipy.special import exp1

from wildtalker_core.speech.spectral_subtraction import Scale, istft, stft


def log_amplitude_gain(ratio: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Ephraim and Malah (1985), Eq. 20: xi / (1 + xi) exp(E1(v) / 2), v = posterior xi / (1 + xi).

    Not limited to 1: small ``posterior`` values are raised, as in the paper. This is the
    definition; ``adaptive_subtraction`` looks it up in a table.
    """
    wiener = ratio / (1.0 + ratio)
    return wiener * np.exp(0.5 * exp1(np.maximum(wiener * posterior, 1e-12)))


def denoise_log_mmse(
    waveform: np.ndarray, sample_rate_hz: int, scale: Scale, leading_seconds: float
) -> np.ndarray:
    """The classical log-spectral amplitude estimator: one scale, decision-directed ratio.

    Ephraim and Malah (1984, 1985) with alpha 0.98 and noise from the silent beginning; a yardstick
    in Table 3. waveform: [..., samples]; returns the same shape.
    """
    spectrum = stft(waveform, scale)
    power = np.square(np.abs(spectrum), dtype=np.float64)
    n_leading = max(1, round(leading_seconds * sample_rate_hz / scale.hop_length))
    noise_power = power[..., :n_leading].mean(axis=-1, keepdims=True) + 1e-20
    posterior = np.minimum(power / noise_power, 1e3)
    gain = np.empty_like(power)
    # ASSUME: -25 dB as least ratio (Cappe 1994), which keeps the residue free of music.
    least_ratio = 10.0**-2.5
    previous = np.ones_like(posterior[..., 0])
    for t in range(power.shape[-1]):
        now = posterior[..., t]
        ratio = np.maximum(0.98 * previous + 0.02 * np.maximum(now - 1.0, 0.0), least_ratio)
        gain[..., t] = np.minimum(log_amplitude_gain(ratio, now), 1.0)
        previous = gain[..., t] ** 2 * now
    return istft(spectrum * gain.astype(spectrum.real.dtype), scale, waveform.shape[-1])
