"""Parts of a mouth's error, and closures: closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.metrics.mouth_errors import closures, error_parts, without_offset

RNG = np.random.default_rng(3)


def mouths(n: int = 400) -> np.ndarray:
    return RNG.normal(0, 1, (n, 20, 2)).cumsum(0) / 10 + RNG.normal(100, 9, (1, 20, 2))


def squared(a: np.ndarray, b: np.ndarray) -> float:
    a, b = (x - x.mean(1, keepdims=True) for x in (a, b))
    return float(np.square(a - b).sum(-1).mean())


def test_parts_add_up():
    a, b = mouths(), mouths()
    assert error_parts(a, b).total == pytest.approx(squared(a, b))


def test_each_part_is_what_it_says():
    a = mouths()
    shift = RNG.normal(0, 3, (1, 20, 2))
    assert error_parts(a, a + shift).shares() == pytest.approx((1, 0, 0), abs=1e-9)
    half = a.mean(0) + (a - a.mean(0)) / 2
    assert error_parts(a, half).shares() == pytest.approx((0, 1, 0), abs=1e-9)
    still = np.broadcast_to(a.mean(0), a.shape)
    assert error_parts(a, still).shares() == pytest.approx((0, 0, 1), abs=1e-9)


def test_regression_to_the_mean_has_no_error_of_size():
    """What a least-squares guess leaves of the motion is unrelated to it, however small it is."""
    known, noise = (RNG.normal(0, 1, (5000, 20, 2)) for _ in range(2))
    a = known + noise
    parts = error_parts(a, known)
    assert parts.size < 0.02 * parts.total
    assert error_parts(a, 0.5 * known).size > 0.1 * parts.total


def test_frames_without_a_face_take_no_part():
    a, b = mouths(), mouths()
    holed = b.copy()
    holed[::3] = np.nan
    kept = np.arange(len(a)) % 3 > 0
    assert error_parts(a, holed).total == pytest.approx(squared(a[kept], b[kept]))


def test_without_offset():
    a = mouths()
    noise = RNG.normal(0, 1, a.shape)
    moved = without_offset(a, a + noise + RNG.normal(0, 5, (1, 20, 2)))
    assert error_parts(a, moved).offset == pytest.approx(0, abs=1e-9)
    assert error_parts(a, moved).unrelated > 0


def test_closures():
    filmed = np.ones(60)
    filmed[[10, 11, 12, 30, 50]] = 0
    shown = np.ones(60)
    shown[14] = 0  # two frames late
    shown[33] = 0  # three: another one
    shown[[49, 51]] = 0  # both belong to the closure at 50
    found = closures(filmed, shown, 0.5, reach=2)
    assert (found.n_filmed, found.n_met, found.n_shown, found.n_false) == (3, 2, 4, 1)
    same = closures(filmed, filmed, 0.5)
    assert (same.n_met, same.n_false) == (3, 0)
    never = closures(filmed, np.full(60, np.nan), 0.5)
    assert (never.n_met, never.n_shown) == (0, 0)
