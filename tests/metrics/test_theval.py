"""Scores after THEval against loops over the definitions, and what must not change them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wildtalker_core.metrics import theval
from workflow_scripts.face_points import FEATURES

N_FRAMES, FPS = 60, 25.0


@pytest.fixture
def points() -> np.ndarray:
    """A face of random landmarks that tremble, [60, 478, 2] pixels; frame 20 shows none."""
    rng = np.random.default_rng(0)
    face = rng.uniform(50, 200, (478, 2))
    points = face + rng.normal(0, 2, (N_FRAMES, 478, 2))
    points[20] = np.nan
    return points


def moved(points: np.ndarray) -> np.ndarray:
    """Each frame at another place and, all of them, at another size."""
    return 1.7 * points + np.random.default_rng(1).uniform(-40, 40, (len(points), 1, 2))


def test_lip_dynamics_by_the_definition(points):
    lips = (0, 13, 14, 17, 37, 39, 40, 61, 78, 80, 81, 82, 84, 87, 88, 91, 95, 146, 178, 181, 185,
            191, 267, 269, 270, 291, 308, 310, 311, 312, 314, 317, 318, 321, 324, 375, 402, 405,
            409, 415)  # fmt: skip
    assert sorted(FEATURES.lips) == list(lips)
    vectors = []
    for frame in np.delete(points, 20, axis=0):
        eyes = np.linalg.norm(frame[33] - frame[263])
        vectors.append(
            [np.linalg.norm(frame[i] - frame[j]) / eyes for i, j in combinations(lips, 2)]
        )
    expected = np.mean(np.var(vectors, axis=0))
    meshes = np.concatenate([points, np.zeros((N_FRAMES, 478, 1))], axis=2)
    found = theval.score_movement(meshes, np.arange(N_FRAMES), FEATURES, "made", FPS, 256)
    assert found["lip_dynamics"]["value"] == pytest.approx(expected)
    assert found["lip_dynamics"]["standard_error"] < 0.2 * expected


def test_a_mouth_that_does_not_move_has_no_dynamics(points):
    still = np.repeat(points[:1], N_FRAMES, axis=0)
    statistic = theval.mean_variance(theval.lip_distances(moved(still), FEATURES))
    assert statistic(np.arange(N_FRAMES)) == pytest.approx(0, abs=1e-12)


def test_eyebrow_steps_by_the_definition(points):
    rings = [
        (frame[list(brow)].mean(0), frame[list(eye)].mean(0))
        for frame in points
        for brow, eye in zip(FEATURES.brows, FEATURES.eyes, strict=True)
    ]
    steps = []
    for i in range(1, N_FRAMES):
        heights = []
        for k in (i - 1, i):
            (brow_r, eye_r), (brow_l, eye_l) = rings[2 * k], rings[2 * k + 1]
            scale = np.linalg.norm(eye_r - eye_l)
            heights.append(
                [np.linalg.norm(brow_r - eye_r) / scale, np.linalg.norm(brow_l - eye_l) / scale]
            )
        steps.append(np.mean(np.abs(np.subtract(*heights))))
    for seen in (points, moved(points)):
        np.testing.assert_allclose(theval.eyebrow_steps(seen, FEATURES)[1:], steps)
    assert np.isnan(steps).sum() == 2, "none beside the frame without a face"


def test_angles_of_a_turning_head():
    """Known turns of a rigid mesh come back, up to the middle frame's."""
    rng = np.random.default_rng(2)
    mesh = rng.normal(0, 60, (478, 3))
    turns = np.stack([8 * np.sin(np.arange(30) / 4), 5 * np.cos(np.arange(30) / 5)], axis=1)
    turns[15] = 0
    seen = np.stack([Rotation.from_euler("xy", t, degrees=True).apply(mesh) for t in turns])
    seen = 0.8 * seen + rng.uniform(0, 200, (30, 1, 3))
    seen[4] = np.nan
    found = theval.head_angles(seen, FEATURES)
    assert np.isnan(found[4]).all()
    known = np.delete(np.arange(30), 4)
    np.testing.assert_allclose(found[known, :2], turns[known], atol=1e-6)
    np.testing.assert_allclose(found[known, 2], 0, atol=1e-6)


def test_head_motion_by_the_formula():
    rng = np.random.default_rng(3)
    angles, centres = rng.normal(0, 4, (80, 3)), rng.normal(0, 6, (80, 2))
    spread = np.mean([np.std(angles[:, k]) for k in range(3)])
    jerk = np.mean([np.var(np.diff(angles[:, k])) for k in range(3)])
    place = (np.var(centres[:, 0]) + np.var(centres[:, 1])) / 2
    value = theval.head_motion(angles, centres)(np.arange(80))
    assert value == pytest.approx(np.sqrt(spread * jerk + place))


def test_pauses_are_long_enough():
    flags = np.zeros(40, bool)
    flags[2:9], flags[12:20], flags[30:] = True, True, True
    expected = np.zeros(40, bool)
    expected[12:20], expected[30:] = True, True
    np.testing.assert_array_equal(theval.pauses(flags, FPS), expected)  # 0.3 s are 7.5 frames


def mouth(gap_px: np.ndarray) -> np.ndarray:
    """Landmarks whose inner lips are ``gap_px`` [frames] apart, eyes 100 apart at the corners."""
    points = np.zeros((len(gap_px), 478, 2))
    points[:, 33, 0], points[:, 133, 0] = 50, 80
    points[:, 362, 0], points[:, 263, 0] = 120, 150
    points[:, list(FEATURES.lower_lip), 1] = gap_px[:, None]
    return points


def sound_of(amplitude: np.ndarray, rate_hz: int = 16000) -> np.ndarray:
    per_frame = round(rate_hz / FPS)
    envelope = np.repeat(amplitude, per_frame)
    return envelope * np.sin(2 * np.pi * 500 * np.arange(len(envelope)) / rate_hz)


def test_lips_that_follow_the_loudness_and_rest_in_pauses():
    """Right lips have no gap and no unrest; other lips have both; a mouth of NaN has neither."""
    rng = np.random.default_rng(4)
    # Steps of 5 frames: the window is a little wider than a frame.
    loud = np.repeat(rng.uniform(0.1, 0.5, 30), 5)
    is_silent = np.zeros(150, bool)
    is_silent[50:75] = True
    loud[is_silent] = 0
    right = mouth(40 * loud)
    shuffled = mouth(40 * np.repeat(rng.permutation(loud[::5]), 5))

    def score(points):
        return theval.score_pauses(
            points, sound_of(loud), 16000, is_silent, FEATURES, "made", FPS
        )  # fmt: skip

    good, bad = score(right), score(shuffled)
    assert good["silent_lip_motion"]["value"] == 0
    assert good["lip_loudness_gap"]["value"] < 0.05
    assert bad["silent_lip_motion"]["value"] > 0.02
    assert bad["lip_loudness_gap"]["value"] > 0.2
    blind = score(np.full_like(right, np.nan))
    assert all(s["value"] is None and s["reason"] for s in blind.values())


def test_without_a_pause_silence_has_no_score():
    points = mouth(np.random.default_rng(5).uniform(0, 9, 50))
    found = theval.score_pauses(
        points, sound_of(np.full(50, 0.3)), 16000, np.zeros(50, bool), FEATURES, "made", FPS
    )
    assert found["silent_lip_motion"]["reason"] == "no pause of 0.3 s in which a face is seen"


def test_unrest_is_a_median_distance_from_the_mean():
    gap = np.array([0.0, 0.0, 0.0, 0.4, np.nan])
    assert theval.unrest(gap) == pytest.approx(0.1)
