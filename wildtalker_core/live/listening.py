"""The ear while sound comes in: from pieces of PCM at any rate to mouth shapes, frame by frame."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import soxr
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from wildtalker_core.mouth.ear import CONTEXT_FRAMES, Ear
from wildtalker_core.speech.streaming import SAMPLE_RATE_HZ, StreamingFeatures
from wildtalker_core.speech.whisper_features import Encoder

#: Rows that are kept behind the next frame: the ear's context and its largest delay.
_KEPT_ROWS = 16
_RATES_HZ = (8000, 192000)


class Listener:
    """Mouth shapes of a stream, each with its own piece of sound.

    Args:
        ear: knows how far it looks ahead.
        hearing: ``logmel_floor_db``.
        encoder: whose states the ear knows beside log-mel; None for log-mel alone.
        level_dbfs: of the active speech; None follows the stream.
    """

    def __init__(
        self,
        ear: Ear,
        hearing: Mapping[str, Any],
        fps: float,
        encoder: Encoder | None = None,
        level_dbfs: float | None = None,
    ) -> None:
        self._ear, self._fps, self._encoder = ear, fps, encoder
        self._floor_db, self._level_dbfs = hearing["logmel_floor_db"], level_dbfs
        delay = int(ear.delay)
        self._ahead = max(0, min(CONTEXT_FRAMES + delay, int(ear.ahead)))
        self._resampler: soxr.ResampleStream | None = None
        self._rate_hz = 0
        self.clear()

    def clear(self) -> None:
        """Forget what was pushed and not taken."""
        self._features = StreamingFeatures(
            self._fps, self._floor_db, self._level_dbfs, self._encoder
        )
        self._rows: deque[np.ndarray] = deque()
        self._silent: deque[bool] = deque()
        self._first_row = self._n_taken = self._first_sample = 0
        #: Frames of a stream that was finished; None while it goes on.
        self._n_frames: int | None = None
        self._sound = np.zeros(0, np.float32)
        if self._resampler is not None:
            self._resampler.clear()

    @property
    def seconds_waiting(self) -> float:
        """Sound that was pushed and not taken."""
        end = self._n_samples / SAMPLE_RATE_HZ
        if self._n_frames is not None:
            end = self._n_frames / self._fps
        return max(0.0, end - self._n_taken / self._fps)

    @property
    def _n_samples(self) -> int:
        return self._first_sample + len(self._sound)

    @property
    def n_ready(self) -> int:
        """Frames that can be taken now."""
        end = self._features.n_ready(self._n_samples) - self._ahead
        if self._n_frames is not None:
            end = min(end, self._n_frames)
        return max(0, end - self._n_taken)

    def push(self, pcm: np.ndarray, sample_rate_hz: int) -> None:
        """Take the next samples [k] or [k, channels], int16 or float in [-1, 1], of any rate.

        Nothing is heard yet: who pushes must keep up with the sound, whatever the encoder takes.

        Raises ValueError: NaN, a shape or rate that is no sound's.
        """
        mono = _mono(pcm)
        if not _RATES_HZ[0] <= sample_rate_hz <= _RATES_HZ[1]:
            raise ValueError(f"{sample_rate_hz} Hz is no rate of speech (8000 to 192000)")
        if self._n_frames is not None and not self.n_ready:
            self.clear()  # a new sentence begins with the next frame
        self._n_frames = None
        if sample_rate_hz != self._rate_hz:
            self._rate_hz = sample_rate_hz
            same = sample_rate_hz == SAMPLE_RATE_HZ
            # ASSUME quick filters: their delay counts, and nobody hears this copy of the sound.
            self._resampler = (
                None
                if same
                else soxr.ResampleStream(sample_rate_hz, SAMPLE_RATE_HZ, 1, quality="QQ")
            )
        self._add(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def finish(self) -> None:
        """Silence behind the last sample, so that the frames that wait for more can be taken."""
        if self._n_frames is None and self._n_samples:
            n_frames = math.ceil(self._n_samples / SAMPLE_RATE_HZ * self._fps - 1e-3)
            wanted = self._features.samples_for(n_frames - 1 + self._ahead)
            self._add(np.zeros(max(0, wanted - self._n_samples), np.float32))
            self._n_frames = n_frames

    def _add(self, mono: np.ndarray) -> None:
        self._sound = np.concatenate((self._sound, mono))

    def prepare(self, n_passed: int, n_rows: int) -> None:
        """Make the next frame's row or, where it is made, one more: an encoder takes a while.

        Args:
            n_passed: frames that are likely to be passed over first: the encoder is not asked.
            n_rows: so many are made before they are taken, as far as there is sound.
        """
        first = self._n_taken + n_passed
        self._make_rows(first - 1, is_passed=True)
        first += self._ahead
        n_made = self._first_row + len(self._rows)
        self._make_rows(min(max(first, n_made), first + n_rows - 1))

    def _make_rows(self, last: int, is_passed: bool = False) -> None:
        """Rows up to ``last``, as far as there is sound."""
        last = min(last, self._features.n_ready(self._n_samples) - 1)
        while self._first_row + len(self._rows) <= last:
            start = self._features.n_samples - self._first_sample
            end = self._features.samples_for(self._first_row + len(self._rows))
            piece = self._sound[start : end - self._first_sample]
            found = self._features.push(piece, is_passed)
            self._rows.extend(found.audio_features)
            self._silent.extend(found.is_silent.tolist())

    def is_silent_until(self, n_frames: int) -> bool:
        """Whether nobody speaks in the next frames, as far as they are known."""
        start = self._n_taken - self._first_row
        return all(list(self._silent)[start : start + n_frames])

    @torch.no_grad()
    def take(
        self, turn: Float[Tensor, "3"], gain: float
    ) -> tuple[Float[Tensor, "shapes"], bool, Float32[np.ndarray, "k"]]:
        """The next frame: its shape, whether it is silent, its sound at 16 kHz.

        Args:
            turn: rotation vector of the head that is shown.
        """
        self._make_rows(self._n_taken + self._ahead)
        place = self._n_taken - self._first_row
        rows = torch.as_tensor(np.stack(list(self._rows)[: place + self._ahead + 1]))
        shape = self._ear.shapes(rows, torch.tensor([place]), turn[None], gain)[0]
        return shape, *self.skip()

    def skip(self) -> tuple[bool, Float32[np.ndarray, "k"]]:
        """Pass a frame over: whether it is silent, its sound at 16 kHz."""
        self._make_rows(self._n_taken, is_passed=True)
        is_silent = self._silent[self._n_taken - self._first_row]
        self._n_taken += 1
        end = round(self._n_taken / self._fps * SAMPLE_RATE_HZ) - self._first_sample
        sound, self._sound = self._sound[:end], self._sound[end:]
        self._first_sample += len(sound)
        while self._first_row + _KEPT_ROWS < self._n_taken:
            self._rows.popleft()
            self._silent.popleft()
            self._first_row += 1
        return is_silent, sound


def _mono(pcm: np.ndarray) -> Float32[np.ndarray, "k"]:
    values = np.asarray(pcm)
    if values.ndim not in (1, 2) or values.dtype.kind not in "fi":
        raise ValueError(f"samples {values.shape} {values.dtype}: want [k] or [k, channels]")
    scaled = values.astype(np.float32)
    if values.dtype.kind == "i":
        scaled /= np.iinfo(values.dtype).max
    if not np.isfinite(scaled).all():
        raise ValueError("samples are NaN or infinite")
    mono = scaled if scaled.ndim == 1 else scaled.mean(1)
    return np.ascontiguousarray(mono.clip(-1, 1))
