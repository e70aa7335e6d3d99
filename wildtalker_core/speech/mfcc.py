"""Mel-frequency cepstra as DeepSpeech 0.1.0 and SyncNet were trained on."""

from __future__ import annotations

import numpy as np
import scipy.fft

N_CEPSTRA = 26
_SAMPLE_RATE_HZ = 16000


def mfcc(waveform: np.ndarray) -> np.ndarray:
    """Cepstra [steps of 10 ms, 26] of [samples] in [-1, 1] at 16 kHz.

    Frames of 25 ms without a window, pre-emphasis 0.97, 512 points, 26 mel bands from 0 to 8 kHz
    (triangles on whole bins), sine lifter 22, and the log energy in place of the first cepstrum, of
    16-bit sample values.
    """
    samples = np.asarray(waveform, np.float64) * 32768.0
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1])
    n_field, n_hop, n_fft = 400, 160, 512
    n_frames = 1 + max(0, -(-(samples.size - n_field) // n_hop))
    emphasised = np.pad(emphasised, (0, max(0, (n_frames - 1) * n_hop + n_field - emphasised.size)))
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, n_field)[::n_hop]
    power = np.abs(np.fft.rfft(frames, n_fft, axis=1)) ** 2 / n_fft
    tiny = np.finfo(np.float64).eps
    energy = power.sum(axis=1)
    bands = power @ _whole_bin_triangles(n_fft).T
    cepstra = scipy.fft.dct(np.log(np.where(bands > 0, bands, tiny)), axis=1, norm="ortho")
    cepstra *= 1.0 + 11.0 * np.sin(np.pi * np.arange(N_CEPSTRA) / 22.0)
    cepstra[:, 0] = np.log(np.where(energy > 0, energy, tiny))
    return cepstra


def _whole_bin_triangles(n_fft: int) -> np.ndarray:
    """Mel bands [26, bins] whose corners lie on bins; mel = 2595 log10(1 + hz / 700)."""
    mels = np.linspace(0.0, 2595.0 * np.log10(1.0 + 0.5 * _SAMPLE_RATE_HZ / 700.0), N_CEPSTRA + 2)
    edges_hz = 700.0 * (10.0 ** (mels / 2595.0) - 1.0)
    edges = np.floor((n_fft + 1) * edges_hz / _SAMPLE_RATE_HZ)[:, None]
    bins = np.arange(n_fft // 2 + 1)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return np.maximum(0.0, np.where(bins < edges[1:-1], rising, falling))
