"""A decoded frame as it is meant to be seen: upright, square pixels, progressive, BT.709.

High dynamic range becomes standard by formulas of ITU-R BT.2100 (transfer functions), BT.2087
(primaries) and BT.2408 (203 nits is reference white), and a tone curve that leaves everything up to
``KNEE`` of white as it is.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from functools import cache

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc

_UNSPECIFIED = 2  # colour matrix (ISO/IEC 23091-2)

#: Nits of reference white (BT.2408) and of the display that HLG is meant for (BT.2100).
WHITE_NITS, HLG_PEAK_NITS = 203.0, 1000.0

# ASSUME: PQ is mastered for at most so much (most common displays of studios); what is brighter
# becomes white.
PQ_PEAK_NITS = 1000.0

# ASSUME: in shares of reference white; faces lie below, lamps and skies above.
KNEE = 0.8

#: Linear BT.2020 to linear BT.709 (BT.2087).
BT2020_TO_BT709 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008349],
        [-0.018151, -0.100579, 1.118730],
    ]
)
_BT2020_LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]])


class Viewer:
    """Shows the frames of one stream as they are meant to be seen, each in its own geometry."""

    def __init__(self, stream: av.video.stream.VideoStream) -> None:
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


def dynamic_range(frame: av.VideoFrame) -> str:
    """``sdr``, ``hlg`` or ``pq``."""
    return {ColorTrc.ARIB_STD_B67: "hlg", ColorTrc.SMPTE2084: "pq"}.get(frame.color_trc, "sdr")


def to_bt709(picture: av.VideoFrame, frame: av.VideoFrame) -> np.ndarray:
    """Stored pixels as [height, width, 3] uint8 RGB of BT.709 and standard dynamic range.

    A frame without a tag has the matrix of its size, as players assume: BT.709 from HD on, BT.601
    below.
    """
    matrix = None
    if frame.colorspace == _UNSPECIFIED:
        sides = sorted((frame.width, frame.height))
        is_hd = sides[0] > 576 or sides[1] >= 1280
        matrix = Colorspace.ITU709 if is_hd else Colorspace.ITU601
    kind = dynamic_range(frame)
    is_wide = frame.color_primaries == ColorPrimaries.BT2020
    if kind == "sdr" and not is_wide:
        return picture.to_ndarray(format="rgb24", src_colorspace=matrix)
    signal = picture.to_ndarray(format="rgb48le", src_colorspace=matrix)
    return standard_range(signal, kind, is_wide)


def standard_range(signal: np.ndarray, kind: str, is_bt2020: bool) -> np.ndarray:
    """R'G'B' [height, width, 3] uint16 of any range and gamut → uint8 of BT.709, shown at 203 nits.

    Display light in shares of reference white: PQ by its EOTF; HLG by its inverse OETF and the OOTF
    Y^0.2 of a display of 1,000 nits; standard range by V^2.4 (BT.1886). Then BT.2087, then the tone
    curve on the largest of the three (hues stay), then the inverse of BT.1886.
    """
    light = _decoding_table(kind)[signal]
    if kind == "hlg":
        luminance = cv2.transform(light, _BT2020_LUMINANCE.astype(np.float32))
        light *= (HLG_PEAK_NITS / WHITE_NITS) * cv2.pow(luminance, 0.2)[..., None]
    if is_bt2020:
        light = cv2.transform(light, BT2020_TO_BT709.astype(np.float32))
    np.maximum(light, 0.0, out=light)
    if kind != "sdr":
        peak = (HLG_PEAK_NITS if kind == "hlg" else PQ_PEAK_NITS) / WHITE_NITS
        largest = light.max(axis=-1, keepdims=True)
        light *= tone_curve(largest, peak) / np.maximum(largest, 1e-6)
    return _encoding_table()[(np.minimum(light, 1.0) * 65535 + 0.5).astype(np.uint16)]


def tone_curve(light: np.ndarray, peak: float) -> np.ndarray:
    """Light in shares of white → at most 1: the identity up to ``KNEE``, ``peak`` becomes 1.

    Above, x = (light - KNEE) / (1 - KNEE) becomes x (1 + x / m^2) / (1 + x), with m the same of the
    peak (Reinhard et al., Photographic Tone Reproduction, 2002, Eq. 4); slopes agree at the knee.
    """
    m = (peak - KNEE) / (1 - KNEE)
    x = np.clip((light - KNEE) / (1 - KNEE), 0.0, m)
    return np.where(light <= KNEE, light, KNEE + (1 - KNEE) * x * (1 + x / m**2) / (1 + x))


@cache
def _decoding_table(kind: str) -> np.ndarray:
    """Signal of 16 bits → linear float32: shares of white; for HLG scene light in [0, 1]."""
    v = np.linspace(0.0, 1.0, 65536)
    if kind == "pq":  # SMPTE ST 2084
        m1, m2 = 2610 / 16384, 2523 / 4096 * 128
        c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
        power = v ** (1 / m2)
        linear = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * 1e4 / WHITE_NITS
    elif kind == "hlg":  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        linear = np.where(v <= 0.5, v**2 / 3, (np.exp((v - c) / a) + b) / 12)
    else:
        linear = v**2.4
    return linear.astype(np.float32)


@cache
def _encoding_table() -> np.ndarray:
    return np.round(255 * np.linspace(0.0, 1.0, 65536) ** (1 / 2.4)).astype(np.uint8)


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
        graph.add_buffer(template=frame),
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
