"""Eq. 3 against closed forms."""

from __future__ import annotations

import math

import torch

from wildtalker_core.nerf.volume_rendering import composite, intersect_box, sample_occupied


def intervals(n_rays: int, edges: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    edges_ = torch.tensor(edges, dtype=torch.float64)
    return edges_[:-1].expand(n_rays, -1), edges_[1:].expand(n_rays, -1)


def random_ray(n: int = 6) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    sigmas = torch.rand(4, n, generator=generator, dtype=torch.float64) * 3
    rgbs = torch.rand(4, n, 3, generator=generator, dtype=torch.float64)
    edges = torch.rand(4, n + 1, generator=generator, dtype=torch.float64).cumsum(-1)
    return sigmas, rgbs, edges[:, :-1], edges[:, 1:]


def test_weights_and_remaining_light_are_everything():
    sigmas, rgbs, t_starts, t_ends = random_ray()
    seen = composite(sigmas, rgbs, t_starts, t_ends)
    remaining = (-(sigmas * (t_ends - t_starts)).sum(-1)).exp()
    torch.testing.assert_close(seen.weights.sum(-1) + remaining, torch.ones(4).double())
    torch.testing.assert_close(seen.opacities, seen.weights.sum(-1))


def test_constant_density_has_its_closed_form():
    # A slab of density s and length L lets exp(-s L) of the light through, however it is cut.
    t_starts, t_ends = intervals(1, [0.0, 0.1, 0.7, 1.0, 2.0])
    rgbs = torch.tensor([0.2, 0.5, 0.9]).double().expand(1, 4, 3)
    seen = composite(torch.full((1, 4), 1.3).double(), rgbs, t_starts, t_ends)
    expected = 1 - math.exp(-1.3 * 2.0)
    torch.testing.assert_close(seen.opacities, torch.tensor([expected]).double())
    torch.testing.assert_close(seen.colours, expected * rgbs[:, 0])


def test_opaque_wall_shows_only_itself():
    t_starts, t_ends = intervals(1, [0.0, 1.0, 2.0, 3.0])
    sigmas = torch.tensor([[0.0, 1e4, 5.0]]).double()
    rgbs = torch.tensor([[[1, 0, 0], [0, 1, 0], [0, 0, 1]]]).double()
    seen = composite(sigmas, rgbs, t_starts, t_ends)
    torch.testing.assert_close(seen.over(torch.ones(1, 3).double()), rgbs[:, 1])
    torch.testing.assert_close(seen.depths, torch.tensor([1.5]).double())


def test_splitting_an_interval_changes_nothing():
    sigmas, rgbs, t_starts, t_ends = random_ray()
    middle = t_starts[:, 2:3] * 0.3 + t_ends[:, 2:3] * 0.7
    split = composite(
        torch.cat((sigmas[:, :3], sigmas[:, 2:]), 1),
        torch.cat((rgbs[:, :3], rgbs[:, 2:]), 1),
        torch.cat((t_starts[:, :3], middle, t_starts[:, 3:]), 1),
        torch.cat((t_ends[:, :2], middle, t_ends[:, 2:]), 1),
    )
    whole = composite(sigmas, rgbs, t_starts, t_ends)
    torch.testing.assert_close(split.colours, whole.colours)
    torch.testing.assert_close(split.opacities, whole.opacities)


def test_empty_intervals_change_nothing():
    sigmas, rgbs, t_starts, t_ends = random_ray()
    zero = torch.zeros(4, 2).double()
    padded = composite(
        torch.cat((sigmas, zero + 9), 1), torch.cat((rgbs, rgbs[:, :2]), 1),
        torch.cat((t_starts, zero), 1), torch.cat((t_ends, zero), 1),
    )  # fmt: skip
    torch.testing.assert_close(padded.colours, composite(sigmas, rgbs, t_starts, t_ends).colours)


def test_gradients_agree_with_finite_differences():
    sigmas, rgbs, t_starts, t_ends = random_ray(3)

    def colours(sigmas, rgbs):
        seen = composite(sigmas, rgbs, t_starts, t_ends)
        return seen.colours, seen.opacities, seen.depths

    assert torch.autograd.gradcheck(colours, (sigmas.requires_grad_(), rgbs.requires_grad_()))


def test_box_is_entered_and_left_where_it_stands():
    rays_o = torch.tensor([[0.0, 0, -3], [0, 0, -3], [0, 0, 0], [5, 0, -3]])
    rays_d = torch.tensor([[0.0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]])
    half = torch.tensor([1.0, 2, 0.5])
    t_near, t_far = intersect_box(rays_o, rays_d, -half, half)
    torch.testing.assert_close(t_near[[0, 2]], torch.tensor([2.5, 0.0]))
    torch.testing.assert_close(t_far[[0, 2]], torch.tensor([3.5, 1.0]))
    assert (t_far[[1, 3]] <= t_near[[1, 3]]).all()


def occupied_samples(is_occupied, n_samples=16, n_rays=50, jitter=None):
    generator = torch.Generator().manual_seed(1)
    half = torch.tensor([0.3, 0.4, 0.5])
    rays_o = torch.tensor([0.0, 0, -3]) + 0.1 * torch.randn(n_rays, 3, generator=generator)
    rays_d = torch.nn.functional.normalize(
        torch.tensor([0.0, 0, 1]) + 0.1 * torch.randn(n_rays, 3, generator=generator), dim=-1
    )
    samples = sample_occupied(rays_o, rays_d, is_occupied, half, 0.03, n_samples, jitter)
    return rays_o, rays_d, half, samples


def test_samples_are_the_first_occupied_intervals_of_a_loop():
    generator = torch.Generator().manual_seed(2)
    is_occupied = torch.rand(8, 8, 8, generator=generator) < 0.3
    rays_o, rays_d, half, samples = occupied_samples(is_occupied, n_samples=4)
    for i in range(len(rays_o)):
        t_near, t_far = intersect_box(rays_o[i : i + 1], rays_d[i : i + 1], -half, half)
        found, k = [], 0
        while (t := t_near.item() + (k + 0.5) * 0.03) < t_far.item():
            cell = ((rays_o[i] + rays_d[i] * t) / half + 1) * 4
            x, y, z = cell.long().clamp(0, 7).tolist()
            if is_occupied[x, y, z]:
                found.append(t)
            k += 1
        is_sample = samples.is_sample[i]
        middles = (samples.t_starts[i] + samples.t_ends[i])[is_sample] / 2
        torch.testing.assert_close(middles, torch.tensor(found[:4]), atol=1e-5, rtol=0)


def test_nothing_is_sampled_in_empty_space():
    *_, samples = occupied_samples(torch.zeros(8, 8, 8, dtype=torch.bool))
    assert not samples.is_sample.any()
    assert (samples.t_starts == samples.t_ends).all()


def test_jitter_moves_samples_by_less_than_a_step():
    full = torch.ones(8, 8, 8, dtype=torch.bool)
    *_, zero = occupied_samples(full, jitter=torch.zeros(50))
    *_, late = occupied_samples(full, jitter=torch.full((50,), 0.75))
    both = zero.is_sample & late.is_sample
    shift = (late.t_starts - zero.t_starts)[both]
    torch.testing.assert_close(shift, torch.full_like(shift, 0.0225), atol=1e-5, rtol=0)
