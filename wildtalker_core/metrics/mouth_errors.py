"""What a mouth's landmark error is made of, and which closures of the lips are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import find_objects, label


@dataclass(frozen=True)
class ErrorParts:
    """Parts of the mean squared error of points; they add up to it (Murphy 1988).

    Attributes:
        offset: of the mean points.
        size: the motion that goes with the reference's has the wrong size; regression to the mean
            is no such error, as no factor would make it smaller.
        unrelated: the reference's motion that the estimate's does not tell. Neither an offset nor a
            factor takes it away.
    """

    offset: float
    size: float
    unrelated: float

    @property
    def total(self) -> float:
        return self.offset + self.size + self.unrelated

    def shares(self) -> tuple[float, float, float]:
        """Each part of the total; NaN where there is no error."""
        total = self.total or np.nan
        return self.offset / total, self.size / total, self.unrelated / total


def error_parts(reference: np.ndarray, estimate: np.ndarray) -> ErrorParts:
    """Parts of the squared distance of points [frames, points, 2], mean over frames and points.

    As for LMD each frame's own mean over the points is removed; frames with NaN take no part.
    """
    known = np.isfinite(reference).all((1, 2)) & np.isfinite(estimate).all((1, 2))
    a, b = (x[known] - x[known].mean(1, keepdims=True) for x in (reference, estimate))
    moved_a, moved_b = a - a.mean(0), b - b.mean(0)
    spread_a, spread_b = moved_a.std(0), moved_b.std(0)
    together = (moved_a * moved_b).mean(0)
    # rho * spread of the reference: what of the estimate's motion is right; nothing if it rests.
    right = together / np.where(spread_b > 0, spread_b, np.inf)
    n_points = reference.shape[1]
    return ErrorParts(
        float(np.square(a.mean(0) - b.mean(0)).sum() / n_points),
        float(np.square(spread_b - right).sum() / n_points),
        float((np.square(spread_a) - np.square(right)).sum() / n_points),
    )


def without_offset(reference: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """The estimate [frames, points, 2] moved, as a whole, to the reference's mean shape."""
    a, b = (x - x.mean(1, keepdims=True) for x in (reference, estimate))
    return estimate + np.nanmean(a - b, 0)


@dataclass(frozen=True)
class Closures:
    """Runs of frames in which lips are closed.

    Attributes:
        n_filmed: of the reference; n_met: those of them that the estimate shows, too.
        n_shown: of the estimate; n_false: those of them that the reference does not have.
    """

    n_filmed: int
    n_met: int
    n_shown: int
    n_false: int


def closures(
    reference: np.ndarray, estimate: np.ndarray, closed_below: float, reach: int = 2
) -> Closures:
    """Compare closures of gaps between the lips [frames] in time.

    Args:
        closed_below: gap below which lips count as closed; NaN is open.
        reach: frames by which one may come early or late.
    """
    closed = [gap < closed_below for gap in (reference, estimate)]
    n, met = [], []
    for own, other in (closed, closed[::-1]):
        spans = runs(own)
        n.append(len(spans))
        met.append(sum(other[max(0, a - reach) : b + reach].any() for a, b in spans))
    return Closures(n[0], int(met[0]), n[1], n[1] - int(met[1]))


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Half-open spans of consecutive true values.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    return [(run.start, run.stop) for (run,) in find_objects(label(flags)[0])]
