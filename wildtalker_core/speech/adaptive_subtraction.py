"""Spectral subtraction for recordings that begin in mid-word and for noise that moves (ours).

The frame is the paper's: several scales, a gain on each noisy spectrum, the mean of the inverse
transforms (Eq. 2). What is subtracted differs from Eq. 1 in three ways:

* the noise is tracked through speech, forwards and backwards in time, by the probability that a bin
  holds speech (Gerkmann and Hendriks 2012, "Unbiased MMSE-based noise power estimation");
* the local signal-to-noise ratio is smoothed over time in the cepstrum, where speech is compact and
  musical noise is not (Breithaupt, Gerkmann and Martin 2008, "A novel a priori SNR estimation
  approach based on selective cepstro-temporal smoothing");
* the gain follows that ratio (Ephraim and Malah 1985, "log-spectral amplitude", Eq. 20) and has a
  floor. In the words of Eq. 1, over_subtraction = (1 - gain) |S| / N varies from bin to bin.

After the mean over scales, stretches of which little is left hold no speech and are turned down
further (``quieten_pauses``, ours).

Inside, powers |S|^2 and all that follows from them are [hops, bins] float32: recursions run over
hops, and the bins of a hop lie side by side in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.special import exp1, expit

from wildtalker_core.compiled import njit
from wildtalker_core.speech.spectral_subtraction import Scale, istft, stft

# ASSUME: an octave shorter than the paper form's, since noise moves; chosen on real pairs.
ADAPTIVE_SCALES = (Scale(256, 64, 256), Scale(512, 128, 512), Scale(1024, 256, 1024))

# Smoothing constants are given for a hop of 8 ms and rescaled to each scale's own.
_REFERENCE_HOP_SECONDS = 0.008


@dataclass(frozen=True)
class Constants:
    """What the papers leave free: halfway from the papers' own values to those that a random search
    found on real pairs of two speakers. Halfway keeps most of the gain for a speaker on which
    nothing was searched, and intelligibility (benchmarks/denoising.py, docs/denoising.md).

    presence_snr_db: ratio that speech has in a bin where it is present.
    noise_memory, presence_memory: of the noise tracker, per 8 ms.
    noise_bias: the tracked power times this is the noise.
    level_memory, envelope_memory, fine_memory: of the cepstrum, per 8 ms: of quefrencies below
        ``level_seconds``, below ``envelope_seconds``, and of all others.
    ratio_floor_db: least ratio of a single bin before smoothing.
    ratio_bias: added to the smoothed natural log of the ratio.
    gain_floor: least gain, against musical noise.
    high_hz, high_exponent: above it, where speech says least and noise hisses most, the gain is
        raised to this power.
    pause_gain: factor for stretches without speech.
    pause_db, pause_slope_db: a stretch that lost this much is as likely speech as pause; width of
        the transition.
    pause_seconds: length of a stretch.
    """

    presence_snr_db: float = 15.8
    noise_memory: float = 0.865
    presence_memory: float = 0.9375
    noise_bias: float = 1.0
    level_memory: float = 0.075
    envelope_memory: float = 0.495
    fine_memory: float = 0.94
    level_seconds: float = 0.0002
    envelope_seconds: float = 0.001625
    ratio_floor_db: float = -15.85
    ratio_bias: float = -0.045
    gain_floor: float = 0.1115
    high_hz: float = 4200.0
    high_exponent: float = 1.3
    pause_gain: float = 0.575
    pause_db: float = -8.15
    pause_slope_db: float = 2.05
    pause_seconds: float = 0.06


DEFAULTS = Constants()


def denoise_adaptive(
    waveform: np.ndarray,
    sample_rate_hz: int,
    scales: Sequence[Scale] = ADAPTIVE_SCALES,
    constants: Constants = DEFAULTS,
) -> np.ndarray:
    """Mean over scales (Eq. 2) of the waveform times each scale's gain.

    waveform: [..., samples] float; returns the same shape and dtype. Rows are independent.
    """
    if not scales:
        raise ValueError("denoise_adaptive needs at least one scale")
    rows = waveform.reshape(-1, waveform.shape[-1])
    result = np.zeros_like(rows)
    for row, cleaned in zip(rows, result, strict=True):
        # Scaling the input must scale the output, and digital silence must not divide by zero.
        level = np.sqrt(np.mean(np.square(row, dtype=np.float64)))
        if level == 0.0:
            continue
        scaled = (row / level).astype(np.float32)
        total = np.zeros_like(scaled)
        for scale in scales:
            spectrum = stft(scaled, scale).T
            power = spectrum.real**2 + spectrum.imag**2 + np.float32(1e-9)
            gain = adaptive_gain(power, scale, sample_rate_hz, constants)
            total += istft((spectrum * gain).T, scale, row.size)
        total /= len(scales)
        cleaned[:] = level * quieten_pauses(scaled, total, sample_rate_hz, constants)
    return result.reshape(waveform.shape)


def adaptive_gain(
    power: np.ndarray, scale: Scale, sample_rate_hz: int, constants: Constants = DEFAULTS
) -> np.ndarray:
    """Gain [hops, bins] in [gain_floor ** high_exponent, 1] for powers [hops, bins] > 0."""
    hop_seconds = scale.hop_length / sample_rate_hz
    noise_power = track_noise(power, hop_seconds, constants)
    ratio = smoothed_ratio(power, noise_power, scale, sample_rate_hz, constants)
    gain = _limited_log_amplitude_gain(
        ratio, power, noise_power, np.float32(constants.gain_floor), _GAIN_TABLE
    )
    bins_hz = np.arange(power.shape[1]) * sample_rate_hz / scale.n_fft
    # The exponent grows from 1 over half a kilohertz: no edge in the spectrum.
    above = np.clip((bins_hz - constants.high_hz) / 500.0, 0.0, 1.0)
    first = int(np.searchsorted(bins_hz, constants.high_hz))
    exponent = (1.0 + (constants.high_exponent - 1.0) * above[first:]).astype(np.float32)
    gain[:, first:] **= exponent
    return gain


def quieten_pauses(
    noisy: np.ndarray, cleaned: np.ndarray, sample_rate_hz: int, constants: Constants = DEFAULTS
) -> np.ndarray:
    """``cleaned`` [samples], lower by up to ``pause_gain`` where little is left of ``noisy``.

    What remains of noise alone is a constant share of it, some decibels below what remains of
    speech in noise: the ratio of the two powers over a short stretch tells which it is.
    """
    n_window = max(1, round(constants.pause_seconds * sample_rate_hz))
    left, given = (
        uniform_filter1d(np.square(waveform, dtype=np.float64), n_window) + 1e-9
        for waveform in (cleaned, noisy)
    )
    kept_db = 10.0 * np.log10(left / given)
    is_pause = expit((constants.pause_db - kept_db) / constants.pause_slope_db)
    return (cleaned * constants.pause_gain**is_pause).astype(cleaned.dtype)


def track_noise(power: np.ndarray, hop_seconds: float, constants: Constants) -> np.ndarray:
    """Noise power [hops, bins] under speech that may begin at the first hop.

    Each run starts from a low quantile of the recording and updates by the expected noise given
    the probability of speech (Gerkmann and Hendriks, Eq. 18 to 23). The geometric mean of a run
    forwards and one backwards needs no silent start and lags neither way.
    """
    n_stretch = min(max(1, round(0.05 / hop_seconds)), len(power))
    whole = power[: len(power) // n_stretch * n_stretch]
    stretches = whole.reshape(-1, n_stretch, power.shape[1]).mean(axis=1)
    # ASSUME: in at least one of seven stretches of 50 ms a bin holds no speech; 1.5 is about the
    # mean over that quantile for smoothed noise.
    start = np.float32(1.5) * np.quantile(stretches, 0.15, axis=0).astype(np.float32)
    hops = hop_seconds / _REFERENCE_HOP_SECONDS
    options = (
        np.float32(constants.noise_memory**hops),
        np.float32(constants.presence_memory**hops),
        np.float32(10.0 ** (constants.presence_snr_db / 10.0)),
    )
    forward = _run_tracker(power, start, *options)
    backward = _run_tracker(power[::-1], forward[-1], *options)[::-1]
    return np.float32(constants.noise_bias) * np.sqrt(forward * backward)


@njit(cache=True, fastmath=True)
def _run_tracker(power, start, noise_memory, presence_memory, presence_snr):
    """One run of Gerkmann and Hendriks' tracker along the first axis of [hops, bins]."""
    n_hops, n_bins = power.shape
    result = np.empty((n_hops, n_bins), np.float32)
    mean_presence = np.full(n_bins, np.float32(0.5))
    noise = start.copy()
    one = np.float32(1.0)
    slope = presence_snr / (one + presence_snr)
    for t in range(n_hops):
        for k in range(n_bins):
            posterior = min(power[t, k] / noise[k], np.float32(80.0))
            presence = one / (one + (one + presence_snr) * np.exp(-posterior * slope))
            mean = presence_memory * mean_presence[k] + (one - presence_memory) * presence
            mean_presence[k] = mean
            if mean > np.float32(0.99):  # stuck below a noise that rose: let some of it in
                presence = min(presence, np.float32(0.99))
            expected = presence * noise[k] + (one - presence) * power[t, k]
            noise[k] = noise_memory * noise[k] + (one - noise_memory) * expected
            result[t, k] = noise[k]
    return result


def smoothed_ratio(
    power: np.ndarray,
    noise_power: np.ndarray,
    scale: Scale,
    sample_rate_hz: int,
    constants: Constants,
) -> np.ndarray:
    """Speech over noise power [hops, bins], smoothed over time in the cepstrum.

    The envelope of speech lives in the first cepstral coefficients and may change fast; the rest,
    where random peaks of noise would make music, changes slowly. Forward and backward runs are
    averaged, so that onsets are not late.

    All quefrencies but the first share one memory. Smoothing is linear, so the log spectrum itself
    is smoothed with that memory, and only the first coefficients are taken out and put back with
    their own: no transform of every hop.
    """
    floor = np.float32(10.0 ** (constants.ratio_floor_db / 10.0))
    log_speech = np.log(np.maximum(power - noise_power, floor * noise_power))
    n_level = max(1, round(constants.level_seconds * sample_rate_hz))
    n_first = max(n_level + 1, round(constants.envelope_seconds * sample_rate_hz))
    hops = scale.hop_length / sample_rate_hz / _REFERENCE_HOP_SECONDS
    analysis, synthesis = _cepstral_bases(scale.n_fft, n_first)
    memory = np.full(n_first, constants.envelope_memory**hops, np.float32)
    memory[:n_level] = constants.level_memory**hops
    slow = np.float32(constants.fine_memory**hops)
    first = log_speech @ analysis
    change = _smooth_both_ways(first, memory)
    change -= _smooth_both_ways(first, np.full(n_first, slow))
    smooth = _smooth_both_ways(log_speech, np.full(log_speech.shape[1], slow))
    smooth += change @ synthesis
    return np.exp(smooth + np.float32(constants.ratio_bias)) / noise_power


def _cepstral_bases(n_fft: int, n_first: int) -> tuple[np.ndarray, np.ndarray]:
    """Matrices from a log spectrum [bins] to its first cepstral coefficients, and back.

    The real cepstrum is the inverse transform of the log spectrum, which is real and even.
    """
    n_bins = n_fft // 2 + 1
    angles = 2.0 * np.pi * np.outer(np.arange(n_bins), np.arange(n_first)) / n_fft
    analysis = 2.0 * np.cos(angles) / n_fft
    analysis[0] /= 2.0
    if n_fft % 2 == 0:
        analysis[-1] /= 2.0
    synthesis = 2.0 * np.cos(angles.T)
    synthesis[0] /= 2.0
    return analysis.astype(np.float32), synthesis.astype(np.float32)


@njit(cache=True, fastmath=True)
def _smooth_both_ways(values, memory):
    """Mean of first-order smoothing forwards and backwards along the first axis of [hops, columns];
    each column has its memory; the first and last values are their own past."""
    n_hops, n_columns = values.shape
    result = np.empty((n_hops, n_columns), np.float32)
    half = np.float32(0.5)
    state = values[0].copy()
    for t in range(n_hops):
        for k in range(n_columns):
            state[k] = values[t, k] + memory[k] * (state[k] - values[t, k])
            result[t, k] = half * state[k]
    state[:] = values[n_hops - 1]
    for t in range(n_hops - 1, -1, -1):
        for k in range(n_columns):
            state[k] = values[t, k] + memory[k] * (state[k] - values[t, k])
            result[t, k] += half * state[k]
    return result


# u exp(E1(u^2) / 2) over u = sqrt(v): smooth, 0.749 at u = 0 and u itself beyond 4.
_TABLE_STEPS_PER_UNIT, _TABLE_END = 256, 4
_TABLE_U = np.arange(1, _TABLE_STEPS_PER_UNIT * _TABLE_END + 2) / _TABLE_STEPS_PER_UNIT
_GAIN_TABLE = np.concatenate(
    [[np.exp(-0.5 * np.euler_gamma)], _TABLE_U * np.exp(0.5 * exp1(_TABLE_U**2))]
).astype(np.float32)


@njit(cache=True, fastmath=True)
def _limited_log_amplitude_gain(ratio, power, noise_power, gain_floor, table):
    """``log_mmse.log_amplitude_gain`` in [gain_floor, 1], to a ten-thousandth, by table."""
    n_hops, n_bins = ratio.shape
    result = np.empty((n_hops, n_bins), np.float32)
    one, end = np.float32(1.0), np.float32(_TABLE_END)
    steps = np.float32(_TABLE_STEPS_PER_UNIT)
    for t in range(n_hops):
        for k in range(n_bins):
            wiener = ratio[t, k] / (one + ratio[t, k])
            u = np.sqrt(wiener * power[t, k] / noise_power[t, k])
            gain = wiener
            if u < end:
                place = u * steps
                whole = int(place)
                part = place - np.float32(whole)
                value = table[whole] + part * (table[whole + 1] - table[whole])
                gain = wiener * value / max(u, np.float32(1e-6))
            result[t, k] = min(max(gain, gain_floor), one)
    return result
