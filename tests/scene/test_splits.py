"""The split is in time, complete, and says when it cannot be made."""

import numpy as np
import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.scene.splits import split_frames


@pytest.mark.parametrize("n_frames", [2, 11, 275, 300, 7500])
def test_parts_are_in_order_and_complete(n_frames):
    train, test = split_frames(n_frames)
    np.testing.assert_array_equal(np.concatenate((train, test)), np.arange(n_frames))
    assert len(train) == n_frames * 10 // 11


def test_one_side_may_not_be_empty():
    with pytest.raises(InputError, match="0 to test"):
        split_frames(10, 0.9999999999)
    with pytest.raises(InputError, match="0 frames to train"):
        split_frames(1)
