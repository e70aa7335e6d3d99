"""A mouth behind a hand is not seen, one beside a hand is."""

import numpy as np

from wildtalker_core.media.splits import Split
from wildtalker_core.person.landmarks import LIPS_OUTER
from wildtalker_core.person.visible_mouth import hidden_lips, visible_mouths

N, SIZE = 60, 64
SPLIT = Split((40, 50, N), np.ones(N, bool))
SEEN = np.ones(N, bool)


def lips_and_hands(share: float, beside: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """A mouth 20 pixels wide in one frame, and a hand over a share of it or under it."""
    turn = np.linspace(0, 2 * np.pi, len(LIPS_OUTER), endpoint=False)
    landmarks = np.full((1, 478, 2), 32.0)
    landmarks[0, list(LIPS_OUTER)] += np.stack((10 * np.cos(turn), 5 * np.sin(turn)), 1)
    parsings = np.zeros((1, SIZE, SIZE, 5), np.uint8)
    rows = slice(44, 64) if beside else slice(20, 64)
    parsings[0, rows, 22 : 22 + round(21 * share), 4] = 255
    return landmarks, parsings


def test_the_share_is_that_of_the_lips():
    assert abs(hidden_lips(*lips_and_hands(0.5))[0] - 0.5) < 0.05
    assert hidden_lips(*lips_and_hands(1.0))[0] == 1
    assert hidden_lips(*lips_and_hands(1.0, beside=True))[0] == 0


def test_frames_beside_a_hidden_mouth_are_smoothed_with_it():
    hidden = np.zeros(N)
    hidden[20:24] = 0.8
    expected = np.delete(np.arange(N), np.arange(18, 26))
    assert np.flatnonzero(visible_mouths(hidden, SEEN, SPLIT)).tolist() == expected.tolist()


def test_a_finger_at_the_corner_of_the_mouth_hides_nothing():
    assert visible_mouths(np.full(N, 0.05), SEEN, SPLIT).all()


def test_where_no_face_was_found_no_mouth_is_seen():
    seen = SEEN.copy()
    seen[7] = False
    assert np.flatnonzero(~visible_mouths(np.zeros(N), seen, SPLIT)).tolist() == [7]


def test_a_mouth_that_is_always_hidden_is_learnt_from_its_clearest_frames():
    hidden = np.linspace(0.9, 0.3, N)
    found = np.flatnonzero(visible_mouths(hidden, SEEN, SPLIT)[:40])
    assert found.tolist() == [36, 37, 38, 39]


def test_hands_of_later_parts_hide_no_training_frame():
    hidden = np.zeros(N)
    hidden[40:] = 1.0
    assert visible_mouths(hidden, SEEN, SPLIT)[:40].all()
    assert not visible_mouths(hidden, SEEN, SPLIT)[40:].any()
