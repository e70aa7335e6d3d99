"""What a renderer is told: rest in silence, smoothing."""

from __future__ import annotations

import numpy as np
import torch

from wildtalker_core.mouth.rest import silence_ramp
from wildtalker_core.mouth.speaking import smooth_causally


def test_mouth_rests_in_long_silence_and_not_between_words():
    is_silent = np.ones(200, bool)
    is_silent[60:160] = False
    is_silent[80:92] = True  # half a second between two sentences
    is_silent[100] = True  # a stop
    ramp = silence_ramp(is_silent, 25)
    assert (ramp[~is_silent] == 0).all() and ramp[80:101].max() == 0
    assert (ramp[:45] == 1).all() and (ramp[175:] == 1).all()
    assert (ramp[55:60] == 0).all() and (ramp[160:165] == 0).all()  # at the edges still open
    assert np.abs(np.diff(ramp)).max() < 0.25
    np.testing.assert_array_equal(silence_ramp(np.zeros(9, bool), 25), 0)


def test_causal_smoothing_follows_a_step():
    step = np.r_[np.zeros(3), np.ones(3)][:, None]
    smoothed = smooth_causally(torch.as_tensor(step), 0.5)[:, 0]
    np.testing.assert_allclose(smoothed, [0, 0, 0, 0.5, 0.75, 0.875])
