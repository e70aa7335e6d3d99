"""Scores of facial expression: action units by OpenFace, blendshapes by the FaceLandmarker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

#: Intensities that OpenFace 2.2 measures, in its order; columns ``AU01_r`` ... of its table.
OPENFACE_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
LOWER_FACE_UNITS = (10, 12, 14, 15, 17, 20, 23, 25, 26)


def action_unit_errors(reference: np.ndarray, estimate: np.ndarray) -> dict[str, np.ndarray]:
    """AUE of each frame, whose mean is the score: squared difference of OpenFace's intensities.

    Papers give it at different scales, so all come: ``aue_sum`` over the 17 units (ER-NeRF,
    SyncTalk), ``aue_mean`` over them (the scale of WildTalker's own table, as far as one can tell),
    and the sums over lower and upper face, ``aue_lower`` and ``aue_upper`` (TalkingGaussian).

    Args:
        reference, estimate: [frames, 17] intensities in the order of ``OPENFACE_UNITS``.
    """
    if reference.shape != estimate.shape or reference.shape[1:] != (len(OPENFACE_UNITS),):
        raise ValueError(f"reference {reference.shape}, estimate {estimate.shape}, want [n, 17]")
    squared = np.square(reference - estimate)
    is_lower = np.isin(OPENFACE_UNITS, LOWER_FACE_UNITS)
    return {
        "aue_sum": squared.sum(axis=1),
        "aue_mean": squared.mean(axis=1),
        "aue_lower": squared[:, is_lower].sum(axis=1),
        "aue_upper": squared[:, ~is_lower].sum(axis=1),
    }


def openface_intensities(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """The columns of an OpenFace table, by name -> [frames, 17] intensities.

    OpenFace pads its column names with blanks in some versions. Raises KeyError naming what lacks.
    """
    by_name = {name.strip(): values for name, values in columns.items()}
    wanted = [f"AU{unit:02d}_r" for unit in OPENFACE_UNITS]
    missing = [name for name in wanted if name not in by_name]
    if missing:
        raise KeyError(f"no column {', '.join(missing)}")
    return np.stack([np.asarray(by_name[name], np.float64) for name in wanted], axis=1)


def blendshape_table(shapes: Sequence[Mapping[str, float] | None]) -> np.ndarray:
    """Blendshapes of each frame by name -> [frames, shapes] by rising name, NaN without a face."""
    names = sorted(next(filter(None, shapes), {}))
    return np.array([[of[n] for n in names] if of else [np.nan] * len(names) for of in shapes])


def blendshape_errors(reference: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each frame's blendshapes [frames, shapes], NaN without a face.

    Ours, and no substitute for AUE: another detector, other units.
    """
    if reference.shape != estimate.shape or reference.ndim != 2:
        raise ValueError(f"reference {reference.shape} and estimate {estimate.shape} differ")
    return np.abs(reference - estimate).mean(axis=1)
