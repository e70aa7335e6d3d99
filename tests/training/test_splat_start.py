"""What no frame shows of neck and torso: where it is, what colour it has, which bone it follows."""

from __future__ import annotations

import numpy as np

from wildtalker_core.training.clip import HEAD, NECK, TORSO
from wildtalker_core.training.splat_canvas import _behind_chin, _fill_hidden, _head_share

SIZE = 100
SKIN, CLOTH, WALL = (200, 150, 120), (20, 20, 60), (80, 140, 220)


def portrait() -> np.ndarray:
    """Parsing [100, 100, 5]: a head above a neck above a torso, with hair down to the shoulders."""
    label = np.zeros((SIZE, SIZE), int)
    label[70:, 15:85] = TORSO
    label[45:75, 40:60] = NECK
    label[10:50, 30:70] = HEAD
    label[20:78, 25:38] = HEAD  # hair before the shoulders
    label[20:66, 62:75] = HEAD
    return 255 * np.eye(5, dtype=np.uint8)[label]


def rest_of(parsing: np.ndarray) -> np.ndarray:
    return (parsing[..., NECK] > 127) | (parsing[..., TORSO] > 127)


def test_the_torso_goes_on_behind_hair():
    parsing = portrait()
    hole = parsing.copy()
    hole[60:66, 62:75] = 255 * np.eye(5, dtype=np.uint8)[TORSO]  # cloth seen between two strands
    hole[66:70, 62:75] = 255 * np.eye(5, dtype=np.uint8)[HEAD]
    rest = rest_of(hole)
    whole = rest | _behind_chin(rest, hole, 14)
    assert whole[52:, 62:75].all()  # no gap below the cloth that shows
    assert not whole[: 50 - 14].any()
    assert not whole[:60, :15].any()


def test_hidden_parts_do_not_take_the_backgrounds_colour():
    """The mask is two pixels too wide all round, as MediaPipe's are."""
    parsing = portrait()
    rest = rest_of(parsing)
    is_background = parsing[..., 0] > 127
    colours = np.zeros((SIZE, SIZE, 3), np.uint8)
    colours[parsing[..., NECK] > 127], colours[parsing[..., TORSO] > 127] = SKIN, CLOTH
    colours[70:, 15:17], colours[70:, 83:85], colours[70:72, 38:40] = WALL, WALL, WALL
    colours[70:72, 60:85] = WALL
    hidden = _behind_chin(rest, parsing, 30)
    # Height 150: an outline of 2.25 pixels.
    _fill_hidden(colours, rest | hidden, rest, is_background, 150)
    found = {tuple(colour) for colour in colours[hidden].tolist()}
    assert found == {SKIN, CLOTH}


def test_shadow_beside_the_neck_is_no_torso():
    """A narrow piece that the parsing calls torso moves with what is around it."""
    parsing = portrait()
    parsing[50:66, 60:63] = 255 * np.eye(5, dtype=np.uint8)[TORSO]
    hidden = np.zeros((SIZE, SIZE), bool)
    without = _head_share(portrait(), hidden, SIZE)
    share = _head_share(parsing, hidden, SIZE)
    assert np.abs(share - without)[50:66, 40:63].max() < 0.15
    assert (share[80:, 20:80] == np.float32(0.02)).all()  # the torso itself stands


def test_a_torso_that_is_narrow_everywhere_is_one():
    parsing = portrait()
    parsing[..., TORSO] = 0
    parsing[90:92, 15:85, TORSO] = 255
    share = _head_share(parsing, np.zeros((SIZE, SIZE), bool), SIZE)
    assert (share[90:92, 15:85] == np.float32(0.02)).all()
