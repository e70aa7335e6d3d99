"""Half precision in the small networks only, with the loss scaled where that is needed."""

from __future__ import annotations

import pytest
import torch

from tests.training.conftest import tiny_preset
from wildtalker_core.errors import InputError
from wildtalker_core.nerf.layers import MLP, set_compute_dtype
from wildtalker_core.nerf.occupancy import AlphaGrid, OccupancyGrid
from wildtalker_core.training.build import new_portrait
from wildtalker_core.training.checkpoints import load_latest_checkpoint
from wildtalker_core.training.optimise import Group, Run, Step, optimise
from wildtalker_core.training.options import Optimiser
from wildtalker_core.training.precision import compute_dtype, mix_precision

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_auto_is_float16_on_a_gpu_and_off_on_a_cpu():
    assert compute_dtype("auto", CUDA) is torch.float16
    assert compute_dtype("auto", CPU) is None
    assert compute_dtype("off", CUDA) is None
    assert compute_dtype("bfloat16", CPU) is torch.bfloat16
    with pytest.raises(InputError, match="use one of auto, off, float16, bfloat16"):
        compute_dtype("half", CPU)


def test_only_float16_scales_its_loss():
    model = MLP(3, 8, 1, 2)
    assert mix_precision(model, "float16", CPU).is_enabled()
    assert model.compute_dtype is torch.float16
    assert not mix_precision(model, "bfloat16", CPU).is_enabled()
    assert not mix_precision(model, "auto", CPU).is_enabled()
    assert model.compute_dtype is None


@pytest.mark.parametrize(("dtype", "digits"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_network_rounds_as_the_precision_does_and_gives_float32(dtype, digits):
    torch.manual_seed(0)
    net, values = MLP(20, 32, 4, 3), torch.randn(50, 20)
    exact = net(values)
    set_compute_dtype(net, dtype)
    rounded = net(values)
    assert rounded.dtype is torch.float32
    error = (rounded - exact).norm() / exact.norm()
    assert digits / 20 < error < 3 * digits


def test_gradients_of_weights_are_float32_and_near(scene):
    torch.manual_seed(0)
    net, values = MLP(20, 32, 4, 3), torch.randn(50, 20)
    net(values).square().sum().backward()
    exact = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    set_compute_dtype(net, torch.bfloat16)
    net(values).square().sum().backward()
    for p, wanted in zip(net.parameters(), exact, strict=True):
        assert p.grad.dtype is torch.float32
        assert (p.grad - wanted).norm() < 0.05 * wanted.norm()


@pytest.mark.parametrize("name", ["er_nerf", "rad_nerf", "ad_nerf"])
def test_field_in_half_precision_sees_nearly_the_same(scene, name):
    from wildtalker_core.nerf.head_field import Condition

    model = tiny_preset(name)["model"]
    head = new_portrait(scene, model, "torch", CPU, 0).head
    positions = 0.2 * torch.randn(100, 3)
    directions = torch.nn.functional.normalize(torch.randn(100, 3), dim=-1)
    condition = Condition(torch.randn(1, model["n_lip"]), torch.rand(1, 7),
                          torch.randn(1, model["n_code"]))  # fmt: skip
    with torch.no_grad():
        exact = head(positions, directions, condition)
        set_compute_dtype(head, torch.bfloat16)
        rounded = head(positions, directions, condition)
    for a, b in zip(exact, rounded, strict=True):
        assert b.dtype is torch.float32
        torch.testing.assert_close(a, b, atol=0.03, rtol=0.03)


def test_infinite_gradient_is_skipped_and_the_scale_is_kept_in_the_checkpoint(tmp_path):
    torch.manual_seed(0)
    net = MLP(2, 8, 1, 2)
    values = torch.randn(16, 2)
    weights = []

    def loss_of(step, generator):
        weights.append(net.layers[0].weight.detach().clone())
        # Times the scale of 65536 the third loss is beyond float32, its gradient infinite.
        factor = 1e35 if step == 2 else 1.0
        return Step(factor * net(values).square().mean(), {})

    optimise(
        net, [Group(list(net.parameters()), 1e-3)], loss_of, Optimiser(5, checkpoint_every=5),
        Run({}, tmp_path, 0, "float16"), "fit",
    )  # fmt: skip
    assert torch.equal(weights[3], weights[2]), "the step with an infinite gradient moved weights"
    assert not torch.equal(weights[4], weights[3])
    _, state = load_latest_checkpoint(tmp_path, {})
    assert state["scaler"]["scale"] == 65536 / 2


def infinite_from(first: int, last: int):
    """A fit whose loss is infinite in the steps from first to last, as float16's may be."""
    torch.manual_seed(0)
    net, values = MLP(2, 8, 1, 2), torch.randn(16, 2)
    weights = []

    def loss_of(step, generator):
        weights.append(net.layers[0].weight.detach().clone())
        factor = float("inf") if first <= step <= last else 1.0
        return Step(factor * net(values).square().mean(), {})

    return net, [Group(list(net.parameters()), 1e-3)], loss_of, weights


@pytest.mark.parametrize("last", [2, 4])
def test_infinite_loss_in_float16_skips_the_step_and_not_the_run(tmp_path, last):
    net, groups, loss_of, weights = infinite_from(2, last)
    run = Run({}, tmp_path, 0, "float16")
    optimise(net, groups, loss_of, Optimiser(7, checkpoint_every=7), run, "fit")
    assert torch.equal(weights[last + 1], weights[2]) and not torch.equal(weights[2], weights[1])
    assert not torch.equal(weights[last + 2], weights[last + 1])
    assert all(p.isfinite().all() for p in net.parameters())


def test_infinite_loss_stops_a_run_at_once_where_nothing_is_scaled_and_later_where_it_stays(
    tmp_path,
):
    for precision, last, at in (("off", 2, 2), ("bfloat16", 2, 2), ("float16", 99, 49)):
        net, groups, loss_of, _ = infinite_from(2, last)
        run = Run({}, tmp_path / precision, 0, precision)
        with pytest.raises(InputError, match=f"step {at}: the loss is not finite"):
            optimise(net, groups, loss_of, Optimiser(60), run, "fit")


def test_grids_keep_no_trace_of_a_step_that_overflowed():
    grid = OccupancyGrid(4, (1.0, 1.0, 1.0))
    before = grid.visibility.clone()
    grid.see(torch.zeros(2, 3), torch.tensor([float("nan"), 0.5]))
    assert grid.visibility.isfinite().all() and grid.visibility.max() == 0.5
    assert (grid.visibility != before).sum() == 1
    alpha = AlphaGrid(4)
    for bad in (float("nan"), float("inf")):
        grid.update(lambda positions, bad=bad: torch.full((len(positions),), bad), 0.1)
        alpha.update(lambda points, bad=bad: torch.full((len(points),), bad))
    assert not grid.density.isnan().any() and not alpha.alpha.isnan().any()
    grid.update(lambda positions: torch.ones(len(positions)), 0.1)
    assert grid.is_occupied.all()


def test_gradients_that_stay_infinite_stop_the_run(tmp_path):
    torch.manual_seed(0)
    net, values = MLP(2, 8, 1, 2), torch.randn(16, 2)
    with pytest.raises(InputError, match="step 49: the gradients are not finite"):
        optimise(
            net, [Group(list(net.parameters()), 1e-3)],
            lambda step, generator: Step(1e37 * net(values).square().mean(), {}),
            Optimiser(60), Run({}, tmp_path, 0, "float16"), "fit",
        )  # fmt: skip
