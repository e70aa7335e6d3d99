"""Whisper's hidden states beside log-mel, for each video frame; whole, or as they come in live.

States come every 20 ms; they are interpolated to the 16 steps of 12.5 ms of a frame's log-mel
window, and lie behind it: [frames, 80 + width, 16]. Together they tell more of a mouth than either
(docs/portrait.md): the states know what is said, log-mel knows how loud it is now.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from wildtalker_core.speech.audio_features import (
    FLOOR_DB,
    LIVE_SECONDS,
    N_STEPS,
    STEP_SECONDS,
    TARGET_DBFS,
    AudioFeatures,
    active_level_dbfs,
    is_quiet,
    log_mel,
    mel_windows,
)
from wildtalker_core.speech.mixing import piece_powers

SAMPLE_RATE_HZ = 16000
_PIECE_SAMPLES = 320  # in which silence is looked for
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
_WINDOWS_AT_ONCE = 32


class Encoder(Protocol):
    """Mel spectra [batch, n_mels, 2 * steps] -> states [batch, steps, width]."""

    n_mels: int
    width: int

    def __call__(self, mel: np.ndarray) -> np.ndarray: ...


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
        states = np.concatenate(
            [
                _of_windows(spectra, ends[first : first + _WINDOWS_AT_ONCE], before,
                            places[first : first + _WINDOWS_AT_ONCE], encoder)
                for first in range(0, n_frames, _WINDOWS_AT_ONCE)
            ]
        )  # fmt: skip
    return AudioFeatures(np.concatenate((mel.audio_features, states), 1), mel.is_silent)


class StreamingFeatures:
    """The causal form, while the sound comes in: the rows of :func:`whisper_features`.

    Args:
        fps: pictures a second.
        encoder, floor_db, look_ahead_seconds: as in :func:`whisper_features`.
        level_dbfs: of the active speech, which a stream does not know beforehand: that of the
            microphone or the voice, measured once.
    """

    def __init__(
        self,
        fps: float,
        encoder: Encoder,
        level_dbfs: float,
        look_ahead_seconds: float = LIVE_SECONDS,
        floor_db: float = FLOOR_DB,
    ) -> None:
        self.fps, self.look_ahead_seconds = fps, look_ahead_seconds
        self._encoder, self._level_dbfs, self._floor_db = encoder, level_dbfs, floor_db
        self._samples = np.zeros(0, np.float32)
        self._first_sample = 0  # of what is kept, counted from the beginning
        self._n_told = 0

    def push(self, pcm: np.ndarray) -> AudioFeatures:
        """Take the next samples [k] at 16 kHz; the rows that are ready now, [frames, ...]."""
        self._samples = np.concatenate((self._samples, np.asarray(pcm, np.float32)))
        heard = (self._first_sample + len(self._samples)) / SAMPLE_RATE_HZ
        n_ready = int(np.floor((heard - self.look_ahead_seconds) * self.fps - 0.5 + 1e-6)) + 1
        frames = np.arange(self._n_told, max(n_ready, self._n_told))
        if not len(frames):
            width = 80 + self._encoder.width
            return AudioFeatures(np.zeros((0, width, N_STEPS), np.float32), np.zeros(0, bool))
        rows = self._rows(frames)
        self._n_told = n_ready
        self._forget()
        return rows

    def _rows(self, frames: np.ndarray) -> AudioFeatures:
        windows = mel_windows(
            self._samples, frames, self.fps, self._floor_db, self._level_dbfs, self._first_sample
        )
        ends = _last_steps(frames, self.fps, self.look_ahead_seconds)
        first_step = ends[0] - _PAST_STEPS + 1
        heard = _stretch(
            self._samples, self._level_dbfs, 2 * first_step, 2 * (ends[-1] + 1), self._first_sample
        )
        spectra = mel_spectra(heard, self._encoder.n_mels)
        states = _of_windows(spectra, ends, -first_step, _places(frames, self.fps), self._encoder)
        return AudioFeatures(np.concatenate((windows, states), 1), self._silence(frames))

    def _silence(self, frames: np.ndarray) -> np.ndarray:
        quiet = is_quiet(piece_powers(self._samples, SAMPLE_RATE_HZ), self._level_dbfs)
        edges = np.append(frames, frames[-1] + 1) * SAMPLE_RATE_HZ / (_PIECE_SAMPLES * self.fps)
        first = np.floor(edges[:-1] + 1e-6).astype(int) - self._first_sample // _PIECE_SAMPLES
        last = np.ceil(edges[1:] - 1e-6).astype(int) - self._first_sample // _PIECE_SAMPLES
        return np.array([quiet[a:b].all() for a, b in zip(first, last, strict=True)])

    def _forget(self) -> None:
        needed = (self._n_told / self.fps - _PAST_STEPS * _STEP_SECONDS - 0.1) * SAMPLE_RATE_HZ
        n = max(0, int(needed) - self._first_sample) // _PIECE_SAMPLES * _PIECE_SAMPLES
        self._samples, self._first_sample = self._samples[n:], self._first_sample + n


def mel_spectra(samples: np.ndarray, n_mels: int, ceiling: float | None = _CEILING) -> np.ndarray:
    """Whisper's scaled log-mel [n_mels, spectra] of all whole windows of 25 ms, 10 ms apart.

    Args:
        samples: [n] at 16 kHz.
        ceiling: what is more than 80 dB below this (log10 of power) counts as that; None for the
            loudest of the recording, as Whisper was trained.
    """
    from librosa.filters import mel

    window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    views = np.lib.stride_tricks.sliding_window_view(samples, _N_FFT)[::_HOP_SAMPLES]
    triangles = mel(sr=SAMPLE_RATE_HZ, n_fft=_N_FFT, n_mels=n_mels)
    powers = np.empty((len(views), n_mels), np.float32)
    for first in range(0, len(views), 1024):  # a few megabytes at a time
        part = slice(first, first + 1024)
        powers[part] = np.abs(np.fft.rfft(views[part] * window)) ** 2 @ triangles.T
    decades = np.log10(np.maximum(powers, 1e-10))
    top = decades.max() if ceiling is None else ceiling
    return ((np.maximum(decades, top - 8.0) + 4.0) / 4.0).T


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
    windows = np.stack(
        [spectra[:, 2 * (before + a) : 2 * (before + a + _PAST_STEPS)] for a in firsts]
    )
    states = encoder(windows)
    return np.concatenate(
        [
            _interpolate(own, at[None] - first)
            for own, at, first in zip(states, places, firsts, strict=True)
        ]
    )


def _interpolate(states: np.ndarray, places: np.ndarray) -> np.ndarray:
    """States [steps, width] at places [frames, 16], linearly: [frames, width, 16] float32."""
    places = places.clip(0, len(states) - 1)
    low = np.minimum(places.astype(int), len(states) - 2)
    part = (places - low)[..., None].astype(np.float32)
    values = (1 - part) * states[low] + part * states[low + 1]
    return np.ascontiguousarray(np.swapaxes(values, 1, 2), dtype=np.float32)
