"""The torso's picture follows the head as a whole."""

from __future__ import annotations

import dataclasses

import torch

from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.torso_field import TorsoField, TorsoShape

FOCAL_RATIO = 5.0
GRID = HashGridShape(
    n_dims=2, n_levels=4, n_features_per_level=2, log2_hashmap_size=8,
    base_resolution=4, finest_resolution=32,
)  # fmt: skip
SHAPE = TorsoShape(grid=GRID, n_hidden=16, n_deform_hidden=16, follows_head=True)


def poses(shift_x: torch.Tensor) -> torch.Tensor:
    """Heads [n, 4, 4] that look into the camera, shifted sideways."""
    T = torch.eye(4).repeat(len(shift_x), 1, 1)
    T[:, 0, 3], T[:, 2, 3] = shift_x, 1.8
    return T


def field(shape: TorsoShape = SHAPE) -> TorsoField:
    torch.manual_seed(0)
    torso = TorsoField(shape)
    with torch.no_grad():
        for parameter in torso.deform_net.parameters():
            parameter.zero_()
    return torso


def test_untrained_it_stays_where_it_is():
    torso = field()
    torso.learn_poses(poses(torch.linspace(-0.1, 0.1, 9)), FOCAL_RATIO)
    points = torch.rand(30, 2) * 2 - 1
    moved = poses(torch.tensor([0.05]))[0]
    assert torso(points, moved, FOCAL_RATIO, torch.zeros(1, 8))[2].abs().max() == 0


def test_gradient_finds_a_shift_that_is_linear_in_the_pose():
    torso = field()
    shifts = torch.linspace(-0.1, 0.1, 9)
    T = poses(shifts)
    torso.learn_poses(T, FOCAL_RATIO)
    points = torch.rand(40, 2) * 2 - 1
    # The torso goes along by half of the head's way in the picture: its offset looks it up there.
    wanted = -0.5 * 0.8 * shifts / 1.8 * FOCAL_RATIO
    adam = torch.optim.Adam([torso.motion.weight], 0.05)
    for _ in range(150):
        frame = torch.randint(len(T), (40,))
        offset = torso(points, T[frame], FOCAL_RATIO, torch.zeros(1, 8))[2]
        loss = (offset - torch.stack((wanted[frame], 0 * wanted[frame]), -1)).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert loss < 1e-6
    beyond = poses(torch.tensor([0.13]))[0]  # further than any training pose
    offset = torso(points, beyond, FOCAL_RATIO, torch.zeros(1, 8))[2]
    assert (offset[:, 0] + 0.5 * 0.8 * 0.13 / 1.8 * FOCAL_RATIO).abs().max() < 0.01


def test_the_peers_torso_has_no_such_part():
    torso = field(dataclasses.replace(SHAPE, follows_head=False))
    torso.learn_poses(poses(torch.zeros(3)), FOCAL_RATIO)  # has nothing to learn
    assert not any(name.startswith(("motion", "pose_")) for name, _ in torso.named_parameters())
