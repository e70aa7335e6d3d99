"""Action units: the tables that OpenFace has made of a render and of its reference → AUE."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath
from wildtalker_core.metrics import expression, video_scores
from wildtalker_core.metrics.frame_scores import Measured
from wildtalker_core.metrics.video_scores import NO_REFERENCE, Scores, absent
from workflow_scripts.settings import is_driven


def openface_tables(folder: str | None, wildcards: Any) -> tuple[str, str] | None:
    """Paths of OpenFace's tables of reference and estimate for the test split, or None."""
    if not folder or wildcards.setting == "training_frames" or is_driven(wildcards.setting):
        return None
    name = wildcards.method
    if wildcards.setting != "self_driven":
        name += f".{wildcards.setting}"
    return f"{folder}/{wildcards.clip}/reference.csv", f"{folder}/{wildcards.clip}/{name}.csv"


def score_action_units(paths: tuple[str, str] | None, measured: Measured, fps: float) -> Scores:
    if measured.reference_points is None:
        reason = NO_REFERENCE
    elif paths is None:
        reason = "OpenFace's tables are not given (evaluate.openface_dir)"
    else:
        reference, estimate = (read_openface(path, len(measured.points)) for path in paths)
        return video_scores.score_action_units(reference, estimate, measured.is_counted, fps)
    return {key: absent(reason) for key in video_scores.ACTION_UNITS}


def read_openface(path: AnyPath, n_frames: int) -> np.ndarray:
    """[frames, 17] intensities of an OpenFace csv. Raises InputError if it does not fit."""
    if not Path(path).is_file():
        raise InputError(path, "does not exist", "run OpenFace on the video, or drop openface_dir")
    try:
        table = pandas.read_csv(path)
        intensities = expression.openface_intensities(
            {name: table[name].to_numpy() for name in table}
        )
    except (KeyError, ValueError) as error:
        raise InputError(
            path, f"is no OpenFace table ({error.args[0]})", "run FeatureExtraction with -aus"
        ) from error
    if len(intensities) != n_frames:
        raise InputError(
            path,
            f"has {len(intensities)} rows, the video {n_frames} frames",
            "run OpenFace on the rendered video itself",
        )
    return intensities
