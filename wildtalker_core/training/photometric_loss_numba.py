"""``photometric_loss`` and its gradient in one go, as compiled CPU loops.

Channel by channel and band by band of rows, pictures are blurred along the rows and then along the
columns. Bands are of fixed height, and the loss is summed band by band, so that the result does not
depend on the number of threads, to the last bit.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from wildtalker_core.compiled import MATH, njit, prange, use_torch_threads
from wildtalker_core.training import photometric_loss as definition

_RADIUS = definition.RADIUS
_BAND = 64  # rows: a band's maps stay in the second cache
_W0, _W1, _W2, _W3, _W4, _W5 = (np.float32(w) for w in definition.window()[: _RADIUS + 1])
_C1, _C2 = np.float32(definition.C1), np.float32(definition.C2)
_ZERO, _ONE, _TWO = np.float32(0), np.float32(1), np.float32(2)


@njit(fastmath=MATH)
def _blur_row(row, out):
    """A row with ``_RADIUS`` more pixels at both ends, blurred."""
    for x in range(len(out)):
        out[x] = (
            _W0 * (row[x] + row[x + 10]) + _W1 * (row[x + 1] + row[x + 9])
            + _W2 * (row[x + 2] + row[x + 8]) + _W3 * (row[x + 3] + row[x + 7])
            + _W4 * (row[x + 4] + row[x + 6]) + _W5 * row[x + 5]
        )  # fmt: skip


@njit(fastmath=MATH)
def _blur_columns(rows, y, out):
    """Row ``y`` of rows that begin ``_RADIUS`` above the first, blurred along the columns."""
    r0, r1, r2, r3 = rows[y], rows[y + 1], rows[y + 2], rows[y + 3]
    r4, r5, r6, r7 = rows[y + 4], rows[y + 5], rows[y + 6], rows[y + 7]
    r8, r9, r10 = rows[y + 8], rows[y + 9], rows[y + 10]
    for x in range(len(out)):
        out[x] = (
            _W0 * (r0[x] + r10[x]) + _W1 * (r1[x] + r9[x]) + _W2 * (r2[x] + r8[x])
            + _W3 * (r3[x] + r7[x]) + _W4 * (r4[x] + r6[x]) + _W5 * r5[x]
        )  # fmt: skip


@njit(fastmath=MATH)
def _row_terms(blurred, a, b, weight, scale, lambda_dssim, slopes):
    """Loss of a row, and what it gains by the blurred maps (``slopes`` [3, width]).

    Args:
        blurred: [4, width] of the picture, the reference, the sum of their squares and their
            product.
    """
    total = _ZERO
    for x in range(len(weight)):
        m, n = blurred[0, x], blurred[1, x]
        a1 = _TWO * m * n + _C1
        a2 = _TWO * (blurred[3, x] - m * n) + _C2
        b1 = m * m + n * n + _C1
        b2 = blurred[2, x] - m * m - n * n + _C2
        over = _ONE / (b1 * b2)
        ssim = a1 * a2 * over
        w = weight[x] * scale
        s = -lambda_dssim * w
        slopes[0, x] = s * _TWO * over * (n * (a2 - a1) - ssim * m * (b2 - b1))
        slopes[1, x] = -s * ssim * b1 * over
        slopes[2, x] = s * _TWO * a1 * over
        total += w * ((_ONE - lambda_dssim) * abs(a[x] - b[x]) + lambda_dssim * (_ONE - ssim))
    return total


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=MATH)
def _losses(picture, reference, weight, scale, lambda_dssim, slopes, losses):
    """Loss of each band and channel [bands, 3], and slopes [3, 3 maps, height, width]."""
    height, width, _ = picture.shape
    for task in prange(3 * len(losses)):
        channel, band = task % 3, task // 3
        top, bottom = band * _BAND, min(height, (band + 1) * _BAND)
        lines = np.zeros((4, width + 2 * _RADIUS), np.float32)
        rows = np.zeros((4, _BAND + 2 * _RADIUS, width), np.float32)
        blurred = np.empty((4, width), np.float32)
        colours = np.empty((2, width), np.float32)
        for y in range(max(0, top - _RADIUS), min(height, bottom + _RADIUS)):
            for x in range(width):
                a, b = picture[y, x, channel], reference[y, x, channel]
                lines[0, x + _RADIUS] = a
                lines[1, x + _RADIUS] = b
                lines[2, x + _RADIUS] = a * a + b * b
                lines[3, x + _RADIUS] = a * b
            for k in range(4):
                _blur_row(lines[k], rows[k, y - top + _RADIUS])
        total = np.float64(0)
        for y in range(top, bottom):
            for k in range(4):
                _blur_columns(rows[k], y - top, blurred[k])
            for x in range(width):
                colours[0, x] = picture[y, x, channel]
                colours[1, x] = reference[y, x, channel]
            total += _row_terms(
                blurred, colours[0], colours[1], weight[y], scale, lambda_dssim,
                slopes[channel, :, y],
            )  # fmt: skip
        losses[band, channel] = total


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=MATH)
def _gradients(picture, reference, weight, scale, lambda_dssim, slopes, gradient):
    """What the loss gains by the picture [height, width, 3]."""
    height, width, _ = picture.shape
    n_bands = (height + _BAND - 1) // _BAND
    for task in prange(3 * n_bands):
        channel, band = task % 3, task // 3
        top, bottom = band * _BAND, min(height, (band + 1) * _BAND)
        line = np.zeros(width + 2 * _RADIUS, np.float32)
        rows = np.zeros((3, _BAND + 2 * _RADIUS, width), np.float32)
        blurred = np.empty((3, width), np.float32)
        for y in range(max(0, top - _RADIUS), min(height, bottom + _RADIUS)):
            for k in range(3):
                line[_RADIUS : _RADIUS + width] = slopes[channel, k, y]
                _blur_row(line, rows[k, y - top + _RADIUS])
        for y in range(top, bottom):
            for k in range(3):
                _blur_columns(rows[k], y - top, blurred[k])
            for x in range(width):
                a, b = picture[y, x, channel], reference[y, x, channel]
                by_error = weight[y, x] * scale * (_ONE - lambda_dssim)
                sign = _ONE if a > b else (-_ONE if a < b else _ZERO)
                gradient[y, x, channel] = (
                    by_error * sign + blurred[0, x] + _TWO * a * blurred[1, x] + b * blurred[2, x]
                )


class _PhotometricLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, picture, reference, weight, lambda_dssim):
        use_torch_threads()
        height, width, _ = picture.shape
        options = (
            *(t.detach().contiguous().numpy() for t in (picture, reference, weight)),
            np.float32(1 / picture.numel()),
            np.float32(lambda_dssim),
        )
        slopes = np.empty((3, 3, height, width), np.float32)
        losses = np.empty((-(-height // _BAND), 3), np.float64)
        _losses(*options, slopes, losses)
        if ctx.needs_input_grad[0]:
            gradient = torch.empty(picture.shape)
            _gradients(*options, slopes, gradient.numpy())
            ctx.save_for_backward(gradient)
        return picture.new_tensor(losses.sum())

    @staticmethod
    def backward(ctx, grad_loss):
        (gradient,) = ctx.saved_tensors
        return gradient * grad_loss, None, None, None


def compiled_loss(
    picture: Float32[Tensor, "height width 3"],
    reference: Float32[Tensor, "height width 3"],
    weight: Float32[Tensor, "height width"],
    lambda_dssim: float,
) -> Float32[Tensor, ""]:
    """As ``photometric_loss``; float32 on the CPU."""
    return _PhotometricLoss.apply(picture, reference, weight, lambda_dssim)
