"""The hash grid against its definition: vertices, lines between them, gradients, and its twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.nerf.grids import SHAPES, assert_agrees, random_tables
from wildtalker_core import devices
from wildtalker_core.errors import InputError
from wildtalker_core.nerf import hash_grid, hash_grid_numba
from wildtalker_core.nerf.encoders import look_up_of, resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape, look_up, vertex_index
from wildtalker_core.nerf.tri_plane import TriPlane

SMALL, HASHED = SHAPES["dense"], SHAPES["hashed"]


def test_published_plane_has_the_published_number_of_parameters():
    # ER-NeRF: 12 levels from 64 to 512 cells, 2^14 entries: 163,584 per plane; 4 levels are dense.
    shape = HashGridShape()
    assert shape.n_entries * shape.n_features_per_level == 163_584
    assert shape.is_hashed == (False,) * 4 + (True,) * 8
    assert HashGridShape(n_levels=14).n_entries * 3 == 575_688


def test_both_layouts_have_the_sizes_their_inventors_print():
    # torch-ngp's default grid has 6,119,864 entries of two features. Instant-NGP's for a box of 1
    # and of 4 have 12,196,240 and 13,074,912 parameters.
    assert HashGridShape(3, 16, 2, 19, 16, 2048).n_entries == 6_119_864
    assert HashGridShape(3, 16, 2, 19, 16, 2048, "tinycudann").n_entries * 2 == 12_196_240
    assert HashGridShape(3, 16, 2, 19, 16, 8192, "tinycudann").n_entries * 2 == 13_074_912
    with pytest.raises(ValueError, match="layout is one of"):
        HashGridShape(layout="tiled")


def test_last_vertices_of_the_tinycudann_layout_are_the_first_of_the_next_row():
    shape = HashGridShape(2, 1, 1, 10, 8, 8, "tinycudann")
    assert shape.sides == (8,) and shape.n_entries == 64
    corners = torch.tensor([[7, 0], [8, 0], [0, 1], [8, 7], [0, 8], [8, 8]])
    assert vertex_index(corners, shape, 0).tolist() == [7, 8, 8, 0, 0, 8]


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


@pytest.mark.parametrize("n_dims", [1, 2, 3, 4])
@pytest.mark.parametrize("log2_hashmap_size", [3, 12])
@pytest.mark.parametrize("layout", hash_grid.LAYOUTS)
def test_gradients_of_tables_and_positions(n_dims, log2_hashmap_size, layout):
    shape = HashGridShape(n_dims, 2, 1, log2_hashmap_size, 2, 10 // n_dims, layout)
    assert shape.is_hashed[1] == (log2_hashmap_size == 3)
    generator = torch.Generator().manual_seed(2)
    tables = random_tables(shape).requires_grad_()
    positions = torch.rand(1, 3, n_dims, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda p, t: look_up(p, t, shape), (positions.requires_grad_(), tables), eps=1e-7
    )


def test_outside_is_zero_and_without_gradient():
    tables = random_tables(SMALL).requires_grad_()
    positions = torch.tensor([[[-0.01, 0.5], [0.5, 1.01], [torch.nan, 0.5]]], dtype=torch.float64)
    features = look_up(positions, tables, SMALL)
    assert (features == 0).all()
    assert (torch.autograd.grad(features.sum(), tables)[0] == 0).all()


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("n", [40, 1100])  # less and more than a block, neither a multiple
def test_numba_agrees_with_the_definition(shape, n):
    assert_agrees(hash_grid_numba.look_up, shape, 3, n)


def test_numba_computes_only_the_gradient_that_is_asked_for():
    positions, tables = torch.rand(1, 9, 2), random_tables(SMALL, dtype=torch.float32)
    for asked, other in ((positions, tables), (tables, positions)):
        positions.grad = tables.grad = None
        other.requires_grad_(False)
        asked.requires_grad_()
        features = hash_grid_numba.look_up(positions, tables, SMALL)
        features.sum().backward()
        assert asked.grad is not None and other.grad is None


def test_numba_does_not_depend_on_its_threads():
    shape, n_before = HASHED, torch.get_num_threads()
    positions = torch.rand(3, 5000, 2).requires_grad_()
    tables = random_tables(shape, 3, torch.float32).requires_grad_()
    results = []
    try:
        for n_threads in (1, 2):
            torch.set_num_threads(n_threads)
            features = hash_grid_numba.look_up(positions, tables, shape)
            gradients = torch.autograd.grad(features.square().sum(), (positions, tables))
            results.append((features, *gradients))
    finally:
        torch.set_num_threads(n_before)
    for one, two in zip(*results, strict=True):
        assert torch.equal(one, two)


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


def test_encoder_is_named_and_never_swapped(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert resolve_encoder("auto", cpu) == "numba"
    assert resolve_encoder("torch", cpu) == "torch"
    assert look_up_of("numba") is hash_grid_numba.look_up
    with pytest.raises(InputError, match="use one of"):
        resolve_encoder("cuda", cpu)
    for name, device in (("numba", cuda), ("triton", cpu), ("tinycudann", cpu)):
        with pytest.raises(InputError, match=f"{name} cannot work on {device}"):
            resolve_encoder(name, device)
    for is_installed, meant in ((True, "triton"), (False, "torch")):
        monkeypatch.setattr(devices, "is_installed", lambda name, answer=is_installed: answer)
        assert resolve_encoder("auto", cuda) == meant
    with pytest.raises(InputError, match="triton is not installed"):
        resolve_encoder("triton", cuda)
    with pytest.raises(ValueError, match="not a resolved encoder"):
        look_up_of("auto")
