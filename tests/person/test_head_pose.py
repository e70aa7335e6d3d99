"""Template, focal length and poses of a made face come back."""

import numpy as np
import pytest
import torch

from tests.person.made_faces import FOCAL, HEIGHT, WIDTH, made_landmarks, made_poses, made_template
from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import (
    align_rotations,
    axis_angle_to_matrix,
    geodesic_distance,
    transform_points,
)
from wildtalker_core.person import head_pose as hp
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.options import FocalLengthOptions
from wildtalker_core.person.template import procrustes, to_head_units


def test_procrustes_undoes_a_similarity():
    shape = made_template()
    rotation = axis_angle_to_matrix(torch.tensor([0.3, -0.5, 0.2], dtype=torch.float64))
    moved = 2.5 * shape @ rotation.T + torch.tensor([1.0, 2.0, 3.0])
    scale, back, shift = procrustes(moved[None], shape)
    torch.testing.assert_close(scale, torch.tensor([0.4], dtype=torch.float64))
    torch.testing.assert_close(back[0], rotation.T)
    torch.testing.assert_close(scale[0] * moved @ back[0].T + shift[0], shape)


def test_procrustes_never_mirrors():
    shape = made_template()
    _, rotation, _ = procrustes((shape * torch.tensor([-1.0, 1.0, 1.0]))[None], shape)
    assert torch.linalg.det(rotation[0]).item() == pytest.approx(1)


def test_head_units_are_width_level_and_centre():
    turn = axis_angle_to_matrix(torch.tensor([0.2, 0.4, -0.3], dtype=torch.float64))
    template = to_head_units(7 * made_template() @ turn.T + 5)
    across = template[lm.LEFT_CONTOUR] - template[lm.RIGHT_CONTOUR]
    torch.testing.assert_close(across, torch.tensor([0.30, 0, 0], dtype=torch.float64))
    down = template[lm.CHIN] - template[lm.FOREHEAD]
    assert down[1] > 0 and abs(down[2]) < 1e-9
    assert template[list(lm.FACE_CONTOUR)].mean(0).abs().max() < 1e-9
    assert template[lm.NOSE_TIP, 2] < 0, "the nose points to the camera"


def test_pose_jacobian_agrees_with_finite_differences():
    pose, points = made_poses(1), made_template()[:7]
    found = hp.pose_jacobian(pose, points, FOCAL)[0]
    for axis in range(6):
        step = torch.zeros(1, 6, dtype=torch.float64)
        step[0, axis] = 1e-6
        ahead, behind = (
            project(transform_points(hp.retract(pose, s), points), FOCAL, HEIGHT, WIDTH)[0]
            for s in (step, -step)
        )
        expected = (ahead - behind) / 2e-6
        torch.testing.assert_close(found[..., axis], expected, atol=1e-4, rtol=1e-5)


def test_poses_are_found_from_exact_points_and_survive_outliers():
    template, poses = made_template(), made_poses(20)
    landmarks, depth = (torch.from_numpy(x).double() for x in made_landmarks(template, poses))
    rigid = list(lm.RIGID_POINTS)
    observed = landmarks[:, rigid].clone()
    observed[:, 0] += 30  # one point follows a hand
    start = hp.weak_perspective_poses(template, landmarks, depth, FOCAL, HEIGHT, WIDTH)
    found = hp.fit_poses(template[rigid], observed, FOCAL, HEIGHT, WIDTH, start, huber_px=0.2)
    error = geodesic_distance(found[:, :3, :3], poses[:, :3, :3]).rad2deg()
    assert error.max() < 0.5


def test_a_whole_track_of_noisy_landmarks_is_near_the_truth():
    template, poses = made_template(), made_poses(80, yaw_degrees=20)
    landmarks, depth = made_landmarks(template, poses, noise_px=0.3)
    track = hp.track_head(landmarks, depth, HEIGHT, WIDTH, FocalLengthOptions(), np.ones(80, bool))
    found = torch.from_numpy(track.T_camera_head[:, :3, :3])
    truth = poses[:, :3, :3]
    error = geodesic_distance(align_rotations(found, truth), truth).rad2deg()
    assert error.mean() < 1.5
    assert 0.6 * FOCAL < track.focal_length < 1.6 * FOCAL
    seen = project(
        transform_points(torch.from_numpy(track.T_camera_head), torch.from_numpy(track.template)),
        track.focal_length, HEIGHT, WIDTH,
    )  # fmt: skip
    assert np.linalg.norm(seen.numpy() - landmarks, axis=-1).mean() < 1.0


def test_jitter_is_of_acceleration_only():
    poses = made_poses(30).clone()
    poses[:, :3, :3] = torch.eye(3, dtype=torch.float64)
    poses[:, :3, 3] = torch.tensor([0, 0, 2.5]) + torch.arange(30)[:, None] * torch.tensor(
        [0.004, 0.0, 0.0]
    )
    steady = hp.HeadTrack(poses.numpy(), FOCAL, made_template().numpy())
    assert hp.jitter_px(steady, HEIGHT, WIDTH) < 1e-6
    shaking = poses.numpy().copy()
    shaking[::2, 0, 3] += 0.001
    # Every second difference is then 2 * 0.001 head units.
    one_unit = np.mean([FOCAL / (2.5 + z) for z in made_template()[list(lm.RIGID_POINTS), 2]])
    expected = 2 * 0.001 * one_unit * 512 / HEIGHT
    found = hp.jitter_px(hp.HeadTrack(shaking, FOCAL, steady.template), HEIGHT, WIDTH)
    assert found == pytest.approx(expected, rel=0.01)
