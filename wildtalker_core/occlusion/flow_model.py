"""Polynomial models of a flow on normalised pixel positions, fitted robustly.

A model is [2, k] on the monomials (1, x, y[, x², xy, y²]).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def fit_flow_model(
    positions: np.ndarray,
    flow: np.ndarray,
    trust: np.ndarray,
    starts: list[np.ndarray],
    scale_px: float,
    n_terms: int,
) -> np.ndarray:
    """Robust polynomial flow model [2, n_terms]; what moves otherwise (a hand) is outvoted.

    Iteratively reweighted least squares with the Geman-McClure loss r²/(r² + s²), s lowered from
    16 to 1 times ``scale_px`` (graduated non-convexity), from several starts; the fit of the least
    loss wins. Affine first; further terms join when the outliers are known.

    Args:
        positions: [points, 2] normalised. flow: [points, 2] pixels. trust: [points] >= 0.
        starts: models [2, 3] to begin at; the weighted median of the flow is always one more.
    """
    # In double precision, for single sums depend on where in memory they lie, and so would masks.
    positions, flow, trust = (np.asarray(values, np.float64) for values in (positions, flow, trust))
    design = np.ascontiguousarray(_monomials(positions, n_terms).T)  # [terms, points]
    median = np.zeros((2, 3))
    median[:, 0] = [_weighted_median(flow[:, axis], trust) for axis in range(2)]
    models = np.stack([median, *starts])  # all starts are improved side by side
    for widening in (16.0, 8.0, 4.0, 2.0, 1.0, 1.0):
        terms = 3 if widening > 1.0 else n_terms
        squared = _squared_residuals(models, design, flow)
        s2 = (widening * scale_px) ** 2
        weights = trust * (s2 / (squared + s2)) ** 2
        weighted = weights[:, None] * design[:terms]
        normal = weighted @ design[:terms].T
        # A slight pull to small coefficients keeps flat or thin regions solvable.
        diagonal = np.arange(terms)
        normal[:, diagonal, diagonal] += 1e-4 * weights.sum(1, keepdims=True) + 1e-9
        models = np.linalg.solve(normal, weighted @ flow).transpose(0, 2, 1)
    squared = _squared_residuals(models, design, flow)
    loss = (trust * squared / (squared + scale_px**2)).sum(1)
    return models[loss.argmin()].astype(np.float32)


def _squared_residuals(models: np.ndarray, design: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """[m, points] of models [m, 2, terms], design [>= terms, points], flow [points, 2]."""
    residual = flow.T - models @ design[: models.shape[2]]
    return residual[:, 0] ** 2 + residual[:, 1] ** 2


def landmark_motion(previous: np.ndarray, current: np.ndarray, height: int) -> np.ndarray:
    """Affine backward motion [2, 3] of landmarks [points, 2] (pixels): the head's first guess."""
    positions = _monomials(np.asarray(_normalise(current, height), np.float64), 3)
    solution, *_ = np.linalg.lstsq(
        positions, np.asarray(previous - current, np.float64), rcond=None
    )
    return solution.T.astype(np.float32)


def evaluate(model: np.ndarray, height: int, width: int) -> np.ndarray:
    """Flow [height, width, 2] of a model [2, terms] at every pixel."""
    x = _normalise(np.arange(width), height)
    y = _normalise(np.arange(height), height)
    flow = np.empty((height, width, 2), np.float32)
    for axis, terms in enumerate(model):
        along_x, along_y = terms[0] + terms[1] * x, terms[2] * y
        if len(terms) == 6:
            along_x, along_y = along_x + terms[3] * x * x, along_y + terms[5] * y * y
        np.add(along_y[:, None], along_x, out=flow[..., axis])
        if len(terms) == 6:
            flow[..., axis] += np.outer(y, terms[4] * x)
    return flow


def _monomials(positions: np.ndarray, n_terms: int) -> np.ndarray:
    """[points, n_terms]: 1, x, y, x², xy, y²."""
    x, y = positions[:, 0], positions[:, 1]
    terms = [np.ones_like(x), x, y]
    if n_terms == 6:
        terms += [x * x, x * y, y * y]
    return np.stack(terms, axis=1)


def _normalise(pixels: np.ndarray, height: int) -> np.ndarray:
    """Pixels → about [-1, 1], the same for both axes."""
    return np.asarray(pixels, np.float32) * (2.0 / height) - 1.0


@lru_cache
def normalised_grid(height: int, width: int) -> np.ndarray:
    """[height, width, 2] normalised pixel positions."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return _normalise(np.stack([x, y], axis=-1), height)


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(cumulative, 0.5 * cumulative[-1])]])
