"""Fixed encodings: waves of a position, spherical harmonics of a direction."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def frequency_encoding(
    values: Float[Tensor, "*batch d"], n_octaves: int
) -> Float[Tensor, "*batch d*(1+2*{n_octaves})"]:
    """The values, then sin and cos of 2^k times them.

    Mildenhall et al. 2020, Eq. 4 (without the factor pi, as in its successors).
    """
    octaves = 2.0 ** torch.arange(n_octaves, device=values.device, dtype=values.dtype)
    phases = (values[..., None] * octaves).flatten(-2)
    return torch.cat((values, phases.sin(), phases.cos()), -1)


def spherical_harmonics(directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 16"]:
    """The 16 real spherical harmonics of degree 0 to 3 of unit directions.

    Orthonormal over the sphere.
    """
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        (
            torch.full_like(x, 0.28209479177387814),
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * zz - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * zz - 1),
            0.3731763325901154 * z * (5 * zz - 3),
            -0.4570457994644658 * x * (5 * zz - 1),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ),
        -1,
    )
