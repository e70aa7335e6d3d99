"""The compiled loops against the definition: values, gradients, and the same bits every time."""

from __future__ import annotations

import pytest
import torch

from tests.splats.clouds import (
    assert_agree,
    dense_cloud,
    draw,
    project,
    random_cloud,
    single,
    values_and_gradients,
)
from wildtalker_core import devices
from wildtalker_core.errors import InputError
from wildtalker_core.splats.gaussians import KERNELS
from wildtalker_core.splats.rasterisers import resolve_rasteriser

#: Height, width and Gaussians. Tiles are 16 x 16, blocks of Gaussians 256.
SIZES = [(16, 16, 30), (7, 5, 3), (17, 33, 100), (50, 31, 600), (1, 40, 257)]


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("height", "width", "n"), SIZES)
def test_agrees_with_the_definition(height, width, n, kernel):
    cloud = random_cloud(n, seed=n)
    expected = values_and_gradients(cloud, height, width, kernel, "torch")
    found = values_and_gradients(single(cloud), height, width, kernel, "numba")
    assert all(tensor.dtype == torch.float32 for tensor in found.values())
    assert all(tensor.abs().max() > 1e-3 for tensor in expected.values())
    assert_agree(found, expected, 1e-4)


@pytest.mark.parametrize(("n", "n_bones"), [(9, 1), (300, 4)])
def test_projects_as_the_definition_does(n, n_bones):
    cloud = random_cloud(n, n_bones)
    expected, found = project(cloud, 40, 30, "torch"), project(single(cloud), 40, 30, "numba")
    assert torch.equal(found.is_visible, expected.is_visible)
    assert torch.equal(found.extents, expected.extents)
    for name in ("means2d", "conics", "depths"):
        assert_agree({name: getattr(found, name)}, {name: getattr(expected, name)}, 1e-5)


def test_depths_have_gradients_too():
    cloud = random_cloud(20)
    gained = []
    for inputs, rasteriser in ((cloud, "torch"), (single(cloud), "numba")):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in inputs.items()}
        project(leaves, 20, 20, rasteriser).depths.square().sum().backward()
        gained.append({name: leaves[name].grad for name in ("means", "weights", "transforms")})
    assert_agree(gained[1], gained[0], 1e-5)


def test_dense_clouds_end_where_light_does():
    # So many that tiles are full and the loops stop early, on the way back too.
    cloud = dense_cloud(900)
    expected = values_and_gradients(cloud, 20, 20, "compact", "torch")
    assert (expected["alpha"] > 1 - 1e-4).all()
    unseen = (expected["gradient of opacities"] == 0).sum()
    assert unseen > 300
    assert_agree(values_and_gradients(single(cloud), 20, 20, "compact", "numba"), expected, 1e-4)


def test_equal_depths_are_drawn_in_the_order_of_the_list():
    cloud = random_cloud(60)
    cloud["means"][:] = cloud["means"][1]
    found = draw(single(cloud), 20, 20, "compact", "numba")
    expected = draw(cloud, 20, 20, "compact", "torch")
    assert expected[1].max() > 0.5
    assert_agree(dict(enumerate(found)), dict(enumerate(expected)), 1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_threads_change_no_bit(kernel, two_threads):
    cloud = single(random_cloud(700))
    pair = values_and_gradients(cloud, 45, 70, kernel, "numba")
    again = values_and_gradients(cloud, 45, 70, kernel, "numba")
    torch.set_num_threads(1)
    alone = values_and_gradients(cloud, 45, 70, kernel, "numba")
    for name, tensor in alone.items():
        assert torch.equal(pair[name], tensor) and torch.equal(again[name], tensor), name


def test_nothing_is_drawn_of_nothing():
    found = values_and_gradients(single(random_cloud(0)), 9, 20, "compact", "numba")
    assert found["picture"].shape == (9, 20, 3)
    assert not found["picture"].any() and not found["gradient of transforms"].any()


def test_all_behind_the_camera():
    cloud = random_cloud(20)
    cloud["means"][:, 2] -= 20
    found = values_and_gradients(single(cloud), 9, 20, "compact", "numba")
    assert not any(tensor.any() for tensor in found.values())


def test_an_unknown_kernel_is_refused():
    with pytest.raises(ValueError, match="compact, gaussian"):
        draw(single(random_cloud(3)), 8, 8, "box", "numba")


def test_auto_is_numba_on_the_cpu_and_never_in_double_precision():
    cloud = random_cloud(50)
    found = draw(single(cloud), 20, 20, "compact", "auto")
    by_name = draw(single(cloud), 20, 20, "compact", "numba")
    assert all(torch.equal(a, b) for a, b in zip(found, by_name, strict=True))
    assert draw(cloud, 20, 20, "compact", "auto")[0].dtype == torch.float64
    with pytest.raises(ValueError, match="float32"):
        draw(cloud, 20, 20, "compact", "numba")


def test_names_of_rasterisers():
    cpu, cuda, mps = torch.device("cpu"), torch.device("cuda:0"), torch.device("mps")
    assert resolve_rasteriser("auto", cpu) == "numba"
    assert resolve_rasteriser("auto", mps) == "torch"
    assert [resolve_rasteriser("torch", d) for d in (cpu, cuda, mps)] == ["torch"] * 3
    with pytest.raises(InputError, match="use one of auto, torch, numba"):
        resolve_rasteriser("gsplat", cpu)
    for name, device in (("numba", cuda), ("triton", cpu), ("triton", mps)):
        with pytest.raises(InputError, match=f"{name} cannot work on {device}"):
            resolve_rasteriser(name, device)


@pytest.mark.parametrize("is_installed", [True, False])
def test_auto_is_triton_on_a_gpu_where_it_is_installed(monkeypatch, is_installed):
    cuda = torch.device("cuda:0")
    monkeypatch.setattr(devices, "is_installed", lambda name: is_installed)
    assert resolve_rasteriser("auto", cuda) == ("triton" if is_installed else "torch")
    if is_installed:
        assert resolve_rasteriser("triton", cuda) == "triton"
    else:
        with pytest.raises(InputError, match="triton is not installed"):
            resolve_rasteriser("triton", cuda)
