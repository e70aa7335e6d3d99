"""Errors of mattes: alpha [height, width] in [0, 1] against a true one.

SAD, MSE and gradient error as Rhemann et al. 2009 (a perceptually motivated online benchmark for
image matting) define them, dtSSD as Erofeev et al. 2015.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

_SIGMA, _CUT_OFF = 1.4, 1e-2


def sum_of_differences(alpha: np.ndarray, true: np.ndarray) -> float:
    """SAD, thousands of pixels."""
    return float(np.abs(alpha - true).sum() / 1000)


def mean_squared_error(alpha: np.ndarray, true: np.ndarray) -> float:
    """MSE, thousandths."""
    return float(1000 * np.square(alpha - true).mean())


def gradient_error(alpha: np.ndarray, true: np.ndarray) -> float:
    """Squared difference of the gradients' lengths, summed, thousands.

    Gradients are derivatives of Gaussians (1.4 pixels, kernels of length 1 in the sense of L2).
    """
    squared = np.square(_gradient(alpha) - _gradient(true))
    return float(squared.sum() / 1000)


def flicker(alpha: np.ndarray, true: np.ndarray) -> float:
    """dtSSD of [frames, height, width], hundredths: how differently the two change in time."""
    change = np.diff(alpha, axis=0) - np.diff(true, axis=0)
    return float(100 * np.sqrt(np.square(change).mean((1, 2))).mean())


def _gradient(alpha: np.ndarray) -> np.ndarray:
    reach = math.ceil(_SIGMA * math.sqrt(-2 * math.log(math.sqrt(2 * math.pi) * _SIGMA * _CUT_OFF)))
    at = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (at / _SIGMA) ** 2)
    slope = -at * bell
    bell, slope = bell / np.linalg.norm(bell), slope / np.linalg.norm(slope)
    image = np.asarray(alpha, np.float64)
    across, down = (
        cv2.sepFilter2D(image, cv2.CV_64F, x, y, borderType=cv2.BORDER_REPLICATE)
        for x, y in ((slope, bell), (bell, slope))
    )
    return np.hypot(across, down)
