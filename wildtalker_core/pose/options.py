"""Options of the stage pose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from wildtalker_core.option_types import limits


@dataclass(frozen=True)
class StabilizerOptions:
    """How poses are made steady over time."""

    stabilizer: Literal["bundle_adjustment", "savgol", "none"] = "bundle_adjustment"
    """How poses are made steady over time: bundle_adjustment of tracked skin points (the Head-Sync
    Stabilizer), savgol (a Savitzky-Golay filter), or none."""
    pose_window_frames: Annotated[int, limits(1, 31, is_odd=True)] = 7
    """Length of the filter of `stabilizer savgol`, frames. Ours (7, of a first try on two
    clips)."""
    n_references: Annotated[int, limits(1, 64)] = 12
    """Reference frames of the bundle adjustment, at most; more are needed the more the head turns.
    Ours."""
    n_skin_points: Annotated[int, limits(20, 1000)] = 150
    """Skin points in each reference frame, at most. Ours."""
    n_compared: Annotated[int, limits(1, 16)] = 3
    """References that each frame is compared with; cost grows with it. Ours."""


@dataclass(frozen=True)
class PoseSection(StabilizerOptions):
    """Head pose made steady over time, and expression."""

    face_landmarker_path: str | None = None
    """File of MediaPipe's FaceLandmarker (face_landmarker.task); then its blendshapes are the
    expression (as in SyncTalk), else the expression is measured on the landmarks."""
