"""Audio features while the sound comes in: the rows of a whole recording's causal form.

That is :func:`audio_features.log_mel`, or :func:`whisper_features.whisper_features`.
"""

from __future__ import annotations

import math

import numpy as np

from wildtalker_core.speech.audio_features import (
    FLOOR_DB,
    LIVE_SECONDS,
    N_MELS,
    N_STEPS,
    TARGET_DBFS,
    AudioFeatures,
    mel_windows,
    quiet_between,
)
from wildtalker_core.speech.mixing import is_active, piece_powers
from wildtalker_core.speech.whisper_features import PAST_SECONDS, Encoder, live_states

SAMPLE_RATE_HZ = 16000
_PIECE_SAMPLES = 320
#: Kept before the middle of the next frame: a window of log-mel, or what an encoder looks back on.
_KEPT_SECONDS, _KEPT_STATES_SECONDS = 0.36, PAST_SECONDS + 0.1
# ASSUME the level of a stream is that of its last ten seconds, once half a second was active; what
# is fainter than -45 dBFS on end is a room, not a voice.
_LEVEL_PIECES, _LEAST_PIECES, _FAINTEST_DBFS = 500, 25, -45.0


class StreamingFeatures:
    """Push samples, get the rows that are ready.

    Args:
        fps: pictures a second, 9 or more.
        floor_db: as in :func:`log_mel`.
        level_dbfs: of the active speech; None follows the stream, from -26 on.
        encoder: whose states lie behind log-mel; None for log-mel alone.
        look_ahead_seconds: as in :func:`whisper_features`, 0.12 or more.
    """

    def __init__(
        self,
        fps: float,
        floor_db: float = FLOOR_DB,
        level_dbfs: float | None = None,
        encoder: Encoder | None = None,
        look_ahead_seconds: float = LIVE_SECONDS,
    ) -> None:
        self._encoder, self.look_ahead_seconds = encoder, look_ahead_seconds
        self.fps, self._floor_db = fps, floor_db
        self._follows = level_dbfs is None
        self.level_dbfs = TARGET_DBFS if level_dbfs is None else level_dbfs
        self._samples = np.zeros(0, np.float32)
        self._first_sample = self._n_told = self._n_measured = 0
        self._powers = np.zeros(0)
        width = 0 if encoder is None else encoder.width
        self._last_states = np.zeros((1, width, N_STEPS), np.float32)

    @property
    def n_samples(self) -> int:
        """Samples that were pushed."""
        return self._first_sample + len(self._samples)

    def samples_for(self, frame: int) -> int:
        """How many samples must be pushed before the row of ``frame`` is ready."""
        end_seconds = (frame + 0.5) / self.fps + self.look_ahead_seconds
        return math.ceil(end_seconds * SAMPLE_RATE_HZ - 1e-6)

    def n_ready(self, n_samples: int) -> int:
        """How many rows ``n_samples`` are enough for."""
        end_seconds = (n_samples + 1e-6) / SAMPLE_RATE_HZ - self.look_ahead_seconds
        n = max(0, math.floor(end_seconds * self.fps + 0.5))
        # Rounding never makes a row that is not ready, nor holds one back.
        while n and self.samples_for(n - 1) > n_samples:
            n -= 1
        while self.samples_for(n) <= n_samples:
            n += 1
        return n

    def push(self, pcm: np.ndarray, is_passed: bool = False) -> AudioFeatures:
        """Take the next samples [k] float32 at 16 kHz; rows [frames, 80 and more, 16].

        Args:
            is_passed: these rows are passed over: the encoder is not asked, the states are those of
                the last row that was not.
        """
        self._samples = np.concatenate((self._samples, np.asarray(pcm, np.float32)))
        if self._follows:
            self._follow()
        last = self.n_ready(self.n_samples)
        frames = np.arange(self._n_told, last)
        if not len(frames):
            width = N_MELS + (self._encoder.width if self._encoder else 0)
            return AudioFeatures(np.zeros((0, width, N_STEPS), np.float32), np.zeros(0, bool))
        rows = AudioFeatures(self._rows(frames, is_passed), self._silence(frames))
        self._n_told = last
        kept = _KEPT_SECONDS if self._encoder is None else _KEPT_STATES_SECONDS
        needed = int(((last + 0.5) / self.fps - kept) * SAMPLE_RATE_HZ)
        n = max(0, needed - self._first_sample) // _PIECE_SAMPLES * _PIECE_SAMPLES
        self._samples, self._first_sample = self._samples[n:], self._first_sample + n
        return rows

    def _rows(self, frames: np.ndarray, is_passed: bool) -> np.ndarray:
        windows = mel_windows(
            self._samples, frames, self.fps, self._floor_db, self.level_dbfs, self._first_sample
        )
        if self._encoder is None:
            return windows
        if is_passed:
            states = self._last_states.repeat(len(frames), 0)
        else:
            states = live_states(
                self._samples, frames, self.fps, self._encoder, self.look_ahead_seconds,
                self.level_dbfs, self._first_sample,
            )  # fmt: skip
            self._last_states = states[-1:]
        return np.concatenate((windows, states), 1)

    def _silence(self, frames: np.ndarray) -> np.ndarray:
        powers = piece_powers(self._samples, SAMPLE_RATE_HZ)
        edges = np.append(frames, frames[-1] + 1) * SAMPLE_RATE_HZ / (_PIECE_SAMPLES * self.fps)
        return quiet_between(powers, self.level_dbfs, edges - self._first_sample // _PIECE_SAMPLES)

    def _follow(self) -> None:
        new = self._samples[max(0, self._n_measured - self._first_sample) :]
        if len(new) < _PIECE_SAMPLES:
            return
        new = new[: len(new) // _PIECE_SAMPLES * _PIECE_SAMPLES]
        self._n_measured += len(new)
        powers = np.append(self._powers, piece_powers(new, SAMPLE_RATE_HZ))
        self._powers = powers[-_LEVEL_PIECES:]
        active = self._powers[is_active(self._powers)]
        if len(active) >= _LEAST_PIECES:
            level = 10 * np.log10(max(active.mean(), 1e-12))
            self.level_dbfs = max(_FAINTEST_DBFS, level)
