"""The benchmark of the scores: what it makes of a clip, and what it concludes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metric_sense import Answer, verdict
from benchmarks.metric_sense_parts import Clip, freeze_mouth
from wildtalker_core.person.landmarks import LIPS_OUTER

SIZE = 128


def test_a_frozen_mouth_is_one_frames_and_the_rest_its_own():
    """A face that stands still, every frame of another grey; the median opening is frame 1's."""
    rng = np.random.default_rng(0)
    points = np.tile(rng.uniform(20, 108, (478, 2)), (3, 1, 1))
    angles = np.linspace(0, 2 * np.pi, len(LIPS_OUTER), endpoint=False)
    points[:, list(LIPS_OUTER)] = 64 + 12 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points[:, 13], points[:, 14] = (64, 60), (64, 62)
    points[1, 14, 1], points[2, 14, 1] = 64, 70
    frames = np.stack([np.full((SIZE, SIZE, 3), grey, np.uint8) for grey in (40, 120, 200)])
    clip = Clip(frames, points, np.zeros(16000), 16000, 25.0)
    for i, frozen in enumerate(freeze_mouth(clip)):
        assert np.abs(frozen[60:68, 60:68].astype(int) - 120).max() <= 1, "the mouth is frame 1's"
        np.testing.assert_array_equal(frozen[:25], frames[i, :25])
        np.testing.assert_array_equal(frozen[105:], frames[i, 105:])


def answer(difference: float, error: float | None) -> Answer:
    return Answer({}, {"mouth": (difference, error), "sound": (difference, error)})


@pytest.mark.parametrize(
    ("key", "question", "answers", "expected"),
    [
        ("psnr_db", "mouth", [answer(-3, 1), answer(-0.5, 1)], "tells 1/2"),
        ("psnr_db", "mouth", [answer(3, 1), answer(2, 1)], "WRONG WAY"),
        ("lmd_px", "mouth", [answer(3, 1)], "tells 1/1"),
        ("lmd_px", "mouth", [answer(1, 1), answer(1, 1)], "BLIND 0/2"),
        ("lip_dynamics", "mouth", [answer(-3, 1)], "tells 1/1"),
        ("lmd_px", "sound", [answer(0, 0)], "deaf"),
        ("mouth_correlation", "mouth", [answer(np.nan, None)], "n/a"),
    ],
)
def test_verdicts(key, question, answers, expected):
    assert verdict(key, question, answers) == expected
