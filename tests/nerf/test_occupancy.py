"""Grids that only spare work: what is there must stay, what is not must go."""

from __future__ import annotations

import torch

from wildtalker_core.nerf.occupancy import AlphaGrid, OccupancyGrid

HALF = (0.3, 0.3, 0.3)


def ball(positions: torch.Tensor) -> torch.Tensor:
    """A dense ball of radius 0.15 around (0.05, 0, 0)."""
    centre = torch.tensor([0.05, 0, 0])
    return 80.0 * ((positions - centre).norm(dim=-1) < 0.15)


def test_cells_of_a_ball_are_occupied_and_far_ones_are_not():
    grid = OccupancyGrid(24, HALF)
    for _ in range(3):
        grid.update(ball, step=0.02)
    centres = grid.cell_centres(torch.arange(24**3))
    distance = (centres - torch.tensor([0.05, 0, 0])).norm(dim=-1).view(24, 24, 24)
    assert grid.is_occupied[distance < 0.13].all()
    assert not grid.is_occupied[distance > 0.22].any()


def test_what_has_gone_is_forgotten_slowly():
    grid = OccupancyGrid(8, HALF)
    grid.update(ball, 0.02)
    before = grid.density.clone()
    grid.update(lambda positions: torch.zeros(len(positions)), 0.02)
    torch.testing.assert_close(grid.density, before * 0.95)


def test_carved_cells_never_return():
    grid = OccupancyGrid(8, HALF)
    is_possible = torch.ones(8, 8, 8, dtype=torch.bool)
    is_possible[:4] = False
    grid.carve(is_possible)
    for _ in range(3):
        grid.update(lambda positions: torch.full((len(positions),), 100.0), 0.02)
    assert not grid.is_occupied[:4].any() and grid.density[:4].eq(-1).all()


def test_bounds_hold_every_occupied_cell_and_no_more():
    grid = OccupancyGrid(6, (0.3, 0.6, 0.9))
    grid.is_occupied[:] = False
    grid.is_occupied[1:3, 4, 0:6] = True
    lower, upper = grid.bounds()
    torch.testing.assert_close(lower, torch.tensor([-0.2, 0.2, -0.9]))
    torch.testing.assert_close(upper, torch.tensor([0.0, 0.4, 0.9]))


def test_hidden_cells_are_skipped_and_neighbours_of_visible_ones_stay():
    grid = OccupancyGrid(10, HALF)
    full = lambda positions: torch.full((len(positions),), 100.0)  # noqa: E731
    front = grid.cell_centres(torch.tensor([(5 * 10 + 5) * 10 + 2]))  # x 5, y 5, z 2
    for _ in range(12):
        grid.see(front, torch.tensor([0.9]))
        grid.update(full, 0.02, hide=True)
    assert grid.is_occupied[4:7, 4:7, 1:4].all()
    assert grid.is_occupied.sum() == 27


def test_alpha_grid_covers_the_torso_only():
    grid = AlphaGrid(32)
    for _ in range(2):
        grid.update(lambda points: (points[:, 1] > 0.2).float())
    points = torch.tensor([[0.0, 0.9], [0.5, 0.5], [0.0, -0.9]])
    assert grid.covers(points).tolist() == [True, True, False]
