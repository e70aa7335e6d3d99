"""Scores of speech: waveforms [samples] at ``sample_rate_hz``, clean reference first.

PESQ and STOI come from their packages; the composite measures CSIG, CBAK and COVL are written from
Hu and Loizou, "Evaluation of Objective Quality Measures for Speech Enhancement", IEEE T-ASLP 16(1),
2008, with the frame settings of their published evaluation (30 ms, three quarters overlap). As
everywhere since VoiceBank-DEMAND tables exist, their PESQ term is the wide-band one.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solve_toeplitz

_FRAME_SECONDS, _HOP_SHARE = 0.030, 0.25
# Worst 5 % of the frames are left out of LLR and WSS (Hu and Loizou 2008, section II).
_KEPT_SHARE = 0.95
_SEGMENTAL_LIMITS_DB = (-10.0, 35.0)
_LPC_ORDER = 16  # for rates of 10 kHz and more

# Critical bands of Klatt's weighted spectral slope (1982), Hz: centre and width.
_BAND_CENTRES_HZ = np.array(
    [50.0, 120.0, 190.0, 260.0, 330.0, 400.0, 470.0, 540.0, 617.372, 703.378, 798.717, 904.128,
     1020.38, 1148.30, 1288.72, 1442.54, 1610.70, 1794.16, 1993.93, 2211.08, 2446.71, 2701.97,
     2978.04, 3276.17, 3597.63]
)  # fmt: skip
_BAND_WIDTHS_HZ = np.array(
    [70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 70.0, 77.3724, 86.0056, 95.3398, 105.411, 116.256, 127.914,
     140.423, 153.823, 168.154, 183.457, 199.776, 217.153, 235.631, 255.255, 276.072, 298.126,
     321.465, 346.136]
)  # fmt: skip
# Klatt's weights: 20 for the distance from the loudest band, 1 for that from the nearest peak.
_K_MAX, _K_LOCAL = 20.0, 1.0


class NotScorable(ValueError):
    """The pair has no such score (no speech in it, too short); the message says why."""


def si_sdr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), means removed.

    Raises NotScorable for a silent reference or an estimate without error (infinite).
    """
    _check(reference, estimate)
    s, e = (x.astype(np.float64) - x.mean(dtype=np.float64) for x in (reference, estimate))
    energy = float(s @ s)
    if energy == 0.0:
        raise NotScorable("the reference is silent")
    target = (float(s @ e) / energy) * s
    error = float(np.sum((e - target) ** 2))
    if error <= 1e-20 * energy:
        raise NotScorable("the estimate is the reference: infinite")
    return float(10.0 * np.log10(max(float(target @ target), 1e-20 * energy) / error))


def segmental_snr(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """Mean over 30 ms frames of the SNR in dB, each limited to [-10, 35]."""
    s, e = _frames(reference, estimate, sample_rate_hz)
    signal, error = np.sum(s**2, axis=1), np.sum((s - e) ** 2, axis=1)
    tiny = np.finfo(np.float64).eps
    return float(
        np.clip(10 * np.log10(signal / (error + tiny) + tiny), *_SEGMENTAL_LIMITS_DB).mean()
    )


def log_likelihood_ratio(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """LLR: log ratio of the prediction errors, on the reference, of both sides' LPC filters.

    0 where the spectral envelopes agree. Mean of the best 95 % of the frames.
    """
    s, e = _frames(reference, estimate, sample_rate_hz)
    lags = np.arange(_LPC_ORDER + 1)
    distance = np.abs(lags[:, None] - lags)
    ratios = []
    for clean, processed in zip(_autocorrelation(s), _autocorrelation(e), strict=True):
        a_clean, a_processed = _predictor(clean), _predictor(processed)
        toeplitz = clean[distance]
        ratios.append(
            np.log((a_processed @ toeplitz @ a_processed) / (a_clean @ toeplitz @ a_clean))
        )
    return _mean_of_best(np.array(ratios))


def weighted_spectral_slope(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int
) -> float:
    """WSS: weighted squared difference of the slopes between neighbouring critical bands, dB.

    Klatt 1982. Slopes at spectral peaks weigh most. Mean of the best 95 % of the frames.
    """
    s, e = _frames(reference, estimate, sample_rate_hz)
    bands = [_band_levels_db(frames, sample_rate_hz) for frames in (s, e)]
    slopes = [np.diff(levels, axis=1) for levels in bands]
    weights = 0.5 * sum(_slope_weights(levels) for levels in bands)
    distances = np.sum(weights * (slopes[0] - slopes[1]) ** 2, axis=1) / np.sum(weights, axis=1)
    return _mean_of_best(distances)


def composite(pesq_wb: float, llr: float, wss: float, segmental_snr_db: float) -> dict[str, float]:
    """CSIG, CBAK and COVL, 1 to 5: opinion on speech distortion, background and the whole.

    Hu and Loizou 2008, Table III (regressions over all conditions), limited to the scale.
    """
    opinions = {
        "csig": 3.093 - 1.029 * llr + 0.603 * pesq_wb - 0.009 * wss,
        "cbak": 1.634 + 0.478 * pesq_wb - 0.007 * wss + 0.063 * segmental_snr_db,
        "covl": 1.594 + 0.805 * pesq_wb - 0.512 * llr - 0.007 * wss,
    }
    return {name: float(np.clip(value, 1.0, 5.0)) for name, value in opinions.items()}


def pesq_wideband(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """PESQ, ITU-T P.862.2 (wide band, MOS-LQO), by the package ``pesq``; 16 kHz only.

    Raises NotScorable where PESQ finds no utterance.
    """
    from pesq import PesqError, pesq

    _check(reference, estimate)
    if sample_rate_hz != 16000:
        raise ValueError(f"wide-band PESQ is defined at 16000 Hz, not {sample_rate_hz}")
    if not reference.any() or not estimate.any():
        raise NotScorable("PESQ: digital silence")
    try:
        return float(pesq(sample_rate_hz, reference, estimate, "wb"))
    except PesqError as error:
        reason = error.args[0] if error.args else type(error).__name__
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise NotScorable(f"PESQ: {text}") from error


def stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011) by the package ``pystoi``, 0 to 1.

    Raises NotScorable where less than 0.4 s of speech is found.
    """
    import warnings

    import pystoi

    _check(reference, estimate)
    with warnings.catch_warnings():
        # pystoi warns and returns 1e-5 if too few frames hold speech: that is no score.
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(pystoi.stoi(reference, estimate, sample_rate_hz))
        except RuntimeWarning as warning:
            raise NotScorable("STOI: less than 0.4 s of speech") from warning


def score_speech(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int
) -> dict[str, float]:
    """All scores of one utterance. Raises NotScorable where one of them does not exist."""
    pesq_wb = pesq_wideband(reference, estimate, sample_rate_hz)
    llr = log_likelihood_ratio(reference, estimate, sample_rate_hz)
    wss = weighted_spectral_slope(reference, estimate, sample_rate_hz)
    segmental = segmental_snr(reference, estimate, sample_rate_hz)
    return {
        "pesq": pesq_wb,
        "stoi": stoi(reference, estimate, sample_rate_hz),
        **composite(pesq_wb, llr, wss, segmental),
        "segmental_snr_db": segmental,
        "llr": llr,
        "wss": wss,
    }


def utterance_bounds(
    reference: np.ndarray, sample_rate_hz: int, seconds: float, min_level_db: float = -50.0
) -> list[tuple[int, int]]:
    """Cut a long recording into equal parts of about ``seconds``: [(first, last sample)].

    PESQ is made for 8 to 12 s; scores of a longer recording are means over such parts. Parts whose
    reference lies below ``min_level_db`` under the whole recording's level hold no speech and are
    left out.
    """
    n_parts = max(1, round(len(reference) / (seconds * sample_rate_hz)))
    edges = np.linspace(0, len(reference), n_parts + 1).astype(int)
    power = float(np.mean(np.square(reference, dtype=np.float64)))
    floor = power * 10 ** (min_level_db / 10)
    return [
        (int(first), int(last))
        for first, last in zip(edges[:-1], edges[1:], strict=True)
        if np.mean(np.square(reference[first:last], dtype=np.float64)) > floor
    ]


def _frames(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int
) -> tuple[np.ndarray, np.ndarray]:
    """Both sides cut into Hann-windowed frames: [frames, samples] float64."""
    _check(reference, estimate)
    n_samples = round(_FRAME_SECONDS * sample_rate_hz)
    hop = int(_HOP_SHARE * n_samples)
    if len(reference) < n_samples + hop:
        raise NotScorable(f"{len(reference)} samples are fewer than two frames")
    window = 0.5 * (1 - np.cos(2 * np.pi * np.arange(1, n_samples + 1) / (n_samples + 1)))
    views = (
        np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), n_samples)[::hop]
        for x in (reference, estimate)
    )
    s, e = (view * window for view in views)
    return s, e


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    """Lags 0 to order of each frame, [frames, order + 1]."""
    n = frames.shape[1]
    lags = [np.sum(frames[:, : n - k] * frames[:, k:], axis=1) for k in range(_LPC_ORDER + 1)]
    # White noise far below 16 bits: digital silence stays solvable, anything else stays as it is.
    lags[0] = lags[0] * (1 + 1e-10) + 1e-20
    return np.stack(lags, axis=1)


def _predictor(autocorrelation: np.ndarray) -> np.ndarray:
    """Prediction error filter 1, -a1, ..., -a16 of one frame (the normal equations)."""
    a = solve_toeplitz(autocorrelation[:-1], autocorrelation[1:])
    return np.concatenate([[1.0], -a])


def _band_levels_db(frames: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Level of each critical band, [frames, 25] dB, not below -100."""
    n_fft = 2 ** int(np.ceil(np.log2(2 * frames.shape[1])))
    n_bins = n_fft // 2
    power = np.abs(np.fft.rfft(frames, n_fft, axis=1)[:, :n_bins]) ** 2
    bins_per_hz = n_bins / (0.5 * sample_rate_hz)
    centres = np.floor(_BAND_CENTRES_HZ * bins_per_hz)[:, None]
    widths = (_BAND_WIDTHS_HZ * bins_per_hz)[:, None]
    log_gain = np.log(_BAND_WIDTHS_HZ[0] / _BAND_WIDTHS_HZ)[:, None]
    filters = np.exp(-11.0 * ((np.arange(n_bins) - centres) / widths) ** 2 + log_gain)
    # The Gaussians end 30 dB below 1 (in the amplitude sense of the published evaluation).
    filters[filters <= np.exp(-30.0 / (2 * 2.303))] = 0.0
    return 10.0 * np.log10(np.maximum(power @ filters.T, 1e-10))


def _slope_weights(levels_db: np.ndarray) -> np.ndarray:
    """Klatt's weight of each slope, [frames, 24]: near the loudest band and near a local peak."""
    lower = levels_db[:, :-1]
    to_loudest = levels_db.max(axis=1, keepdims=True) - lower
    to_peak = _nearest_peak(levels_db) - lower
    return (_K_MAX / (_K_MAX + to_loudest)) * (_K_LOCAL / (_K_LOCAL + to_peak))


def _nearest_peak(levels_db: np.ndarray) -> np.ndarray:
    """Level of the peak that each slope leads to, [frames, 24].

    A rising slope is followed upwards in frequency to where it stops rising, a falling one
    downwards to where it began to fall. As in the published evaluation, the band taken is the last
    one *before* the sign of the slope changes, going up, and the one after it, going down.
    """
    is_rising = np.diff(levels_db, axis=1) > 0
    n_slopes = is_rising.shape[1]
    peaks = np.empty(is_rising.shape)
    rising_peak = levels_db[:, n_slopes - 1]
    for i in reversed(range(n_slopes)):
        ends_here = np.ones(len(levels_db), bool) if i == n_slopes - 1 else ~is_rising[:, i + 1]
        rising_peak = np.where(ends_here, levels_db[:, i], rising_peak)
        peaks[:, i] = rising_peak
    falling_peak = levels_db[:, 0]
    for i in range(n_slopes):
        begins_here = np.ones(len(levels_db), bool) if i == 0 else is_rising[:, i - 1]
        falling_peak = np.where(begins_here, levels_db[:, i], falling_peak)
        peaks[:, i] = np.where(is_rising[:, i], peaks[:, i], falling_peak)
    return peaks


def _mean_of_best(distances: np.ndarray) -> float:
    n_kept = max(1, round(_KEPT_SHARE * len(distances)))
    return float(np.sort(distances)[:n_kept].mean())


def _check(reference: np.ndarray, estimate: np.ndarray) -> None:
    if reference.shape != estimate.shape or reference.ndim != 1:
        raise ValueError(f"reference {reference.shape} and estimate {estimate.shape} differ")
