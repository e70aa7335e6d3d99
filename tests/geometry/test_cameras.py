"""Projection and rays are each other's inverse."""

import torch

from wildtalker_core.geometry.cameras import pixel_grid, project, unproject
from wildtalker_core.geometry.rays import pixel_rays
from wildtalker_core.geometry.rotations import axis_angle_to_matrix, rigid, transform_points

HEIGHT, WIDTH, FOCAL = 6, 8, 20.0


def pose(*axis_angle_and_translation):
    values = torch.tensor(axis_angle_and_translation, dtype=torch.float64)
    return rigid(axis_angle_to_matrix(values[:3]), values[3:])


def test_the_optical_axis_meets_the_image_centre():
    on_axis = torch.tensor([[0.0, 0.0, 3.0]])
    assert project(on_axis, FOCAL, HEIGHT, WIDTH).tolist() == [[4.0, 3.0]]


def test_right_is_right_and_down_is_down():
    points = torch.tensor([[1.0, 0.0, 10.0], [0.0, 1.0, 10.0]])
    assert project(points, FOCAL, HEIGHT, WIDTH).tolist() == [[6.0, 3.0], [4.0, 5.0]]


def test_unproject_undoes_project():
    points = torch.tensor([[0.3, -0.2, 2.0], [-0.5, 0.1, 4.0]], dtype=torch.float64)
    pixels = project(points, FOCAL, HEIGHT, WIDTH)
    torch.testing.assert_close(unproject(pixels, points[:, 2], FOCAL, HEIGHT, WIDTH), points)


def test_pixel_grid_reads_like_a_page():
    grid = pixel_grid(2, 3)
    assert grid.tolist() == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]


def test_points_on_a_ray_project_to_its_pixel_centre():
    T_camera_head = pose(0.2, -0.4, 0.1, 0.1, 0.2, 2.0)
    pixels = pixel_grid(HEIGHT, WIDTH)
    rays_o, rays_d = pixel_rays(T_camera_head, FOCAL, HEIGHT, WIDTH, pixels)
    torch.testing.assert_close(rays_d.norm(dim=-1), torch.ones(48, dtype=torch.float64))
    for t in (0.5, 3.0):
        points_camera = transform_points(T_camera_head, rays_o + t * rays_d)
        seen_at = project(points_camera, FOCAL, HEIGHT, WIDTH)
        torch.testing.assert_close(seen_at, pixels + 0.5, check_dtype=False)


def test_one_pose_per_pixel_equals_a_loop():
    poses = torch.stack([pose(0.1 * i, 0.2, 0, 0, 0.1 * i, 2.0) for i in range(4)])
    pixels = torch.tensor([[0, 0], [3, 2], [7, 5], [1, 4]])
    together = pixel_rays(poses, FOCAL, HEIGHT, WIDTH, pixels)
    for i in range(4):
        alone = pixel_rays(poses[i], FOCAL, HEIGHT, WIDTH, pixels[i : i + 1])
        for found, expected in zip(together, alone, strict=True):
            torch.testing.assert_close(found[i : i + 1], expected)
