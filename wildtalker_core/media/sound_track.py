"""The sound track of any file that libav reads: its streams, its unbroken pieces, one waveform."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from wildtalker_core.errors import InputError
from wildtalker_core.media.container import (
    choose_stream,
    in_words,
    list_streams,
    require_file,
    url_of,
)
from wildtalker_core.media.files import AnyPath
from wildtalker_core.media.wav_header import open_mended

# ASSUME: time stamps that disagree with the count of samples by less than this are sloppy
# bookkeeping; more is a hole in the track, or sound that is given twice.
_HOLE_SECONDS = 0.1

# ASSUME: with more of its packets damaged a sound is not worth having.
_MAX_DAMAGED_SHARE = 0.1

# ASSUME: a mix whose power is less than this share of its loudest channel's has lost it: two equal
# channels of opposite sign leave nothing, one of two channels alone leaves a quarter.
_MIX_SHARE = 0.1


@contextmanager
def open_sound(path: AnyPath, notes: list[str] | None = None) -> Iterator[InputContainer]:
    """Any file with sound in it; ``notes`` learns of a wrong header.

    Raises InputError: absent, a folder, not readable.
    """
    path = require_file(path)
    file, note = open_mended(path)
    if note and notes is not None:
        notes.append(note)
    with file:
        try:
            container = av.open(url_of(path) if note is None else file, "r")
        except av.error.FFmpegError as error:
            problem = f"is not a readable sound or video file ({in_words(error)})"
            raise InputError(path, problem, "export it again, for example as wav") from error
        with container:
            yield container


def audio_stream(
    container: InputContainer, path: AnyPath, number: int | None = None
) -> tuple[AudioStream, str | None]:
    """The stream that is meant, and a line on the others. Raises InputError: no such stream."""
    streams = list(container.streams.audio)
    if not streams:
        raise InputError(path, "has no audio stream", "record or mux a voice track")
    return choose_stream(streams, number, path, "audio")


def sound_rate(path: AnyPath) -> int:
    """Samples a second of the stream that ``decode_sound`` takes. Raises InputError as it."""
    with open_sound(path) as container:
        stream, _ = audio_stream(container, path)
        return stream.codec_context.sample_rate


def first_sound_seconds(path: AnyPath) -> float:
    """Time stamp of the first sound on the container's own clock."""
    with open_sound(path) as container:
        stream, _ = audio_stream(container, path)
        try:
            frame = next(container.decode(stream), None)
        except av.error.FFmpegError as error:
            problem = f"has sound that cannot be decoded ({in_words(error)})"
            raise InputError(path, problem, "export it again") from error
        return float(frame.time or 0.0) if frame is not None else 0.0


def audio_streams(path: AnyPath) -> str:
    """The audio streams of a file in words, where there are several; else empty."""
    with open_sound(path) as container:
        streams = list(container.streams.audio)
        return list_streams(streams) if len(streams) > 1 else ""


def decode_pieces(
    container: InputContainer,
    stream: AudioStream,
    path: Path,
    sample_rate_hz: int,
    end_seconds: float | None,
    notes: list[str],
) -> list[tuple[float, np.ndarray]]:
    """Unbroken pieces of the track up to ``end_seconds``: (start in s, [channels, samples])."""
    if stream.codec_context is None:
        raise InputError(path, "has sound of an unknown codec", "export it as wav")
    pieces: list[_Piece] = []
    n_packets = n_damaged = 0
    reason = ""
    try:
        for packet in container.demux(stream):
            n_packets += packet.size > 0
            try:
                frames = packet.decode()
            except av.error.InvalidDataError as error:
                n_damaged, reason = n_damaged + 1, in_words(error)
                continue
            for frame in frames:
                if not pieces or not pieces[-1].continues(frame):
                    pieces.append(_Piece(frame, sample_rate_hz))
                pieces[-1].append(frame)
            if end_seconds is not None and pieces and pieces[-1].end_seconds > end_seconds:
                break
    except av.error.FFmpegError as error:
        n_damaged, reason = n_damaged + 1, in_words(error)
    if n_damaged > max(1, _MAX_DAMAGED_SHARE * n_packets) or (n_damaged and not pieces):
        raise InputError(path, f"has sound that cannot be decoded ({reason})", "export it again")
    if n_damaged:
        notes.append(f"{n_damaged} of {n_packets} parts of the sound are damaged and left out")
    return [piece.finish() for piece in pieces]


class _Piece:
    """Sound without a hole and of one format, resampled as it comes."""

    def __init__(self, frame: av.AudioFrame, sample_rate_hz: int) -> None:
        self._key = self._key_of(frame)
        self.start_seconds = float(frame.time or 0.0)
        self._n_samples = 0
        self._own_rate_hz = frame.sample_rate
        n_channels = frame.layout.nb_channels
        layout = "mono" if n_channels == 1 else frame.layout
        # Packed: PyAV reads beyond the planes of eight and more channels.
        self._resampler = av.AudioResampler("flt", layout, sample_rate_hz)
        self._n_channels = n_channels
        self._parts: list[np.ndarray] = [np.zeros(0, np.float32)]

    @staticmethod
    def _key_of(frame: av.AudioFrame) -> tuple[int, int, str]:
        return frame.sample_rate, frame.layout.nb_channels, frame.format.name

    @property
    def end_seconds(self) -> float:
        return self.start_seconds + self._n_samples / self._own_rate_hz

    def continues(self, frame: av.AudioFrame) -> bool:
        is_near = frame.time is None or abs(frame.time - self.end_seconds) < _HOLE_SECONDS
        return is_near and self._key == self._key_of(frame)

    def append(self, frame: av.AudioFrame) -> None:
        self._n_samples += frame.samples
        frame.pts = None
        self._parts += [part.to_ndarray().ravel() for part in self._resampler.resample(frame)]

    def finish(self) -> tuple[float, np.ndarray]:
        self._parts += [part.to_ndarray().ravel() for part in self._resampler.resample(None)]
        return self.start_seconds, np.concatenate(self._parts).reshape(-1, self._n_channels).T


def lay_out(
    pieces: list[tuple[float, np.ndarray]],
    zero_seconds: float,
    sample_rate_hz: int,
    notes: list[str],
) -> np.ndarray:
    """Mono pieces at their instants, silence between them."""
    placed = []
    for start_seconds, channels in pieces:
        mono, note = mix(channels)
        if note and note not in notes:
            notes.append(note)
        at = round((start_seconds - zero_seconds) * sample_rate_hz)
        placed.append((max(at, 0), mono[max(-at, 0) :]))
    waveform = np.zeros(max((at + len(mono) for at, mono in placed), default=0), np.float32)
    for at, mono in placed:
        waveform[at : at + len(mono)] = mono
    return waveform


def mix(channels: np.ndarray) -> tuple[np.ndarray, str | None]:
    """[channels, samples] → their mean [samples], or the loudest alone where they cancel out.

    The second value says so, in a line.
    """
    mean = channels.mean(axis=0)
    if len(channels) == 1 or channels.shape[1] == 0:
        return mean, None
    # An offset is no sound.
    powers = channels.var(axis=1, dtype=np.float64)
    loudest = int(powers.argmax())
    share = float(mean.var(dtype=np.float64)) / max(float(powers[loudest]), 1e-20)
    if powers[loudest] < 1e-12 or share > _MIX_SHARE:
        return mean, None
    weaker_db = -10 * np.log10(max(share, 1e-10))
    return channels[loudest], (
        f"channel {loudest + 1} of {len(channels)} is taken alone: the mix of all is "
        f"{weaker_db:.0f} dB weaker"
    )
