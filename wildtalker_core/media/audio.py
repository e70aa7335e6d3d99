"""Sound: any file's sound at one rate and one time zero, waveforms in and out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from wildtalker_core.errors import InputError, warn
from wildtalker_core.media.container import require_file
from wildtalker_core.media.files import AnyPath, atomic_path
from wildtalker_core.media.sound_track import audio_stream, decode_pieces, lay_out, open_sound
from wildtalker_core.media.wav_header import open_mended


def decode_sound(
    path: AnyPath,
    sample_rate_hz: int,
    zero_seconds: float | None = None,
    duration_seconds: float | None = None,
    stream_number: int | None = None,
    notes: list[str] | None = None,
) -> np.ndarray:
    """The sound of any file that libav reads, mono: [samples] float32 in [-1, 1].

    Of several audio streams the one that the file marks as its default; of several channels their
    mean, or the loudest where they cancel each other. What is odd about the file is warned of.

    Args:
        sample_rate_hz: rate of the result.
        zero_seconds: instant of sample 0 on the container's clock (see
            ``video.first_frame_seconds``): what comes earlier is cut, a later start is padded with
            silence. None: the sound's own start.
        duration_seconds: the result is cut or padded to round(duration * rate) samples; None keeps
            the sound's own length.
        stream_number: of the audio stream, from 1; None takes the default one.
        notes: the warnings are added here as well.

    Raises InputError: absent, unreadable, no audio stream, nothing in it, NaN or infinite samples.
    """
    path = Path(path)
    found: list[str] = []
    with open_sound(path, found) as container:
        stream, note = audio_stream(container, path, stream_number)
        found += [note] if note else []
        end = None if duration_seconds is None else duration_seconds + (zero_seconds or 0.0)
        pieces = decode_pieces(container, stream, path, sample_rate_hz, end, found)
    if zero_seconds is None:
        zero_seconds = pieces[0][0] if pieces else 0.0
    waveform = lay_out(pieces, zero_seconds, sample_rate_hz, found)
    for line in found:
        warn(path, line)
    if notes is not None:
        notes += found
    if waveform.size == 0 and duration_seconds is None:
        raise InputError(path, "has an empty audio stream", "record or mux a voice track")
    require_finite(waveform, path)
    if duration_seconds is not None:
        n_samples = round(duration_seconds * sample_rate_hz)
        waveform = np.pad(waveform[:n_samples], (0, max(0, n_samples - waveform.size)))
    return waveform


def require_finite(waveform: np.ndarray, path: AnyPath) -> None:
    """Raise InputError naming the first sample that is NaN or infinite."""
    is_bad = ~np.isfinite(waveform)
    if is_bad.any():
        where = np.argwhere(is_bad)[0][0]
        raise InputError(
            path,
            f"has {int(is_bad.sum())} samples that are NaN or infinite, the first is {where}",
            "export the sound again as PCM",
        )


@dataclass(frozen=True)
class SoundFacts:
    """sample_rate_hz; n_samples per channel; n_channels; subtype: ``PCM_16``, ``FLOAT``, ..."""

    sample_rate_hz: int
    n_samples: int
    n_channels: int
    subtype: str


def probe_waveform(path: AnyPath) -> SoundFacts:
    """Facts of a wav, flac or ogg. Raises InputError: absent, unreadable, empty."""
    with _sound_file(path) as file:
        return SoundFacts(file.samplerate, file.frames, file.channels, file.subtype)


def read_waveform(path: AnyPath) -> tuple[np.ndarray, int]:
    """Read a wav, flac or ogg: ([samples] or [samples, channels] float32 in [-1, 1], rate in Hz).

    Raises InputError: absent, unreadable, empty, NaN or infinite samples.
    """
    with _sound_file(path) as file:
        waveform, sample_rate_hz = file.read(dtype="float32"), file.samplerate
    require_finite(waveform, path)
    return waveform, sample_rate_hz


def read_waveform_blocks(path: AnyPath, n_samples: int = 1 << 20) -> Iterator[np.ndarray]:
    """The same in consecutive parts of ``n_samples``, for recordings of any length."""
    with _sound_file(path) as file:
        for block in file.blocks(blocksize=n_samples, dtype="float32"):
            require_finite(block, path)
            yield block


@contextmanager
def _sound_file(path: AnyPath) -> Iterator[soundfile.SoundFile]:
    path = require_file(path)
    raw, note = open_mended(path)
    with raw:
        try:
            file = soundfile.SoundFile(raw)
        except soundfile.LibsndfileError as error:
            problem = f"is not a readable sound file ({error.error_string.rstrip('.')})"
            raise InputError(path, problem, "export it as wav") from error
        with file:
            if file.frames == 0:
                raise InputError(path, "holds no samples", "record it again")
            if note:
                warn(path, note)
            yield file


def write_waveform(
    path: AnyPath, waveform: np.ndarray, sample_rate_hz: int, subtype: str = "PCM_16"
) -> None:
    """Write [samples] or [samples, channels] in [-1, 1] as wav or flac (by suffix), atomically.

    Values outside [-1, 1] are clipped by PCM subtypes and kept by ``FLOAT``. NaN is refused.
    """
    n_channels = 1 if waveform.ndim == 1 else waveform.shape[1]
    write_waveform_blocks(path, [waveform], sample_rate_hz, n_channels, subtype)


def write_waveform_blocks(
    path: AnyPath,
    blocks: Iterable[np.ndarray],
    sample_rate_hz: int,
    n_channels: int,
    subtype: str = "PCM_16",
) -> None:
    """Write consecutive parts [samples] or [samples, channels] as one wav or flac, atomically."""
    with (
        atomic_path(path) as partial,
        soundfile.SoundFile(partial, "w", sample_rate_hz, n_channels, subtype) as file,
    ):
        for block in blocks:
            if not np.isfinite(block).all():
                raise ValueError(f"{path}: the waveform holds NaN or infinite samples")
            file.write(block)


def cut_to_frames(
    waveform: np.ndarray, sample_rate_hz: int, frames: np.ndarray, fps: float
) -> np.ndarray:
    """Samples that sound while ``frames`` are shown one by one; silence beyond the end."""
    edges = np.round(np.stack((frames, frames + 1)) / fps * sample_rate_hz).astype(np.int64)
    padded = np.pad(waveform, (0, max(0, int(edges.max()) - len(waveform))))
    return np.concatenate([padded[a:b] for a, b in edges.T])
