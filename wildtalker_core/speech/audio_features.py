"""What the portrait hears: one window of audio features for each video frame.

Frame i is shown from i / fps to (i + 1) / fps; its window is centred at (i + 0.5) / fps.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from librosa import filters

from wildtalker_core.speech import mixing
from wildtalker_core.speech.spectral_subtraction import Scale

N_MELS = 80
#: How far behind a frame's middle its window of log-mel reaches, rounded up; features for live
#: speech are made of no later sound.
LIVE_SECONDS = 0.12
N_STEPS = 16  # of a window; 200 ms at 12.5 ms a step, as SyncTalk's audio-visual encoder sees them
_SCALE = Scale(n_fft=800, hop_length=200, win_length=800)  # at 16 kHz
_SAMPLE_RATE_HZ = 16000
STEP_SECONDS = _SCALE.hop_length / _SAMPLE_RATE_HZ
_LOW_HZ, _HIGH_HZ = 55.0, 7600.0  # SyncTalk's encoder

# ASSUME: speech is brought to this level before the logarithm, so that a quiet recording drives
# the same lips as a loud one; -26 dBov is the level of ITU-T P.56 test material.
TARGET_DBFS = -26.0

# ASSUME: log-mel of speech at that level reaches about this range (decibels of mel power); what is
# fainter is room and residue of denoising, which must not move the lips. A higher floor hears less
# of a clean voice and more of a noisy one (benchmarks/noisy_hearing.py). The range maps to -1 .. 1,
# so that the network's inputs are of unit range for every clip.
FLOOR_DB = -40.0
_CEILING_DB = 15.0

# ASSUME: a frame is silent where its loudest 20 ms lie this far below the active speech level.
_SILENT_BELOW_DB = 30.0
_DIGITAL_SILENCE = 1e-9  # mean square: -90 dBFS, the rounding noise of 16 bits


@dataclass(frozen=True)
class AudioFeatures:
    """audio_features: [frames, features, window] float32, about -1 .. 1. is_silent: [frames]."""

    audio_features: np.ndarray
    is_silent: np.ndarray


def log_mel(
    waveform: np.ndarray,
    sample_rate_hz: int,
    n_frames: int,
    fps: float,
    floor_db: float = FLOOR_DB,
    level_dbfs: float | None = None,
) -> AudioFeatures:
    """Windows of ``N_STEPS`` log-mel spectra around the middle of each video frame.

    Args:
        waveform: [samples] at 16 kHz, starting with the first video frame.
        floor_db: what is fainter counts as this, decibels of mel power of speech at -26 dBov.
        level_dbfs: of the speech, :func:`active_level_dbfs`; None: that of the waveform.

    Returns:
        audio_features [n_frames, 80, 16]; what lies before the beginning or after the end of the
        sound is silence.
    """
    if sample_rate_hz != _SAMPLE_RATE_HZ:
        raise ValueError(f"log_mel wants {_SAMPLE_RATE_HZ} Hz, got {sample_rate_hz}")
    if level_dbfs is None:
        level_dbfs = active_level_dbfs(waveform, sample_rate_hz)
    silent = frame_silence(waveform, sample_rate_hz, n_frames, fps, level_dbfs)
    return AudioFeatures(
        mel_windows(waveform, np.arange(n_frames), fps, floor_db, level_dbfs), silent
    )


def mel_windows(
    waveform: np.ndarray,
    frames: np.ndarray,
    fps: float,
    floor_db: float,
    level_dbfs: float,
    first_sample: int = 0,
) -> np.ndarray:
    """Windows [k, 80, 16] of increasing ``frames`` [k]; see :func:`log_mel`.

    Args:
        first_sample: of the recording, with which ``waveform`` begins.
    """
    sample_rate_hz, n_frames = _SAMPLE_RATE_HZ, len(frames)
    waveform = waveform * 10.0 ** ((TARGET_DBFS - level_dbfs) / 20.0)
    # Silence on both sides, so that every window lies inside; steps at multiples of the hop from
    # the first window's first step.
    half_seconds = 0.5 * (N_STEPS - 1) * _SCALE.hop_length / sample_rate_hz
    before = round(half_seconds * sample_rate_hz) + _SCALE.n_fft
    end = round((frames[-1] + 1) / fps * sample_rate_hz) - first_sample
    after = max(0, end - waveform.size) + before
    padded = np.pad(waveform.astype(np.float32), (before, after))
    centres = (frames + 0.5) / fps
    steps = (np.arange(N_STEPS) - 0.5 * (N_STEPS - 1)) * _SCALE.hop_length
    # [frames, steps] samples of the padded waveform at which the short-time windows are centred.
    at = np.round(centres[:, None] * sample_rate_hz + steps).astype(int) + before - first_sample
    mel = mel_matrix()
    window = np.hanning(_SCALE.n_fft + 1)[:-1].astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(padded, _SCALE.n_fft)
    features = np.empty((n_frames, N_MELS, N_STEPS), np.float32)
    for first in range(0, n_frames, 256):  # a few megabytes at a time
        frames = views[at[first : first + 256] - _SCALE.n_fft // 2] * window
        power = np.square(np.abs(np.fft.rfft(frames, axis=-1))).astype(np.float32)
        db = 10.0 * np.log10(np.maximum(power @ mel.T, 1e-12))
        scaled = (np.clip(db, floor_db, None) - floor_db) / (_CEILING_DB - floor_db)
        features[first : first + 256] = np.swapaxes(2.0 * scaled - 1.0, 1, 2)
    return features


def active_level_dbfs(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Level of the speech in the waveform, pauses left out, decibels of full scale."""
    return 10.0 * np.log10(max(mixing.active_power(waveform, sample_rate_hz), 1e-12))


def frame_silence(
    waveform: np.ndarray, sample_rate_hz: int, n_frames: int, fps: float, level_dbfs: float
) -> np.ndarray:
    """Whether nobody speaks during a video frame: [n_frames] bool."""
    powers = mixing.piece_powers(waveform, sample_rate_hz)
    pieces_per_frame = len(powers) * sample_rate_hz / (waveform.size * fps)
    return quiet_between(powers, level_dbfs, np.arange(n_frames + 1) * pieces_per_frame)


def quiet_between(powers: np.ndarray, level_dbfs: float, edges: np.ndarray) -> np.ndarray:
    """Whether nobody speaks between each two of ``edges`` [n + 1], in pieces: [n] bool.

    Args:
        powers: [pieces] mean squares.
    """
    quiet = is_quiet(powers, level_dbfs)
    # A millionth of a piece is rounding, not sound of the next frame.
    first, last = np.floor(edges[:-1] + 1e-6).astype(int), np.ceil(edges[1:] - 1e-6).astype(int)
    return np.array([quiet[a:b].all() for a, b in zip(first, last, strict=True)])


def is_quiet(powers: np.ndarray, level_dbfs: float) -> np.ndarray:
    """Whether nobody speaks in pieces of these mean squares [pieces]."""
    return powers < max(10.0 ** ((level_dbfs - _SILENT_BELOW_DB) / 10.0), _DIGITAL_SILENCE)


@cache
def mel_matrix() -> np.ndarray:
    """Triangular mel filters [80, 401] float32, each of sum 1: white noise has a flat spectrum."""
    return filters.mel(
        sr=_SAMPLE_RATE_HZ, n_fft=_SCALE.n_fft, n_mels=N_MELS, fmin=_LOW_HZ, fmax=_HIGH_HZ, norm=1
    )
