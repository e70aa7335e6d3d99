"""Scores of facial expression: action units by OpenFace, blendshapes by the FaceLandmarker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

#: Intensities that OpenFace 2.2 measures, in its order; columns ``AU01_r`` ... of its table.
OPENFACE_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
LOWER_FACE_UNITS = (10, 12, 14, 15, 17, 20, 23, 25, 26)


def action_unit_error(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """AUE: squared difference of OpenFace's intensities, mean over frames.

    Papers give it at different scales, so all come: ``sum`` over the 17 units (ER-NeRF, SyncTalk),
    ``mean`` over them (the scale of WildTalker's own table, as far as one can tell), and the sums
    over ``lower`` and ``upper`` face (TalkingGaussian).

    Args:
        reference, estimate: [frames, 17] intensities in the order of ``OPENFACE_UNITS``.
    """
    if reference.shape != estimate.shape or reference.shape[1:] != (len(OPENFACE_UNITS),):
        raise ValueError(f"reference {reference.shape}, estimate {estimate.shape}, want [n, 17]")
    per_unit = np.mean(np.square(reference - estimate), axis=0)
    return {
        "sum": float(per_unit.sum()),
        "mean": float(per_unit.mean()),
        "lower": float(per_unit[units_of("lower")].sum()),
        "upper": float(per_unit[units_of("upper")].sum()),
    }


def units_of(part: str) -> np.ndarray:
    """[17] bool, which of ``OPENFACE_UNITS`` are in a part: ``lower``, ``upper``, or all."""
    is_lower = np.isin(OPENFACE_UNITS, LOWER_FACE_UNITS)
    return {"lower": is_lower, "upper": ~is_lower}.get(part, np.ones(len(is_lower), bool))


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


def blendshape_error(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Mean absolute difference of blendshape scores [frames, shapes] in [0, 1]; NaN rows left out.

    Ours, and no substitute for AUE: another detector, other units.
    """
    if reference.shape != estimate.shape or reference.ndim != 2:
        raise ValueError(f"reference {reference.shape} and estimate {estimate.shape} differ")
    is_known = np.isfinite(reference).all(axis=1) & np.isfinite(estimate).all(axis=1)
    if not is_known.any():
        return float("nan")
    return float(np.abs(reference[is_known] - estimate[is_known]).mean())
