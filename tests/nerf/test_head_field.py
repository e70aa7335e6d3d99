"""The parts of the head's field: encodings, conditionings, coarse-to-fine samples."""

from __future__ import annotations

import pytest
import torch

from wildtalker_core.nerf.conditioning import ConditioningShape, conditioning
from wildtalker_core.nerf.face_sync import told_expression
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.head_field import TRACES, Condition, HeadField, HeadShape
from wildtalker_core.nerf.layers import MLP
from wildtalker_core.nerf.position_encoding import grid_tables, position_encoding, unit_box
from wildtalker_core.nerf.sampling import hierarchical_samples, inverse_cdf

GRID = HashGridShape(n_levels=3, n_features_per_level=2, log2_hashmap_size=8, base_resolution=4,
                     finest_resolution=16)  # fmt: skip
POSITIONS = ("tri_plane", "grid_3d", "frequency")
CONDITIONINGS = ("region_attention", "ambient", "concatenate")
EXPRESSIONS = ("upper_face", "blink", "none")


def field(**parts) -> HeadField:
    torch.manual_seed(0)
    head = HeadField(HeadShape(GRID, n_lip=8, n_hidden=16, n_geometry=12, **parts))
    with torch.no_grad():
        for tables in grid_tables(head):
            tables.uniform_(-0.5, 0.5)
    return head


def condition(n: int, n_lip: int = 8) -> Condition:
    generator = torch.Generator().manual_seed(1)
    return Condition(
        torch.randn(n, n_lip, generator=generator),
        torch.rand(n, 7, generator=generator),
        torch.randn(n, 4, generator=generator),
    )


def inside(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    positions = 0.28 * (2 * torch.rand(n, 3, generator=generator) - 1)
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=-1)
    return positions, directions


@pytest.mark.parametrize("expression", EXPRESSIONS)
@pytest.mark.parametrize("told", CONDITIONINGS)
@pytest.mark.parametrize("where", POSITIONS)
def test_all_parts_go_together_and_speech_gets_through(where, told, expression):
    head = field(position_encoding=where, conditioning=told, expression=expression)
    positions, directions = inside(30)
    told_once = condition(1)
    told_once.lip_feature.requires_grad_()
    told_once.expression_feature.requires_grad_()
    sigmas, rgbs, traces = head(positions, directions, told_once)
    assert sigmas.shape == (30,) and rgbs.shape == (30, 3) and traces.shape == (30, len(TRACES))
    assert (sigmas > 0).all() and (traces >= 0).all()
    (sigmas.sum() + rgbs.sum()).backward()
    assert told_once.lip_feature.grad.abs().sum() > 0
    gradient = told_once.expression_feature.grad
    channels = [] if gradient is None else gradient[0].nonzero().squeeze(-1).tolist()
    assert channels == {"upper_face": list(range(7)), "blink": [5, 6], "none": []}[expression]


@pytest.mark.parametrize("told", CONDITIONINGS)
def test_one_condition_for_all_is_the_same_condition_for_each(told):
    head = field(conditioning=told)
    positions, directions = inside(20)
    one = condition(1)
    each = one.of(torch.zeros(20, dtype=torch.int64))
    for a, b in zip(head(positions, directions, one), head(positions, directions, each),
                    strict=True):  # fmt: skip
        torch.testing.assert_close(a, b)


def test_region_attention_weighs_channels_and_ignores_what_it_weighs_with_nothing():
    shape = ConditioningShape(6, 4, 7, 8, 8, GRID, 2)
    part = conditioning("region_attention", shape)
    features = torch.randn(10, 6)
    with torch.no_grad():
        part.lip_attention.mlp.layers[-1].weight[2:] = 0  # deaf to the last two channels
    lip = torch.randn(1, 4)
    changed = lip + torch.tensor([[0.0, 0, 5, 5]])
    a = part(features, lip, torch.zeros(1, 7))
    b = part(features, changed, torch.zeros(1, 7))
    torch.testing.assert_close(a.inputs, b.inputs)
    wanted = part.lip_attention(features).norm(dim=-1)
    torch.testing.assert_close(a.lip_attention, wanted)
    torch.testing.assert_close(a.inputs[:, :6], features)


def test_ambient_place_stays_in_its_grid_and_strong_speech_moves_it_far():
    part = conditioning("ambient", ConditioningShape(6, 4, 1, 8, 8, GRID, 2))
    features, lip = torch.randn(10, 6), torch.randn(1, 4)
    calm = part(0.01 * features, 0.01 * lip, torch.zeros(1, 1))
    wild = part(1e3 * features, 1e3 * lip, torch.zeros(1, 1))
    assert calm.lip_attention.max() < 0.1 < 0.9 < wild.lip_attention.mean() <= 1
    assert part.n_features == 6 + GRID.n_features + 1 == calm.inputs.shape[1]


def test_ambient_gradient_reaches_the_coordinate_network_through_the_grid():
    part = conditioning("ambient", ConditioningShape(6, 4, 0, 8, 8, GRID, 2), "numba")
    with torch.no_grad():
        part.grid.tables.uniform_(-1, 1)
    part(torch.randn(10, 6), torch.randn(1, 4), torch.zeros(1, 0)).inputs.square().sum().backward()
    for p in part.parameters():
        assert p.grad.abs().sum() > 0


def test_positions_beyond_the_box_are_read_at_its_wall():
    half = torch.tensor([0.3, 0.36, 0.3])
    corner = unit_box(torch.tensor([[0.5, -0.9, 0.0]]), half)
    torch.testing.assert_close(corner, torch.tensor([[1.0, 0.0, 0.5]]))


@pytest.mark.parametrize("name", POSITIONS)
def test_encodings_are_as_long_as_they_say(name):
    encoding = position_encoding(name, GRID, n_octaves=5)
    wanted = {"tri_plane": 18, "grid_3d": 6, "frequency": 33}[name]
    assert encoding(torch.rand(9, 3)).shape == (9, wanted) and encoding.n_features == wanted


def test_unknown_parts_are_refused_by_name():
    with pytest.raises(ValueError, match="tri_plane, grid_3d or frequency, not 'cube'"):
        position_encoding("cube", GRID, 4)
    with pytest.raises(ValueError, match="not 'film'"):
        conditioning("film", ConditioningShape(6, 4, 7, 8, 8, GRID, 2))
    with pytest.raises(ValueError, match="not 'ears'"):
        told_expression(torch.zeros(1, 7), "ears")


def test_uncertainty_watches_and_does_not_touch():
    head = field(n_uncertainty=8)
    positions, _ = inside(20)
    uncertainty = head.traces(positions, condition(1))[:, TRACES.index("uncertainty")]
    assert (uncertainty > 0).all()
    uncertainty.sum().backward()
    with_gradient = {name for name, p in head.named_parameters() if p.grad is not None
                     and p.grad.abs().sum() > 0}  # fmt: skip
    assert with_gradient == {"uncertainty_net.layers.0.weight", "uncertainty_net.layers.1.weight"}


def test_skip_layer_sees_the_input_again():
    net = MLP(3, 5, 2, n_layers=4, has_biases=True, skip=2)
    assert [tuple(layer.weight.shape) for layer in net.layers] == [(5, 3), (5, 5), (5, 8), (2, 5)]
    with torch.no_grad():
        net.layers[0].weight.zero_()  # only the skip can still tell inputs apart
    values = torch.randn(6, 3)
    assert net(values).std(0).min() > 1e-4
    with pytest.raises(ValueError, match="no layer 4"):
        MLP(3, 5, 2, n_layers=4, skip=4)


# Coarse to fine ---------------------------------------------------------------------------------

HALF = torch.tensor([0.3, 0.36, 0.3])


def straight_rays(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    origins = torch.tensor([[0.0, 0.0, -1.5]]).repeat(n, 1)
    return origins, torch.tensor([[0.0, 0.0, 1.0]]).repeat(n, 1)


def shell(positions: torch.Tensor, ray: torch.Tensor) -> torch.Tensor:
    """Something dense between z = 0.1 and 0.15."""
    return 200.0 * ((positions[:, 2] > 0.1) & (positions[:, 2] < 0.15))


def test_intervals_cover_the_box_without_gap_or_overlap():
    origins, directions = straight_rays(4)
    samples = hierarchical_samples(
        origins, directions, HALF, 16, 24, shell, jitter=torch.tensor([0.0, 0.3, 0.6, 0.99])
    )
    assert samples.t_starts.shape == (4, 40) and samples.is_sample.all()
    torch.testing.assert_close(samples.t_starts[:, 1:], samples.t_ends[:, :-1])
    torch.testing.assert_close(samples.t_starts[:, 0], torch.full((4,), 1.2))
    torch.testing.assert_close(samples.t_ends[:, -1], torch.full((4,), 1.8))
    assert (samples.t_ends >= samples.t_starts).all()


def test_fine_samples_go_where_something_is():
    origins, directions = straight_rays(1)
    samples = hierarchical_samples(origins, directions, HALF, 16, 64, shell)
    middle = (samples.t_starts + samples.t_ends)[0] / 2 - 1.5
    # The coarse interval of 0.0375 that sees the shell first takes nearly all.
    assert ((middle > 0.06) & (middle < 0.16)).sum() > 55


def test_ray_that_misses_the_box_has_no_samples():
    origins, directions = straight_rays(2)
    origins[1, 0] = 5.0
    samples = hierarchical_samples(origins, directions, HALF, 8, 8, shell)
    assert samples.is_sample[0].all() and not samples.is_sample[1].any()


def test_inverse_cdf_finds_the_shares_of_a_known_distribution():
    edges = torch.tensor([[0.0, 1.0, 2.0, 4.0]])
    weights = torch.tensor([[1.0, 0.0, 3.0]])
    places = inverse_cdf(edges, weights, torch.tensor([[0.125, 0.625, 0.999]]))
    torch.testing.assert_close(places, torch.tensor([[0.5, 3.0, 4.0]]), atol=0.03, rtol=0)
    # Nothing seen: evenly over the pieces.
    even = inverse_cdf(edges, torch.zeros(1, 3), torch.tensor([[1 / 6, 0.5, 5 / 6]]))
    torch.testing.assert_close(even, torch.tensor([[0.5, 1.5, 3.0]]))
