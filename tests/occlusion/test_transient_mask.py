"""Eq. 4 against its definition, and what its decay must do."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.occlusion.rigid_motion import BACKGROUND, HANDS, HEAD, NECK, TORSO, RigidMotion
from wildtalker_core.occlusion.transient_mask import (
    HalfLives,
    RestMemory,
    accumulate,
    adaptive_decay,
    constant_decay,
    restrict_to_transients,
    threshold_px,
    without_head_motion,
)

HALF_LIVES = HalfLives(
    still_px=0.1, stirring_px=0.4, rest_frames=10.0, stir_frames=200.0, return_frames=1.0
)


def random_magnitude(n: int = 20, size: int = 8) -> np.ndarray:
    return np.random.default_rng(0).gamma(0.6, 1.0, (n, size, size)).astype(np.float32)


def test_equals_a_loop_over_every_pixel():
    magnitude, threshold, decay = random_magnitude(), 1.5, 0.8
    expected = np.zeros_like(magnitude)
    for row in range(8):
        for column in range(8):
            mask = 0.0
            for i in range(len(magnitude)):
                moving = 1.0 if magnitude[i, row, column] > threshold else 0.0
                mask = max(mask * decay, moving)
                expected[i, row, column] = mask
    found = np.stack(list(accumulate(magnitude, threshold, constant_decay(decay))))
    assert np.allclose(found, expected, atol=1e-6)
    assert found.min() >= 0 and found.max() <= 1


def test_no_motion_decays_geometrically():
    magnitude = np.zeros((11, 4, 4), np.float32)
    magnitude[0] = 5.0
    masks = list(accumulate(magnitude, 1.0, adaptive_decay(HALF_LIVES)))
    for i, mask in enumerate(masks):
        assert np.allclose(mask, 0.5 ** (i / 10.0))


def test_motion_now_is_one_whatever_was():
    for decay in (constant_decay(0.0), constant_decay(1.0), adaptive_decay(HALF_LIVES)):
        magnitude = random_magnitude()
        for v, mask in zip(magnitude, accumulate(magnitude, 1.5, decay), strict=True):
            assert (mask[v > 1.5] == 1.0).all()


@pytest.mark.parametrize("decay", [constant_decay(0.9), adaptive_decay(HALF_LIVES)])
def test_causal(decay):
    magnitude = random_magnitude()
    changed = magnitude.copy()
    changed[12:] = 9.0
    before = list(accumulate(magnitude, 1.5, decay))[:12]
    after = list(accumulate(changed, 1.5, decay))[:12]
    assert np.array_equal(before, after)


def test_zero_decay_is_the_threshold_alone():
    magnitude = random_magnitude()
    found = np.stack(list(accumulate(magnitude, 1.5, constant_decay(0.0))))
    assert np.array_equal(found, magnitude > 1.5)


def test_a_region_that_stirs_keeps_its_mask_longer_than_one_at_rest():
    magnitude = np.zeros((40, 64, 64), np.float32)
    magnitude[0] = 5.0
    magnitude[1:, :, :20] = 0.5
    *_, last = accumulate(magnitude, 1.0, adaptive_decay(HALF_LIVES))
    assert last[:, :16].min() > 0.85
    assert last[:, 32:].max() == pytest.approx(0.5**3.9, rel=1e-4)


def test_rate_falls_with_motion():
    levels = [HALF_LIVES.rate(np.full((8, 8), v, np.float32))[0, 0] for v in (0, 0.1, 0.25, 0.4, 3)]
    assert levels[0] == levels[1] == pytest.approx(0.1)
    assert levels[1] > levels[2] > levels[3] == levels[4] == pytest.approx(1 / 200)


def test_threshold_means_the_same_at_any_resolution_and_rate():
    assert threshold_px(0.004, 512, 25.0) == 2 * threshold_px(0.004, 256, 25.0)
    assert threshold_px(0.004, 256, 50.0) == threshold_px(0.004, 256, 25.0) / 2
    assert threshold_px(0.004, 250, 25.0) == pytest.approx(1.0)


def scene(hand_now: list[bool]) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """A torso of one grey with a brighter square before it in some frames, and |V| of that.

    Where the square comes or goes everything in its place moves, in that one frame.
    """
    frames, magnitudes = [], []
    for i, is_there in enumerate(hand_now):
        frame = np.full((64, 64, 3), 80, np.uint8)
        magnitude = np.zeros((64, 64), np.float32)
        if is_there:
            frame[20:44, 20:44] = 190
        if i and hand_now[i] != hand_now[i - 1]:
            magnitude[20:44, 20:44] = 5.0
        frames.append(frame)
        magnitudes.append(magnitude)
    parsing = np.zeros((64, 64, 5), np.uint8)
    parsing[..., TORSO] = 255
    return frames, [parsing] * len(frames), magnitudes


def remembered(frames, parsings, magnitudes, half_lives=HALF_LIVES):
    decay = RestMemory(frames, parsings, [RigidMotion.none()] * len(frames), half_lives, False)
    return list(accumulate(magnitudes, 1.0, decay))


def test_memory_tells_a_hand_that_stopped_from_a_torso_that_was_left():
    """Flow is the same for both: motion once, then rest."""
    frames, parsings, magnitudes = scene([False] * 3 + [True] * 8 + [False] * 8)
    masks = remembered(frames, parsings, magnitudes)
    # 7 frames after it came and rests, against 7 frames after it left.
    assert masks[10][30, 30] == pytest.approx(0.5**0.7, rel=1e-3)
    assert masks[18][30, 30] == pytest.approx(0.5**7, rel=1e-3)
    plain = list(accumulate(magnitudes, 1.0, adaptive_decay(HALF_LIVES)))
    assert plain[10][30, 30] == plain[18][30, 30] == pytest.approx(0.5**0.7, rel=1e-3)


def test_memory_follows_the_rigid_motion():
    """The picture shifts by a pixel a frame below a held square: still held, still released."""
    blocks = np.random.default_rng(1).choice([20, 80], (8, 12, 1)).astype(np.uint8)
    wide = blocks.repeat(8, 0).repeat(8, 1).repeat(3, 2)
    frames, magnitudes = [], []
    for i in range(12):
        frame = wide[:, i : i + 64].copy()
        if 2 <= i < 8:
            frame[20:44, 20:44] = 250
        magnitude = np.zeros((64, 64), np.float32)
        if i in (2, 8):
            magnitude[20:44, 20:44] = 5.0
        frames.append(frame)
        magnitudes.append(magnitude)
    parsing = np.zeros((64, 64, 5), np.uint8)
    parsing[..., TORSO] = 255
    step = RigidMotion(*(np.array([[1.0, 0, 0], [0, 0, 0]], np.float32),) * 3)
    decay = RestMemory(frames, [parsing] * 12, [step] * 12, HALF_LIVES, False)
    masks = list(accumulate(magnitudes, 1.0, decay))
    inside = (slice(22, 42), slice(22, 42))
    assert masks[7][inside].min() > 0.65
    assert masks[11][inside].max() < 0.3
    # Without the motion the memory would not be recognised.
    decay = RestMemory(frames, [parsing] * 12, [RigidMotion.none()] * 12, HALF_LIVES, False)
    assert list(accumulate(magnitudes, 1.0, decay))[11][inside].max() > 0.65


def test_memory_is_causal():
    frames, parsings, magnitudes = scene([False] * 3 + [True] * 8 + [False] * 8)
    short = remembered(frames[:9], parsings[:9], magnitudes[:9])
    assert np.array_equal(short, remembered(frames, parsings, magnitudes)[:9])


def parsing_of(part: int) -> np.ndarray:
    parsing = np.zeros((64, 64, 5), np.uint8)
    parsing[..., BACKGROUND] = 255
    parsing[20:40, 20:40] = 0
    parsing[20:40, 20:40, part] = 255
    return parsing


def test_talking_head_is_never_masked_but_a_hand_before_it_is():
    mask = np.ones((64, 64), np.float32)
    assert restrict_to_transients(mask, parsing_of(HEAD), True)[30, 30] == 0.0
    nothing = np.zeros((64, 64), np.float32)
    assert restrict_to_transients(nothing, parsing_of(HANDS), True)[30, 30] == 1.0
    assert restrict_to_transients(nothing, parsing_of(HANDS), False)[30, 30] == 0.0


def test_head_motion_leaves_no_trace_where_the_head_has_been():
    magnitude = np.full((64, 64), 5.0, np.float32)
    kept = without_head_motion(magnitude, parsing_of(HEAD))
    assert not kept[19:41, 20:40].any()  # the hair's own flow reaches over the outline
    assert (kept[:10] == 5.0).all()


def test_a_neck_that_moves_over_its_throat_is_no_transient():
    magnitude = np.full((64, 64), 5.0, np.float32)
    kept = without_head_motion(magnitude, parsing_of(NECK))
    assert not kept[19:41, 20:40].any()
    assert (kept[:10] == 5.0).all()
