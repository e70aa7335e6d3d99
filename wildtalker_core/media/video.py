"""Videos: what is in the file, and its frames by time stamp."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream

from wildtalker_core.errors import InputError
from wildtalker_core.media.container import (
    RE_EXPORT,
    Clock,
    decode,
    open_video,
    video_stream,
)
from wildtalker_core.media.files import AnyPath
from wildtalker_core.media.image import resize_to_shape
from wildtalker_core.media.picture import Viewer, deinterlaced, dynamic_range, orientation
from wildtalker_core.media.sound_track import first_sound_seconds, open_sound

# ASSUME: which frame stands at the border of two is decided this much before the middle of the
# output frame, so that time stamps rounded to milliseconds (Matroska) cannot flip the choice.
_TIE_SECONDS = 0.001

# ASSUME: sizes whose sides differ by less than this share (and two pixels) have the same shape:
# encoders round sides to multiples of 2, 8 or 16.
_SAME_SHAPE = 0.02


@dataclass(frozen=True)
class VideoFacts:
    """What a container says about the streams that are taken.

    width, height: pixels of the first frame as shown, after rotation and with square pixels.
    fps: average rate of the source, 0 if unknown. rotation_degrees: clockwise turn that makes the
    picture upright, 0, 90, 180 or 270. is_mirrored: the display matrix also flips left and right.
    duration_seconds: as promised by the container. dynamic_range: sdr, hlg or pq. audio_codec: None
    without sound. notes: lines on what else the file holds.
    """

    path: str
    width: int
    height: int
    fps: float
    rotation_degrees: int
    is_mirrored: bool
    duration_seconds: float
    codec: str
    dynamic_range: str
    is_interlaced: bool
    audio_codec: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SampledFrame:
    """A source frame with the output frames that show it.

    image: [height, width, 3] uint8 RGB, upright. number: count of decoded frames before it.
    time_seconds: since the first frame. outputs: numbers of the output frames that show it.
    """

    image: np.ndarray
    number: int
    time_seconds: float
    outputs: range


def probe(path: AnyPath, stream_number: int | None = None) -> VideoFacts:
    """Read the facts of a video; decodes one frame.

    Args:
        stream_number: of the video stream, from 1; None takes the default one.

    Raises InputError: absent, not a video, no video stream, first frame unreadable.
    """
    with open_video(path) as container:
        stream, note = video_stream(container, path, stream_number)
        frame = _first_frame(container, stream, path)
        height, width = Viewer(stream).size(frame)
        turns, is_mirrored = orientation(frame)
        sound = container.streams.audio[0] if container.streams.audio else None
        rate = stream.average_rate or stream.guessed_rate or stream.base_rate
        return VideoFacts(
            path=str(path),
            width=width,
            height=height,
            fps=float(rate) if rate else 0.0,
            rotation_degrees=90 * turns,
            is_mirrored=is_mirrored,
            duration_seconds=_promised_seconds(container, stream) or 0.0,
            codec=stream.codec_context.name,
            dynamic_range=dynamic_range(frame),
            is_interlaced=bool(frame.interlaced_frame),
            audio_codec=sound.codec_context.name if sound and sound.codec_context else None,
            notes=() if note is None else (note,),
        )


def first_frame_seconds(path: AnyPath, stream_number: int | None = None) -> float:
    """Time stamp of the first video frame on the container's own clock, which sound shares."""
    with open_video(path) as container:
        stream, _ = video_stream(container, path, stream_number)
        frame = _first_frame(container, stream, path)
        return float(frame.time) if frame.time is not None else 0.0


def zero_of(path: AnyPath) -> float:
    """The beginning of a file of its own on its container's clock, seconds.

    That is its first picture, or, without moving pictures, its first sound.
    """
    with open_sound(path) as container:
        has_pictures = any(
            not stream.disposition & av.stream.Disposition.attached_pic
            for stream in container.streams.video
        )
    return first_frame_seconds(path) if has_pictures else first_sound_seconds(path)


def sample_frames(
    path: AnyPath,
    fps: float,
    start_seconds: float = 0.0,
    max_seconds: float | None = None,
    stream_number: int | None = None,
    shape: tuple[int, int] | None = None,
    may_change_size: bool = False,
) -> Iterator[SampledFrame]:
    """Decode a video in order and tell which output frames at ``fps`` show each source frame.

    Time zero is the first frame of the video. Output frame i covers
    [start + i / fps, start + (i + 1) / fps) and takes the source frame that a player shows at the
    middle of it: for any constant or variable source rate the picture is then neither early nor
    late on average, and equal rates copy frame by frame. Source frames that no output frame shows
    are passed over; every output number appears exactly once, in order.

    ASSUME: the middle, not the beginning, because the beginning would make a 30 fps picture late
    by half a source frame on average against the sound.

    Args:
        stream_number: of the video stream, from 1; None takes the default one.
        shape: height and width that every picture is scaled to; None keeps each as it is.
        may_change_size: without ``shape``, give pictures that change their size in mid-stream, as
            long as they keep their shape; otherwise they are an error.

    Raises InputError: as :func:`probe`; undecodable in the middle; ends before the promised end;
        a picture that changes its size.
    """
    n_most = math.inf if max_seconds is None else round(max_seconds * fps)
    n_outputs = 0
    with open_video(path) as container:
        frames = _decoded(container, path, stream_number, shape, may_change_size)
        for shown, until in _in_time(frames):
            # Output frames not given yet whose middle comes before the following frame.
            limit = math.ceil((until + _TIE_SECONDS - start_seconds) * fps - 0.5)
            outputs = range(n_outputs, max(int(min(limit, n_most)), n_outputs))
            if outputs:
                n_outputs = outputs.stop
                yield SampledFrame(shown.image(), shown.number, shown.seconds, outputs)
            if n_outputs >= n_most:
                return


def read_video(path: AnyPath) -> Iterator[tuple[np.ndarray, float]]:
    """All frames of a finished video, in order: ([height, width, 3] uint8 RGB, seconds).

    Seconds count from the first frame. Raises InputError as :func:`sample_frames`.
    """
    with open_video(path) as container:
        for frame in _decoded(container, path):
            yield frame.image(), frame.seconds


class _Decoded(NamedTuple):
    """A frame, made an image when asked; seconds since the first one."""

    image: Callable[[], np.ndarray]
    number: int
    seconds: float
    end_seconds: float


def _decoded(
    container: InputContainer,
    path: AnyPath,
    stream_number: int | None = None,
    shape: tuple[int, int] | None = None,
    may_change_size: bool = False,
) -> Iterator[_Decoded]:
    stream, _ = video_stream(container, path, stream_number)
    clock, gate = Clock(container, stream), _Gate(path, stream, shape, may_change_size)
    number = -1
    pairs = deinterlaced(decode(container, stream, path, clock))
    for number, (frame, picture) in enumerate(pairs):
        seconds = clock.seconds_of(frame, number)
        image = partial(gate.image, frame, picture, seconds)
        yield _Decoded(image, number, seconds, seconds + clock.duration_of(frame))
    if number < 0:
        raise InputError(path, "has no readable video frame", RE_EXPORT)
    clock.check_end(path, number + 1)


def _in_time(frames: Iterable[_Decoded]) -> Iterator[tuple[_Decoded, float]]:
    """Frames that are shown and until when, seconds; those of a repeated time stamp never are."""
    shown: _Decoded | None = None
    for frame in frames:
        if shown is not None:
            if frame.seconds <= shown.seconds:
                continue
            yield shown, frame.seconds
        shown = frame
    if shown is not None:
        yield shown, shown.end_seconds


class _Gate:
    """Pictures of one size, or one line that says where they are not."""

    def __init__(
        self,
        path: AnyPath,
        stream: VideoStream,
        shape: tuple[int, int] | None,
        may_change_size: bool,
    ) -> None:
        self._path, self._viewer = path, Viewer(stream)
        self._shape, self._may_change_size = shape, may_change_size or shape is not None
        self._first: tuple[int, int] | None = None

    def image(self, frame: av.VideoFrame, picture: av.VideoFrame, seconds: float) -> np.ndarray:
        image = self._viewer.upright(picture, frame)
        height, width = image.shape[:2]
        size = (height, width)
        if self._first is None:
            self._first = size
        if size != self._first and not (
            self._may_change_size and has_same_shape(size, self._first)
        ):
            first_height, first_width = self._first
            raise InputError(
                self._path,
                f"changes its picture from {first_width}x{first_height} to {width}x{height} pixels "
                f"at {seconds:.2f} s",
                "cut it to one of them (media.start_seconds, media.max_seconds) or export it again "
                "at one size",
            )
        return image if self._shape is None else resize_to_shape(image, self._shape)


def has_same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (height, width) differ by a scale and rounding only."""
    scale = size[0] / other[0]
    return abs(other[1] * scale - size[1]) <= max(2.0 * max(scale, 1.0), _SAME_SHAPE * size[1])


def _first_frame(container: InputContainer, stream: VideoStream, path: AnyPath) -> av.VideoFrame:
    frame = next(decode(container, stream, path), None)
    if frame is None:
        raise InputError(path, "has no readable video frame", RE_EXPORT)
    return frame


def _promised_seconds(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base
