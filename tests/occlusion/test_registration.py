"""A part of the picture whose motion is known, found again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from wildtalker_core.geometry.moment import Moment
from wildtalker_core.occlusion.plate import is_moving, margin, moved_plate
from wildtalker_core.occlusion.registration import (
    register,
    similarity_matrix,
    similarity_of,
    without_outliers,
)
from wildtalker_core.splats.body import BodyShape
from wildtalker_core.splats.portrait import SplatPortrait, SplatShape

SIZE, N = 96, 30


def texture(seed: int, size: int = SIZE) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(size, size)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 2)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def true_motion(n: int = N) -> np.ndarray:
    t = np.arange(n)
    return np.stack(
        (5 * np.sin(t / 4), 3 * np.cos(t / 5), 0.05 * np.sin(t / 6), 0.03 * np.sin(t / 7)), 1
    )


def warp(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return cv2.warpAffine(picture, matrix[:2], picture.shape[1::-1], flags=cv2.INTER_LINEAR)


def test_similarities_and_matrices_are_inverse():
    centre = np.array([40.0, 70.0])
    matrices = similarity_matrix(true_motion(), centre)
    np.testing.assert_allclose(similarity_of(matrices, centre), true_motion(), atol=1e-12)
    at_centre = matrices @ np.array([*centre, 1.0])
    np.testing.assert_allclose(at_centre[:, :2] - centre, true_motion()[:, :2], atol=1e-12)


@pytest.fixture(scope="module")
def moved_part():
    """Frames of a part that moves by a known similarity; frames 12 to 14 hide it."""
    centre = np.array([SIZE / 2, SIZE / 2])
    matrices = similarity_matrix(true_motion(), centre)
    picture, inside = texture(0), np.zeros((SIZE, SIZE), np.uint8)
    inside[20:-20, 20:-20] = 255
    frames = [warp(picture, matrix) for matrix in matrices]
    parts = [warp(inside, matrix) > 127 for matrix in matrices]
    for i in (12, 13, 14):
        parts[i] = np.zeros_like(parts[i])

    def read(frame: int):
        return frames[frame], parts[frame]

    return read, matrices


def test_known_motion_is_found_and_hidden_frames_are_interpolated(moved_part):
    read, matrices = moved_part
    found = register(read, N, np.arange(24), [np.arange(24), np.arange(24, N)], reference=4)
    # The canvas has frame 4's place: compare the motion between frames.
    expected = matrices @ np.linalg.inv(matrices[4])
    corner = np.array([25.0, 30.0, 1.0])
    got = similarity_matrix(found.similarity, found.centre) @ corner
    error = np.linalg.norm((got - expected @ corner)[:, :2], axis=1)
    visible = np.r_[0:12, 15:N]
    assert error[visible].mean() < 0.4 and error[visible].max() < 1.0
    assert found.is_interpolated[[12, 13, 14]].all() and not found.is_interpolated[visible].any()
    assert error[[12, 13, 14]].max() < 1.5


def test_later_segments_change_nothing_in_the_earlier_ones(moved_part):
    read, _ = moved_part
    segments = [np.arange(24), np.arange(24, N)]

    def with_noise(frame: int):
        picture, part = read(frame)
        return (texture(frame) if frame >= 24 else picture), part

    clean, noisy = (register(r, N, np.arange(24), segments, 4) for r in (read, with_noise))
    np.testing.assert_array_equal(clean.similarity[:24], noisy.similarity[:24])
    assert np.abs(clean.similarity[24:] - noisy.similarity[24:]).max() > 0.1


def test_outliers_are_replaced_by_their_neighbours():
    motion = true_motion(40)
    broken = motion.copy()
    broken[10, 0] += 9
    broken[20] = np.nan
    mended, replaced = without_outliers(broken, 1.0)
    assert replaced[[10, 20]].all()
    assert np.abs(mended - motion)[:, :2].max() < 0.8


def shown_by_a_portrait(
    plate: np.ndarray, motion: np.ndarray, centre: np.ndarray, height: int
) -> np.ndarray:
    """The background of one frame, [height, height, 3] in grey levels."""
    body = BodyShape(n_head=1, n_rest=1, n_face=3, n_soft=3, n_face_nodes=1, n_soft_nodes=1)
    shape = SplatShape(
        height, height, 100.0, margin(height), body, n_mouth=0, n_expression=0, n_gaze=0,
        n_torso=4, n_audio_features=1, audio_window=8, n_heard=1, kernel="gaussian",
    )  # fmt: skip
    portrait = SplatPortrait(shape, "torch")
    portrait.plate.copy_(torch.as_tensor(plate) / 255)
    # A motion's pixels have whole numbers as centres, a portrait's lie at +.5.
    portrait.camera_centre.copy_(torch.as_tensor(centre + 0.5))
    none = torch.zeros(0)
    camera = torch.as_tensor(motion, dtype=torch.float32)
    moment = Moment(torch.eye(4), none, none, none, torch.zeros(4), camera)
    return 255 * portrait.background(moment).numpy()


def test_a_moved_plate_shows_what_the_camera_saw():
    height = 80
    world = np.repeat(texture(3, 140)[..., None], 3, 2)
    motion = np.zeros((N, 4))
    motion[:, 0], motion[:, 3] = np.linspace(-6, 6, N), np.linspace(-0.03, 0.03, N)
    centre = np.array([height / 2, height / 2])
    matrices = similarity_matrix(motion, centre)
    shift = np.array([[1, 0, -30.0], [0, 1, -30], [0, 0, 1]])
    frames = [
        cv2.warpAffine(world, (m @ shift)[:2], (height, height), flags=cv2.INTER_LINEAR)
        for m in matrices
    ]
    person = np.zeros((height, height), bool)
    person[30:, 30:50] = True

    def read(i: int):
        return np.where(person[..., None], 0, frames[i]).astype(np.uint8), ~person

    plate = moved_plate(read, np.arange(N), matrices)
    assert plate.shape[0] == height + 2 * margin(height)
    assert is_moving(motion, height) and not is_moving(0 * motion, height)
    shown = shown_by_a_portrait(plate, motion[25], centre, height)
    inner = np.zeros((height, height), bool)
    inner[4:24, 4:-4] = True
    assert np.abs(shown - frames[25])[inner].mean() < 4
