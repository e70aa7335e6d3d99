"""Opening files with libav: which stream is meant, its packets and clock, its errors in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath

RE_EXPORT = "export it again as mp4 (h264) or download it again"

# ASSUME: a promised end that is missing by less than this is sloppy bookkeeping of the container,
# not a truncated file (last packets without duration, an audio frame that overhangs).
_MISSING_SECONDS, _MISSING_SHARE = 0.5, 0.03

#: What libav's errors mean to somebody who has never heard of libav.
_WORDS = {
    av.error.InvalidDataError: "its contents are damaged or in no known format",
    av.error.EOFError: "it ends too early",
    av.error.DecoderNotFoundError: "there is no decoder for its codec",
    av.error.DemuxerNotFoundError: "its format is unknown",
    av.error.PatchWelcomeError: "its codec is not supported",
    av.error.PermissionError: "reading it is not permitted",
    av.error.IsADirectoryError: "it is a folder",
    av.error.MemoryError: "memory is used up",
}


def in_words(error: av.error.FFmpegError) -> str:
    """A libav error without codes and addresses.

    >>> in_words(av.error.InvalidDataError(1094995529, "Invalid data found"))
    'its contents are damaged or in no known format'
    """
    for kind, words in _WORDS.items():
        if isinstance(error, kind):
            return words
    if isinstance(error, OSError) and error.errno is not None and 0 < error.errno < 1000:
        return os.strerror(error.errno).lower()
    return "it cannot be understood"


def url_of(path: AnyPath) -> str:
    """What libav takes for this file and nothing else: ``10:30.mp4`` names no protocol.

    >>> url_of("10:30.mp4")
    'file:10:30.mp4'
    """
    return f"file:{path}"


def require_file(path: AnyPath) -> Path:
    """Raise InputError where there is no such file, or it is a folder."""
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "is a folder", "name the file in it")
    if not path.is_file():
        raise InputError(path, "does not exist", "correct the path in the config")
    return path


def open_video(path: AnyPath) -> InputContainer:
    """Raises InputError: absent, a folder, not readable."""
    path = require_file(path)
    try:
        return av.open(url_of(path))
    except av.error.FFmpegError as error:
        raise InputError(path, f"is not a readable video ({in_words(error)})", RE_EXPORT) from error


def choose_stream(
    streams: list[Any], number: int | None, path: AnyPath, kind: str
) -> tuple[Any, str | None]:
    """One of several streams of a kind, and a line that names the others.

    Args:
        streams: not empty.
        number: counted from 1; None takes the one that the file marks as default, else the first.
        kind: ``audio`` or ``video``.

    Raises InputError if there are fewer than ``number``.
    """
    if number is not None and number > len(streams):
        raise InputError(
            path,
            f"has {len(streams)} {kind} streams, number {number} is asked for",
            f"correct media.{kind}_stream: {list_streams(streams)}",
        )
    marked = [i for i, s in enumerate(streams) if s.disposition & av.stream.Disposition.default]
    taken = number - 1 if number is not None else (marked[0] if marked else 0)
    note = None
    if len(streams) > 1 and number is None:
        why = "the default" if len(marked) == 1 else "the first"
        note = (
            f"has {len(streams)} {kind} streams; number {taken + 1} is taken, {why} "
            f"(others: media.{kind}_stream): {list_streams(streams)}"
        )
    return streams[taken], note


def list_streams(streams: list[Any]) -> str:
    """``1 aac 48000 Hz stereo "Desktop", 2 ...``."""
    words = []
    for number, stream in enumerate(streams, 1):
        context = stream.codec_context
        parts = [str(number), "unknown codec" if context is None else context.name]
        if context is not None and stream.type == "audio":
            parts += [f"{context.sample_rate} Hz", context.layout.name]
        elif context is not None:
            parts.append(f"{context.width}x{context.height}")
        title = stream.metadata.get("title")
        words.append(" ".join(parts) + (f' "{title}"' if title else ""))
    return ", ".join(words)


def video_stream(
    container: InputContainer, path: AnyPath, number: int | None = None
) -> tuple[VideoStream, str | None]:
    """The stream of moving pictures that is meant, ready to decode, and a line on the others.

    Raises InputError: no such stream, an unknown codec.
    """
    # A cover picture of a sound file is a video stream of one still; it is not a video.
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise InputError(path, "has no video stream", "give a video of a talking person")
    stream, note = choose_stream(streams, number, path, "video")
    if stream.codec_context is None:
        raise InputError(path, "has a video stream of an unknown codec", RE_EXPORT)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = int(os.environ.get("OMP_NUM_THREADS", "0"))
    return stream, note


def decode(
    container: InputContainer, stream: VideoStream, path: AnyPath, clock: Clock | None = None
) -> Iterator[av.VideoFrame]:
    """Frames in presentation order; the clock also watches the other streams' packets."""
    n_frames = 0
    try:
        for packet in container.demux():
            if clock is not None:
                clock.watch(packet)
            if packet.stream.index != stream.index:
                continue
            for frame in packet.decode():
                n_frames += 1
                yield cast(av.VideoFrame, frame)  # of a video stream
    except av.error.FFmpegError as error:
        raise InputError(
            path,
            f"cannot be decoded after {n_frames} frames ({in_words(error)})",
            "the file is damaged or truncated: " + RE_EXPORT,
        ) from error


class Clock:
    """Seconds of frames since the first one, and whether the file keeps its promised length."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate or Fraction(25)
        self._frame_seconds = 1.0 / float(rate)
        self._first: float | None = None
        self._start = (container.start_time or 0) / av.time_base
        self._promised_seconds = (container.duration or 0) / av.time_base
        self._end = self._start
        # An mp4 counts frames that its edit list hides; an AVI changes its promised duration to
        # what a truncated file has left, but not its count.
        self._n_promised = 0 if "mov" in container.format.name else stream.frames

    def watch(self, packet: av.Packet) -> None:
        """Remember how far the data of any stream reach."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is not None:
            self._end = max(self._end, float((stamp + (packet.duration or 0)) * packet.time_base))

    def seconds_of(self, frame: av.VideoFrame, number: int) -> float:
        # Raw streams carry no time stamps: their frames are evenly spaced.
        seconds = number * self._frame_seconds if frame.time is None else float(frame.time)
        if self._first is None:
            self._first = seconds
        return seconds - self._first

    def duration_of(self, frame: av.VideoFrame) -> float:
        if frame.duration and frame.time_base:
            return float(frame.duration * frame.time_base)
        # ASSUME: without a duration the last frame is shown as long as the average one.
        return self._frame_seconds

    def check_end(self, path: AnyPath, n_decoded: int) -> None:
        """Raise InputError if all streams end well before the container's own promise."""
        missing = max(
            self._promised_seconds - (self._end - self._start),
            (self._n_promised - n_decoded) * self._frame_seconds,
        )
        if missing > max(_MISSING_SECONDS, _MISSING_SHARE * self._promised_seconds):
            raise InputError(path, f"is truncated: its last {missing:.1f} s are missing", RE_EXPORT)
