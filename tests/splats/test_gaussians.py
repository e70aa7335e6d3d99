"""The definition of pictures of Gaussians against closed forms, symmetries and differences."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from tests.splats.clouds import draw, random_cloud
from wildtalker_core.splats import gaussians
from wildtalker_core.splats.gaussians import (
    ALPHA_MAX,
    DILATION_PX2,
    KERNELS,
    SUPPORT,
    Projected,
    project,
    rasterise,
)


def balls(
    places: list[tuple[float, float, float]],
    colours: list[tuple[float, float, float]],
    opacities: list[float],
    std: float = 0.1,
) -> dict[str, Tensor]:
    """Round Gaussians at places before the camera, one bone."""
    n = len(places)
    options = {"dtype": torch.float64}
    return {
        "means": torch.tensor(places, **options).view(n, 3),
        "quaternions": torch.tensor([[1.0, 0, 0, 0]], **options).expand(n, 4),
        "log_scales": torch.full((n, 3), math.log(std), **options),
        "weights": torch.ones(n, 1, **options),
        "transforms": torch.eye(3, 4, **options)[None],
        "colours": torch.tensor(colours, **options).view(n, 3),
        "opacities": torch.tensor(opacities, **options),
    }


def kernel_by_hand(square: float, kernel: str) -> float:
    if square >= SUPPORT:
        return 0.0
    return (1 - square / 8) ** 4 if kernel == "compact" else math.exp(-square / 2)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("size", [15, 31])  # odd: a pixel's centre lies on the optical axis
def test_one_ball_on_the_axis(size, kernel):
    colour, backdrop = torch.tensor([0.2, 0.5, 0.9]).double(), torch.tensor([1.0, 0, 0.3]).double()
    cloud = balls([(0, 0, 3)], [colour.tolist()], [0.7])
    picture, alpha = draw(cloud, size, size, kernel, "torch")
    centre = size // 2
    assert alpha[centre, centre].item() == pytest.approx(0.7, abs=1e-12)
    over = picture[centre, centre] + (1 - alpha[centre, centre]) * backdrop
    torch.testing.assert_close(over, 0.7 * colour + 0.3 * backdrop)
    variance = (1.5 * size * 0.1 / 3) ** 2 + DILATION_PX2
    for dx, dy in [(1, 0), (0, -2), (2, 1), (-3, 3), (6, 6)]:
        expected = 0.7 * kernel_by_hand((dx * dx + dy * dy) / variance, kernel)
        assert alpha[centre + dy, centre + dx].item() == pytest.approx(expected, abs=1e-12)
        torch.testing.assert_close(picture[centre + dy, centre + dx], expected * colour)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_nearer_of_two_lies_over_the_other(kernel):
    red, blue = (1.0, 0, 0), (0, 0, 1.0)
    for places, first in (([(0, 0, 3), (0, 0, 4)], 0), ([(0, 0, 4), (0, 0, 3)], 1)):
        picture, alpha = draw(balls(places, [red, blue], [0.6, 0.5]), 9, 9, kernel, "torch")
        expected = (0.6, 0, 0.4 * 0.5) if first == 0 else (0.5 * 0.6, 0, 0.5)
        torch.testing.assert_close(picture[4, 4], torch.tensor(expected).double())
        assert alpha[4, 4].item() == pytest.approx(1 - 0.4 * 0.5, abs=1e-12)


def test_of_equal_depths_the_first_in_the_list_is_in_front():
    cloud = balls([(0, 0, 3)] * 2, [(1.0, 0, 0), (0, 0, 1.0)], [0.6, 0.5])
    picture, _ = draw(cloud, 9, 9, "compact", "torch")
    torch.testing.assert_close(picture[4, 4], torch.tensor([0.6, 0, 0.2]).double())


def test_alpha_is_capped_and_light_runs_out():
    cloud = balls([(0, 0, 3 + k) for k in range(4)], [(1.0, 0, 0)] * 3 + [(0, 1.0, 0)], [1.0] * 4)
    picture, alpha = draw(cloud, 9, 9, "compact", "torch")
    # 1, .01, 1e-4 (still drawn, if rounding lets it) and 1e-6 of the light reach the four.
    assert alpha[4, 4].item() == pytest.approx(1, abs=2e-4)
    assert picture[4, 4, 0] >= ALPHA_MAX and picture[4, 4, 1] == 0


def test_a_map_of_the_body_is_a_map_of_its_gaussians():
    # Moved bones over a body, or the moved body under bones at rest: the same picture.
    cloud = random_cloud(40, n_bones=1)
    turn, shift = cloud["transforms"][0, :, :3], cloud["transforms"][0, :, 3]
    rotations = gaussians.rotations_of(cloud["quaternions"])
    torch.testing.assert_close(turn @ turn.T, torch.eye(3).double())
    assert torch.linalg.det(turn) > 0
    moved = {
        **cloud,
        "means": cloud["means"] @ turn.T + shift,
        "quaternions": quaternions_of(turn @ rotations),
        "transforms": torch.eye(3, 4, dtype=torch.float64)[None],
    }
    for found, expected in zip(
        draw(moved, 20, 24, "compact", "torch"), draw(cloud, 20, 24, "compact", "torch"),
        strict=True,
    ):  # fmt: skip
        assert expected.abs().max() > 0.1
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def quaternions_of(rotations: Tensor) -> Tensor:
    xyzw = torch.from_numpy(Rotation.from_matrix(rotations.numpy()).as_quat())
    return torch.cat((xyzw[:, 3:], xyzw[:, :3]), 1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_quarter_turn_about_the_axis_turns_the_picture(kernel):
    cloud = random_cloud(40)
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double()  # x to y: clockwise
    turned = {**cloud, "transforms": quarter @ cloud["transforms"]}
    for found, expected in zip(
        draw(turned, 18, 18, kernel, "torch"), draw(cloud, 18, 18, kernel, "torch"), strict=True
    ):
        torch.testing.assert_close(found, expected.rot90(-1), atol=1e-9, rtol=0)


def test_a_move_by_whole_pixels_moves_the_picture_of_a_far_cloud():
    # 1000 units away, perspective is the same everywhere: 1 unit is 0.02 pixels.
    cloud = balls([(-40, 30, 1000), (10, 0, 1001)], [(1.0, 0, 0.5), (0, 1.0, 0)], [0.8, 0.9], 60)
    moved = {**cloud, "means": cloud["means"] * 1}
    step = 1000 / (1.5 * 21)  # one pixel, in units, at the first's depth
    moved["means"][:, 0] += 2 * step * cloud["means"][:, 2] / 1000
    first, second = (draw(c, 21, 21, "compact", "torch")[0] for c in (cloud, moved))
    torch.testing.assert_close(second[:, 2:], first[:, :-2], atol=2e-3, rtol=0)
    assert (second[:, 2:] - first[:, 2:]).abs().max() > 0.05


def test_two_bones_blend_as_their_maps_do():
    cloud = random_cloud(12, n_bones=2)
    together = project(*(cloud[name] for name in list(cloud)[:5]), 30.0, 20, 20)
    for i in range(12):
        blended = (cloud["weights"][i, :, None, None] * cloud["transforms"]).sum(0)
        linear = blended[:, :3]
        place = linear @ cloud["means"][i] + blended[:, 3]
        if place[2] <= gaussians.NEAR:
            assert not together.is_visible[i]
            continue
        turn = gaussians.rotations_of(cloud["quaternions"][i : i + 1])[0]
        in_space = linear @ turn @ torch.diag((2 * cloud["log_scales"][i]).exp()) @ turn.T
        in_space = in_space @ linear.T

        def seen(point: Tensor) -> Tensor:
            return 30.0 * point[:2] / point[2] + 10

        jacobian = torch.autograd.functional.jacobian(seen, place)
        covariance = jacobian @ in_space @ jacobian.T + DILATION_PX2 * torch.eye(2)
        conic = torch.linalg.inv(covariance)
        torch.testing.assert_close(together.means2d[i], seen(place))
        torch.testing.assert_close(
            together.conics[i], torch.stack((conic[0, 0], conic[0, 1], conic[1, 1]))
        )
        assert together.depths[i].item() == pytest.approx(place[2].item())


def test_extents_hold_every_pixel_that_is_touched():
    cloud = random_cloud(60)
    projected = project(*(cloud[name] for name in list(cloud)[:5]), 36.0, 24, 19)
    xs, ys = torch.arange(19) + 0.5, torch.arange(24) + 0.5
    assert 20 < projected.is_visible.sum() < 60
    for mean, (a, b, c), depth, extent in zip(
        projected.means2d, projected.conics, projected.depths, projected.extents, strict=True
    ):
        if depth <= gaussians.NEAR:
            assert extent.eq(0).all()
            continue
        dx, dy = xs[None] - mean[0], ys[:, None] - mean[1]
        is_touched = a * dx * dx + 2 * b * dx * dy + c * dy * dy < SUPPORT
        left, top, right, bottom = extent.tolist()
        is_held = torch.zeros_like(is_touched)
        is_held[top:bottom, left:right] = True
        assert not (is_touched & ~is_held).any()


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_is_drawn_of_nothing(kernel):
    cloud = random_cloud(0)
    cloud["colours"].requires_grad_()
    picture, alpha = draw(cloud, 17, 5, kernel, "torch")
    assert picture.shape == (17, 5, 3) and not picture.any() and not alpha.any()


def test_what_is_behind_the_camera_is_not_drawn_and_pulls_at_nothing():
    cloud = balls([(0, 0, -3), (0, 0, 0), (0, 0, 0.04)], [(1.0, 1, 1)] * 3, [0.9] * 3)
    for tensor in cloud.values():
        tensor.requires_grad_(tensor.is_leaf)
    picture, alpha = draw(cloud, 9, 9, "compact", "torch")
    assert not picture.any() and not alpha.any()
    (picture.sum() + alpha.sum()).backward()
    for name in ("means", "log_scales", "opacities"):
        assert torch.isfinite(cloud[name].grad).all() and not cloud[name].grad.any()


def test_a_larger_picture_shows_the_same_and_more():
    # What lies partly outside is cut, not lost: an inner window of a larger picture.
    cloud = random_cloud(50)
    inputs = [cloud[name] for name in list(cloud)[:5]]
    pictures = []
    for size in (12, 20):
        projected = project(*inputs, 40.0, size, size)
        pictures.append(rasterise(projected, cloud["colours"], cloud["opacities"], size, size)[0])
    small, large = pictures
    assert small[:, 0].abs().max() > 0.05  # something crosses the border
    torch.testing.assert_close(small, large[4:16, 4:16], atol=1e-12, rtol=0)


def test_gradients_of_the_projection_are_those_of_differences():
    cloud = random_cloud(4, n_bones=2)
    cloud["means"][0, 2] += 8  # all in front
    leaves = [cloud[name].requires_grad_() for name in list(cloud)[:5]]

    def parts(*inputs: Tensor) -> tuple[Tensor, ...]:
        projected = project(*inputs, 12.0, 8, 8)
        return projected.means2d, projected.conics, projected.depths

    assert torch.autograd.gradcheck(parts, leaves)


@pytest.mark.parametrize("kernel", KERNELS)
def test_gradients_of_the_drawing_are_those_of_differences(kernel):
    cloud = random_cloud(5, seed=3)
    cloud["means"][0, 2] += 8
    cloud["means"][:, :2] *= 0.4
    cloud["opacities"][0] = 1.2  # some pixels are capped, where the gradient is zero
    projected = project(*(cloud[name] for name in list(cloud)[:5]), 9.0, 5, 18)
    assert projected.is_visible.sum() >= 4

    def drawn(means2d, conics, colours, opacities):
        moved = Projected(means2d, conics, projected.depths, projected.extents)
        return rasterise(moved, colours, opacities, 5, 18, kernel=kernel)

    leaves = (projected.means2d, projected.conics, cloud["colours"], cloud["opacities"])
    assert torch.autograd.gradcheck(drawn, [leaf.clone().requires_grad_() for leaf in leaves])


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="compact, gaussian"):
        draw(random_cloud(3), 8, 8, "box", "torch")
