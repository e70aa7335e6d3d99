"""The sound that belongs to a list of frames."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from wildtalker_core.media.audio import cut_to_frames, read_waveform, write_waveform


@contextmanager
def sound_of_frames(speech_path: str, frames: np.ndarray, fps: float) -> Iterator[Path]:
    """A temporary sound file of the frames' part of ``speech_path``, for as long as it is muxed."""
    waveform, sample_rate_hz = read_waveform(speech_path)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        write_waveform(path, cut_to_frames(waveform, sample_rate_hz, frames, fps), sample_rate_hz)
        yield path
