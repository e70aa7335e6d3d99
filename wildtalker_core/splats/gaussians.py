"""Pictures of 3-D Gaussians that bones move: the plain, differentiable definition.

A Gaussian is projected to an ellipse on the picture (EWA splatting, Zwicker et al. 2002), and the
ellipses are laid over one another from front to back (Kerbl et al. 2023, "3D Gaussian Splatting").
Bones move Gaussians by linear blend skinning: each is an affine map, and a Gaussian follows the
weighted mean of the maps, its covariance included.

``project_numba``, ``rasterise_numba`` and ``rasterise_triton`` compute the same; this file is what
they must agree with.
It works on every device and in double precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int32
from torch import Tensor

KERNELS = ("compact", "gaussian")

#: Square of the Mahalanobis distance (2.83 standard deviations) from which on a Gaussian is not
#: drawn. The compact kernel ends there by itself; the Gaussian one is cut off at exp(-4) = .018.
#: Kerbl et al. cut a square of 3 standard deviations and alphas below 1/255.
SUPPORT = 8.0
#: Alpha of one Gaussian is at most this (Kerbl et al., Appendix C).
ALPHA_MAX = 0.99
#: A pixel takes no further Gaussian once less than this of the light passes (Kerbl et al.).
TRANSMITTANCE_STOP = 1e-4
#: Variance [px^2] added to both axes of an ellipse, so that none slips between the pixels (Kerbl
#: et al.'s code).
DILATION_PX2 = 0.3
#: Gaussians whose mean is not farther than this from the camera's plane are not drawn. ASSUME
#: 0.05 head units: poses keep heads several units away, so this only guards against zero.
NEAR = 0.05

_BAND = 16  # rows of pixels at once: bounds the memory


@dataclass(frozen=True)
class Projected:
    """Gaussians on the picture.

    Attributes:
        means2d: px; the first pixel's centre is (0.5, 0.5). Zero if not in front.
        conics: entries xx, xy, yy of the ellipses' inverse covariance [px^-2]. Zero if not in
            front.
        depths: of the means, along the optical axis.
        extents: left, top, right, bottom [px], half open, of the pixels whose centres an ellipse
            may touch; all zero if it touches none.
    """

    means2d: Float[Tensor, "n 2"]
    conics: Float[Tensor, "n 3"]
    depths: Float[Tensor, "n"]
    extents: Int32[Tensor, "n 4"]

    @property
    def is_visible(self) -> Bool[Tensor, "n"]:
        """Whether a Gaussian may touch a pixel."""
        return self.extents[:, 2] > self.extents[:, 0]


def rotations_of(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices of quaternions (w, x, y, z) of any length but zero."""
    w, x, y, z = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return torch.stack(rows, -1).view(-1, 3, 3)


def project(
    means: Float[Tensor, "n 3"],
    quaternions: Float[Tensor, "n 4"],
    log_scales: Float[Tensor, "n 3"],
    weights: Float[Tensor, "n bones"],
    transforms: Float[Tensor, "bones 3 4"],
    focal_length: float,
    height: int,
    width: int,
    *,
    dilation_px2: float = DILATION_PX2,
    near: float = NEAR,
) -> Projected:
    """Gaussians, moved by bones, on the picture of a pinhole camera.

    Args:
        quaternions: (w, x, y, z), of any length.
        log_scales: natural logarithms of the standard deviations.
        weights: how much a Gaussian follows each bone; rows sum to 1.
        transforms: affine maps from the body to the camera (OpenCV axes), one a bone.
        focal_length: px; the principal point is the picture's centre.
        height, width: px.
        dilation_px2: variance added to the ellipses.
        near: least depth of a mean that is drawn.
    """
    blended = torch.einsum("nb,bij->nij", weights, transforms)
    linear = blended[:, :, :3]
    cameras = torch.einsum("nij,nj->ni", linear, means) + blended[:, :, 3]
    depths = cameras[:, 2]
    is_in_front = depths > near
    x, y, z = torch.where(is_in_front[:, None], cameras, torch.ones_like(cameras)).unbind(-1)
    zero = torch.zeros_like(z)
    jacobian = focal_length * torch.stack(
        (1 / z, zero, -x / z.square(), zero, 1 / z, -y / z.square()), -1
    ).view(-1, 2, 3)
    root = jacobian @ linear @ (rotations_of(quaternions) * log_scales.exp()[:, None])
    covariance = root @ root.transpose(1, 2)
    xx = covariance[:, 0, 0] + dilation_px2
    yy = covariance[:, 1, 1] + dilation_px2
    xy = covariance[:, 0, 1]
    determinant = xx * yy - xy * xy
    conics = torch.stack((yy, -xy, xx), -1) / determinant[:, None]
    u, v = focal_length * (x / z) + width / 2, focal_length * (y / z) + height / 2
    means2d = torch.stack((u, v), -1)
    with torch.no_grad():
        left, right = _reached(u, xx, width)
        top, bottom = _reached(v, yy, height)
        is_seen = is_in_front & (right > left) & (bottom > top)
        extents = torch.stack((left, top, right, bottom), -1)
        extents = extents.where(is_seen[:, None], zero[:, None]).int()
    return Projected(means2d * is_in_front[:, None], conics * is_in_front[:, None], depths, extents)


def _reached(mean: Tensor, variance: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First pixel along an axis of ``size`` pixels that ellipses may touch, and the one after."""
    reach = (SUPPORT * variance).sqrt()
    first = (mean - reach - 0.5).ceil()
    return first.clamp(0, size), ((mean + reach - 0.5).floor() + 1).clamp(0, size)


def kernel_of(squares: Tensor, kernel: str) -> Tensor:
    """Weight of a Gaussian at squared Mahalanobis distances, 1 at its mean.

    ``gaussian`` is exp(-q / 2), cut off at ``SUPPORT``. ``compact`` is (1 - q / 8)^4 there: the
    same slope and within .08 of it, but it ends by itself and needs no exponential.
    """
    if kernel == "compact":
        return (1 - squares / SUPPORT).clamp_min(0).pow(4)
    if kernel == "gaussian":
        return (-0.5 * squares).exp() * (squares < SUPPORT)
    raise ValueError(f"kernel is one of {', '.join(KERNELS)}, not {kernel!r}")


def rasterise(
    projected: Projected,
    colours: Float[Tensor, "n 3"],
    opacities: Float[Tensor, "n"],
    height: int,
    width: int,
    *,
    kernel: str = "compact",
) -> tuple[Float[Tensor, "{height} {width} 3"], Float[Tensor, "{height} {width}"]]:
    """Gaussians laid over one another, nearest mean first; of equal depths the first in the list.

    Differentiable with respect to means, conics, colours and opacities.

    Args:
        opacities: in (0, 1).
        height, width: px, as projected.

    Returns:
        Colours, already multiplied by alpha, and alpha. Over a backdrop B the picture is
        ``colours + (1 - alpha) * B``.
    """
    order = torch.argsort(projected.depths.detach(), stable=True)
    order = order[projected.is_visible[order]]
    tops, bottoms = projected.extents[order, 1], projected.extents[order, 3]
    bands = []
    for top in range(0, height, _BAND):
        bottom = min(top + _BAND, height)
        band = order[(tops < bottom) & (bottoms > top)]
        bands.append(
            _rasterise_rows(projected, colours, opacities, band, top, bottom, width, kernel)
        )
    return torch.cat([colour for colour, _ in bands]), torch.cat([alpha for _, alpha in bands])


def _rasterise_rows(
    projected: Projected,
    colours: Tensor,
    opacities: Tensor,
    order: Tensor,
    top: int,
    bottom: int,
    width: int,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    """Rows ``top`` to ``bottom`` from the Gaussians in ``order``, front to back."""
    means, conics = projected.means2d[order], projected.conics[order, :, None, None]
    dtype, device = means.dtype, means.device
    columns = torch.arange(width, dtype=dtype, device=device)
    rows = torch.arange(top, bottom, dtype=dtype, device=device)
    dx = columns[None, None] + 0.5 - means[:, 0, None, None]
    dy = rows[None, :, None] + 0.5 - means[:, 1, None, None]
    squares = conics[:, 0] * dx * dx + 2 * conics[:, 1] * dx * dy + conics[:, 2] * dy * dy
    raw = opacities[order, None, None] * kernel_of(squares, kernel)
    alphas = raw.clamp_max(ALPHA_MAX)
    passing = torch.cat((torch.ones_like(alphas[:1]), 1 - alphas)).cumprod(0)[:-1]
    shares = torch.where(passing >= TRANSMITTANCE_STOP, alphas * passing, 0)
    return torch.einsum("nhw,nc->hwc", shares, colours[order]), shares.sum(0)
