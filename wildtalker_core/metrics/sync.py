"""Do lips and voice go together? LSE from embeddings, and a correlation that needs no network.

Arithmetic only: the network that makes the embeddings is ``pretrained.syncnet``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, sosfiltfilt

from wildtalker_core.metrics.bootstrap import error_of
from wildtalker_core.metrics.landmarks import correlation

#: ASSUME: a mouth that moves less (standard deviation, shares of the eyes' distance) is at rest:
#: landmarks of a still picture tremble by 0.001, those of a talking mouth move by 0.03 to 0.05.
STILL_MOUTH = 0.004

#: Shifts tried on either side, video frames (Chung and Zisserman 2016; syncnet_python's default).
MAX_SHIFT_FRAMES = 15


@dataclass(frozen=True)
class LipSync:
    """LSE of one video (Prajwal et al. 2020).

    lse_d: smallest time-averaged distance (lower is better). lse_c: median over shifts minus that
    smallest one (higher is better). offset_frames: shift of the smallest distance, with the sign
    of the public evaluation: positive where the picture comes late (the sound that fits a window
    of the video lies earlier). standard_errors: of lse_c and lse_d, by drawing blocks of windows.
    """

    lse_c: float
    lse_d: float
    offset_frames: int
    standard_errors: tuple[float | None, float | None]


def lip_sync_error(
    lip_embeddings: np.ndarray, audio_embeddings: np.ndarray, block: int = 1
) -> LipSync:
    """LSE-C and LSE-D from embeddings [windows, size] of the same instants.

    Video window i is compared with the audio windows i - 15 ... i + 15. Beyond either end the audio
    embedding is zero, as in the public evaluation: on short clips this raises the distances at
    large shifts a little, the same for everybody.

    Args:
        block: windows that are drawn together for the standard errors; see ``bootstrap``.
    """
    if lip_embeddings.shape != audio_embeddings.shape or lip_embeddings.ndim != 2:
        raise ValueError(f"lips {lip_embeddings.shape} and audio {audio_embeddings.shape} differ")
    distances = _distances(lip_embeddings, audio_embeddings)
    n_windows = len(distances)
    block = max(1, min(block, n_windows // 4))

    def confidence(windows: np.ndarray) -> float:
        means = distances[windows].mean(axis=0)
        return float(np.median(means) - means.min())

    def distance(windows: np.ndarray) -> float:
        return float(distances[windows].mean(axis=0).min())

    whole = np.arange(n_windows)
    return LipSync(
        confidence(whole),
        distance(whole),
        MAX_SHIFT_FRAMES - int(np.argmin(distances.mean(axis=0))),
        (error_of(confidence, n_windows, block), error_of(distance, n_windows, block)),
    )


def _distances(lip_embeddings: np.ndarray, audio_embeddings: np.ndarray) -> np.ndarray:
    """Distance of each window's lips to the audio at each shift, [windows, shifts]."""
    n_windows = len(lip_embeddings)
    padded = np.pad(audio_embeddings, ((MAX_SHIFT_FRAMES, MAX_SHIFT_FRAMES), (0, 0)))
    return np.stack(
        [
            np.linalg.norm(lip_embeddings - padded[first : first + n_windows], axis=1)
            for first in range(2 * MAX_SHIFT_FRAMES + 1)
        ],
        axis=1,
    )


@dataclass(frozen=True)
class LipAudioCorrelation:
    """Largest correlation of lips and loudness over small lags, and that lag.

    lag_frames: positive where the mouth moves after the voice. Both NaN where the mouth or the
    loudness does not move.
    """

    correlation: float
    lag_frames: float


def lip_audio_correlation(
    opening: np.ndarray, loudness: np.ndarray, max_lag_frames: int = 5
) -> LipAudioCorrelation:
    """Pearson correlation of lip movement and loudness, both [frames], at the best small lag.

    Ours, needs no weights, and is no LSE: it sees that the jaw falls with the voice, not that the
    right sound is formed. Real clips reach 0.2 to 0.7, wrong sound 0.05 to 0.15 by chance (more
    on a short clip), so it is read beside the ground truth's. As for LSE, the best shift counts,
    since clips themselves are some frames out of sync. ASSUME: 5 frames (0.2 s) either way; beyond
    that chance peaks win.

    Args:
        opening: any measure of how far the mouth is open, as a share of the distance between the
            eyes; NaN where no face was found.
    """
    if opening.shape != loudness.shape or opening.ndim != 1:
        raise ValueError(f"opening {opening.shape} and loudness {loudness.shape} differ")
    if np.isfinite(opening).sum() < 3 or np.nanstd(opening) < STILL_MOUTH:
        return LipAudioCorrelation(float("nan"), float("nan"))
    n_frames = len(opening)
    lags = range(-min(max_lag_frames, n_frames - 3), min(max_lag_frames, n_frames - 3) + 1)
    every = np.arange(n_frames)
    values = {lag: correlation_at(opening, loudness, lag, every) for lag in lags}
    known = {lag: value for lag, value in values.items() if np.isfinite(value)}
    if not known:
        return LipAudioCorrelation(float("nan"), float("nan"))
    best = max(known, key=lambda lag: (known[lag], -abs(lag)))
    return LipAudioCorrelation(known[best], float(best))


def correlation_at(
    opening: np.ndarray, loudness: np.ndarray, lag_frames: int, frames: np.ndarray
) -> float:
    """Correlation of the loudness at ``frames`` with the opening ``lag_frames`` later.

    Frames whose partner lies beyond either end take no part.
    """
    later = frames + lag_frames
    is_inside = (later >= 0) & (later < len(opening))
    return correlation(loudness[frames[is_inside]], opening[later[is_inside]])


def speech_loudness(
    waveform: np.ndarray,
    sample_rate_hz: int,
    times_seconds: np.ndarray,
    width_seconds: float = 0.12,
) -> np.ndarray:
    """Loudness of the voiced band around given instants, [times] in dB above a floor, at least 0.

    ASSUME: 400 to 1200 Hz, where an open jaw puts the first formant, a window of 0.12 s, and a
    floor 30 dB below the loudest instant, so that breath and silence are equally silent; these
    went best with the lips of three real clips, by a little.
    """
    band = butter(3, (400.0, 1200.0), btype="bandpass", fs=sample_rate_hz, output="sos")
    if len(waveform) < 64:
        raise ValueError(f"{len(waveform)} samples are too few to have a loudness")
    filtered = sosfiltfilt(band, np.asarray(waveform, np.float64))
    power = mean_power(filtered, sample_rate_hz, times_seconds, width_seconds)
    level_db = 10.0 * np.log10(np.maximum(power, 1e-12))
    return np.maximum(level_db - (level_db.max() - 30.0), 0.0)


def mean_power(
    waveform: np.ndarray, sample_rate_hz: int, times_seconds: np.ndarray, width_seconds: float
) -> np.ndarray:
    """Mean square of the sound in a window around given instants, [times]."""
    total = np.concatenate([[0.0], np.cumsum(np.square(waveform, dtype=np.float64))])
    half = 0.5 * width_seconds * sample_rate_hz
    centres = np.asarray(times_seconds) * sample_rate_hz
    first = np.clip(np.round(centres - half), 0, len(waveform)).astype(int)
    last = np.clip(np.round(centres + half), 0, len(waveform)).astype(int)
    return (total[last] - total[first]) / np.maximum(last - first, 1)
