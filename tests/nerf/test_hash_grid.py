"""The hash grid against its definition: vertices, lines between them, gradients, and its twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wildtalker_core.errors import InputError
from wildtalker_core.nerf import hash_grid, hash_grid_numba
from wildtalker_core.nerf.encoders import look_up_of, resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape, look_up, vertex_index
from wildtalker_core.nerf.tri_plane import TriPlane

SMALL = HashGridShape(2, 3, 2, 8, 4, 9)  # all levels dense
HASHED = HashGridShape(2, 4, 2, 6, 4, 32)


def random_tables(shape: HashGridShape, n_grids: int = 1, dtype=torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(
        n_grids, shape.n_entries, shape.n_features_per_level, generator=generator, dtype=dtype
    )


def test_published_plane_has_the_published_number_of_parameters():
    # ER-NeRF: 12 levels from 64 to 512 cells, 2^14 entries: 163,584 per plane; 4 levels are dense.
    shape = HashGridShape()
    assert shape.n_entries * shape.n_features_per_level == 163_584
    assert shape.is_hashed == (False,) * 4 + (True,) * 8
    assert HashGridShape(n_levels=14).n_entries * 3 == 575_688


def test_features_are_exact_at_vertices_and_linear_between():
    shape = HashGridShape(2, 1, 3, 10, 6, 6)
    tables = random_tables(shape)
    # Position of vertex v of a level: (v - 0.5) / scale.
    vertices = torch.tensor([[1, 1], [3, 2], [5, 4]])
    positions = (vertices.double() - 0.5) / shape.scales[0]
    features = look_up(positions[None], tables, shape)
    torch.testing.assert_close(features, tables[0, vertex_index(vertices, shape, 0)])
    left, right = positions[1], positions[1] + torch.tensor([1 / shape.scales[0], 0])
    ends = look_up(torch.stack((left, right))[None], tables, shape)
    for part in (0.25, 0.5, 0.9):
        between = look_up(torch.lerp(left, right, part)[None, None], tables, shape)[0]
        torch.testing.assert_close(between, torch.lerp(ends[0], ends[1], part))


@pytest.mark.parametrize("n_dims", [1, 2, 3])
@pytest.mark.parametrize("log2_hashmap_size", [4, 12])
def test_equals_a_loop_over_corners(n_dims, log2_hashmap_size):
    shape = HashGridShape(n_dims, 3, 2, log2_hashmap_size, 3, 8)
    tables = random_tables(shape)
    generator = torch.Generator().manual_seed(1)
    positions = torch.rand(1, 20, n_dims, generator=generator, dtype=torch.float64)
    features = look_up(positions, tables, shape)
    for i in range(20):
        for level in range(3):
            expected = np.zeros(2)
            scaled = positions[0, i].numpy() * shape.scales[level] + 0.5
            base = np.floor(scaled).astype(int)
            for corner in np.ndindex(*(2,) * n_dims):
                vertex = base + corner
                weight = np.prod(1 - np.abs(scaled - vertex))
                if shape.is_hashed[level]:
                    entry = 0
                    for axis in range(n_dims):
                        entry ^= int(vertex[axis]) * hash_grid.HASH_PRIMES[axis]
                    entry %= shape.level_sizes[level]
                else:
                    entry = int(np.ravel_multi_index(vertex[::-1], (shape.sides[level],) * n_dims))
                expected += weight * tables[0, shape.offsets[level] + entry].numpy()
            np.testing.assert_allclose(features[i, 2 * level : 2 * level + 2], expected, atol=1e-12)


def test_hashed_level_equals_dense_one_where_no_vertices_collide():
    # In one dimension the hash of a vertex is its number modulo the table's size.
    dense, hashed = HashGridShape(1, 1, 1, 6, 20, 20), HashGridShape(1, 1, 1, 4, 20, 20)
    assert hashed.is_hashed[0] and not dense.is_hashed[0]
    tables = random_tables(dense)
    generator = torch.Generator().manual_seed(4)
    low = torch.rand(1, 50, 1, generator=generator, dtype=torch.float64) * 0.7  # vertices 0 to 14
    torch.testing.assert_close(look_up(low, tables[:, :16], hashed), look_up(low, tables, dense))
    high = torch.tensor([[[0.95]]], dtype=torch.float64)  # vertex 18 shares entry 2
    assert vertex_index(torch.tensor([18]), hashed, 0) == 2
    assert not torch.equal(look_up(high, tables[:, :16], hashed), look_up(high, tables, dense))


@pytest.mark.parametrize("shape", [SMALL, HASHED, HashGridShape(3, 2, 1, 6, 3, 7)])
def test_gradients_of_tables_and_positions(shape):
    generator = torch.Generator().manual_seed(2)
    tables = random_tables(shape, 2).requires_grad_()
    positions = torch.rand(2, 5, shape.n_dims, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda p, t: look_up(p, t, shape), (positions.requires_grad_(), tables), eps=1e-7
    )


def test_outside_is_zero_and_without_gradient():
    tables = random_tables(SMALL).requires_grad_()
    positions = torch.tensor([[[-0.01, 0.5], [0.5, 1.01], [torch.nan, 0.5]]], dtype=torch.float64)
    features = look_up(positions, tables, SMALL)
    assert (features == 0).all()
    assert (torch.autograd.grad(features.sum(), tables)[0] == 0).all()


@pytest.mark.parametrize("shape", [HashGridShape(), HASHED, HashGridShape(2, 16, 2, 16, 16, 2048)])
def test_numba_agrees_with_the_definition(shape):
    generator = torch.Generator().manual_seed(3)
    n = 400
    positions = torch.rand(3, n, 2, generator=generator) * 1.2 - 0.1
    # Cells' borders, corners of the box, and places outside.
    finest = shape.scales[-1]
    positions[:, :4] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.5]])
    positions[:, 4:8] = (torch.arange(4)[:, None].float() + 0.5) / finest
    tables = random_tables(shape, 3, torch.float32).requires_grad_()
    weights = torch.randn(n, 3 * shape.n_features, generator=generator)
    results = []
    for implementation in (hash_grid.look_up, hash_grid_numba.look_up):
        features = implementation(positions.requires_grad_(), tables, shape)
        gradients = torch.autograd.grad((features * weights).sum(), (positions, tables))
        results.append((features, *gradients))
    (features, d_positions, d_tables), (features_n, d_positions_n, d_tables_n) = results
    torch.testing.assert_close(features_n, features, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(d_tables_n, d_tables, atol=1e-5, rtol=1e-5)
    # Gradients of positions scale with the resolution; compared relative to it.
    torch.testing.assert_close(d_positions_n / finest, d_positions / finest, atol=1e-5, rtol=1e-5)


def test_numba_does_not_depend_on_its_threads():
    shape, n_before = HASHED, torch.get_num_threads()
    positions = torch.rand(3, 5000, 2)
    tables = random_tables(shape, 3, torch.float32).requires_grad_()
    gradients = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            features = hash_grid_numba.look_up(positions, tables, shape)
            gradients.append(torch.autograd.grad(features.square().sum(), tables)[0])
    finally:
        torch.set_num_threads(n_before)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("encoder", ["torch", "numba"])
def test_each_plane_ignores_one_coordinate(encoder):
    planes = TriPlane(HASHED, encoder)
    n = HASHED.n_features
    position = torch.tensor([[0.3, 0.6, 0.2]])
    for axis, plane in ((2, 0), (0, 1), (1, 2)):  # xy ignores z, yz ignores x, xz ignores y
        moved = position.clone()
        moved[0, axis] += 0.17
        change = (planes(moved) - planes(position))[0].abs().view(3, n).amax(1)
        assert change[plane] == 0
        assert (change[[p for p in range(3) if p != plane]] > 0).all()


def test_outside_along_the_ignored_coordinate_is_outside():
    planes = TriPlane(HASHED)
    assert (planes(torch.tensor([[0.5, 0.5, 1.2]])) == 0).all()


def test_encoder_is_named_and_never_swapped():
    cpu = torch.device("cpu")
    assert resolve_encoder("auto", cpu) == "numba"
    assert resolve_encoder("torch", cpu) == "torch"
    assert look_up_of("numba") is hash_grid_numba.look_up
    with pytest.raises(InputError, match="use one of"):
        resolve_encoder("cuda", cpu)
    with pytest.raises(InputError, match="numba cannot work on cuda"):
        resolve_encoder("numba", torch.device("cuda"))
