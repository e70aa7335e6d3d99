"""``gaussians.project`` as compiled CPU loops, with its derivative by hand.

Gaussians go through in blocks of fixed length, and what bones gain is summed block by block and
then over the blocks in their order: the result does not depend on the number of threads, to the
last bit. Matrices are tuples, row by row, which the compiler keeps in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from wildtalker_core.compiled import MATH, njit, prange, use_torch_threads
from wildtalker_core.splats.gaussians import SUPPORT, Projected

_BLOCK = 256  # Gaussians
_ONE, _TWO, _HALF = np.float32(1), np.float32(2), np.float32(0.5)
_SUPPORT = np.float32(SUPPORT)


@njit(fastmath=MATH)
def _rotation(w, x, y, z):
    return (
        _ONE - _TWO * (y * y + z * z), _TWO * (x * y - w * z), _TWO * (x * z + w * y),
        _TWO * (x * y + w * z), _ONE - _TWO * (x * x + z * z), _TWO * (y * z - w * x),
        _TWO * (x * z - w * y), _TWO * (y * z + w * x), _ONE - _TWO * (x * x + y * y),
    )  # fmt: skip


@njit(fastmath=MATH)
def _product(a, b):
    """[2, 3] x [3, 3]."""
    return (
        a[0] * b[0] + a[1] * b[3] + a[2] * b[6], a[0] * b[1] + a[1] * b[4] + a[2] * b[7],
        a[0] * b[2] + a[1] * b[5] + a[2] * b[8], a[3] * b[0] + a[4] * b[3] + a[5] * b[6],
        a[3] * b[1] + a[4] * b[4] + a[5] * b[7], a[3] * b[2] + a[4] * b[5] + a[5] * b[8],
    )  # fmt: skip


@njit(fastmath=MATH)
def _product_transposed(a, b):
    """[2, 3] x [3, 3] transposed."""
    return _product(a, (b[0], b[3], b[6], b[1], b[4], b[7], b[2], b[5], b[8]))


@njit(fastmath=MATH)
def _transposed_product(a, b):
    """[2, 3] transposed x [2, 3]."""
    return (
        a[0] * b[0] + a[3] * b[3], a[0] * b[1] + a[3] * b[4], a[0] * b[2] + a[3] * b[5],
        a[1] * b[0] + a[4] * b[3], a[1] * b[1] + a[4] * b[4], a[1] * b[2] + a[4] * b[5],
        a[2] * b[0] + a[5] * b[3], a[2] * b[1] + a[5] * b[4], a[2] * b[2] + a[5] * b[5],
    )  # fmt: skip


@njit(fastmath=MATH)
def _blend(weights, transforms):
    """Weighted sum of the maps: linear part (9 entries) and shift (3)."""
    a = b = c = d = e = f = g = h = i = x = y = z = np.float32(0)
    for bone in range(len(transforms)):
        share, t = weights[bone], transforms[bone]
        a, b, c = a + share * t[0, 0], b + share * t[0, 1], c + share * t[0, 2]
        d, e, f = d + share * t[1, 0], e + share * t[1, 1], f + share * t[1, 2]
        g, h, i = g + share * t[2, 0], h + share * t[2, 1], i + share * t[2, 2]
        x, y, z = x + share * t[0, 3], y + share * t[1, 3], z + share * t[2, 3]
    return (a, b, c, d, e, f, g, h, i), (x, y, z)


@njit(fastmath=MATH)
def _moved(linear, shift, mean):
    x, y, z = mean[0], mean[1], mean[2]
    return (
        linear[0] * x + linear[1] * y + linear[2] * z + shift[0],
        linear[3] * x + linear[4] * y + linear[5] * z + shift[1],
        linear[6] * x + linear[7] * y + linear[8] * z + shift[2],
    )


@njit(fastmath=MATH)
def _unit(quaternion):
    """Unit quaternion, and one over the length."""
    w, x, y, z = quaternion[0], quaternion[1], quaternion[2], quaternion[3]
    inverse = _ONE / max(np.sqrt(w * w + x * x + y * y + z * z), np.float32(1e-12))
    return w * inverse, x * inverse, y * inverse, z * inverse, inverse


@njit(fastmath=MATH)
def _scaled(rotation, scale):
    """Rotation times a diagonal: a root of the covariance."""
    a, b, c = scale[0], scale[1], scale[2]
    return (
        rotation[0] * a, rotation[1] * b, rotation[2] * c,
        rotation[3] * a, rotation[4] * b, rotation[5] * c,
        rotation[6] * a, rotation[7] * b, rotation[8] * c,
    )  # fmt: skip


@njit(fastmath=MATH)
def _on_picture(linear, a, jx, jy):
    """Jacobian [[a, 0, jx], [0, a, jy]] times a linear map."""
    return (
        a * linear[0] + jx * linear[6], a * linear[1] + jx * linear[7],
        a * linear[2] + jx * linear[8], a * linear[3] + jy * linear[6],
        a * linear[4] + jy * linear[7], a * linear[5] + jy * linear[8],
    )  # fmt: skip


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=MATH)
def _forward(
    means, quaternions, scales, weights, transforms, focal_length, height, width, dilation, near,
    means2d, conics, depths, extents,
):  # fmt: skip
    """All of the last line begins as 0, and stays so where nothing is seen; numbers are float32."""
    n = len(means)
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min(n, (block + 1) * _BLOCK)):
            linear, shift = _blend(weights[i], transforms)
            x, y, z = _moved(linear, shift, means[i])
            depths[i] = z
            if not z > near:
                continue
            inverse = _ONE / z
            a = focal_length * inverse
            u, v = a * x + _HALF * width, a * y + _HALF * height
            w, qx, qy, qz, _ = _unit(quaternions[i])
            root = _product(
                _on_picture(linear, a, -a * x * inverse, -a * y * inverse),
                _scaled(_rotation(w, qx, qy, qz), scales[i]),
            )
            xx = root[0] * root[0] + root[1] * root[1] + root[2] * root[2] + dilation
            xy = root[0] * root[3] + root[1] * root[4] + root[2] * root[5]
            yy = root[3] * root[3] + root[4] * root[4] + root[5] * root[5] + dilation
            over = _ONE / (xx * yy - xy * xy)
            means2d[i, 0], means2d[i, 1] = u, v
            conics[i, 0], conics[i, 1], conics[i, 2] = yy * over, -xy * over, xx * over
            left, right = _span(u, np.sqrt(_SUPPORT * xx), width)
            top, bottom = _span(v, np.sqrt(_SUPPORT * yy), height)
            if right > left and bottom > top:
                extents[i, 0], extents[i, 1] = left, top
                extents[i, 2], extents[i, 3] = right, bottom


@njit(fastmath=MATH)
def _span(centre, reach, size):
    """Pixels, half open, whose centres lie within reach of a place, out of ``size``."""
    # Clamped before they become integers, which hold less.
    first = min(max(np.ceil(centre - reach - _HALF), np.float32(0)), size)
    last = min(max(np.floor(centre + reach - _HALF) + _ONE, np.float32(0)), size)
    return int(first), int(last)


@njit(fastmath=MATH)
def _covariance_gradient(conic, grad_conic):
    """-K G K with the inverse covariance K and what the loss gains by its entries."""
    a, b, c = conic[0], conic[1], conic[2]
    xx, xy, yy = grad_conic[0], _HALF * grad_conic[1], grad_conic[2]
    k00, k01 = a * xx + b * xy, a * xy + b * yy
    k10, k11 = b * xx + c * xy, b * xy + c * yy
    return -(k00 * a + k01 * b), -(k00 * b + k01 * c), -(k10 * b + k11 * c)


@njit(fastmath=MATH)
def _quaternion_gradient(w, x, y, z, inverse, g, out):
    """From the gradient ``g`` of the rotation matrix's entries; ``inverse`` one over the length."""
    gw = _TWO * (-z * g[1] + y * g[2] + z * g[3] - x * g[5] - y * g[6] + x * g[7])
    gx = _TWO * (
        y * g[1] + z * g[2] + y * g[3] - _TWO * x * g[4] - w * g[5] + z * g[6] + w * g[7]
        - _TWO * x * g[8]
    )  # fmt: skip
    gy = _TWO * (
        -_TWO * y * g[0] + x * g[1] + w * g[2] + x * g[3] + z * g[5] - w * g[6] + z * g[7]
        - _TWO * y * g[8]
    )  # fmt: skip
    gz = _TWO * (
        -_TWO * z * g[0] - w * g[1] + x * g[2] + w * g[3] - _TWO * z * g[4] + y * g[5] + x * g[6]
        + y * g[7]
    )  # fmt: skip
    along = gw * w + gx * x + gy * y + gz * z
    out[0], out[1] = (gw - along * w) * inverse, (gx - along * x) * inverse
    out[2], out[3] = (gy - along * y) * inverse, (gz - along * z) * inverse


@njit(parallel=True, cache=True, nogil=True, error_model="numpy", fastmath=MATH)
def _backward(
    means, quaternions, scales, weights, transforms, focal_length, near, conics, grad_means2d,
    grad_conics, grad_depths, grad_means, grad_quaternions, grad_log_scales, grad_weights,
    grad_transforms,
):  # fmt: skip
    """``grad_transforms`` [blocks, b, 3, 4] become the sums of each block; the rest begins as 0."""
    n = len(means)
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        gained = grad_transforms[block]
        gained[:] = 0
        for i in range(block * _BLOCK, min(n, (block + 1) * _BLOCK)):
            linear, shift = _blend(weights[i], transforms)
            x, y, z = _moved(linear, shift, means[i])
            gz = grad_depths[i]
            gx = gy = np.float32(0)
            m = (gx, gx, gx, gx, gx, gx, gx, gx, gx)
            if z > near:
                inverse = _ONE / z
                a = focal_length * inverse
                jx, jy = -a * x * inverse, -a * y * inverse
                w, qx, qy, qz, over = _unit(quaternions[i])
                axes = _scaled(_rotation(w, qx, qy, qz), scales[i])
                seen = _on_picture(linear, a, jx, jy)
                root = _product(seen, axes)
                xx, xy, yy = _covariance_gradient(conics[i], grad_conics[i])
                grad_root = (
                    _TWO * (xx * root[0] + xy * root[3]), _TWO * (xx * root[1] + xy * root[4]),
                    _TWO * (xx * root[2] + xy * root[5]), _TWO * (xy * root[0] + yy * root[3]),
                    _TWO * (xy * root[1] + yy * root[4]), _TWO * (xy * root[2] + yy * root[5]),
                )  # fmt: skip
                grad_seen = _product_transposed(grad_root, axes)
                grad_axes = _transposed_product(seen, grad_root)
                g = _scaled(grad_axes, scales[i])
                _quaternion_gradient(w, qx, qy, qz, over, g, grad_quaternions[i])
                for k in range(3):
                    total = grad_axes[k] * axes[k] + grad_axes[3 + k] * axes[3 + k]
                    grad_log_scales[i, k] = total + grad_axes[6 + k] * axes[6 + k]
                grad_jacobian = _product_transposed(grad_seen, linear)
                ga = grad_jacobian[0] + grad_jacobian[4]
                gjx, gjy = grad_jacobian[2], grad_jacobian[5]
                gu, gv = grad_means2d[i, 0], grad_means2d[i, 1]
                slope = a * inverse
                gx = gu * a - gjx * slope
                gy = gv * a - gjy * slope
                gz += gu * jx + gv * jy - ga * slope
                gz += _TWO * slope * inverse * (gjx * x + gjy * y)
                m = _transposed_product((a, np.float32(0), jx, np.float32(0), a, jy), grad_seen)
            _to_bones(
                linear, m, (gx, gy, gz), means[i], weights[i], transforms, grad_means[i],
                grad_weights[i], gained,
            )  # fmt: skip


@njit(fastmath=MATH)
def _to_bones(linear, m, g, mean, weights, transforms, grad_mean, grad_weights, gained):
    """From the gradients of a linear map ``m``, but for the mean, and of the camera place ``g``."""
    x, y, z = mean[0], mean[1], mean[2]
    for k in range(3):
        grad_mean[k] = linear[k] * g[0] + linear[3 + k] * g[1] + linear[6 + k] * g[2]
    m = (
        m[0] + g[0] * x, m[1] + g[0] * y, m[2] + g[0] * z,
        m[3] + g[1] * x, m[4] + g[1] * y, m[5] + g[1] * z,
        m[6] + g[2] * x, m[7] + g[2] * y, m[8] + g[2] * z,
    )  # fmt: skip
    for bone in range(len(transforms)):
        share, t, sums = weights[bone], transforms[bone], gained[bone]
        total = np.float32(0)
        for row in range(3):
            for column in range(3):
                total += m[3 * row + column] * t[row, column]
                sums[row, column] += share * m[3 * row + column]
            total += g[row] * t[row, 3]
            sums[row, 3] += share * g[row]
        grad_weights[bone] = total


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx, means, quaternions, log_scales, weights, transforms, *options):
        use_torch_threads()
        inputs = [
            t.detach().contiguous()
            for t in (means, quaternions, log_scales.exp(), weights, transforms)
        ]
        n = len(means)
        means2d, conics, depths = torch.zeros(n, 2), torch.zeros(n, 3), torch.empty(n)
        extents = torch.zeros(n, 4, dtype=torch.int32)
        ctx.options = [np.float32(option) for option in options]
        out = (t.numpy() for t in (means2d, conics, depths, extents))
        _forward(*(t.numpy() for t in inputs), *ctx.options, *out)
        ctx.save_for_backward(*inputs, conics)
        ctx.mark_non_differentiable(extents)
        return means2d, conics, depths, extents

    @staticmethod
    def backward(ctx, grad_means2d, grad_conics, grad_depths, _grad_extents):
        use_torch_threads()
        *inputs, conics = ctx.saved_tensors
        n, n_bones = inputs[3].shape
        grads = [torch.zeros_like(t) for t in inputs[:4]]
        by_block = torch.empty(-(-n // _BLOCK), n_bones, 3, 4)
        _backward(
            *(t.numpy() for t in inputs), ctx.options[0], ctx.options[-1], conics.numpy(),
            grad_means2d.contiguous().numpy(), grad_conics.contiguous().numpy(),
            grad_depths.contiguous().numpy(), *(t.numpy() for t in grads), by_block.numpy(),
        )  # fmt: skip
        # In double precision and in the blocks' order: the same for any number of threads.
        transforms = torch.from_numpy(by_block.numpy().sum(0, dtype=np.float64)).float()
        return *grads, transforms, None, None, None, None, None


def project(*gaussians: Any, dilation_px2: float, near: float) -> Projected:
    """As :func:`wildtalker_core.splats.gaussians.project`; float32 on the CPU."""
    return Projected(*_Project.apply(*gaussians, dilation_px2, near))
