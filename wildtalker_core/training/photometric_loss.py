"""Difference of whole pictures in colour and in structure: L1 with SSIM (Kerbl et al. 2023, Eq. 7).

The plain mean of squares (Eq. 5 of WildTalker) of whole pictures is
``losses.reconstruction_loss``.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

#: Window of SSIM (Wang et al. 2004): 11 x 11 pixels, Gaussian of 1.5 px.
RADIUS, SIGMA_PX = 5, 1.5
#: Constants of SSIM for values in [0, 1].
C1, C2 = 0.01**2, 0.03**2

Picture = Float[Tensor, "height width 3"]

IMPLEMENTATIONS = ("auto", "torch", "numba")


def window() -> list[float]:
    """Weights of the window along one axis; they sum to 1."""
    weights = [math.exp(-0.5 * (x / SIGMA_PX) ** 2) for x in range(-RADIUS, RADIUS + 1)]
    return [weight / sum(weights) for weight in weights]


def _blur(size: int, like: Tensor) -> Float[Tensor, "{size} {size}"]:
    """The window along an axis of ``size`` pixels, as a matrix.

    A product with it, and no convolution: on GPUs cuDNN rounds those to TF32 by default, which
    leaves nothing of the small difference that a variance is. Made on the device, so that no step
    waits for a copy.
    """
    places = torch.arange(size, dtype=like.dtype, device=like.device)
    offsets = places[:, None] - places
    weights = (-0.5 * (offsets / SIGMA_PX).square()).exp() * (offsets.abs() <= RADIUS)
    return weights * max(window())  # its middle: there the exponential is 1


def ssim_map(picture: Picture, reference: Picture) -> Picture:
    """SSIM of each pixel and channel of two pictures.

    Beyond the border both are taken to be zero, as in Kerbl et al.'s code.
    """
    a, b = (x.permute(2, 0, 1) for x in (picture, reference))
    rows, columns = (_blur(size, picture) for size in a.shape[1:])
    blurred = rows @ torch.stack((a, b, a * a + b * b, a * b)) @ columns
    mean_a, mean_b, squares, products = blurred
    variances = squares - mean_a**2 - mean_b**2
    covariance = products - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    ssim = numerator / ((mean_a**2 + mean_b**2 + C1) * (variances + C2))
    return ssim.permute(1, 2, 0)


def photometric_loss(
    picture: Picture,
    reference: Picture,
    weight: Float[Tensor, "height width"],
    lambda_dssim: float = 0.2,
    *,
    implementation: str = "auto",
) -> Float[Tensor, ""]:
    """Mean over pixels and channels of ``weight * ((1 - l) |p - r| + l (1 - SSIM))``.

    Differentiable with respect to the picture only.

    Args:
        picture, reference: in [0, 1].
        lambda_dssim: l.
        implementation: ``torch`` is the definition; ``numba`` computes the same in compiled loops,
            float32 on the CPU; ``auto`` is numba there and else torch.
    """
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"implementation is one of {', '.join(IMPLEMENTATIONS)}, not {implementation!r}"
        )
    is_compilable = picture.dtype == torch.float32 and picture.device.type == "cpu"
    if implementation == "numba" and not is_compilable:
        raise ValueError(
            f"the numba loss takes float32 pictures on the CPU, got {picture.dtype} on "
            f"{picture.device}"
        )
    if is_compilable and implementation != "torch":
        from wildtalker_core.training.photometric_loss_numba import compiled_loss

        return compiled_loss(picture, reference, weight, lambda_dssim)
    errors = (1 - lambda_dssim) * (picture - reference).abs()
    errors = errors + lambda_dssim * (1 - ssim_map(picture, reference))
    return (weight[..., None] * errors).mean()
