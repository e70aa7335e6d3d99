"""Drawn hands: where, when and how often, and that nothing else of a frame changes."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.robustness import spoiling

SIZE, FPS, N_FRAMES = 96, 25.0, 150
FACE_BOX = np.array([34.0, 22.0, 63.0, 51.0])
CLEAN = np.full((SIZE, SIZE, 3), (90, 120, 60), np.uint8)


def coverage(
    hand_share: float, box: np.ndarray = FACE_BOX, size: int = SIZE, place: str = "chest"
) -> np.ndarray:
    """Hand masks [frames, size, size] of every third frame of six seconds."""
    placement = spoiling.place_on_face(box, size)
    gestures = spoiling.plan_gestures(N_FRAMES / FPS, hand_share, placement, 0, place)
    clean = np.zeros((size, size, 3), np.uint8)
    palette = spoiling.palette_of(clean[None], box)
    spoil = spoiling.Spoiler(gestures, palette, placement, FPS, seed=0)
    return np.stack([spoil(clean, i)[1] for i in range(0, N_FRAMES, 3)])


def test_the_canvas_puts_the_face_where_the_example_has_it():
    placement = spoiling.place_on_face(FACE_BOX, SIZE)
    # A canvas point p lies at (p + shift) * size / span.
    centre = np.add(spoiling.FACE_CENTRE_PX, placement.shift_px) * SIZE / placement.canvas_px
    np.testing.assert_allclose(centre, [48.5, 36.5])
    assert spoiling.FACE_HEIGHT_PX * SIZE / placement.canvas_px == pytest.approx(29.0)
    with pytest.raises(ValueError, match="no height"):
        spoiling.place_on_face(np.array([1, 5, 9, 5]), SIZE)


def test_time_with_a_hand_grows_with_the_share():
    seen = [coverage(share).any(axis=(1, 2)).mean() for share in (0.0, 0.3, 0.7)]
    assert seen[0] == 0
    # Entering and leaving below the edge, a hand is in view a little shorter than planned.
    assert 0.15 < seen[1] <= 0.34
    assert 0.45 < seen[2] <= 0.74


def test_the_same_hands_at_every_share():
    """Clips of several strengths differ by how long a hand stays, not by which or where."""
    placement = spoiling.place_on_face(FACE_BOX, SIZE)
    few, many = (spoiling.plan_gestures(12.0, share, placement, 3) for share in (0.2, 0.8))
    assert [(g.kind, g.side, g.target_px) for g in few] == [
        (g.kind, g.side, g.target_px) for g in many
    ]
    for short, long in zip(few, many, strict=True):
        assert long.start_seconds <= short.start_seconds
        assert short.start_seconds + short.duration_seconds <= (
            long.start_seconds + long.duration_seconds + 1e-9
        )
    assert few != spoiling.plan_gestures(12.0, 0.2, placement, 4)


def test_hands_pass_before_the_torso_and_come_from_below():
    masks = coverage(0.75)
    rows = np.flatnonzero(masks.any(axis=(0, 2)))
    assert rows.max() == SIZE - 1, "the arm reaches the lower edge"
    assert rows.min() > FACE_BOX[3], "and stays below the chin"
    for mask in masks[masks.any(axis=(1, 2))]:
        assert mask[-1].any(), "no hand without an arm"


def test_a_small_face_in_a_large_frame_has_its_hand_near():
    """The hand scales with the face; out of view it is really below the edge."""
    box = np.array([56.0, 40.0, 76.0, 60.0])
    masks = coverage(0.5, box, size=128)
    areas = masks.sum(axis=(1, 2))
    assert 0.3 < (areas > 0).mean() < 0.7
    rows = np.flatnonzero(masks.any(axis=(0, 2)))
    assert box[3] < rows.min() < box[3] + 2 * 20


def test_in_a_tight_crop_fingers_leave_the_mouth_free():
    """A face of half the frame's height: hands are still seen, below the chin."""
    box = np.array([28.0, 16.0, 76.0, 64.0])
    masks = coverage(0.75, box)
    assert masks.any()
    assert np.flatnonzero(masks.any(axis=(0, 2))).min() > box[3]


def test_hands_at_the_mouth_hide_it_and_leave_the_eyes():
    """The mouth lies at three quarters of the box, the eyes in its upper quarter."""
    masks = coverage(0.75, place="mouth")
    x0, y0, x1, y1 = FACE_BOX
    row, column = round(y0 + 0.75 * (y1 - y0)), round(0.5 * (x0 + x1))
    lips = masks[:, row - 1 : row + 2, column - 4 : column + 5].mean(axis=(1, 2))
    is_up = masks.any(axis=(1, 2))
    assert (lips[is_up] > 0.6).mean() > 0.5, "most of the time in which a hand is up"
    assert not lips[~is_up].any()
    eyes = masks[:, int(y0) : int(y0 + 0.25 * (y1 - y0)), int(x0) : int(x1)]
    assert eyes.mean() < 0.05
    at_chest = coverage(0.75)[:, row - 1 : row + 2, column - 4 : column + 5]
    assert not at_chest.any()


def test_only_the_hand_and_its_shadow_change_a_frame():
    placement = spoiling.place_on_face(FACE_BOX, SIZE)
    gestures = spoiling.plan_gestures(3.0, 0.75, placement, seed=0)
    palette = spoiling.palette_of(np.stack([CLEAN]), FACE_BOX)
    spoil = spoiling.Spoiler(gestures, palette, placement, FPS, seed=0)
    middle = int((gestures[0].start_seconds + 0.5 * gestures[0].duration_seconds) * FPS)
    frame, mask = spoil(CLEAN, middle)
    assert mask.any() and (frame[mask] != CLEAN[mask]).any(axis=1).mean() > 0.9
    # The shadow falls a few pixels to the side, and only ever darkens.
    assert (frame[~mask].astype(int) - CLEAN[~mask]).max() <= 14
    np.testing.assert_array_equal(frame[: SIZE // 3], CLEAN[: SIZE // 3])
    before, nothing = spoil(CLEAN, 0)
    assert not nothing.any()
    np.testing.assert_array_equal(before, CLEAN)
    again, _ = spoil(CLEAN, middle)
    np.testing.assert_array_equal(again, frame)


def test_the_hand_has_the_persons_colours():
    frames = np.zeros((2, SIZE, SIZE, 3), np.uint8)
    frames[:, :55] = (200, 150, 120)
    frames[:, 55:] = (20, 60, 200)
    palette = spoiling.palette_of(frames, FACE_BOX)
    np.testing.assert_allclose(palette.skin, np.array([200, 150, 120]) / 255)
    np.testing.assert_allclose(palette.sleeve, np.array([20, 60, 200]) / 255)
