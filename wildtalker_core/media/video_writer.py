"""Finished videos with sound, encoded beside the work of the caller."""

from __future__ import annotations

import os
import queue
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from av.video.stream import VideoStream

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import decode_sound
from wildtalker_core.media.container import in_words, url_of
from wildtalker_core.media.files import AnyPath, atomic_path
from wildtalker_core.media.options import CodecOptions
from wildtalker_core.media.sound_track import sound_rate


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
        crf, encoder_preset: as in ``CodecOptions``.
        note: kept as the file's comment; None for none.
    """

    #: Frames that may wait for the encoder.
    QUEUE = 8

    def __init__(
        self,
        path: AnyPath,
        fps: float,
        sound_path: AnyPath | None = None,
        crf: int = CodecOptions.crf,
        encoder_preset: str = CodecOptions.encoder_preset,
        note: str | None = None,
    ) -> None:
        self.path, self.fps, self.crf = Path(path), fps, crf
        self.encoder_preset = encoder_preset
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
            pictures = _add_pictures(container, rate, self._shape, self.crf, self.encoder_preset)
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
    container: OutputContainer, rate: Fraction, shape: tuple[int, ...], crf: int, preset: str
) -> VideoStream:
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
        own = sound_rate(path)
        self._rate_hz = own if rates and own in rates else 48000
        self._waveform = decode_sound(path, self._rate_hz)
        self._n_sent = 0

    def add_to(self, container: OutputContainer) -> AudioStream:
        stream = container.add_stream("aac", rate=self._rate_hz, layout="mono")
        stream.bit_rate = 128_000
        return stream

    def encode(self, stream: AudioStream, seconds: Fraction, is_end: bool) -> list[av.Packet]:
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
