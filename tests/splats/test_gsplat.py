"""The definition against gsplat (Ye et al. 2025), where somebody has installed it.

gsplat projects in plain PyTorch on any device. It draws on a GPU only; on a CPU its formula for
the alpha of a Gaussian at a pixel can be had, whose sums along a ray nerfacc makes, on a GPU too:
a stand-in plays it here.
"""

from __future__ import annotations

import math
import sys
import types

import pytest
import torch
from torch import Tensor

from tests.splats.clouds import draw, project, random_cloud
from wildtalker_core.splats.gaussians import DILATION_PX2, NEAR, SUPPORT

torch_impl = pytest.importorskip(
    "gsplat.cuda._torch_impl", reason="gsplat is not installed: pip install gsplat rich jaxtyping"
)
HEIGHT, WIDTH, N = 30, 44, 50
FOCAL = 1.5 * WIDTH


@pytest.fixture
def cloud() -> dict[str, Tensor]:
    """All before the camera; gsplat draws nothing fainter than 1/255, we to the same distance."""
    made = random_cloud(N, n_bones=1, seed=6)
    # Not far outside of the picture: gsplat takes the slope of the projection at its border there.
    made["means"] *= torch.tensor([0.6, 0.4, 0.3]).double()
    made["means"][::10, 2] = 0
    made["opacities"][:] = math.exp(SUPPORT / 2) / 255
    return made


def camera(cloud: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Map into the camera [1, 4, 4] and intrinsics [1, 3, 3]."""
    to_camera = torch.eye(4, dtype=torch.float64)
    to_camera[:3] = cloud["transforms"][0]
    inner = [[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]
    return to_camera[None], torch.tensor([inner], dtype=torch.float64)


def test_it_projects_to_the_same_ellipses(cloud):
    covariances, _ = torch_impl._quat_scale_to_covar_preci(
        cloud["quaternions"], cloud["log_scales"].exp(), compute_preci=False
    )
    radii, means2d, depths, conics, _ = torch_impl._fully_fused_projection(
        cloud["means"], covariances, *camera(cloud), WIDTH, HEIGHT, DILATION_PX2, NEAR
    )
    projected = project(cloud, HEIGHT, WIDTH, "torch")
    assert projected.is_visible.sum() > 40 and (radii[0][projected.is_visible] > 0).all()
    torch.testing.assert_close(projected.means2d, means2d[0])
    torch.testing.assert_close(projected.conics, conics[0])
    torch.testing.assert_close(projected.depths, depths[0])


def _stand_in() -> types.ModuleType:
    """nerfacc's two functions, for rays one after the other."""
    module = types.ModuleType("nerfacc")

    def render_weight_from_alpha(alphas, ray_indices, n_rays):
        passing = torch.cat(
            [
                torch.cat((torch.ones_like(ray[:1]), (1 - ray).cumprod(0)[:-1]))
                for ray in alphas.split(torch.bincount(ray_indices, minlength=n_rays).tolist())
            ]
        )
        return alphas * passing, passing

    def accumulate_along_rays(weights, values, ray_indices, n_rays):
        shares = weights[:, None] if values is None else weights[:, None] * values
        return shares.new_zeros(n_rays, shares.shape[1]).index_add(0, ray_indices, shares)

    module.render_weight_from_alpha = render_weight_from_alpha
    module.accumulate_along_rays = accumulate_along_rays
    return module


def test_its_alphas_make_the_same_picture(cloud, monkeypatch):
    monkeypatch.setitem(sys.modules, "nerfacc", _stand_in())
    cloud["opacities"] = random_cloud(N, seed=6)["opacities"]
    projected = project(cloud, HEIGHT, WIDTH, "torch")
    order = projected.depths.argsort()
    ys, xs = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    offsets = torch.stack((xs, ys), -1).view(-1, 1, 2) + 0.5 - projected.means2d[order]
    xx, xy, yy = projected.conics[order].unbind(1)
    dx, dy = offsets.unbind(-1)
    is_near = xx * dx * dx + 2 * xy * dx * dy + yy * dy * dy < SUPPORT
    pixels, ranks = is_near.nonzero(as_tuple=True)
    picture, alpha = torch_impl.accumulate(
        projected.means2d[None], projected.conics[None], cloud["opacities"][None],
        cloud["colours"][None], order[ranks], pixels, torch.zeros_like(pixels), WIDTH, HEIGHT,
    )  # fmt: skip
    expected, expected_alpha = draw(cloud, HEIGHT, WIDTH, "gaussian", "torch")
    assert expected_alpha.max() > 0.9
    torch.testing.assert_close(picture[0], expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(alpha[0, ..., 0], expected_alpha, atol=1e-9, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="gsplat draws on NVIDIA GPUs only")
def test_it_draws_the_same_picture_and_gradients(cloud):
    from gsplat import rasterization

    names = ("means", "quaternions", "log_scales", "opacities", "colours")
    made = torch.Generator().manual_seed(0)
    wishes = torch.randn(HEIGHT, WIDTH, 3, generator=made, dtype=torch.float64)
    drawn = {}
    for code in ("gsplat", "triton"):
        leaves = {k: v.float().cuda().requires_grad_() for k, v in cloud.items()}
        if code == "gsplat":
            picture = rasterization(
                leaves["means"], leaves["quaternions"], leaves["log_scales"].exp(),
                leaves["opacities"], leaves["colours"],
                *(matrix.float().cuda() for matrix in camera(cloud)), WIDTH, HEIGHT,
                near_plane=NEAR, eps2d=DILATION_PX2, packed=False,
            )[0][0]  # fmt: skip
        else:
            picture, _ = draw(leaves, HEIGHT, WIDTH, "gaussian", code)
        (picture * wishes.to(picture)).sum().backward()
        drawn[code] = [picture.detach(), *(leaves[name].grad for name in names)]
    for found, expected in zip(drawn["triton"], drawn["gsplat"], strict=True):
        assert (found - expected).abs().max() <= 1e-3 * expected.abs().max()
