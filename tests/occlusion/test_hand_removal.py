"""Hidden pixels come back as they were; visible ones stay untouched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from wildtalker_core.occlusion.hand_removal import (
    View,
    fill_telea,
    fill_temporal,
    hidden_region,
)
from wildtalker_core.occlusion.rigid_motion import BACKGROUND, HANDS, HEAD, TORSO
from wildtalker_core.occlusion.source_frames import Plan, coarse_hidden

SIZE = 128


def swaying_clip(n_frames: int = 16) -> tuple[list[View], list[np.ndarray]]:
    """A patterned torso sways on a patterned wall; a square passes. Views and hand-free truth."""
    rng = np.random.default_rng(2)

    def pattern() -> np.ndarray:
        noise = cv2.GaussianBlur(rng.uniform(0, 255, (192, 192, 3)).astype(np.float32), (0, 0), 2.5)
        return np.clip((noise - 127) * 4 + 127, 0, 255).astype(np.uint8)

    wall, cloth = pattern()[:SIZE, :SIZE], pattern()
    views, truths = [], []
    for i in range(n_frames):
        shift = np.float32([[1, 0, -32 + 4 * np.sin(0.5 * i)], [0, 1, -32 + 2 * np.cos(0.5 * i)]])
        torso = cv2.warpAffine(cloth, shift, (SIZE, SIZE), flags=cv2.INTER_CUBIC)
        alpha = np.zeros((192, 192), np.float32)
        alpha[80:192, 48:144] = 1.0
        alpha = cv2.warpAffine(alpha, shift, (SIZE, SIZE))
        truth = np.rint(wall + alpha[..., None] * (torso.astype(np.float32) - wall)).astype(
            np.uint8
        )
        parsing = np.zeros((SIZE, SIZE, 5), np.uint8)
        parsing[..., TORSO] = np.rint(255 * alpha)
        parsing[..., BACKGROUND] = 255 - parsing[..., TORSO]
        is_hidden = np.zeros((SIZE, SIZE), bool)
        # Over the torso's edge, so that both layers are needed.
        left = 4 + 4 * i
        is_hidden[70:102, left : left + 30] = True
        frame = truth.copy()
        frame[is_hidden] = 250
        views.append(View(frame, parsing, is_hidden))
        truths.append(truth)
    return views, truths


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


def fill(views: list[View], number: int) -> tuple[np.ndarray, np.ndarray]:
    plan = Plan(np.stack([coarse_hidden(view.is_hidden) for view in views]))
    return fill_temporal(views[number], (views[j] for j in plan.sources(number, 8)))


@pytest.mark.parametrize("number", [3, 7, 12])
def test_temporal_shows_what_was_there_far_better_than_telea(number):
    views, truths = swaying_clip()
    filled, never_seen = fill(views, number)
    region = views[number].is_hidden
    assert never_seen.sum() < 0.01 * region.sum()
    inner = cv2.erode(region.astype(np.uint8), np.ones((7, 7))).astype(bool)
    temporal = psnr(filled[inner], truths[number][inner])
    telea = psnr(fill_telea(views[number].frame, region, 2)[inner], truths[number][inner])
    assert temporal > telea + 6
    assert temporal > 22


def test_visible_pixels_stay_exactly():
    views, _ = swaying_clip()
    filled, _ = fill(views, 7)
    visible = ~views[7].is_hidden
    assert np.array_equal(filled[visible], views[7].frame[visible])
    telea = fill_telea(views[7].frame, views[7].is_hidden, 2)
    assert np.array_equal(telea[visible], views[7].frame[visible])


def test_nothing_hidden_nothing_changed():
    views, _ = swaying_clip(2)
    clear = View(views[0].frame, views[0].parsing, np.zeros((SIZE, SIZE), bool))
    filled, never_seen = fill_temporal(clear, [])
    assert np.array_equal(filled, clear.frame) and not never_seen.any()


def test_what_no_frame_shows_is_counted_and_filled():
    views, _ = swaying_clip(4)
    corner = np.zeros((SIZE, SIZE), bool)
    corner[60:80, 60:80] = True
    hidden = [View(v.frame, v.parsing, v.is_hidden | corner) for v in views]
    filled, never_seen = fill(hidden, 1)
    assert never_seen[64:76, 64:76].all()
    assert never_seen.sum() <= hidden[1].is_hidden.sum()
    assert filled.shape == hidden[1].frame.shape


def test_plan_takes_the_nearest_frames_that_show_the_place():
    coarse = np.zeros((20, 32, 32), bool)
    coarse[5:12, 10, 10] = True
    plan = Plan(coarse)
    assert plan.sources(6, 8) == [4]
    assert plan.sources(11, 8) == [12]
    assert plan.sources(3, 8) == []
    assert plan.sources(0, 8) == []
    coarse[:, 20, 20] = True  # never seen: no frame can help
    assert Plan(coarse).sources(6, 8) == [4]


def test_plan_prefers_frames_in_which_the_neighbourhood_is_clear():
    """At the rim of a hand a place is half shaded, and the torso may have moved under it."""
    coarse = np.zeros((20, 32, 32), bool)
    coarse[8, 10, 10] = True
    coarse[7, 10, 11] = coarse[9, 10, 9] = True  # beside it
    assert Plan(coarse).sources(8, 8) == [6]


def test_region_is_hands_and_transients_but_not_the_face():
    parsing = np.zeros((100, 100, 5), np.uint8)
    parsing[..., BACKGROUND] = 255
    parsing[10:50, 30:70] = 0
    parsing[10:50, 30:70, HEAD] = 255
    parsing[40:46, 60:66] = 0
    parsing[40:46, 60:66, HANDS] = 255
    mask = np.zeros((100, 100), np.uint8)
    mask[20:30, 40:50] = 255  # a mouth that talks
    mask[70:80, 20:30] = 255  # a prop
    region = hidden_region(mask, parsing, 0.5, 0.03)
    assert not region[20:30, 40:50].any()
    assert region[40:46, 60:66].all()
    assert region[68:82, 22:28].all() and region[75, 18] and not region[75, 10]
