"""Options of the stage person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from wildtalker_core.option_types import NotNegative, Share, limits


@dataclass(frozen=True)
class LandmarkOptions:
    """How landmarks are tracked."""

    max_faces: Annotated[int, limits(1, 10)] = 2
    """Faces looked for in each frame; more than one keeps a second person from stealing the
    track."""
    max_gap_seconds: NotNegative = 3
    """Longest stretch without the face that is interpolated, seconds; a longer one is an error.
    Ours."""
    max_faceless_share: Share = 0.2
    """Share of frames without the face above which the clip is refused, 0 to 1. Ours."""
    smoothing_window_frames: Annotated[int, limits(1, 31, is_odd=True)] = 5
    """Length of the Savitzky-Golay filter on landmarks, frames; 1 turns it off. Ours; 5 frames
    leave blinks their depth (tests/person)."""
    smoothing_order: Annotated[int, limits(0, 5)] = 2
    """Order of the filter's polynomial (below the window). Ours."""


@dataclass(frozen=True)
class HandOptions:
    """Which detected hands count."""

    max_hand_gap_frames: Annotated[int, limits(0, 100)] = 8
    """Longest stretch in which an undetected hand is interpolated, frames. Ours."""
    min_hand_frames: Annotated[int, limits(1, 100)] = 4
    """Hands seen in fewer frames are false alarms. Ours."""


@dataclass(frozen=True)
class FocalLengthOptions:
    """What is known of the camera beforehand."""

    focal_length_prior: Annotated[float, limits(most=20, above=0.3)] = 2.5
    """Expected focal length in widths of the stored frame; a clip whose head turns much overrules
    it. Ours (2.5 fitted two test clips; AD-NeRF finds 2.3 for most)."""
    focal_length_spread: Annotated[float, limits(most=3, above=0)] = 0.2
    """Spread of the logarithm of the focal length around its prior (0.2 means about 20 %). Ours."""


@dataclass(frozen=True)
class PersonSection(FocalLengthOptions, HandOptions, LandmarkOptions):
    """Landmarks, parsing and first head pose of the portrayed person."""
