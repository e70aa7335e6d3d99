"""A decoded frame as it is meant to be seen: upright, square pixels, progressive, BT.709."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import SideData
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc
from av.video.stream import VideoStream

_UNSPECIFIED = 2  # colour matrix or primaries (ISO/IEC 23091-2)


class Viewer:
    """Shows the frames of one stream as they are meant to be seen, each in its own geometry."""

    def __init__(self, stream: VideoStream) -> None:
        self._stream = stream
        self._first_aspect: Fraction | None = None
        self._is_first = True

    def upright(self, picture: av.VideoFrame, frame: av.VideoFrame) -> np.ndarray:
        """[height, width, 3] uint8 RGB, contiguous.

        Args:
            picture: the pixels; frame: what was decoded, which knows about them (the same, or
                before deinterlacing).
        """
        image = to_bt709(picture, frame)
        height, width = self._square_pixel_size(frame)
        if (height, width) != image.shape[:2]:
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        turns, is_mirrored = orientation(frame)
        if is_mirrored:
            image = image[:, ::-1]
        return np.ascontiguousarray(np.rot90(image, -turns))

    def size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Height and width of ``upright``, pixels."""
        height, width = self._square_pixel_size(frame)
        return (width, height) if orientation(frame)[0] % 2 else (height, width)

    def _square_pixel_size(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Height and width before rotation.

        A decoder learns of an aspect that changes in mid-stream. The container knows the first one
        only, but there its word goes before the codec's.
        """
        aspect = self._stream.sample_aspect_ratio
        now = self._stream.codec_context.sample_aspect_ratio
        if self._is_first:
            self._first_aspect, self._is_first = now, False
        if now != self._first_aspect:
            aspect = now
        if not aspect or aspect <= 0 or aspect == 1:
            return frame.height, frame.width
        return frame.height, max(1, round(frame.width * float(aspect)))


def orientation(frame: av.VideoFrame) -> tuple[int, bool]:
    """Clockwise quarter turns and a mirroring (applied before them) that make the frame upright.

    The display matrix maps stored to shown coordinates as a row vector: x' = a x + c y,
    y' = b x + d y (ISO/IEC 14496-12, tkhd), fixed point 16.16.
    """
    # PyAV annotates the container as a mapping, which would give its keys.
    for side in cast("Iterable[SideData]", frame.side_data):
        if side.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(bytes(side)[:36], "<i4").astype(float)
            a, b, _, c, d = (matrix[:5] / 65536.0).tolist()
            is_mirrored = a * d - b * c < 0
            if is_mirrored:
                a, b = -a, -b
            turns = round(math.degrees(math.atan2(b, a)) / 90.0) % 4
            return turns, is_mirrored
    return 0, False


def dynamic_range(frame: av.VideoFrame) -> str:
    """``sdr``, ``hlg`` or ``pq``."""
    return {int(ColorTrc.ARIB_STD_B67): "hlg", int(ColorTrc.SMPTE2084): "pq"}.get(
        frame.color_trc, "sdr"
    )


def to_bt709(picture: av.VideoFrame, frame: av.VideoFrame) -> np.ndarray:
    """Stored pixels as [height, width, 3] uint8 RGB of BT.709 and standard dynamic range.

    A frame without a tag has the matrix of its size, as players assume: BT.709 from HD on, BT.601
    below.
    """
    kind = dynamic_range(frame)
    is_wide = frame.color_primaries == ColorPrimaries.BT2020 or (
        kind != "sdr" and frame.color_primaries == _UNSPECIFIED
    )
    matrix = None
    if frame.colorspace == _UNSPECIFIED:
        sides = sorted((frame.width, frame.height))
        is_hd = sides[0] > 576 or sides[1] >= 1280
        matrix = Colorspace.ITU709 if is_hd else Colorspace.ITU601
        matrix = Colorspace.BT2020 if is_wide else matrix
    if kind == "sdr" and not is_wide:
        return picture.to_ndarray(format="rgb24", src_colorspace=matrix)
    # Here, since few clips need it and numba takes a while to load.
    from wildtalker_core.media.high_range import standard_range

    signal = picture.to_ndarray(format="rgb48le", src_colorspace=matrix)
    return standard_range(signal, kind, is_wide)


def deinterlaced(
    frames: Iterator[av.VideoFrame],
) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
    """Each decoded frame with its pixels: those that say they are interlaced go through bwdif.

    One picture for each frame, so that numbers and instants stay.
    """
    graph: av.filter.Graph | None = None
    layout = None
    waiting: deque[av.VideoFrame] = deque()
    for frame in frames:
        if graph is not None and layout != (frame.width, frame.height, frame.format.name):
            yield from _rest(graph, waiting)
            graph = None
        if graph is None and not frame.interlaced_frame:
            yield frame, frame
            continue
        if graph is None:
            graph, layout = _bwdif(frame), (frame.width, frame.height, frame.format.name)
        waiting.append(frame)
        graph.vpush(frame)
        yield from _ready(graph, waiting)
    if graph is not None:
        yield from _rest(graph, waiting)


def _bwdif(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(template=frame),  # type: ignore[arg-type]  # a frame serves as well
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _ready(
    graph: av.filter.Graph, waiting: deque[av.VideoFrame]
) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
    while True:
        try:
            picture = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        yield waiting.popleft(), picture


def _rest(
    graph: av.filter.Graph, waiting: deque[av.VideoFrame]
) -> Iterator[tuple[av.VideoFrame, av.VideoFrame]]:
    graph.vpush(None)
    yield from _ready(graph, waiting)
