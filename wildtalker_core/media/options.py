"""Options of the stage media, and how every video is encoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from wildtalker_core.option_types import NotNegative, Share, limits


@dataclass(frozen=True)
class FrameOptions:
    """What is cut out of a video."""

    fps: Annotated[float, limits(1, 120)] = 25
    """Frame rate of everything that follows, frames per second (25, AD-NeRF and all its
    successors)."""
    size_px: Annotated[int, limits(64, 2048, multipleOf=2)] = 512
    """Side of the stored square frames, pixels, even; less where the source's square is smaller.
    The paper has 512; with `renderer: field`, 256 suits a CPU."""
    sample_rate_hz: Literal[16000] = 16000
    """Rate of the speech, Hz (16000, as audio encoders and PESQ want it)."""
    crop: Literal["auto", "whole", "centre"] = "auto"
    """auto cuts a square with head and shoulders around the main face (a clip that is that close
    already stays whole); whole takes the largest square that holds the face; centre the largest
    square in the middle."""
    crop_scale: Annotated[float, limits(1.5, 10)] = 3.0
    """Side of the square of `crop auto` in heights of the detected face (brows to chin). Ours; at 3
    head and shoulders fill the frame. The square is at least size_px wide where the source is."""
    start_seconds: NotNegative = 0
    """The first part of the clip to leave out, seconds."""
    max_seconds: Annotated[float | None, limits(above=0)] = None
    """Use at most this much of the clip, seconds; null uses all of it."""
    min_seconds: Annotated[float, limits(0.5)] = 2
    """A shorter clip is refused, seconds. Ours; nothing can be learnt from less."""
    min_source_px: Annotated[int, limits(32)] = 128
    """A smaller source picture or face crop is refused, pixels a side. Ours."""
    max_faceless_share: Share = 0.2
    """Share of frames without the main face above which the clip is refused, 0 to 1. Ours; fewer
    are interpolated and listed in the manifest."""
    train_fraction: Annotated[float, limits(above=0, below=1)] = 0.9090909090909091
    """Share of the clip, from its start, that is learnt from; the last tenth of it is the
    validation split, on which numbers are chosen; the rest of the clip is the test split (10/11,
    AD-NeRF and its successors)."""
    video_stream: Annotated[int | None, limits(1)] = None
    """Which of a file's video streams, counted from 1; null takes the one that the file marks as
    its default. The others are named in the manifest."""


@dataclass(frozen=True)
class MediaSection(FrameOptions):
    """From the raw clip to square frames and mono speech."""

    audio_stream: Annotated[int | None, limits(1)] = None
    """Which of a file's audio streams, counted from 1; null takes the one that the file marks as
    its default. The others are named in speech.json."""


@dataclass(frozen=True)
class CodecOptions:
    """How finished videos are encoded: all of a table's rows alike."""

    crf: Annotated[int, limits(0, 51)] = 17
    """Constant rate factor of x264, 0 (lossless) to 51 (18 is visually clean); measured with
    encoder_preset in docs/speed.md."""
    encoder_preset: Literal[
        "ultrafast",
        "superfast",
        "veryfast",
        "faster",
        "fast",
        "medium",
        "slow",
        "slower",
        "veryslow",
    ] = "superfast"
    """Preset of x264. Slower ones write smaller files of the same quality; medium takes three times
    superfast's time for half its size."""
