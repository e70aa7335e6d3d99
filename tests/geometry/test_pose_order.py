"""The order of poses under other speech."""

import numpy as np

from wildtalker_core.geometry.pose_order import back_and_forth, longest_run


def test_back_and_forth_never_jumps_and_never_stops():
    index = back_and_forth(7, 100)
    assert set(np.abs(np.diff(index))) == {1}
    assert index.min() == 0 and index.max() == 6
    assert back_and_forth(1, 3).tolist() == [0, 0, 0]


def test_longest_run_has_no_gap():
    assert longest_run(np.array([1, 2, 5, 6, 7, 9])).tolist() == [5, 6, 7]
