"""Rotations against their group laws, scipy and a pencil."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from wildtalker_core.geometry import rotations as r


@pytest.fixture
def axis_angles():
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(200, 3, generator=generator, dtype=torch.float64)
    directions /= directions.norm(dim=-1, keepdim=True)
    # From no turn over tiny ones to just below half a turn.
    angles = torch.cat((torch.zeros(1), torch.logspace(-9, 0, 100), torch.linspace(1, 3.1415, 99)))
    return directions * angles[:, None].double()


def test_rodrigues_agrees_with_scipy(axis_angles):
    expected = Rotation.from_rotvec(axis_angles.numpy()).as_matrix()
    np.testing.assert_allclose(r.axis_angle_to_matrix(axis_angles), expected, atol=1e-9)


def test_axis_angle_survives_the_way_there_and_back(axis_angles):
    back = r.matrix_to_axis_angle(r.axis_angle_to_matrix(axis_angles))
    torch.testing.assert_close(back, axis_angles, atol=1e-7, rtol=1e-6)


def test_half_turns_keep_their_angle():
    for axis in torch.eye(3, dtype=torch.float64):
        found = r.matrix_to_axis_angle(r.axis_angle_to_matrix(axis * torch.pi))
        assert found.norm().item() == pytest.approx(np.pi)
        assert abs(found @ axis).item() == pytest.approx(np.pi)


def test_quaternion_is_unit_and_returns(axis_angles):
    matrix = r.axis_angle_to_matrix(axis_angles)
    quaternion = r.matrix_to_quaternion(matrix)
    torch.testing.assert_close(quaternion.norm(dim=-1), torch.ones(200, dtype=torch.float64))
    torch.testing.assert_close(r.quaternion_to_matrix(3 * quaternion), matrix, atol=1e-8, rtol=0)


def test_gradient_is_finite_at_no_turn():
    zero = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(r.axis_angle_to_matrix, zero)


def test_euler_returns_and_quarter_yaw_is_known():
    angles = torch.tensor([[0.4, -0.3, 0.2], [-1.0, 0.9, -2.0]], dtype=torch.float64)
    torch.testing.assert_close(r.matrix_to_euler(r.euler_to_matrix(angles)), angles)
    quarter = r.euler_to_matrix(torch.tensor([torch.pi / 2, 0.0, 0.0]))
    # The nose points to -z; turned by a quarter about the downward axis it points to the left.
    nose = quarter @ torch.tensor([0.0, 0.0, -1.0])
    torch.testing.assert_close(nose, torch.tensor([-1.0, 0.0, 0.0]), atol=1e-6, rtol=0)


def test_geodesic_distance_is_the_angle_and_ignores_a_common_turn(axis_angles):
    matrix = r.axis_angle_to_matrix(axis_angles)
    eye = torch.eye(3, dtype=torch.float64).expand_as(matrix)
    torch.testing.assert_close(
        r.geodesic_distance(eye, matrix), axis_angles.norm(dim=-1), atol=1e-7, rtol=1e-6
    )
    common = r.axis_angle_to_matrix(torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64))
    torch.testing.assert_close(
        r.geodesic_distance(common @ eye, common @ matrix),
        r.geodesic_distance(eye, matrix),
        atol=1e-7,
        rtol=1e-6,
    )


def test_alignment_removes_a_constant_and_only_that():
    generator = torch.Generator().manual_seed(1)
    turns = 0.3 * torch.randn(50, 3, generator=generator, dtype=torch.float64)
    reference = r.axis_angle_to_matrix(turns)
    offset = r.axis_angle_to_matrix(torch.tensor([0.2, 0.1, -0.4], dtype=torch.float64))
    aligned = r.align_rotations(reference @ offset, reference)
    assert r.geodesic_distance(aligned, reference).max() < 1e-6
    doubled = r.axis_angle_to_matrix(2 * turns)
    assert r.geodesic_distance(r.align_rotations(doubled, reference), reference).mean() > 0.1


def test_rigid_inverse_brings_points_home():
    generator = torch.Generator().manual_seed(2)
    draw = torch.randn(5, 6, generator=generator, dtype=torch.float64)
    T_a_b = r.rigid(r.axis_angle_to_matrix(draw[:, :3]), draw[:, 3:])
    points = torch.randn(5, 7, 3, generator=generator, dtype=torch.float64)
    there = r.transform_points(T_a_b, points)
    torch.testing.assert_close(r.transform_points(r.invert_rigid(T_a_b), there), points)
    torch.testing.assert_close(there.diff(dim=1).norm(dim=-1), points.diff(dim=1).norm(dim=-1))
