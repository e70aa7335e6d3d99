"""Blinks under other speech."""

from __future__ import annotations

import numpy as np

from wildtalker_core.mouth.blinks import blinks, new_blinks


def expression_with_blinks(middles: list[int], n: int = 500) -> np.ndarray:
    expression = np.full((n, 7), 0.1)
    for middle in middles:
        expression[middle - 3 : middle + 4, 5:7] += np.array([0.1, 0.4, 0.7, 0.8, 0.6, 0.3, 0.1])[
            :, None
        ]
    return expression


def test_blinks_are_found_and_made_like_the_found_ones():
    expression = expression_with_blinks([60, 150, 222, 310, 444])
    middles, pulse, open_level = blinks(expression, 25)
    assert middles.tolist() == [60, 150, 222, 310, 444]
    np.testing.assert_allclose(open_level, 0.1)
    np.testing.assert_allclose(pulse.max(0), 0.8, atol=0.05)
    made = new_blinks(expression, 5000, 25, seed=0)
    n_made = len(blinks(np.c_[np.zeros((5000, 5)), made], 25)[0])
    assert 25 <= n_made <= 75  # 50 expected: five in twenty seconds, two hundred seconds long
    assert made.min() >= 0.1 - 1e-9 and 0.8 < made.max() <= 1
    assert np.abs(np.diff(made, axis=0)).max() < 0.45  # as steep as the clip's own, no step


def test_clip_without_blinks_keeps_its_eyes_open():
    made = new_blinks(np.full((100, 7), 0.2), 300, 25, seed=0)
    np.testing.assert_array_equal(made, 0.2)
