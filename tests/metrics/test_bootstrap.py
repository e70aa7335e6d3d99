"""Standard errors of correlated frames, against what is known of the process."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.metrics import bootstrap


def process(n: int, persistence: float, seed: int) -> np.ndarray:
    """An autoregressive series of unit variance."""
    rng = np.random.default_rng(seed)
    values = np.empty(n)
    values[0] = rng.standard_normal()
    for i in range(1, n):
        fresh = np.sqrt(1 - persistence**2) * rng.standard_normal()
        values[i] = persistence * values[i - 1] + fresh
    return values


def true_error(n: int, persistence: float) -> float:
    lags = np.arange(1, n)
    return np.sqrt((1 + 2 * np.sum((1 - lags / n) * persistence**lags)) / n)


@pytest.mark.parametrize("persistence", [0.0, 0.8])
def test_error_of_the_mean_is_that_of_the_process(persistence):
    n = 1000
    errors = [bootstrap.error_of_mean(process(n, persistence, s), 25) for s in range(10)]
    assert np.mean(errors) == pytest.approx(true_error(n, persistence), rel=0.15)
    if persistence:
        single = np.mean([bootstrap.error_of_mean(process(n, persistence, s), 1) for s in range(5)])
        assert single < 0.5 * np.mean(errors), "frames as if independent hide two thirds of it"


def test_missing_frames_take_no_part():
    values = process(400, 0.0, 3)
    gaps = values.copy()
    gaps[::2] = np.nan
    expected = np.sqrt(2) * bootstrap.error_of_mean(values, 1)
    assert bootstrap.error_of_mean(gaps, 1) == pytest.approx(expected, rel=0.15)
    assert bootstrap.error_of_mean(np.full(50, np.nan), 5) is None


def test_any_statistic_has_the_error_of_its_closed_form():
    """Of a correlation r of n independent pairs: (1 - r^2) / sqrt(n)."""
    rng = np.random.default_rng(1)
    a = rng.standard_normal(800)
    b = 0.6 * a + 0.8 * rng.standard_normal(800)
    error = bootstrap.error_of(lambda i: np.corrcoef(a[i], b[i])[0, 1], 800, 10)
    assert error == pytest.approx((1 - 0.36) / np.sqrt(800), rel=0.2)


def test_blocks_are_a_second_but_leave_four():
    assert bootstrap.block_frames(682, 25) == 25
    assert bootstrap.block_frames(682, 29.97) == 30
    assert bootstrap.block_frames(27, 25) == 6
    assert bootstrap.block_frames(2, 25) == 1
