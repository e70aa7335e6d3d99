"""Poses, blinks and silence under other speech."""

from __future__ import annotations

import numpy as np

from wildtalker_core.nerf import playback


def test_back_and_forth_never_jumps_and_never_stops():
    index = playback.back_and_forth(7, 100)
    assert set(np.abs(np.diff(index))) == {1}
    assert index.min() == 0 and index.max() == 6
    assert playback.back_and_forth(1, 3).tolist() == [0, 0, 0]


def test_longest_run_has_no_gap():
    assert playback.longest_run(np.array([1, 2, 5, 6, 7, 9])).tolist() == [5, 6, 7]


def expression_with_blinks(middles: list[int], n: int = 500) -> np.ndarray:
    expression = np.full((n, 7), 0.1)
    for middle in middles:
        expression[middle - 3 : middle + 4, 5:7] += np.array([0.1, 0.4, 0.7, 0.8, 0.6, 0.3, 0.1])[
            :, None
        ]
    return expression


def test_blinks_are_found_and_made_like_the_found_ones():
    expression = expression_with_blinks([60, 150, 222, 310, 444])
    middles, pulse, open_level = playback.blinks(expression, 25)
    assert middles.tolist() == [60, 150, 222, 310, 444]
    np.testing.assert_allclose(open_level, 0.1)
    np.testing.assert_allclose(pulse.max(0), 0.8, atol=0.05)
    made = playback.new_blinks(expression, 5000, 25, seed=0)
    n_made = len(playback.blinks(np.c_[np.zeros((5000, 5)), made], 25)[0])
    assert 25 <= n_made <= 75  # 50 expected: five in twenty seconds, two hundred seconds long
    assert made.min() >= 0.1 - 1e-9 and 0.8 < made.max() <= 1
    assert np.abs(np.diff(made, axis=0)).max() < 0.45  # as steep as the clip's own, no step


def test_clip_without_blinks_keeps_its_eyes_open():
    made = playback.new_blinks(np.full((100, 7), 0.2), 300, 25, seed=0)
    np.testing.assert_array_equal(made, 0.2)


def test_mouth_rests_in_long_silence_and_not_between_words():
    is_silent = np.ones(200, bool)
    is_silent[60:160] = False
    is_silent[80:92] = True  # half a second between two sentences
    is_silent[100] = True  # a stop
    ramp = playback.silence_ramp(is_silent, 25)
    assert (ramp[~is_silent] == 0).all() and ramp[80:101].max() == 0
    assert (ramp[:45] == 1).all() and (ramp[175:] == 1).all()
    assert (ramp[55:60] == 0).all() and (ramp[160:165] == 0).all()  # at the edges still open
    assert np.abs(np.diff(ramp)).max() < 0.25
    np.testing.assert_array_equal(playback.silence_ramp(np.zeros(9, bool), 25), 0)


def test_causal_smoothing_follows_a_step():
    step = np.r_[np.zeros(3), np.ones(3)][:, None]
    smoothed = playback.smooth_causally(step, 0.5)[:, 0]
    np.testing.assert_allclose(smoothed, [0, 0, 0, 0.5, 0.75, 0.875])
