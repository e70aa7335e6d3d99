"""What every implementation of the hash grid is asked: the same as the plain definition."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from wildtalker_core.nerf import hash_grid
from wildtalker_core.nerf.hash_grid import HashGridShape

#: Grids as they are used, small ones, dense and hashed, both layouts.
SHAPES = {
    "head": HashGridShape(),
    "torso": HashGridShape(2, 16, 2, 16, 16, 2048),
    "volume": HashGridShape(3, 4, 2, 12, 8, 40),
    "ambient": HashGridShape(3, 3, 1, 8, 4, 9),
    "line": HashGridShape(1, 3, 2, 4, 3, 40),
    "dense": HashGridShape(2, 3, 2, 8, 4, 9),
    "hashed": HashGridShape(2, 4, 2, 6, 4, 32),
    "tinycudann plane": HashGridShape(2, 4, 1, 10, 5, 60, "tinycudann"),
    "tinycudann volume": HashGridShape(3, 4, 2, 9, 5, 33, "tinycudann"),
}


def random_tables(shape: HashGridShape, n_grids: int = 1, dtype=torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(
        n_grids, shape.n_entries, shape.n_features_per_level, generator=generator, dtype=dtype
    )


def awkward_positions(shape: HashGridShape, n_grids: int, n: int) -> Tensor:
    """Random ones, a sixth of them outside along each axis, cells' borders, corners of the box."""
    generator = torch.Generator().manual_seed(3)
    positions = torch.rand(n_grids, n, shape.n_dims, generator=generator) * 1.2 - 0.1
    corners = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.5]])
    positions[:, :4] = corners[:, torch.arange(shape.n_dims) % 2]
    borders = (torch.arange(8)[:, None].float() // 2 + 0.5) / torch.tensor(
        [shape.scales[0], shape.scales[-1]]
    ).repeat(4)[:, None]
    positions[:, 4:12] = borders
    positions[:, 12, 0] = torch.nan
    return positions


def values_and_gradients(
    look_up: Callable[[Tensor, Tensor, HashGridShape], Tensor],
    shape: HashGridShape,
    n_grids: int,
    n: int,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, gradient of positions over the finest resolution, and gradient of tables.

    Gradients of positions scale with the resolution, so they are compared relative to it.
    """
    positions = awkward_positions(shape, n_grids, n).to(device).requires_grad_()
    tables = random_tables(shape, n_grids, torch.float32).to(device, dtype).requires_grad_()
    features = look_up(positions, tables, shape)
    generator = torch.Generator().manual_seed(4)
    weights = torch.randn(features.shape, generator=generator).to(device)
    d_positions, d_tables = torch.autograd.grad((features * weights).sum(), (positions, tables))
    return features.detach().cpu(), d_positions.cpu() / shape.scales[-1], d_tables.cpu()


def assert_agrees(look_up, shape: HashGridShape, n_grids: int, n: int, device: str = "cpu") -> None:
    """Values and gradients of ``look_up`` within 1e-5 of the definition's."""
    expected = values_and_gradients(hash_grid.look_up, shape, n_grids, n)
    found = values_and_gradients(look_up, shape, n_grids, n, device)
    for name, mine, plain in zip(("features", "positions", "tables"), found, expected, strict=True):
        torch.testing.assert_close(
            mine, plain, atol=1e-5, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )
