"""What training minimises: Eq. 5, 6 and 7 of WildTalker, and regularisers with their source."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

#: Pictures in [0, 1].
Patches = Float[Tensor, "patches height width 3"]
Scalar = Float[Tensor, ""]
#: (estimate, reference) -> how different they are
PerceptualLoss = Callable[[Patches, Patches], Scalar]

_WINDOW = 7  # pixels
STATIC_WEIGHTS = ("one_minus_mask", "literal", "none")
PHOTOMETRICS = ("squared", "absolute")


def static_weight(
    transient_mask: Float[Tensor, "*pixels"], form: str = "one_minus_mask"
) -> Float[Tensor, "*pixels"]:
    """Factor of each pixel's loss, from the transient mask in [0, 1] (1 = ignore).

    ASSUME ``one_minus_mask``: the paper's text wants transient pixels to count less, while its
    Eq. 6 as printed multiplies by the mask itself; that form is kept as ``literal``. ``none``
    counts all pixels alike.
    """
    if form == "one_minus_mask":
        return 1 - transient_mask
    if form == "literal":
        return transient_mask
    if form == "none":
        return torch.ones_like(transient_mask)
    raise ValueError(f"static_weight is one of {', '.join(STATIC_WEIGHTS)}, not {form!r}")


def ray_errors(
    reference: Float[Tensor, "rays 3"],
    estimate: Float[Tensor, "rays 3"],
    photometric: str = "squared",
) -> Float[Tensor, "rays"]:
    """Error of each ray's colour: mean over channels.

    Args:
        photometric: ``squared`` (Eq. 5; RAD-NeRF, ER-NeRF) or ``absolute`` (SyncTalk's code).
    """
    if photometric == "squared":
        return (estimate - reference).square().mean(-1)
    if photometric == "absolute":
        return (estimate - reference).abs().mean(-1)
    raise ValueError(f"photometric is one of {', '.join(PHOTOMETRICS)}, not {photometric!r}")


def reconstruction_loss(
    reference: Float[Tensor, "rays 3"],
    estimate: Float[Tensor, "rays 3"],
    weight: Float[Tensor, "rays"] | None = None,
    photometric: str = "squared",
) -> Scalar:
    """Eq. 5: mean error of rays, each times its weight."""
    errors = ray_errors(reference, estimate, photometric)
    return errors.mean() if weight is None else (weight * errors).mean()


def torso_loss(
    reference: Float[Tensor, "rays 3"],
    estimate: Float[Tensor, "rays 3"],
    transient_mask: Float[Tensor, "rays"],
    form: str = "one_minus_mask",
    photometric: str = "squared",
) -> Scalar:
    """Eq. 6: error of composed pixels where the picture is static."""
    weight = static_weight(transient_mask, form)
    return reconstruction_loss(reference, estimate, weight, photometric)


def head_loss(
    reference: Patches,
    estimate: Patches,
    lambda_lpips: float,
    perceptual: PerceptualLoss | None,
    photometric: str = "squared",
) -> Scalar:
    """Eq. 7 on lip patches: Eq. 5 plus a perceptual loss."""
    loss = reconstruction_loss(
        reference.reshape(-1, 3), estimate.reshape(-1, 3), photometric=photometric
    )
    if perceptual is None or lambda_lpips == 0:
        return loss
    return loss + lambda_lpips * perceptual(estimate, reference)


def opacity_entropy(opacities: Float[Tensor, "rays"]) -> Scalar:
    """Binary entropy of each ray's opacity, mean [nats]: a ray hits the head or misses it.

    RAD-NeRF and its successors add 1e-4 of it.
    """
    p = opacities.clamp(1e-5, 1 - 1e-5)
    return -(p * p.log() + (1 - p) * (1 - p).log()).mean()


def uncertainty_weights(
    uncertainty: Float[Tensor, "rays"], progress: float
) -> Float[Tensor, "rays"]:
    """Weight of each ray's error: late in the run uncertain rays count for more (ER-NeRF).

    ``0.2 + 0.8 * clamp((1 - s) + s * n * softmax(u), 0, 10)`` with s from 0 to 1 over the run, so
    the weights are 1 at its start. ASSUME no gradient: uncertainty is learnt from
    :func:`uncertainty_loss` and must not fall to make a ray cheap.

    Args:
        uncertainty: not negative.
        progress: s.
    """
    u = uncertainty.detach()
    share = len(u) * u.softmax(0)
    return 0.2 + 0.8 * ((1 - progress) + progress * share).clamp(0, 10)


def uncertainty_loss(
    errors: Float[Tensor, "rays"], uncertainty: Float[Tensor, "rays"], is_face: Bool[Tensor, "rays"]
) -> Scalar:
    """What teaches the uncertainty: a Gaussian's likelihood in the face, nothing outside of it.

    In the face ``error / (2 beta^2) + (ln beta)^2 / 2`` with beta = 1 + u and the error as it is
    (Kendall and Gal 2017 with ER-NeRF's square of the logarithm); outside ``1e-3 * u``.

    Args:
        errors: used without gradient.
        uncertainty: not negative.
    """
    beta = 1 + uncertainty
    likelihood = errors.detach() / (2 * beta.square()) + beta.log().square() / 2
    return torch.where(is_face, likelihood, 1e-3 * uncertainty).mean()


def ms_ssim_loss(estimate: Patches, reference: Patches) -> Scalar:
    """1 minus multi-scale SSIM (Wang et al. 2003).

    ASSUME a Gaussian window of 7 pixels and at most three scales of the five, those that hold the
    window, their weights renormalised: lip patches are 16 to 64 pixels wide. Stands in for LPIPS
    where its weights are absent, under its own name.
    """
    a, b = estimate.permute(0, 3, 1, 2), reference.permute(0, 3, 1, 2)
    side = min(a.shape[-2:])
    exponents = [e for i, e in enumerate((0.0448, 0.2856, 0.3001)) if side >> i >= _WINDOW]
    if not exponents:
        raise ValueError(f"a patch of {side} pixels does not hold the window of {_WINDOW}")
    total = sum(exponents)
    score = a.new_ones(())
    for scale, exponent in enumerate(exponents):
        luminance, contrast = _ssim_terms(a, b)
        is_last = scale == len(exponents) - 1
        term = (luminance * contrast if is_last else contrast).mean((1, 2, 3)).clamp_min(1e-4)
        score = score * term ** (exponent / total)
        a, b = (torch.nn.functional.avg_pool2d(x, 2) for x in (a, b))
    return 1 - score.mean()


def _ssim_terms(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    offsets = torch.arange(_WINDOW, dtype=a.dtype, device=a.device) - _WINDOW // 2
    window = (-(offsets**2) / (2 * 1.5**2)).exp()
    kernel = torch.outer(window, window)
    kernel = (kernel / kernel.sum()).expand(a.shape[1], 1, _WINDOW, _WINDOW)

    def blur(x: Tensor) -> Tensor:
        return torch.nn.functional.conv2d(x, kernel, groups=x.shape[1])

    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return luminance, (2 * covariance + c2) / (variance_a + variance_b + c2)
