"""Bases that are held at nodes, against what interpolation must give."""

from __future__ import annotations

import numpy as np
import torch

from wildtalker_core.splats.body import N_NEAR, Bases
from wildtalker_core.training.splat_nodes import near_lips_and_eyes, place_nodes

SPACING = 0.03


def grid_of_means(n: int = 40) -> np.ndarray:
    """A sheet of n x n points, .3 wide and half as far apart as a tenth of the nodes."""
    x, y = np.meshgrid(np.linspace(0, 0.3, n), np.linspace(0, 0.3, n))
    return np.stack((x.ravel(), y.ravel(), np.full(n * n, 0.011)), 1)


def bases_on(means: np.ndarray, spacing: float, n_conditions: int = 3) -> tuple[Bases, np.ndarray]:
    nodes = place_nodes(means, spacing)
    bases = Bases(len(means), len(nodes.index), n_conditions)
    bases.near.copy_(torch.as_tensor(nodes.near))
    bases.shares.copy_(torch.as_tensor(nodes.shares))
    return bases, nodes.index


@torch.no_grad()
def test_what_all_nodes_do_every_gaussian_does():
    bases, index = bases_on(grid_of_means(), SPACING)
    assert len(index) < 1600 / 8
    bases.means[:] = torch.tensor([1.0, 2, 3])[:, None] * torch.tensor([1.0, 10, 100])
    bases.opacities[:] = torch.tensor([0.5, 0, 0])
    moved, colours, opacities = bases(torch.tensor([0.3, -0.2, 0.01]))
    expected = (0.3 - 2.0 + 1.0) * torch.tensor([1.0, 2, 3])
    torch.testing.assert_close(moved, expected.expand(1600, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(opacities, torch.full((1600,), 0.15))
    assert not colours.any()


@torch.no_grad()
def test_a_smooth_motion_of_the_nodes_is_that_of_the_gaussians():
    """A turn about a point: each Gaussian moves as its own place says, to a part of a spacing."""
    means = grid_of_means()
    bases, index = bases_on(means, SPACING)
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]])
    places = torch.as_tensor(means, dtype=torch.float32)
    bases.means[..., 0] = places[index] @ turn.T
    moved = bases(torch.tensor([1.0, 0, 0]))[0]
    error = (moved - places @ turn.T).norm(dim=1)
    assert error.mean() < SPACING / 4 and error.max() < SPACING


def test_gradients_of_a_node_come_from_all_gaussians_near_it():
    bases, _ = bases_on(grid_of_means(12), 0.08, 2)
    bases = bases.double()
    conditions = torch.tensor([0.7, -0.4], dtype=torch.float64)

    def outputs(means, colours, opacities):
        parts = {"means": means, "colours": colours, "opacities": opacities}
        return torch.func.functional_call(bases, parts, conditions)

    generator = torch.Generator().manual_seed(0)
    parameters = [
        torch.randn(p.shape, generator=generator, dtype=p.dtype, requires_grad=True)
        for p in bases.parameters()
    ]
    assert torch.autograd.gradcheck(outputs, parameters)


def test_nodes_of_few_and_of_no_gaussians():
    for n in (0, 1, 3):
        means = np.random.default_rng(n).uniform(0, 0.01, (n, 3))
        bases, index = bases_on(means, SPACING)
        assert len(index) == (N_NEAR if n else 0)
        assert bases.shares.sum(1).allclose(torch.ones(n))
        assert [len(part) for part in bases(torch.ones(3))] == [n] * 3


def test_every_gaussian_at_the_lips_is_a_node():
    template = np.random.default_rng(0).uniform(-0.15, 0.15, (478, 3))
    means = np.concatenate((template[[13, 468]], [[0.6, 0.6, 0]]))
    is_fine = near_lips_and_eyes(means, template)
    assert is_fine.tolist() == [True, True, False]
    many = np.repeat(means, 5, 0) + np.linspace(0, 1e-4, 15)[:, None]
    index = place_nodes(many, SPACING, np.repeat(is_fine, 5)).index
    assert set(range(10)) <= set(index.tolist()) and (index >= 10).sum() == 1
