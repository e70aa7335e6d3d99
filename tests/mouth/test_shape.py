"""The mouth's shape without the head's motion."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wildtalker_core.mouth import shape as mouth
from wildtalker_core.mouth.rest import rest_shape

FOCAL, SIZE = 600.0, 256


def project_face(opening: np.ndarray, yaw: np.ndarray, curved: float = 0.0) -> tuple:
    """A mouth 0.1 in front of the head's origin; the lower lip drops by ``opening``.

    Its points lie up to ``curved`` behind or before that.
    """
    generator = np.random.default_rng(0)
    n, points = len(opening), generator.uniform(-0.05, 0.05, (478, 2))
    depth = -0.1 + curved * generator.uniform(-1, 1, 478)
    rotation = Rotation.from_euler("yx", np.stack((yaw, 0.5 * yaw[::-1]), -1)).as_matrix()
    T = np.tile(np.eye(4), (n, 1, 1))
    T[:, :3, :3] = rotation
    T[:, :3, 3] = np.c_[0.02 * yaw, -0.01 * yaw, 1.6 + 0.05 * yaw]
    landmarks = np.empty((n, 478, 2))
    for i in range(n):
        head = np.c_[points, depth]
        head[14, 1] = head[13, 1] + 0.01 + opening[i]
        camera = head @ T[i, :3, :3].T + T[i, :3, 3]
        landmarks[i] = camera[:, :2] / camera[:, 2:] * FOCAL + SIZE / 2
    return landmarks, T


@pytest.mark.parametrize("curved", [0.0, 0.03])
def test_head_motion_leaves_no_trace_in_the_mouth(curved):
    n = 60
    yaw = 0.3 * np.sin(np.arange(n) / 5)
    opening = 0.02 * (1 + np.sin(np.arange(n) * 2.1))
    landmarks, T = project_face(opening, yaw, curved)
    points = mouth.mouth_points(landmarks, T, FOCAL, SIZE, SIZE, np.arange(n))
    basis = mouth.fit_mouth_basis(points, 2)
    shapes = mouth.mouth_shapes(points, basis)
    gap = basis.opening(shapes)
    assert np.corrcoef(gap, opening)[0, 1] > 0.99
    assert abs(np.corrcoef(gap, yaw)[0, 1]) < 0.15
    still = np.delete(points.reshape(n, -1, 2), mouth.LOWER_INNER_LIP, 1)
    assert still.std(0).max() < 0.1 * points.reshape(n, -1, 2)[:, mouth.LOWER_INNER_LIP].std(0)[1]


def test_a_mouth_that_opens_with_each_nod_keeps_its_opening():
    n = 60
    yaw = 0.3 * np.sin(np.arange(n) / 5)
    opening = 0.02 + 0.05 * yaw[::-1]  # the pitch is half of that
    landmarks, T = project_face(opening, yaw)
    points = mouth.mouth_points(landmarks, T, FOCAL, SIZE, SIZE, np.arange(n))
    basis = mouth.fit_mouth_basis(points, 2)
    gap = basis.opening(mouth.mouth_shapes(points, basis))
    np.testing.assert_allclose(np.diff(gap), np.diff(opening), atol=1e-3)


def test_shapes_have_unit_variance_and_rebuild_the_points():
    points = np.random.default_rng(1).normal(size=(50, 6)) @ np.diag([5, 3, 1, 0.1, 0.1, 0.1])
    basis = mouth.fit_mouth_basis(points, 6)
    shapes = mouth.mouth_shapes(points, basis)
    np.testing.assert_allclose(shapes.std(0), 1)
    np.testing.assert_allclose(basis.mean + shapes @ basis.basis, points)
    np.testing.assert_allclose(basis.variances.sum(), points.var(0).sum())


def test_rest_is_the_closed_mouth_of_silence():
    opening = np.r_[np.full(20, 0.0), np.full(20, 0.1), np.full(60, 0.5)]
    is_silent = np.arange(100) < 40  # in half of the silence the mouth is a little open
    shapes = opening[:, None]
    assert rest_shape(shapes, opening, is_silent) == 0.0
    assert rest_shape(shapes, opening, np.zeros(100, bool)) == 0.0
