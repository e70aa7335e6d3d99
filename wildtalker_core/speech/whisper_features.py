"""Whisper's hidden states beside log-mel, for each video frame; whole, or as they come in live.

States come every 20 ms; they are interpolated to the 16 steps of 12.5 ms of a frame's log-mel
window, and lie behind it: [frames, 80 + width, 16]. Together they tell more of a mouth than either
(docs/portrait.md): the states know what is said, log-mel knows how loud it is now.
"""

from __future__ import annotations

from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
from librosa import filters

from wildtalker_core.speech.audio_features import (
    FLOOR_DB,
    N_STEPS,
    STEP_SECONDS,
    TARGET_DBFS,
    AudioFeatures,
    active_level_dbfs,
    log_mel,
)

SAMPLE_RATE_HZ = 16000
_N_FFT, _HOP_SAMPLES = 400, 160  # Whisper's mel spectra: 25 ms every 10 ms
_STEP_SECONDS = 0.02  # of a hidden state: two spectra

# ASSUME: the logarithm of a mel power that speech at -26 dBov does not exceed (1.1 on five clips).
# Whisper takes each recording's own maximum, under which it cuts at 80 dB; a constant makes a
# window's features independent of what is said elsewhere.
_CEILING = 1.1
# Blocks of 30 s, which Whisper was trained on, and what their states need on either side.
_BLOCK_STEPS, _MARGIN_STEPS = 1500, 250
# ASSUME: what the causal form looks back on. With 3 s the mouth is told as well as with thirty,
# with 1.5 s a little worse (benchmarks/hearing.py).
_PAST_STEPS = 150
PAST_SECONDS = _PAST_STEPS * _STEP_SECONDS
_WINDOWS_AT_ONCE = 32


@runtime_checkable
class Encoder(Protocol):
    """Mel spectra [batch, n_mels, 2 * steps] -> states [batch, steps, width], or the last few."""

    n_mels: int
    width: int

    def __call__(self, mel: np.ndarray, n_last: int | None = None) -> np.ndarray: ...


def whisper_features(
    waveform: np.ndarray,
    sample_rate_hz: int,
    n_frames: int,
    fps: float,
    encoder: Encoder,
    floor_db: float = FLOOR_DB,
    look_ahead_seconds: float | None = None,
    level_dbfs: float | None = None,
) -> AudioFeatures:
    """Features of a whole recording.

    Args:
        waveform: [samples] at 16 kHz, starting with the first video frame.
        floor_db: as in :func:`log_mel`.
        look_ahead_seconds: how far behind a frame's middle the sound may lie that its features are
            made of, 0.12 or more; None for as far as it helps.
        level_dbfs: of the active speech; None to measure it.

    Returns:
        audio_features [n_frames, 80 + width, 16].
    """
    if level_dbfs is None:
        level_dbfs = active_level_dbfs(waveform, sample_rate_hz)
    mel = log_mel(waveform, sample_rate_hz, n_frames, fps, floor_db, level_dbfs)
    n_steps = int(n_frames / fps / _STEP_SECONDS) + 16
    before = _BLOCK_STEPS
    stretch = _stretch(waveform, level_dbfs, -2 * before, 2 * (n_steps + before))
    spectra = mel_spectra(stretch, encoder.n_mels)
    places = _places(np.arange(n_frames), fps)
    if look_ahead_seconds is None:
        states = _interpolate(_in_blocks(spectra, before, n_steps, encoder), places)
    else:
        ends = _last_steps(np.arange(n_frames), fps, look_ahead_seconds)
        states = _of_windows(spectra, ends, before, places, encoder)
    return AudioFeatures(np.concatenate((mel.audio_features, states), 1), mel.is_silent)


def live_states(
    samples: np.ndarray,
    frames: np.ndarray,
    fps: float,
    encoder: Encoder,
    look_ahead_seconds: float,
    level_dbfs: float,
    first_sample: int = 0,
) -> np.ndarray:
    """States [k, width, 16] of consecutive ``frames`` [k], of the causal form.

    Args:
        samples: [n] at 16 kHz from ``first_sample`` of the recording on, with ``PAST_SECONDS``
            before the first frame, or from the beginning.
    """
    ends = _last_steps(frames, fps, look_ahead_seconds)
    first_step, last_step = int(ends[0]) - _PAST_STEPS + 1, int(ends[-1])
    heard = _stretch(samples, level_dbfs, 2 * first_step, 2 * (last_step + 1), first_sample)
    spectra = mel_spectra(heard, encoder.n_mels)
    return _of_windows(spectra, ends, -first_step, _places(frames, fps), encoder)


def mel_spectra(samples: np.ndarray, n_mels: int, ceiling: float | None = _CEILING) -> np.ndarray:
    """Whisper's scaled log-mel [n_mels, spectra] of all whole windows of 25 ms, 10 ms apart.

    Args:
        samples: [n] at 16 kHz.
        ceiling: what is more than 80 dB below this (log10 of power) counts as that; None for the
            loudest of the recording, as Whisper was trained.
    """
    window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(samples, _N_FFT)[::_HOP_SAMPLES]
    triangles = _filters(n_mels)
    powers = np.empty((len(views), n_mels), np.float32)
    for first in range(0, len(views), 1024):  # a few megabytes at a time
        part = slice(first, first + 1024)
        powers[part] = np.abs(np.fft.rfft(views[part] * window)) ** 2 @ triangles.T
    decades = np.log10(np.maximum(powers, 1e-10))
    top = decades.max() if ceiling is None else ceiling
    return ((np.maximum(decades, top - 8.0) + 4.0) / 4.0).T


@cache
def _filters(n_mels: int) -> np.ndarray:
    """Whisper's mel filters [n_mels, 201]."""
    return filters.mel(sr=SAMPLE_RATE_HZ, n_fft=_N_FFT, n_mels=n_mels)


def _stretch(
    samples: np.ndarray, level_dbfs: float, first: int, last: int, first_sample: int = 0
) -> np.ndarray:
    """What spectra ``first`` to ``last`` - 1 are made of, brought to our level.

    Spectrum k is centred at sample 160 k of the recording, of which ``samples`` begin at
    ``first_sample``; what lies outside of them is silence.
    """
    gain = 10.0 ** ((TARGET_DBFS - level_dbfs) / 20.0)
    begin = first * _HOP_SAMPLES - _N_FFT // 2 - first_sample
    end = (last - 1) * _HOP_SAMPLES + _N_FFT // 2 - first_sample
    cut = samples[max(0, begin) : max(0, end)] * gain
    return np.pad(cut, (max(0, -begin), end - max(0, begin) - len(cut))).astype(np.float32)


def _places(frames: np.ndarray, fps: float) -> np.ndarray:
    """Where the 16 steps of each frame's window lie, in states: [frames, 16].

    State k is at 20 k ms.
    """
    middles = (frames + 0.5) / fps
    steps = (np.arange(N_STEPS) - 0.5 * (N_STEPS - 1)) * STEP_SECONDS
    return (middles[:, None] + steps) / _STEP_SECONDS


def _last_steps(frames: np.ndarray, fps: float, look_ahead_seconds: float) -> np.ndarray:
    """The last state [frames] that is made of nothing but what the look-ahead allows."""
    until = (frames + 0.5) / fps + look_ahead_seconds - 0.5 * _N_FFT / SAMPLE_RATE_HZ
    # State k ends with spectrum 2 k + 1.
    return np.floor((until / (_STEP_SECONDS / 2) - 1) / 2 + 1e-6).astype(int)


def _in_blocks(spectra: np.ndarray, before: int, n_steps: int, encoder: Encoder) -> np.ndarray:
    """States [n_steps, width] of a recording whose first step is step ``before`` of ``spectra``."""
    inner = _BLOCK_STEPS - 2 * _MARGIN_STEPS
    parts = []
    for first in range(0, n_steps, inner):
        begin = before + first - _MARGIN_STEPS
        block = encoder(spectra[None, :, 2 * begin : 2 * (begin + _BLOCK_STEPS)])[0]
        parts.append(block[_MARGIN_STEPS : _MARGIN_STEPS + inner])
    return np.concatenate(parts)[:n_steps]


def _of_windows(
    spectra: np.ndarray, ends: np.ndarray, before: int, places: np.ndarray, encoder: Encoder
) -> np.ndarray:
    """States [frames, width, 16], each frame's of the past that ends with step ``ends`` of it."""
    firsts = ends - _PAST_STEPS + 1
    n_last = min(_PAST_STEPS, int((ends - np.floor(places[:, 0])).max()) + 1)
    found = []
    for first in range(0, len(ends), _WINDOWS_AT_ONCE):
        part = slice(first, first + _WINDOWS_AT_ONCE)
        windows = [
            spectra[:, 2 * (before + a) : 2 * (before + a + _PAST_STEPS)] for a in firsts[part]
        ]
        states = encoder(np.stack(windows), n_last)
        found += [
            _interpolate(own, at[None] - (end - n_last + 1))
            for own, at, end in zip(states, places[part], ends[part], strict=True)
        ]
    return np.concatenate(found)


def _interpolate(states: np.ndarray, places: np.ndarray) -> np.ndarray:
    """States [steps, width] at places [frames, 16], linearly: [frames, width, 16] float32."""
    places = places.clip(0, len(states) - 1)
    low = np.minimum(places.astype(int), len(states) - 2)
    part = (places - low)[..., None].astype(np.float32)
    values = (1 - part) * states[low] + part * states[low + 1]
    return np.ascontiguousarray(np.swapaxes(values, 1, 2), dtype=np.float32)
