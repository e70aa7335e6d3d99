"""Videos: what is in the file, its frames by time stamp, and finished videos with sound."""

from __future__ import annotations

import math
import os
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation

from wildtalker_core.errors import InputError
from wildtalker_core.media import audio
from wildtalker_core.media.container import (
    RE_EXPORT,
    Clock,
    decode,
    in_words,
    open_video,
    url_of,
    video_stream,
)
from wildtalker_core.media.files import atomic_path
from wildtalker_core.media.picture import Viewer, deinterlaced, dynamic_range, orientation

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


def probe(path: str | os.PathLike[str], stream_number: int | None = None) -> VideoFacts:
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


def first_frame_seconds(path: str | os.PathLike[str], stream_number: int | None = None) -> float:
    """Time stamp of the first video frame on the container's own clock, which sound shares."""
    with open_video(path) as container:
        stream, _ = video_stream(container, path, stream_number)
        frame = _first_frame(container, stream, path)
        return float(frame.time) if frame.time is not None else 0.0


def zero_of(path: str | os.PathLike[str]) -> float:
    """The beginning of a file of its own on its container's clock, seconds.

    That is its first picture, or, without moving pictures, its first sound.
    """
    with audio.open_sound(path) as container:
        has_pictures = any(
            not stream.disposition & av.stream.Disposition.attached_pic
            for stream in container.streams.video
        )
    return first_frame_seconds(path) if has_pictures else audio.first_sound_seconds(path)


def sample_frames(
    path: str | os.PathLike[str],
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
    with open_video(path) as container:
        stream, _ = video_stream(container, path, stream_number)
        clock, gate = Clock(container, stream), _Gate(path, stream, shape, may_change_size)
        n_outputs = 0
        held: tuple[tuple[av.VideoFrame, av.VideoFrame], int, float] | None = None
        end_seconds = 0.0
        is_cut = False

        def outputs_until(seconds: float) -> range:
            """Output frames not given yet whose middle comes before ``seconds``."""
            limit = math.ceil((seconds + _TIE_SECONDS - start_seconds) * fps - 0.5)
            if max_seconds is not None:
                limit = min(limit, round(max_seconds * fps))
            return range(n_outputs, max(limit, n_outputs))

        pairs = deinterlaced(decode(container, stream, path, clock))
        for number, (frame, picture) in enumerate(pairs):
            seconds = clock.seconds_of(frame, number)
            if held is not None:
                if seconds <= held[2]:
                    continue  # a repeated time stamp: the frame is never shown
                outputs = outputs_until(seconds)
                if outputs:
                    n_outputs = outputs.stop
                    yield SampledFrame(gate.image(*held[0], held[2]), held[1], held[2], outputs)
            held = ((frame, picture), number, seconds)
            end_seconds = seconds + clock.duration_of(frame)
            if max_seconds is not None and n_outputs >= round(max_seconds * fps):
                is_cut = True
                break
        if held is None:
            raise InputError(path, "has no readable video frame", RE_EXPORT)
        if not is_cut:
            outputs = outputs_until(end_seconds)
            if outputs:
                yield SampledFrame(gate.image(*held[0], held[2]), held[1], held[2], outputs)
            clock.check_end(path, number + 1)


def read_video(path: str | os.PathLike[str]) -> Iterator[tuple[np.ndarray, float]]:
    """All frames of a finished video, in order: ([height, width, 3] uint8 RGB, seconds).

    Seconds count from the first frame. Raises InputError as :func:`sample_frames`.
    """
    with open_video(path) as container:
        stream, _ = video_stream(container, path)
        clock, gate = Clock(container, stream), _Gate(path, stream, None, False)
        number = -1
        pairs = deinterlaced(decode(container, stream, path, clock))
        for number, (frame, picture) in enumerate(pairs):
            seconds = clock.seconds_of(frame, number)
            yield gate.image(frame, picture, seconds), seconds
        if number < 0:
            raise InputError(path, "has no readable video frame", RE_EXPORT)
        clock.check_end(path, number + 1)


class _Gate:
    """Pictures of one size, or one line that says where they are not."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        stream: av.video.stream.VideoStream,
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


def resize_to_shape(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Areas averaged for smaller, cubics for larger."""
    if image.shape[:2] == shape:
        return image
    method = cv2.INTER_AREA if image.shape[0] > shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, shape[::-1], interpolation=method)


def codec_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """How ``VideoWriter`` encodes by the config section ``render``: all of a table's rows alike."""
    return {"crf": options["crf"], "preset": options["encoder_preset"]}


class VideoWriter:
    """Streams frames into an h264 mp4 that every player opens, with sound if given.

        with VideoWriter("portrait.mp4", fps=25, sound_path="speech.wav") as video:
            for image in images:
                video.append(image)

    Encoding runs on a thread of its own beside the caller's work. The file appears when the block
    ends without an exception, and not at all otherwise. It holds as many frames as were appended
    (counted again in the finished file), whatever the length of the sound.

    Args:
        path: ends in .mp4.
        fps: frames per second.
        sound_path: any file with sound, from its own start, written as AAC; cut or padded with
            silence to the pictures' duration.
        crf: constant rate factor of x264, 0 (lossless) to 51; below 19 visually clean.
        preset: of x264; quicker ones write larger files, measured in docs/speed.md.
        note: kept as the file's comment; None for none.
    """

    #: Frames that may wait for the encoder.
    QUEUE = 8

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float,
        sound_path: str | os.PathLike[str] | None = None,
        crf: int = 17,
        preset: str = "superfast",
        note: str | None = None,
    ) -> None:
        self.path, self.fps, self.crf, self.preset = Path(path), fps, crf, preset
        self._note = note
        self.sound_path = None if sound_path is None else Path(sound_path)
        self.n_written = 0
        self._shape: tuple[int, ...] | None = None
        self._waiting: queue.Queue[av.VideoFrame | None] = queue.Queue(self.QUEUE)
        self._thread: threading.Thread | None = None
        self._is_abandoned = self._is_ended = False
        self._failure: BaseException | None = None

    def __enter__(self) -> VideoWriter:
        self._sound = None if self.sound_path is None else _Sound(self.sound_path)
        self._atomic = atomic_path(self.path)
        self._partial = self._atomic.__enter__()
        return self

    def append(self, image: np.ndarray) -> None:
        """Add one frame [height, width, 3] uint8 RGB; all frames have the first one's size.

        The image is copied. Waits while ``QUEUE`` frames wait.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"{self.path}: frame {image.shape} {image.dtype}, want uint8 RGB")
        if self._shape is None:
            height, width = image.shape[:2]
            if height % 2 or width % 2:
                raise ValueError(f"{self.path}: {width}x{height} is odd; yuv420p needs even sides")
            self._shape = image.shape
            self._thread = threading.Thread(target=self._work, name=f"encode {self.path.name}")
            self._thread.start()
        if image.shape != self._shape:
            raise ValueError(f"{self.path}: frame {image.shape}, the first was {self._shape}")
        if self._failure is not None:
            raise self._failure
        self._waiting.put(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))
        self.n_written += 1

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool | None:
        try:
            self._is_abandoned = kind is not None
            self._join()
            if kind is None:
                if self._failure is not None:
                    raise self._failure
                if self._shape is None:
                    raise ValueError(f"{self.path}: no frame was written")
                self._require_count()
        except BaseException as failure:
            if not self._atomic.__exit__(type(failure), failure, failure.__traceback__):
                raise
        return self._atomic.__exit__(kind, error, trace)

    def _join(self) -> None:
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()
            self._thread = None

    def _work(self) -> None:
        """The thread: encode what comes; after a failure, go on taking so that nobody waits."""
        try:
            self._encode()
        except av.error.FFmpegError as error:
            code = error.errno if isinstance(error, OSError) else None
            self._failure = OSError(
                code, f"the video cannot be written ({in_words(error)})", str(self.path)
            )
        except BaseException as error:
            self._failure = error
        if self._failure is not None:
            while self._next() is not None:
                pass

    def _next(self) -> av.VideoFrame | None:
        """The next frame; None, again and again, when there are no more."""
        frame = None if self._is_ended else self._waiting.get()
        self._is_ended = frame is None
        return frame

    def _encode(self) -> None:
        assert self._shape is not None  # the first frame started the thread
        with av.open(
            url_of(self._partial), "w", format="mp4", options={"movflags": "+faststart"}
        ) as container:
            if self._note is not None:
                container.metadata["comment"] = self._note
            rate = Fraction(self.fps).limit_denominator(1001)
            pictures = _add_pictures(container, rate, self._shape, self.crf, self.preset)
            heard = self._sound
            sound = None if heard is None else heard.add_to(container)
            n_encoded = 0
            while (frame := self._next()) is not None:
                if self._is_abandoned:
                    continue
                frame = frame.reformat(
                    format="yuv420p",
                    dst_colorspace=Colorspace.ITU709,
                    dst_color_range=ColorRange.MPEG,
                    interpolation=Interpolation.BICUBIC,
                )
                frame.pts, frame.time_base = n_encoded, 1 / rate
                n_encoded += 1
                container.mux(pictures.encode(frame))
                if heard is not None and sound is not None:
                    container.mux(heard.encode(sound, n_encoded / rate, is_end=False))
            container.mux(pictures.encode(None))
            if heard is not None and sound is not None:
                container.mux(heard.encode(sound, n_encoded / rate, is_end=True))
                container.mux(sound.encode(None))

    def _require_count(self) -> None:
        with av.open(url_of(self._partial)) as container:
            n_found = sum(packet.size > 0 for packet in container.demux(video=0))
        if n_found != self.n_written:
            raise RuntimeError(f"{self.path}: {n_found} frames written of {self.n_written}")


def _add_pictures(
    container: av.container.OutputContainer,
    rate: Fraction,
    shape: tuple[int, ...],
    crf: int,
    preset: str,
) -> av.video.stream.VideoStream:
    stream = container.add_stream("libx264", rate, options={"crf": str(crf), "preset": preset})
    stream.height, stream.width = shape[:2]
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    # The colour matrix is written down, so that every reader inverts the one that was used.
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
    context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
    n_threads = int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1
    context.thread_count = n_threads
    return stream


class _Sound:
    """The sound of a finished video, given in step with its pictures."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise InputError(path, "does not exist", "run the rule that makes it")
        rates = av.codec.Codec("aac", "w").audio_rates
        own = audio.sound_rate(path)
        self._rate_hz = own if rates and own in rates else 48000
        self._waveform = audio.decode_sound(path, self._rate_hz)
        self._n_sent = 0

    def add_to(self, container: av.container.OutputContainer) -> av.audio.stream.AudioStream:
        stream = container.add_stream("aac", rate=self._rate_hz, layout="mono")
        stream.bit_rate = 128_000
        return stream

    def encode(
        self, stream: av.audio.stream.AudioStream, seconds: Fraction, is_end: bool
    ) -> list[av.Packet]:
        """Packets of whole blocks up to ``seconds``; at the end of the rest as well."""
        packets: list[av.Packet] = []
        limit = round(seconds * self._rate_hz)
        block = stream.codec_context.frame_size or 1024
        while self._n_sent + block <= limit or (is_end and self._n_sent < limit):
            stop = min(self._n_sent + block, limit)
            samples = self._waveform[self._n_sent : stop]
            samples = np.pad(samples, (0, stop - self._n_sent - len(samples)))
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate, frame.pts = self._rate_hz, self._n_sent
            frame.time_base = Fraction(1, self._rate_hz)
            packets += stream.encode(frame)
            self._n_sent = stop
        return packets


def _first_frame(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    path: str | os.PathLike[str],
) -> av.VideoFrame:
    frame = next(decode(container, stream, path), None)
    if frame is None:
        raise InputError(path, "has no readable video frame", RE_EXPORT)
    return frame


def _promised_seconds(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base
