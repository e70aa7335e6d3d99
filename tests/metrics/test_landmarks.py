"""Landmark scores: closed forms and invariances."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.metrics import landmarks


def mouths(n_frames: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(100, 10, (n_frames, 20, 2))


def test_a_shifted_head_costs_nothing():
    reference = mouths()
    moved = reference + np.random.default_rng(1).normal(0, 30, (6, 1, 2))
    np.testing.assert_allclose(landmarks.mouth_landmark_distance(reference, moved), 0, atol=1e-12)


def test_one_point_off():
    """One of 20 points moved by d: the mean moves by d/20, so the sum is d(19/20) + 19 d/20."""
    reference = mouths()
    estimate = reference.copy()
    estimate[:, 3, 0] += 10
    expected = (10 * 19 / 20 + 19 * 10 / 20) / 20
    np.testing.assert_allclose(landmarks.mouth_landmark_distance(reference, estimate), expected)


def test_units():
    """At twice the resolution the same error is twice the pixels, and as much at 512."""
    reference, estimate = mouths(seed=0), mouths(seed=2)
    eyes = np.tile([[80.0, 50.0]], (6, 1)), np.tile([[120.0, 50.0]], (6, 1))
    small = landmarks.mouth_landmark_distance(reference, estimate)
    large = landmarks.mouth_landmark_distance(2 * reference, 2 * estimate)
    np.testing.assert_allclose(large, 2 * small)
    np.testing.assert_allclose(
        landmarks.at_customary_size(small, 256), landmarks.at_customary_size(large, 512)
    )
    by_eyes = landmarks.per_interocular_distance(small, *eyes)
    np.testing.assert_allclose(by_eyes, small / 40)
    doubled = [2 * eye for eye in eyes]
    np.testing.assert_allclose(landmarks.per_interocular_distance(large, *doubled), by_eyes)


def test_frames_without_a_face_have_no_distance():
    reference, estimate = mouths(), mouths(seed=3)
    estimate[2] = np.nan
    distance = landmarks.mouth_landmark_distance(reference, estimate)
    assert np.isnan(distance[2])
    assert np.isfinite(np.delete(distance, 2)).all()


def test_correlation():
    series = np.sin(np.arange(30.0))
    assert landmarks.correlation(series, 3 * series + 2) == pytest.approx(1)
    assert landmarks.correlation(series, -series) == pytest.approx(-1)
    holed = series.copy()
    holed[::4] = np.nan
    assert landmarks.correlation(series, holed) == pytest.approx(1)
    assert np.isnan(landmarks.correlation(series, np.ones(30)))
    other = np.random.default_rng(0).normal(size=30)
    assert landmarks.correlation(series, other) == pytest.approx(
        float(np.corrcoef(series, other)[0, 1])
    )


def test_jitter_of_known_motion():
    """Even motion has none; a point that hops by 1 px each frame has 2 px."""
    base = np.random.default_rng(0).normal(size=(1, 5, 2))
    time = np.arange(20.0)[:, None, None]
    assert landmarks.jitter(base + time * np.array([1.5, -2.0])) == pytest.approx(0, abs=1e-12)
    trembling = base + np.where(time % 2 == 0, 0.5, -0.5) * np.array([1.0, 0.0])
    assert landmarks.jitter(trembling) == pytest.approx(2.0)
    # Constant acceleration a: second difference a.
    assert landmarks.jitter(base + 0.5 * 3.0 * time**2 * np.array([0.0, 1.0])) == pytest.approx(3)


def test_jitter_does_not_jump_over_lost_frames():
    points = np.zeros((9, 4, 2))
    points[5:] = 100
    points[4] = np.nan
    assert landmarks.jitter(points) == 0
    assert np.isnan(landmarks.jitter(points[:2]))
