"""Which code projects and draws Gaussians: chosen by name, never swapped in silence."""

from __future__ import annotations

import importlib

import torch
from jaxtyping import Float
from torch import Tensor

from wildtalker_core.devices import resolve
from wildtalker_core.splats import gaussians
from wildtalker_core.splats.gaussians import DILATION_PX2, NEAR, Projected

#: Kind of device that a rasteriser works on; torch works on all.
_DEVICES = {"numba": "cpu", "triton": "cuda"}
RASTERISERS = ("auto", "torch", *_DEVICES)


def resolve_rasteriser(name: str, device: torch.device) -> str:
    """The rasteriser that ``name`` means on a device: :func:`wildtalker_core.devices.resolve`."""
    return resolve("train.rasteriser", name, _DEVICES, device)


def _resolve(name: str, tensor: Tensor) -> str:
    """As :func:`resolve_rasteriser`; only the definition computes in double precision."""
    if tensor.dtype == torch.float32:
        return resolve_rasteriser(name, tensor.device)
    if name in ("auto", "torch"):
        return "torch"
    raise ValueError(f"the {name} rasteriser takes float32 tensors, got {tensor.dtype}")


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
    rasteriser: str = "auto",
) -> Projected:
    """As :func:`wildtalker_core.splats.gaussians.project`, by the rasteriser of a name.

    Beside triton it is the definition: a few operations on all Gaussians at once.
    """
    module = gaussians
    if _resolve(rasteriser, means) == "numba":
        module = importlib.import_module("wildtalker_core.splats.project_numba")
    return module.project(
        means, quaternions, log_scales, weights, transforms, focal_length, height, width,
        dilation_px2=dilation_px2, near=near,
    )  # fmt: skip


def rasterise(
    projected: Projected,
    colours: Float[Tensor, "n 3"],
    opacities: Float[Tensor, "n"],
    height: int,
    width: int,
    *,
    kernel: str = "compact",
    rasteriser: str = "auto",
) -> tuple[Float[Tensor, "{height} {width} 3"], Float[Tensor, "{height} {width}"]]:
    """As :func:`wildtalker_core.splats.gaussians.rasterise`, by the rasteriser of a name."""
    name = _resolve(rasteriser, projected.means2d)
    module = gaussians
    if name != "torch":
        module = importlib.import_module(f"wildtalker_core.splats.rasterise_{name}")
    return module.rasterise(projected, colours, opacities, height, width, kernel=kernel)
