"""Errors of mattes against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.metrics.matting import (
    flicker,
    gradient_error,
    mean_squared_error,
    sum_of_differences,
)


def test_differences_are_counted():
    true, alpha = np.zeros((40, 50)), np.zeros((40, 50))
    alpha[:10, :20] = 0.5
    assert sum_of_differences(alpha, true) == pytest.approx(0.1)  # 200 pixels, half of each
    assert mean_squared_error(alpha, true) == pytest.approx(1000 * 200 * 0.25 / 2000)


def test_gradient_of_a_step_and_of_a_ramp():
    """Along a straight edge the lengths are the kernel's running sums; a plane has one slope."""
    step = np.zeros((64, 64))
    step[:, 32:] = 1
    reach = np.arange(-4, 5)  # 1.4 sqrt(-2 log(sqrt(2 pi) 1.4 0.01)) = 3.6, rounded up
    bell = np.exp(-0.5 * (reach / 1.4) ** 2)
    slope = reach * bell
    lengths = np.cumsum(slope) / np.linalg.norm(slope) * bell.sum() / np.linalg.norm(bell)
    wanted = 64 * np.square(lengths).sum() / 1000
    assert gradient_error(step, np.zeros_like(step)) == pytest.approx(wanted, rel=1e-6)
    assert gradient_error(step.T, np.zeros_like(step)) == pytest.approx(wanted, rel=1e-6)
    flat = np.full((64, 64), 0.3)
    assert gradient_error(flat, np.zeros_like(flat)) == pytest.approx(0, abs=1e-12)
    assert gradient_error(1 - step, step) == pytest.approx(0, abs=1e-12)  # lengths have no side


def test_flicker_sees_change_in_time_only():
    rng = np.random.default_rng(0)
    true = rng.random((5, 8, 9))
    assert flicker(true + 0.1, true) == pytest.approx(0, abs=1e-9)
    jumping = true + 0.1 * (-1.0) ** np.arange(5)[:, None, None]
    assert flicker(jumping, true) == pytest.approx(20)
