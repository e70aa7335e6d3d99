"""Picture scores of one frame: [height, width, 3] uint8 against the same shape.

Means over a video are taken over the frames' scores (for PSNR: the mean of decibels, as the whole
field does, which is not the decibel of the mean error).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d

# Wang et al. 2004: 11x11 Gaussian window of 1.5 px, K1 = 0.01, K2 = 0.03; borders without a whole
# window are left out. Population covariance, mean over the three channels.
_WINDOW_RADIUS, _WINDOW_SIGMA = 5, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2

# Wang, Simoncelli and Bovik 2003, five scales.
_MS_WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
#: Smallest side that MS-SSIM's coarsest scale still covers with one window.
MS_SSIM_MIN_PX = (2 * _WINDOW_RADIUS + 1) * 2 ** (len(_MS_WEIGHTS) - 1)


def psnr(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of 8-bit values, over all pixels and channels.

    Infinite for identical frames, which therefore enter no mean.
    """
    _check(reference, estimate)
    error = reference.astype(np.float64) - estimate.astype(np.float64)
    mean_square = float(np.mean(np.square(error)))
    if mean_square == 0.0:
        return float("inf")
    return float(10.0 * np.log10(255.0**2 / mean_square))


def psnr_in_box(reference: np.ndarray, estimate: np.ndarray, box: np.ndarray) -> float:
    """PSNR in dB inside ``box`` = x0, y0, x1, y1 in pixels, half open."""
    x0, y0, x1, y1 = (int(round(float(side))) for side in box)
    height, width = reference.shape[:2]
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"box {np.asarray(box).tolist()} holds no pixel of {width}x{height}")
    return psnr(reference[y0:y1, x0:x1], estimate[y0:y1, x0:x1])


def psnr_in_mask(reference: np.ndarray, estimate: np.ndarray, mask: np.ndarray) -> float:
    """PSNR in dB over the pixels of ``mask`` [height, width] bool, of which there is at least one.

    Raises ValueError for an empty mask.
    """
    _check(reference, estimate)
    if not mask.any():
        raise ValueError("the mask holds no pixel")
    # A list of pixels is a picture one pixel high.
    return psnr(reference[mask][None], estimate[mask][None])


def ssim(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Structural similarity with the settings of Wang et al. 2004, mean over channels; 1 is equal.

    The same as skimage's with ``gaussian_weights``, sigma 1.5, population covariance.
    """
    _check(reference, estimate)
    full, _ = _similarity(reference.astype(np.float64), estimate.astype(np.float64))
    return float(full.mean())


def ms_ssim(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Multi-scale SSIM over five scales, mean over channels; 1 is equal.

    Raises ValueError below ``MS_SSIM_MIN_PX`` pixels a side.
    """
    _check(reference, estimate)
    if min(reference.shape[:2]) < MS_SSIM_MIN_PX:
        raise ValueError(f"MS-SSIM needs {MS_SSIM_MIN_PX} pixels a side, not {reference.shape[:2]}")
    a, b = reference.astype(np.float64), estimate.astype(np.float64)
    product = np.ones(reference.shape[2])
    for scale, weight in enumerate(_MS_WEIGHTS):
        if scale:
            a, b = _halve(a), _halve(b)
        full, contrast = _similarity(a, b)
        term = full if scale == len(_MS_WEIGHTS) - 1 else contrast
        # A negative contrast term has no real power; it means no similarity at this scale.
        product *= np.maximum(term, 0.0) ** weight
    return float(product.mean())


def seam_error(reference: np.ndarray, estimate: np.ndarray, band: np.ndarray) -> float:
    """How much steeper the estimate's edges are than the reference's inside a band, grey levels/px.

    A seam, gap or double chin where head meets torso is an edge that the reference does not have;
    blur (a missing edge) does not count. Ours: no peer has a number for it.

    Args:
        band: [height, width] bool, where head and torso meet; at least one pixel.
    """
    _check(reference, estimate)
    if not band.any():
        raise ValueError("the band holds no pixel")
    excess = _steepness(estimate) - _steepness(reference)
    return float(np.maximum(excess, 0.0)[band].mean())


def edge_energy(frame: np.ndarray, mask: np.ndarray) -> float:
    """Sum of squared brightness gradients [grey levels per pixel] where ``mask`` [h, w] is true.

    Over that of the filmed frame it says how sharp a picture is: near 0 for a blur, 1 for as many
    and as steep edges, wherever they are.
    """
    return float(np.square(_steepness(frame))[mask].sum())


def _steepness(frame: np.ndarray) -> np.ndarray:
    luma = frame.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    down, right = np.gradient(luma)
    return np.hypot(down, right)


def _similarity(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean SSIM and mean contrast-structure term, per channel."""
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    contrast = (2 * covariance + _C2) / (var_a + var_b + _C2)
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return (luminance * contrast).mean(axis=(0, 1)), contrast.mean(axis=(0, 1))


def _blur(values: np.ndarray) -> np.ndarray:
    """Gaussian window means where the whole window lies inside: [h - 10, w - 10, channels]."""
    offsets = np.arange(-_WINDOW_RADIUS, _WINDOW_RADIUS + 1)
    kernel = np.exp(-0.5 * (offsets / _WINDOW_SIGMA) ** 2)
    kernel /= kernel.sum()
    inside = slice(_WINDOW_RADIUS, -_WINDOW_RADIUS)
    rows = correlate1d(values, kernel, axis=0)[inside]
    return correlate1d(rows, kernel, axis=1)[:, inside]


def _halve(values: np.ndarray) -> np.ndarray:
    """Mean of 2x2 blocks; an odd last row or column is left out."""
    height, width = values.shape[0] // 2 * 2, values.shape[1] // 2 * 2
    blocks = values[:height, :width].reshape(height // 2, 2, width // 2, 2, -1)
    return blocks.mean(axis=(1, 3))


def _check(reference: np.ndarray, estimate: np.ndarray) -> None:
    if reference.shape != estimate.shape or reference.ndim != 3:
        raise ValueError(f"reference {reference.shape} and estimate {estimate.shape} differ")
    if reference.dtype != np.uint8 or estimate.dtype != np.uint8:
        raise ValueError(f"want uint8 frames, not {reference.dtype} and {estimate.dtype}")
