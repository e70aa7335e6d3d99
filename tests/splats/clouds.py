"""Clouds of Gaussians for the tests of what draws them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wildtalker_core.splats import rasterisers
from wildtalker_core.splats.gaussians import Projected

#: A name, or a function as ``gaussians.rasterise`` that draws what the definition projects.
Rasteriser = str | Callable[..., tuple[Tensor, Tensor]]

#: Order of the inputs of ``project`` and ``rasterise`` that have gradients.
INPUTS = (
    "means", "quaternions", "log_scales", "weights", "transforms", "colours", "opacities",
)  # fmt: skip


def random_cloud(n: int, n_bones: int = 3, seed: int = 0) -> dict[str, Tensor]:
    """A cloud, [float64], about 4 units before the camera; some of it lies outside the picture.

    Made for a focal length of 1.5 pictures. Every tenth Gaussian is behind the camera; sizes and
    opacities go from faint specks to blobs that hide what is behind.
    """
    made = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    turns = torch.linalg.qr(normal(n_bones, 3, 3) * 0.1 + torch.eye(3, dtype=torch.float64))[0]
    turns = turns * turns.diagonal(dim1=1, dim2=2).sign()[:, None]
    shifts = torch.tensor([0, 0, 4.0]) + 0.1 * normal(n_bones, 3)
    means = normal(n, 3)
    means[::10, 2] -= 8
    return {
        "means": means,
        "quaternions": normal(n, 4),
        "log_scales": -2.3 + 0.5 * normal(n, 3),
        "weights": normal(n, n_bones).softmax(1),
        "transforms": torch.cat((turns, shifts[:, :, None]), 2),
        "colours": normal(n, 3).sigmoid(),
        "opacities": (normal(n) * 2).sigmoid(),
    }


def project(cloud: dict[str, Tensor], height: int, width: int, rasteriser: Rasteriser) -> Projected:
    """A cloud on a picture of ``height`` x ``width`` pixels."""
    inputs = [cloud[name] for name in INPUTS[:5]]
    focal_length = 1.5 * max(height, width)
    name = rasteriser if isinstance(rasteriser, str) else "torch"
    return rasterisers.project(*inputs, focal_length, height, width, rasteriser=name)


def draw(
    cloud: dict[str, Tensor], height: int, width: int, kernel: str, rasteriser: Rasteriser
) -> tuple[Tensor, Tensor]:
    """Colours and alpha of a cloud's picture."""
    projected = project(cloud, height, width, rasteriser)
    inputs = (projected, cloud["colours"], cloud["opacities"], height, width)
    if isinstance(rasteriser, str):
        return rasterisers.rasterise(*inputs, kernel=kernel, rasteriser=rasteriser)
    return rasteriser(*inputs, kernel=kernel)


def values_and_gradients(
    cloud: dict[str, Tensor], height: int, width: int, kernel: str, rasteriser: Rasteriser
) -> dict[str, Tensor]:
    """Picture, alpha and gradients of a loss with random weights on every pixel and channel."""
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in cloud.items()}
    picture, alpha = draw(leaves, height, width, kernel, rasteriser)
    made = torch.Generator().manual_seed(1)
    wishes = torch.randn(height, width, 4, generator=made, dtype=torch.float64).to(picture)
    loss = (picture * wishes[..., :3]).sum() + (alpha * wishes[..., 3]).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    gained = {f"gradient of {name}": grad for name, grad in zip(leaves, grads, strict=True)}
    return {"picture": picture.detach(), "alpha": alpha.detach(), **gained}


def dense_cloud(n: int) -> dict[str, Tensor]:
    """So many large opaque Gaussians that the last third is hidden by the others."""
    cloud = random_cloud(n, seed=5)
    # Not right before the camera: ellipses there are long and thin, and the compiled gradient of
    # their means is off by 2e-4.
    cloud["means"][:, 2] = cloud["means"][:, 2].clamp_min(-2)
    cloud["log_scales"] += 0.9
    cloud["opacities"] = 0.5 + 0.5 * cloud["opacities"]
    return cloud


def single(cloud: dict[str, Tensor]) -> dict[str, Tensor]:
    """The cloud in float32."""
    return {name: tensor.float() for name, tensor in cloud.items()}


def assert_agree(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    """All tensors within ``tolerance`` times the greatest magnitude of the expected one."""
    for name, tensor in expected.items():
        assert torch.isfinite(found[name]).all(), name
        scale = tensor.abs().max().item() if tensor.numel() else 1.0
        error = (found[name].to(tensor) - tensor).abs().max().item() if scale else 0.0
        assert error <= tolerance * scale, f"{name}: {error / scale:.2e} of {scale:.3g}"
