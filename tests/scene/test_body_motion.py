"""The torso's motion: whose frames it may depend on, and what it is where only the head is seen."""

from dataclasses import replace

import cv2
import numpy as np

from tests.training.tiny_scene import SIZE, make_scene
from wildtalker_core.scene.body_motion import head_similarity, measure_body

FIRST_UNSEEN = 16  # of the made scene's validation frames


def test_training_does_not_depend_on_a_validation_frame_that_does_not_count():
    """The torso jumps in the last training frame; the frame behind it jumps as well, or not."""
    scene = make_scene()
    cloth = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    cloth = cv2.GaussianBlur(cloth, (0, 0), 1.5)
    cloth = (255 * (cloth - cloth.min()) / np.ptp(cloth)).astype(np.uint8)[..., None]
    scene.parsing[:] = (0, 0, 0, 255, 0)
    is_counted = np.arange(scene.n_frames) != FIRST_UNSEEN
    scene = replace(scene, is_counted=is_counted, validation_frames=np.array([FIRST_UNSEEN + 1]))
    found = []
    for jump in (0, 3):
        frames = np.repeat(np.repeat(cloth[None], scene.n_frames, 0), 3, -1)
        frames[FIRST_UNSEEN - 1] = np.roll(cloth, 3, axis=1)
        frames[FIRST_UNSEEN] = np.roll(cloth, jump, axis=1)
        moved = replace(scene, hand_free_frames=frames)
        found.append(measure_body(moved, np.zeros((478, 3)), 1).torso)
    still, jumped = found
    assert np.abs(still.similarity - jumped.similarity)[FIRST_UNSEEN, 0] > 2
    train = slice(FIRST_UNSEEN)
    np.testing.assert_array_equal(still.similarity[train], jumped.similarity[train])
    np.testing.assert_array_equal(still.is_interpolated[train], jumped.is_interpolated[train])


def test_the_head_s_similarity_moves_its_place_in_the_picture():
    scene = make_scene()
    T = scene.T_camera_head
    centre = np.array([7.0, 31.0])
    moved = head_similarity(scene, 3, centre)
    place = T[:, :2, 3] / T[:, 2:3, 3] * scene.focal_length + SIZE / 2
    cosine, sine = np.cos(moved[:, 2]), np.sin(moved[:, 2])
    linear = np.exp(moved[:, 3])[:, None, None] * np.stack(
        (np.stack((cosine, -sine), -1), np.stack((sine, cosine), -1)), 1
    )
    got = centre + moved[:, :2] + np.einsum("nij,j->ni", linear, place[3] - centre)
    np.testing.assert_allclose(got, place, atol=1e-9)
