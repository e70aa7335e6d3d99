"""One person's track, its gaps and its smoothing."""

import numpy as np
import pytest

from tests.person.made_faces import HEIGHT, WIDTH, made_landmarks, made_poses, made_template
from wildtalker_core.errors import InputError
from wildtalker_core.media.splits import Split
from wildtalker_core.person import landmark_track as tracks
from wildtalker_core.person import landmarks as lm


def all_training(n):
    return Split((n, n, n), np.ones(n, bool))


def faces_of(n=60):
    landmarks, depth = made_landmarks(made_template(), made_poses(n))
    return np.concatenate((landmarks, depth[..., None]), -1)


def test_index_sets_name_existing_points_once():
    for points in (lm.FACE_CONTOUR, lm.LIPS_OUTER, lm.LIPS_INNER, lm.RIGHT_EYE, lm.LEFT_EYE,
                   lm.RIGHT_BROW, lm.LEFT_BROW, lm.RIGID_POINTS, lm.MOUTH_OF_68):  # fmt: skip
        assert len(set(points)) == len(points)
        assert 0 <= min(points) and max(points) < lm.N_LANDMARKS
    assert len(lm.MOUTH_OF_68) == 20
    moving = {*lm.LIPS_OUTER, *lm.LIPS_INNER}
    assert not moving & set(lm.RIGID_POINTS)
    assert set(lm.MOUTH_OF_68) <= moving


class Model:
    """Sees a face until it stumbles; then sees nothing until it is reset."""

    def __init__(self, face, stumbles_at):
        self.face, self.stumbles_at, self.frame, self.is_lost, self.resets = (
            face,
            stumbles_at,
            0,
            0,
            0,
        )

    def __call__(self, frame):
        self.is_lost |= frame == self.stumbles_at
        return np.empty((0, 478, 3)) if self.is_lost else self.face[None]

    def reset(self):
        self.is_lost, self.resets = False, self.resets + 1


def test_a_lost_tracker_is_reset_at_once():
    model = Model(faces_of(1)[0], stumbles_at=3)
    found = list(tracks.find_faces([np.array(i) for i in range(6)], model))
    # The frame itself is tried again after the reset (and stumbles again); the next one is found.
    assert model.resets >= 1
    assert len(found) == 6 and all(len(f) for f in found[:3])


def test_a_second_face_never_steals_the_track():
    me = faces_of()
    other = me + np.array([110, 0, 0])  # one head to the right
    faces = [np.stack((other[i], me[i])) for i in range(60)]
    for i in range(20, 30):
        faces[i] = other[i][None]  # a hand hides me
    track = tracks.select_track(faces, HEIGHT, WIDTH)
    assert np.isnan(track[20:30]).all()
    seen = np.r_[0:20, 30:60]
    np.testing.assert_array_equal(track[seen], me[seen])


def test_order_of_faces_does_not_matter():
    me = faces_of()
    other = me * np.array([0.8, 0.8, 0.8]) + np.array([120, -10, 0])
    one = tracks.select_track([np.stack((a, b)) for a, b in zip(me, other, strict=True)], 256, 256)
    two = tracks.select_track([np.stack((b, a)) for a, b in zip(me, other, strict=True)], 256, 256)
    np.testing.assert_array_equal(one, two)


def test_gaps_are_straight_lines_and_ends_stand_still():
    points = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((1, 478, 3), np.float32)
    broken = points.copy()
    broken[[0, 1, 4, 5, 6, 9]] = np.nan
    filled = tracks.complete_track(broken)
    assert filled[:, 0, 0].tolist() == [2, 2, 2, 3, 4, 5, 6, 7, 8, 8]


def test_too_few_faces_and_too_long_gaps_are_refused():
    points = np.ones((100, 478, 3), np.float32)
    points[40:70] = np.nan
    with pytest.raises(InputError, match="30 of 100 frames"):
        tracks.require_faces(points, all_training(100), 25, 9, 0.2, "clip me")
    with pytest.raises(InputError, match="from 1.6 s to 2.8 s"):
        tracks.require_faces(points, all_training(100), 25, 1.0, 0.5, "clip me")


def test_no_face_anywhere_is_refused():
    track = tracks.select_track([np.empty((0, 478, 3))] * 5, HEIGHT, WIDTH)
    with pytest.raises(InputError, match="5 of 5 frames"):
        tracks.require_faces(track, all_training(5), 25, 9, 0.5, "clip me")


def test_smoothing_does_not_lag():
    t = np.arange(50.0)
    bump = np.exp(-(((t - 25) / 4) ** 2))
    assert np.argmax(tracks.smooth_without_lag(bump, 7, 2)) == 25
    ramp = 3 * t + 1
    np.testing.assert_allclose(tracks.smooth_without_lag(ramp, 7, 2), ramp)


def test_a_jerking_head_keeps_its_place_and_loses_its_noise():
    faces = faces_of(40)
    rng = np.random.default_rng(0)
    jerks = np.concatenate((rng.normal(0, 12, (40, 1, 2)), np.zeros((40, 1, 1))), -1)
    clean = (faces + jerks).astype(np.float32)
    noisy = clean + rng.normal(0, 0.5, clean.shape).astype(np.float32)
    smooth = tracks.smooth_shape(noisy, 5, 2)
    error = np.linalg.norm((smooth - clean)[..., :2], axis=-1).mean()
    assert error < 0.85 * np.linalg.norm((noisy - clean)[..., :2], axis=-1).mean()
    # Filtering the pixels themselves would smear the jerks over several pixels.
    naive = tracks.smooth_without_lag(noisy, 5, 2)
    assert np.linalg.norm((naive - clean)[..., :2], axis=-1).mean() > 5 * error


def test_a_blink_keeps_its_depth():
    faces = faces_of(40)
    lids = 20 * np.exp(-(((np.arange(40) - 20) / 1.5) ** 2))  # about 0.1 s, as blinks are
    faces[:, 386, 1] += lids
    smooth = tracks.smooth_shape(faces.astype(np.float32), 5, 2)
    depth = (smooth[:, 386, 1] - smooth[:, 374, 1]) - (faces[:, 386, 1] - faces[:, 374, 1])
    assert np.abs(depth).max() < 0.15 * 20


def test_boxes_hold_their_points_and_stay_inside():
    landmarks, _ = made_landmarks(made_template(), made_poses(30))
    landmarks = landmarks + np.array([60, 0])  # towards the border
    for boxes, points in (
        (lm.face_box(landmarks, HEIGHT, WIDTH, 0.1), lm.FACE_CONTOUR),
        (lm.lip_box(landmarks, HEIGHT, WIDTH, 0.2, np.ones(30, bool)), lm.LIPS_OUTER),
    ):
        assert boxes.min() >= 0 and boxes.max() <= WIDTH
        inside = np.clip(landmarks[:, list(points)], 0, WIDTH)
        assert (inside >= boxes[:, None, :2]).all() and (inside <= boxes[:, None, 2:]).all()
    lips = lm.lip_box(landmarks, HEIGHT, WIDTH, 0.2, np.ones(30, bool))
    sizes = lips[:, 2:] - lips[:, :2]
    assert len(np.unique(sizes)) == 1
