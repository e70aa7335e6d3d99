"""Videos: what is in the file, its frames by time stamp, and finished videos with sound."""

from __future__ import annotations

import errno
import math
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import av
import cv2
import ffmpeg
import imageio_ffmpeg
import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import atomic_path

# ASSUME: a promised end that is missing by less than this is sloppy bookkeeping of the container,
# not a truncated file (last packets without duration, an audio frame that overhangs).
_MISSING_SECONDS, _MISSING_SHARE = 0.5, 0.03

# ASSUME: which frame stands at the border of two is decided this much before the middle of the
# output frame, so that time stamps rounded to milliseconds (Matroska) cannot flip the choice.
_TIE_SECONDS = 0.001


@dataclass(frozen=True)
class VideoFacts:
    """What a container says about its first video stream and first audio stream.

    width, height: pixels as shown, after rotation and with square pixels.
    fps: average rate of the source, 0 if unknown. rotation_degrees: clockwise turn that makes the
    picture upright, 0, 90, 180 or 270. is_mirrored: the display matrix also flips left and right.
    duration_seconds: as promised by the container. audio_codec: None without sound.
    """

    path: str
    width: int
    height: int
    fps: float
    rotation_degrees: int
    is_mirrored: bool
    duration_seconds: float
    codec: str
    audio_codec: str | None


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


def probe(path: str | os.PathLike[str]) -> VideoFacts:
    """Read the facts of a video; decodes one frame.

    Raises InputError: absent, not a video, no video stream, first frame unreadable.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        frame = next(_decode(container, stream, path), None)
        if frame is None:
            raise InputError(path, "has no readable video frame", _RE_EXPORT)
        turns, is_mirrored = _orientation(frame)
        height, width = _shown_size(frame, stream)
        if turns % 2:
            height, width = width, height
        audio = container.streams.audio[0] if container.streams.audio else None
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
            audio_codec=audio.codec_context.name if audio else None,
        )


def first_frame_seconds(path: str | os.PathLike[str]) -> float:
    """Time stamp of the first video frame on the container's own clock, which sound shares."""
    with _open(path) as container:
        stream = _video_stream(container, path)
        frame = next(_decode(container, stream, path), None)
        if frame is None:
            raise InputError(path, "has no readable video frame", _RE_EXPORT)
        return float(frame.time) if frame.time is not None else 0.0


def sample_frames(
    path: str | os.PathLike[str],
    fps: float,
    start_seconds: float = 0.0,
    max_seconds: float | None = None,
) -> Iterator[SampledFrame]:
    """Decode a video in order and tell which output frames at ``fps`` show each source frame.

    Time zero is the first frame of the video. Output frame i covers
    [start + i / fps, start + (i + 1) / fps) and takes the source frame that a player shows at the
    middle of it: for any constant or variable source rate the picture is then neither early nor
    late on average, and equal rates copy frame by frame. Source frames that no output frame shows
    are passed over; every output number appears exactly once, in order.

    ASSUME: the middle, not the beginning, because the beginning would make a 30 fps picture late
    by half a source frame on average against the sound.

    Raises InputError: as :func:`probe`; undecodable in the middle; ends before the promised end.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        clock = _Clock(container, stream)
        n_outputs = 0
        held: tuple[av.VideoFrame, int, float] | None = None
        end_seconds = 0.0
        is_cut = False

        def outputs_until(seconds: float) -> range:
            """Output frames not given yet whose middle comes before ``seconds``."""
            limit = math.ceil((seconds + _TIE_SECONDS - start_seconds) * fps - 0.5)
            if max_seconds is not None:
                limit = min(limit, round(max_seconds * fps))
            return range(n_outputs, max(limit, n_outputs))

        for number, frame in enumerate(_decode(container, stream, path, clock)):
            seconds = clock.seconds_of(frame, number)
            if held is not None:
                if seconds <= held[2]:
                    continue  # a repeated time stamp: the frame is never shown
                outputs = outputs_until(seconds)
                if outputs:
                    n_outputs = outputs.stop
                    yield SampledFrame(_upright(held[0], stream), held[1], held[2], outputs)
            held = (frame, number, seconds)
            end_seconds = seconds + clock.duration_of(frame)
            if max_seconds is not None and n_outputs >= round(max_seconds * fps):
                is_cut = True
                break
        if held is None:
            raise InputError(path, "has no readable video frame", _RE_EXPORT)
        if not is_cut:
            outputs = outputs_until(end_seconds)
            if outputs:
                yield SampledFrame(_upright(held[0], stream), held[1], held[2], outputs)
            clock.check_end(path, number + 1)


def read_video(path: str | os.PathLike[str]) -> Iterator[tuple[np.ndarray, float]]:
    """All frames of a finished video, in order: ([height, width, 3] uint8 RGB, seconds).

    Seconds count from the first frame. Raises InputError as :func:`probe`.
    """
    with _open(path) as container:
        stream = _video_stream(container, path)
        clock = _Clock(container, stream)
        number = -1
        for number, frame in enumerate(_decode(container, stream, path, clock)):
            yield _upright(frame, stream), clock.seconds_of(frame, number)
        if number < 0:
            raise InputError(path, "has no readable video frame", _RE_EXPORT)
        clock.check_end(path, number + 1)


class VideoWriter:
    """Streams frames into an h264 mp4 that every player opens, with sound if given.

        with VideoWriter("portrait.mp4", fps=25, sound_path="speech.wav") as video:
            for image in images:
                video.append(image)

    The file appears when the block ends without an exception, and not at all otherwise.

    Args:
        path: ends in .mp4.
        fps: frames per second.
        sound_path: a sound file muxed as AAC, cut to the pictures' duration.
        crf: constant rate factor of x264, 0 (lossless) to 51; 18 is visually clean.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fps: float,
        sound_path: str | os.PathLike[str] | None = None,
        crf: int = 18,
    ) -> None:
        self.path, self.fps, self.crf = Path(path), fps, crf
        self.sound_path = None if sound_path is None else Path(sound_path)
        self.n_written = 0
        self._shape: tuple[int, ...] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None

    def __enter__(self) -> VideoWriter:
        if self.sound_path is not None and not self.sound_path.is_file():
            raise InputError(self.sound_path, "does not exist", "run the rule that makes it")
        self._atomic = atomic_path(self.path)
        self._partial = self._atomic.__enter__()
        return self

    def append(self, image: np.ndarray) -> None:
        """Add one frame [height, width, 3] uint8 RGB; all frames have the first one's size."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"{self.path}: frame {image.shape} {image.dtype}, want uint8 RGB")
        if self._process is None:
            self._start(image.shape)
        if image.shape != self._shape:
            raise ValueError(f"{self.path}: frame {image.shape}, the first was {self._shape}")
        try:
            self._process.stdin.write(np.ascontiguousarray(image).data)
        except BrokenPipeError:
            self._finish()
        self.n_written += 1

    def _start(self, shape: tuple[int, ...]) -> None:
        height, width = shape[:2]
        if height % 2 or width % 2:
            raise ValueError(f"{self.path}: {width}x{height} is odd; yuv420p needs even sides")
        self._shape = shape
        pictures = ffmpeg.input(
            "pipe:",
            format="rawvideo",
            pix_fmt="rgb24",
            s=f"{width}x{height}",
            r=_rational(self.fps),
        ).video
        # The colour matrix is written down, so that every reader inverts the one that was used.
        pictures = pictures.filter("scale", out_color_matrix="bt709", out_range="tv")
        options: dict[str, Any] = dict(
            vcodec="libx264",
            pix_fmt="yuv420p",
            crf=self.crf,
            preset="medium",
            movflags="+faststart",
            colorspace="bt709",
            color_primaries="bt709",
            color_trc="bt709",
            color_range="tv",
            threads=max(1, int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1),
        )
        streams = [pictures]
        if self.sound_path is not None:
            streams.append(ffmpeg.input(str(self.sound_path)).audio)
            options.update(acodec="aac", audio_bitrate="128k", shortest=None)
        command = (
            ffmpeg.output(*streams, str(self._partial), **options)
            .global_args("-loglevel", "error", "-nostdin")
            .overwrite_output()
            .compile(cmd=imageio_ffmpeg.get_ffmpeg_exe())
        )
        # ffmpeg's complaints go to a file: a full pipe would stop it while we feed frames.
        self._errors = open(f"{self._partial}.log", "w+b")
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self._errors)

    def _finish(self) -> None:
        """Close the encoder; raises OSError with its own words if it failed."""
        process, self._process = self._process, None
        try:
            process.stdin.close()
        except BrokenPipeError:
            pass  # its exit status says why
        status = process.wait()
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()
        self._close_log()
        if status != 0:
            code = errno.ENOSPC if "No space left" in words else errno.EIO
            raise OSError(code, f"ffmpeg ended with status {status}: {words}", str(self.path))

    def _close_log(self) -> None:
        if self._errors is not None:
            self._errors.close()
            Path(self._errors.name).unlink(missing_ok=True)
            self._errors = None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool | None:
        try:
            if kind is None:
                if self._process is None:
                    raise ValueError(f"{self.path}: no frame was written")
                self._finish()
        except BaseException as failure:
            self._abandon()
            if not self._atomic.__exit__(type(failure), failure, failure.__traceback__):
                raise
        if kind is not None:
            self._abandon()
        return self._atomic.__exit__(kind, error, trace)

    def _abandon(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process = None
        self._close_log()


_RE_EXPORT = "export it again as mp4 (h264) or download it again"


def _open(path: str | os.PathLike[str]) -> av.container.InputContainer:
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "does not exist", "correct the path in the config")
    try:
        return av.open(str(path))
    except av.error.FFmpegError as error:
        raise InputError(
            path, f"is not a readable video ({error.strerror or error})", _RE_EXPORT
        ) from error


def _video_stream(
    container: av.container.InputContainer, path: str | os.PathLike[str]
) -> av.video.stream.VideoStream:
    # A cover picture of a sound file is a video stream of one still; it is not a video.
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise InputError(path, "has no video stream", "give a video of a talking person")
    stream = streams[0]
    if stream.codec_context is None:
        raise InputError(path, "has a video stream of an unknown codec", _RE_EXPORT)
    stream.thread_type = "AUTO"
    stream.codec_context.thread_count = int(os.environ.get("OMP_NUM_THREADS", "0"))
    return stream


def _decode(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    path: str | os.PathLike[str],
    clock: _Clock | None = None,
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
                yield frame
    except av.error.FFmpegError as error:
        raise InputError(
            path,
            f"cannot be decoded after {n_frames} frames ({error.strerror or error})",
            "the file is damaged or truncated: " + _RE_EXPORT,
        ) from error


class _Clock:
    """Seconds of frames since the first one, and whether the file keeps its promised length."""

    def __init__(
        self, container: av.container.InputContainer, stream: av.video.stream.VideoStream
    ) -> None:
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

    def check_end(self, path: str | os.PathLike[str], n_decoded: int) -> None:
        """Raise InputError if all streams end well before the container's own promise."""
        missing = max(
            self._promised_seconds - (self._end - self._start),
            (self._n_promised - n_decoded) * self._frame_seconds,
        )
        if missing > max(_MISSING_SECONDS, _MISSING_SHARE * self._promised_seconds):
            raise InputError(
                path, f"is truncated: its last {missing:.1f} s are missing", _RE_EXPORT
            )


def _promised_seconds(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Clockwise quarter turns and a mirroring (applied before them) that make the frame upright.

    The display matrix maps stored to shown coordinates as a row vector: x' = a x + c y,
    y' = b x + d y (ISO/IEC 14496-12, tkhd), fixed point 16.16.
    """
    for side in frame.side_data:
        if side.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(bytes(side)[:36], "<i4").astype(float)
            a, b, _, c, d = matrix[:5] / 65536.0
            is_mirrored = a * d - b * c < 0
            if is_mirrored:
                a, b = -a, -b
            turns = round(math.degrees(math.atan2(b, a)) / 90.0) % 4
            return turns, is_mirrored
    return 0, False


def _shown_size(frame: av.VideoFrame, stream: av.video.stream.VideoStream) -> tuple[int, int]:
    """Height and width with square pixels, before rotation."""
    aspect = stream.sample_aspect_ratio
    if not aspect or aspect <= 0 or aspect == 1:
        return frame.height, frame.width
    return frame.height, max(1, round(frame.width * float(aspect)))


def _upright(frame: av.VideoFrame, stream: av.video.stream.VideoStream) -> np.ndarray:
    """The frame as it is meant to be seen: [height, width, 3] uint8 RGB, contiguous."""
    image = frame.to_ndarray(format="rgb24")
    height, width = _shown_size(frame, stream)
    if (height, width) != image.shape[:2]:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    turns, is_mirrored = _orientation(frame)
    if is_mirrored:
        image = image[:, ::-1]
    return np.ascontiguousarray(np.rot90(image, -turns))


def _rational(fps: float) -> str:
    rate = Fraction(fps).limit_denominator(1001)
    return f"{rate.numerator}/{rate.denominator}"
