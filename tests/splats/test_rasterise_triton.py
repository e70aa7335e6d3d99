"""The Triton kernels: on a GPU if there is one, else interpreted; and that GPUs could run them."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor

from tests.splats.clouds import (
    assert_agree,
    dense_cloud,
    draw,
    project,
    random_cloud,
    single,
    values_and_gradients,
)
from tests.triton_compiler import printed_by
from wildtalker_core.splats.gaussians import KERNELS, Projected

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton is not installed"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

#: Height, width and Gaussians. Tiles are 16 x 16, chunks 8 Gaussians.
SIZES = [(16, 16, 30), (7, 5, 3), (17, 33, 100), (50, 31, 300), (1, 40, 257)]


@pytest.fixture(scope="module")
def triton_code():
    """The module; its kernels are interpreted without a GPU (tests/conftest.py)."""
    from wildtalker_core.splats import rasterise_triton

    return rasterise_triton


@pytest.fixture
def rasterise(triton_code):
    return triton_code.rasterise


def there(cloud: dict[str, Tensor]) -> dict[str, Tensor]:
    """The cloud in float32 where the kernels run."""
    return {name: tensor.to(DEVICE) for name, tensor in single(cloud).items()}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("height", "width", "n"), SIZES)
def test_agrees_with_the_definition(rasterise, height, width, n, kernel):
    cloud = random_cloud(n, seed=n)
    expected = values_and_gradients(cloud, height, width, kernel, "torch")
    found = values_and_gradients(there(cloud), height, width, kernel, rasterise)
    assert all(tensor.abs().max() > 1e-3 for tensor in expected.values())
    assert_agree(found, expected, 1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_each_number_of_the_ellipses_has_its_gradient(rasterise, kernel):
    """Without the projection's derivative, which mixes them."""
    cloud = random_cloud(25, seed=4)
    projected = project(cloud, 18, 35, "torch")
    made = torch.Generator().manual_seed(2)
    wishes = torch.randn(18, 35, 4, generator=made, dtype=torch.float64)
    gained = []
    for code, options in (("torch", {}), (rasterise, {"dtype": torch.float32, "device": DEVICE})):
        leaves = [
            tensor.detach().to(**options).requires_grad_()
            for tensor in (
                projected.means2d, projected.conics, cloud["colours"], cloud["opacities"]
            )
        ]  # fmt: skip
        moved = Projected(*leaves[:2], projected.depths.to(**options), projected.extents.to(DEVICE))
        if code == "torch":
            from wildtalker_core.splats.gaussians import rasterise as code
        picture, alpha = code(moved, *leaves[2:], 18, 35, kernel=kernel)
        loss = (torch.cat((picture, alpha[..., None]), 2) * wishes.to(picture)).sum()
        gained.append(torch.autograd.grad(loss, leaves))
    columns = [dict(enumerate(torch.cat([g.view(25, -1) for g in grads], 1).T)) for grads in gained]
    assert len(columns[0]) == 9 and all(column.abs().max() > 1e-3 for column in columns[0].values())
    assert_agree(columns[1], columns[0], 1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_dense_clouds_end_where_light_does(triton_code, kernel):
    cloud = dense_cloud(600)
    expected = values_and_gradients(cloud, 20, 20, kernel, "torch")
    assert (expected["alpha"] > 1 - 1e-4).all()
    assert (expected["gradient of opacities"] == 0).sum() > 300
    found = values_and_gradients(there(cloud), 20, 20, kernel, triton_code.rasterise)
    assert_agree(found, expected, 1e-4)


def test_light_that_lacks_gains_nothing_beyond_the_picture(rasterise):
    """A tile that hangs over the border is full when its pixels in the picture are."""
    cloud = dense_cloud(200)
    small = draw(there(cloud), 5, 3, "compact", rasterise)
    expected = draw(cloud, 5, 3, "compact", "torch")
    assert_agree(dict(enumerate(small)), dict(enumerate(expected)), 1e-4)


def test_what_is_outside_of_the_picture_pulls_at_nothing(rasterise):
    cloud = random_cloud(60)
    cloud["means"][:, 2] = 0
    cloud["means"][20:, 0] += torch.where(torch.arange(40) % 2 == 0, 6.0, -6.0)
    expected = values_and_gradients(cloud, 40, 40, "compact", "torch")
    found = values_and_gradients(there(cloud), 40, 40, "compact", rasterise)
    assert_agree(found, expected, 1e-4)
    for name, gradient in found.items():
        if name.startswith("gradient") and len(gradient) == 60:
            assert gradient[:20].any() and not gradient[20:].any(), name


def test_empty_tiles_are_empty(triton_code):
    cloud = random_cloud(40)
    cloud["means"] *= 0.1  # all in the middle
    cloud["log_scales"] -= 1
    projected = project(there(cloud), 60, 90, "torch")
    tiles = triton_code.deal_to_tiles(projected.depths, projected.extents, 60, 90)
    sizes = tiles.starts.diff()
    assert len(sizes) == 4 * 6 and (sizes == 0).sum() > 10
    picture, alpha = draw(there(cloud), 60, 90, "gaussian", triton_code.rasterise)
    expected = draw(cloud, 60, 90, "gaussian", "torch")
    assert (expected[1] == 0).any() and expected[1].max() > 0.5
    assert_agree({0: picture, 1: alpha}, dict(enumerate(expected)), 1e-4)


def test_tiles_get_what_touches_them_from_front_to_back(triton_code):
    height, width = 37, 50
    cloud = single(random_cloud(80, seed=1))
    cloud["means"][40:50] = cloud["means"][30:40]  # of equal depths the first in the list
    projected = project(cloud, height, width, "torch")
    here = (projected.depths.to(DEVICE), projected.extents.to(DEVICE))
    tiles = triton_code.deal_to_tiles(*here, height, width)
    starts, members = tiles.starts.tolist(), tiles.members.tolist()
    boxes, depths = projected.extents.tolist(), projected.depths.tolist()
    side = triton_code.TILE
    for number in range(len(starts) - 1):
        x, y = number % tiles.n_columns * side, number // tiles.n_columns * side
        touching = [
            i for i, (left, top, right, bottom) in enumerate(boxes)
            if left < x + side and right > x and top < y + side and bottom > y
        ]  # fmt: skip
        expected = sorted(touching, key=lambda i: (depths[i], i))
        assert members[starts[number] : starts[number + 1]] == expected
    # The same pairs, sorted by Gaussian.
    by_gaussian = torch.repeat_interleave(tiles.order, tiles.counts)
    assert by_gaussian[tiles.slots.long()].tolist() == members
    assert max(tiles.counts.tolist()) > 2


def test_equal_depths_are_drawn_in_the_order_of_the_list(rasterise):
    cloud = random_cloud(60)
    cloud["means"][:] = cloud["means"][1]
    found = draw(there(cloud), 20, 20, "compact", rasterise)
    expected = draw(cloud, 20, 20, "compact", "torch")
    assert expected[1].max() > 0.5
    assert_agree(dict(enumerate(found)), dict(enumerate(expected)), 1e-4)


def test_nothing_is_drawn_of_nothing(rasterise):
    for cloud in (random_cloud(0), random_cloud(20)):
        cloud["means"][:, 2] -= 20  # behind the camera
        found = values_and_gradients(there(cloud), 9, 20, "compact", rasterise)
        assert found["picture"].shape == (9, 20, 3)
        assert not any(tensor.any() for tensor in found.values())


def test_nothing_lands_on_the_default_device(rasterise):
    """Where a tensor is made without saying where, it meets the cloud's and fails."""
    cloud = there(random_cloud(30))
    expected = values_and_gradients(cloud, 20, 20, "compact", rasterise)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in cloud.items()}
    with torch.device("meta"):
        picture, alpha = draw(leaves, 20, 20, "compact", rasterise)
        (picture.sum() + alpha.sum()).backward()
    assert torch.equal(picture, expected["picture"]) and leaves["means"].grad.any()


def test_what_cannot_be_drawn_is_refused(triton_code, monkeypatch):
    cloud = there(random_cloud(3))
    with pytest.raises(ValueError, match="compact, gaussian"):
        draw(cloud, 8, 8, "box", triton_code.rasterise)
    monkeypatch.setattr(triton_code.triton.knobs.runtime, "interpret", False)
    with pytest.raises(ValueError, match="works on CUDA devices, not on cpu"):
        draw(single(cloud), 8, 8, "compact", lambda *a, **k: triton_code.rasterise(
            Projected(*(getattr(a[0], n).cpu() for n in a[0].__dataclass_fields__)), *a[1:], **k
        ))  # fmt: skip


@pytest.mark.skipif(DEVICE == "cpu", reason="the interpreter has one thread")
@pytest.mark.parametrize("kernel", KERNELS)
def test_each_run_gives_the_same_bits(rasterise, kernel):
    cloud = there(random_cloud(5000))
    once, again = (values_and_gradients(cloud, 200, 300, kernel, rasterise) for _ in range(2))
    for name in ("picture", "alpha", "gradient of colours", "gradient of opacities"):
        assert torch.equal(once[name], again[name]), name


_COMPILE = """
import re
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from wildtalker_core.splats import rasterise_triton

def kind_of(name):
    if name.isupper():
        return "constexpr"
    if name in ("n_columns", "height", "width"):
        return "i32"
    return "*i32" if name in ("starts", "ends", "members", "slots") else "*fp32"

for kernel in (rasterise_triton._forward, rasterise_triton._backward):
    kinds = {name: kind_of(name) for name in kernel.arg_names}
    for capability in (80, 90):
        for is_compact in (True, False):
            fixed = {"IS_COMPACT": is_compact, "TILE": rasterise_triton.TILE,
                     "CHUNK": rasterise_triton._CHUNK}
            source = ASTSource(fn=kernel, signature=kinds, constexprs=fixed)
            made = triton.compile(
                source, target=GPUTarget("cuda", capability, 32),
                options={"num_warps": rasterise_triton._N_WARPS},
            )
            assert len(made.asm["cubin"]) > 1000
            ptx = made.asm["ptx"]
            print(len(re.findall(r"\\b(atom|red)\\.", ptx)), int("ex2.approx" in ptx))
"""


def test_kernels_compile_for_gpus_that_are_not_here(tmp_path):
    # No sum by atoms, whose order differs from run to run; an exponential in the Gaussian alone.
    assert printed_by(_COMPILE, tmp_path).split("\n")[:-1] == ["0 0", "0 1"] * 4
