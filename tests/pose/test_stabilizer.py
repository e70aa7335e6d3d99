"""Bundle adjustment: it finds depth, removes shaking, and shrugs off what is not skin."""

import numpy as np
import pytest
import torch

from tests.person.made_faces import FOCAL, HEIGHT, WIDTH, made_landmarks, made_poses, made_template
from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import (
    align_rotations,
    euler_to_matrix,
    geodesic_distance,
    transform_points,
)
from wildtalker_core.media.splits import Split
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.head_pose import HeadTrack, jitter_px, track_head
from wildtalker_core.person.options import FocalLengthOptions
from wildtalker_core.person.template import to_head_units
from wildtalker_core.pose.motion import _solve_banded
from wildtalker_core.pose.skin_references import choose_references, clearest_faces, steady_skin
from wildtalker_core.pose.skin_tracks import SkinTracks
from wildtalker_core.pose.stabilizer import bundle_adjust, smooth_poses

N_FRAMES, N_POINTS = 120, 80
SPLIT = Split((99, 109, N_FRAMES), np.ones(N_FRAMES, bool))
ALL_60 = Split((60, 60, 60), np.ones(60, bool))


def rotation_error_degrees(track, poses):
    truth = poses[:, :3, :3]
    aligned = align_rotations(torch.from_numpy(track.T_camera_head[:, :3, :3]), truth)
    return float(geodesic_distance(aligned, truth).rad2deg().mean())


def made_tracks(template, poses, coarse, noise_px=0.1, hand_share=0.0, seed=0):
    """Tracks of the template's own points against three references, with a hand over some."""
    rng = np.random.default_rng(seed)
    points = rng.permutation(468)[:N_POINTS]
    seen = project(transform_points(poses, template[points]), FOCAL, HEIGHT, WIDTH).numpy()
    seen = seen[:, None] + noise_px * rng.standard_normal((N_FRAMES, 3, N_POINTS, 2))
    hidden = rng.random((N_FRAMES, 1, N_POINTS)) < hand_share
    seen = seen + hidden[..., None] * np.array([18.0, 6.0])
    guess = np.repeat(coarse.template[points][None], 3, 0)
    reference_of = np.repeat(np.arange(3)[None], N_FRAMES, 0)
    everywhere = np.ones((N_FRAMES, 3, N_POINTS), bool)
    return SkinTracks(
        guess, reference_of, seen.astype(np.float32), everywhere, np.ones((3, N_POINTS), bool)
    )


@pytest.fixture(scope="module")
def clip():
    template, poses = made_template(), made_poses(N_FRAMES, yaw_degrees=20)
    landmarks, depth = made_landmarks(template, poses, noise_px=0.6)
    # The landmarker believes faces to be flatter than this one.
    coarse = track_head(
        landmarks, 0.7 * depth, HEIGHT, WIDTH, FocalLengthOptions(), SPLIT.is_fitted
    )
    return template, poses, landmarks, coarse


def test_adjusting_finds_the_depth_that_the_landmarker_misjudged(clip):
    template, poses, landmarks, coarse = clip
    tracks = made_tracks(template, poses, coarse)
    stable = bundle_adjust(coarse, tracks, landmarks, HEIGHT, WIDTH, SPLIT)
    assert rotation_error_degrees(coarse, poses) > 1.5
    assert rotation_error_degrees(stable, poses) < 0.5
    true_jitter = jitter_px(HeadTrack(poses.numpy(), FOCAL, template.numpy()), HEIGHT, WIDTH)
    assert jitter_px(stable, HEIGHT, WIDTH) < true_jitter + 0.1 * jitter_px(coarse, HEIGHT, WIDTH)


def test_result_is_in_head_units(clip):
    template, poses, landmarks, coarse = clip
    stable = bundle_adjust(
        coarse, made_tracks(template, poses, coarse), landmarks, HEIGHT, WIDTH, SPLIT
    )
    again = to_head_units(torch.from_numpy(stable.template))
    torch.testing.assert_close(again, torch.from_numpy(stable.template))
    rotation = torch.from_numpy(stable.T_camera_head[:, :3, :3])
    eye = torch.eye(3, dtype=torch.float64).expand_as(rotation)
    torch.testing.assert_close(rotation @ rotation.mT, eye)


def test_a_fifth_of_points_on_a_hand_does_no_harm(clip):
    template, poses, landmarks, coarse = clip
    stable = bundle_adjust(
        coarse,
        made_tracks(template, poses, coarse, hand_share=0.2),
        landmarks,
        HEIGHT,
        WIDTH,
        SPLIT,
    )
    assert rotation_error_degrees(stable, poses) < 0.6


def test_frames_without_tracks_are_carried_by_neighbours(clip):
    template, poses, landmarks, coarse = clip
    tracks = made_tracks(template, poses, coarse)
    tracks.is_seen[50:54] = False
    stable = bundle_adjust(coarse, tracks, landmarks, HEIGHT, WIDTH, SPLIT)
    seen = project(
        transform_points(torch.from_numpy(stable.T_camera_head), torch.from_numpy(stable.template)),
        stable.focal_length, HEIGHT, WIDTH,
    ).numpy()  # fmt: skip
    error = np.linalg.norm(seen - landmarks, axis=-1).mean(1)
    assert error[50:54].max() < 2 * np.median(error)


def test_banded_solver_equals_a_dense_one():
    rng = np.random.default_rng(0)
    n = 7
    draw = torch.from_numpy(rng.normal(size=(n, 6, 6)))
    blocks = draw @ draw.mT + torch.eye(6, dtype=torch.float64)
    right = torch.from_numpy(rng.normal(size=(n, 6)))
    scale = torch.from_numpy(rng.uniform(0.5, 2, 6))
    stiffness = torch.from_numpy(rng.uniform(0.1, 3, n - 2))
    second = torch.zeros(n - 2, n, dtype=torch.float64)
    for i in range(n - 2):
        second[i, i : i + 3] = torch.tensor([1.0, -2.0, 1.0])
    penalty = second.T @ torch.diag(stiffness) @ second
    dense = torch.block_diag(*blocks) + torch.kron(penalty, torch.diag(scale**2))
    expected = torch.linalg.solve(dense, right.reshape(-1)).reshape(n, 6)
    torch.testing.assert_close(_solve_banded(blocks, right, scale, stiffness), expected, rtol=1e-6,
                               atol=1e-9)  # fmt: skip


def test_plain_smoothing_keeps_a_steady_turn_and_halves_shaking():
    poses = made_poses(60)
    turning = poses.clone()
    angles = torch.zeros(60, 3, dtype=torch.float64)
    angles[:, 0] = torch.linspace(-0.3, 0.3, 60)
    turning[:, :3, :3] = euler_to_matrix(angles)
    track = HeadTrack(turning.numpy(), FOCAL, made_template().numpy())
    smooth = torch.from_numpy(smooth_poses(track, 7, ALL_60).T_camera_head[:, :3, :3])
    assert geodesic_distance(smooth, turning[:, :3, :3]).max() < 1e-3
    shaking = turning.numpy().copy()
    shaking[:, :3, 3] += np.random.default_rng(0).normal(0, 0.002, (60, 3))
    rough = HeadTrack(shaking, FOCAL, track.template)
    assert jitter_px(smooth_poses(rough, 7, ALL_60), HEIGHT, WIDTH) < 0.5 * jitter_px(
        rough, HEIGHT, WIDTH
    )


def test_references_cover_the_turns_and_skip_the_unusable():
    angles = torch.zeros(101, 3, dtype=torch.float64)
    angles[:, 0] = torch.linspace(-0.4, 0.4, 101)
    rotations = euler_to_matrix(angles).numpy()
    is_usable = np.ones(101, bool)
    is_usable[:10] = False
    chosen = choose_references(rotations, is_usable, 8, np.radians(4))
    assert min(chosen) == 10 and max(chosen) == 100 and len(chosen) == 8
    still = choose_references(np.repeat(rotations[50:51], 101, 0), is_usable, 9, np.radians(4))
    assert len(still) == 3, "a head that keeps still needs references over time only"


def test_steady_skin_leaves_out_mouth_eyes_and_the_outside():
    landmarks, _ = made_landmarks(made_template(), made_poses(1))
    mask = steady_skin(landmarks[0], HEIGHT, WIDTH)
    assert 0.1 < (mask > 0).sum() / np.ptp(landmarks[0, :, 0]) / np.ptp(landmarks[0, :, 1]) < 0.8
    for points in (lm.LIPS_OUTER, lm.LEFT_EYE, lm.RIGHT_EYE, lm.FACE_CONTOUR):
        x, y = np.floor(landmarks[0, list(points)]).astype(int).T
        assert not mask[y, x].any()


def test_references_are_frames_whose_face_is_not_hidden():
    landmarks = np.full((8, 478, 2), 20.0) + np.linspace(0, 20, 478)[None, :, None]
    masks = np.zeros((8, 64, 64), np.uint8)
    masks[2:6] = 255
    masks[3, :, 21:] = 0  # partly clear
    usable = np.ones(8, bool)
    usable[7] = False
    clear = clearest_faces(masks, landmarks, usable, 2)
    assert clear.tolist() == [True, True, False, False, False, False, True, False]
    # Four are wanted, so the frame that is partly clear serves too.
    clear = clearest_faces(masks, landmarks, usable, 4)
    assert clear.tolist() == [True, True, False, True, False, False, True, False]
