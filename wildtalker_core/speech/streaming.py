"""Log-mel windows while the sound comes in: the rows of :func:`audio_features.log_mel`."""

from __future__ import annotations

import math

import numpy as np

from wildtalker_core.speech.audio_features import (
    FLOOR_DB,
    N_MELS,
    N_STEPS,
    TARGET_DBFS,
    AudioFeatures,
    is_quiet,
    mel_windows,
)
from wildtalker_core.speech.mixing import is_active, piece_powers

SAMPLE_RATE_HZ = 16000
_PIECE_SAMPLES = 320
#: From the middle of a frame to the last sample of its window.
_REACH_SAMPLES = 1500 + 400
_KEPT_SAMPLES = 3 * _REACH_SAMPLES
# ASSUME the level of a stream is that of its last ten seconds, once half a second was active; what
# is fainter than -45 dBFS on end is a room, not a voice.
_LEVEL_PIECES, _LEAST_PIECES, _FAINTEST_DBFS = 500, 25, -45.0


class StreamingLogMel:
    """Push samples, get the rows that are ready.

    Args:
        fps: pictures a second, 9 or more.
        floor_db: as in :func:`log_mel`.
        level_dbfs: of the active speech; None follows the stream, from -26 on.
    """

    def __init__(
        self, fps: float, floor_db: float = FLOOR_DB, level_dbfs: float | None = None
    ) -> None:
        self.fps, self._floor_db = fps, floor_db
        self._follows = level_dbfs is None
        self.level_dbfs = TARGET_DBFS if level_dbfs is None else level_dbfs
        self._samples = np.zeros(0, np.float32)
        self._first_sample = self._n_told = self._n_measured = 0
        self._powers = np.zeros(0)

    @property
    def n_samples(self) -> int:
        """Samples that were pushed."""
        return self._first_sample + len(self._samples)

    def samples_for(self, frame: int) -> int:
        """How many samples must be pushed before the row of ``frame`` is ready."""
        return math.ceil((frame + 0.5) / self.fps * SAMPLE_RATE_HZ + _REACH_SAMPLES)

    def push(self, pcm: np.ndarray) -> AudioFeatures:
        """Take the next samples [k] float32 at 16 kHz; rows [frames, 80, 16] and silence."""
        self._samples = np.concatenate((self._samples, np.asarray(pcm, np.float32)))
        if self._follows:
            self._follow()
        last = self._n_told
        while self.samples_for(last) <= self.n_samples:
            last += 1
        frames = np.arange(self._n_told, last)
        if not len(frames):
            return AudioFeatures(np.zeros((0, N_MELS, N_STEPS), np.float32), np.zeros(0, bool))
        windows = mel_windows(
            self._samples, frames, self.fps, self._floor_db, self.level_dbfs, self._first_sample
        )
        rows = AudioFeatures(windows, self._silence(frames))
        self._n_told = last
        middle = int((last + 0.5) / self.fps * SAMPLE_RATE_HZ)
        n = max(0, middle - _KEPT_SAMPLES - self._first_sample) // _PIECE_SAMPLES * _PIECE_SAMPLES
        self._samples, self._first_sample = self._samples[n:], self._first_sample + n
        return rows

    def _silence(self, frames: np.ndarray) -> np.ndarray:
        quiet = is_quiet(piece_powers(self._samples, SAMPLE_RATE_HZ), self.level_dbfs)
        edges = np.append(frames, frames[-1] + 1) * SAMPLE_RATE_HZ / (_PIECE_SAMPLES * self.fps)
        first = np.floor(edges[:-1] + 1e-6).astype(int) - self._first_sample // _PIECE_SAMPLES
        last = np.ceil(edges[1:] - 1e-6).astype(int) - self._first_sample // _PIECE_SAMPLES
        return np.array([quiet[a:b].all() for a, b in zip(first, last, strict=True)])

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
