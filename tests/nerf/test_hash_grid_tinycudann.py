"""tiny-cuda-nn's hash grid: how it is asked, and what it may read. Its own kernels need a GPU."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys
import types

import pytest
import torch
from torch import nn

from tests.nerf.grids import SHAPES, assert_agrees, random_tables
from wildtalker_core.errors import InputError
from wildtalker_core.nerf import hash_grid, hash_grid_tinycudann
from wildtalker_core.nerf.encoders import layout_of, look_up_of, resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.tri_plane import HashGrids

TINYCUDANN = {name: shape for name, shape in SHAPES.items() if shape.layout == "tinycudann"}


class StandIn(nn.Module):
    """tinycudann.Encoding as its documentation has it, computing by our definition."""

    asked: list[tuple[int, dict, torch.dtype]] = []
    n_surplus = 0

    def __init__(self, n_input_dims, encoding_config, seed=1337, dtype=None):
        super().__init__()
        StandIn.asked.append((n_input_dims, encoding_config, dtype))
        config = encoding_config
        ratio = config["per_level_scale"] ** (config["n_levels"] - 1)
        self.shape = HashGridShape(
            n_input_dims, config["n_levels"], config["n_features_per_level"],
            config["log2_hashmap_size"], config["base_resolution"],
            round(config["base_resolution"] * ratio), "tinycudann",
        )  # fmt: skip
        n_parameters = self.shape.n_entries * self.shape.n_features_per_level
        self.params = nn.Parameter(torch.zeros(n_parameters + StandIn.n_surplus))

    def forward(self, x):
        tables = self.params.view(1, self.shape.n_entries, self.shape.n_features_per_level)
        return hash_grid.look_up(x[None], tables, self.shape)


@pytest.fixture
def stand_in(monkeypatch):
    module = types.ModuleType("tinycudann")
    module.__spec__ = importlib.machinery.ModuleSpec("tinycudann", None)
    module.Encoding = StandIn
    monkeypatch.setitem(sys.modules, "tinycudann", module)
    monkeypatch.setattr(StandIn, "asked", [])
    hash_grid_tinycudann._encoding.cache_clear()
    yield StandIn
    hash_grid_tinycudann._encoding.cache_clear()


def test_asks_for_the_grid_that_the_shape_names(stand_in):
    shape = HashGridShape(3, 16, 2, 19, 16, 2048, "tinycudann")
    look_up = look_up_of(resolve_encoder("tinycudann", torch.device("cuda")))
    tables = torch.zeros(1, shape.n_entries, 2)
    assert look_up(torch.rand(1, 5, 3), tables, shape).shape == (5, 32)
    ((n_dims, config, dtype),) = stand_in.asked
    assert n_dims == 3 and dtype == torch.float32
    assert config.pop("per_level_scale") == pytest.approx(1.3819, abs=1e-4)  # Instant-NGP's
    assert config == {
        "otype": "HashGrid", "n_levels": 16, "n_features_per_level": 2, "log2_hashmap_size": 19,
        "base_resolution": 16, "interpolation": "Linear",
    }  # fmt: skip


@pytest.mark.parametrize("shape", TINYCUDANN.values(), ids=TINYCUDANN)
def test_our_tables_and_their_gradients_pass_through(stand_in, shape):
    assert_agrees(hash_grid_tinycudann.look_up, shape, 3, 60)
    assert len(stand_in.asked) == 1  # made once, whatever is looked up


def test_parameters_stay_ours(stand_in):
    shape = TINYCUDANN["tinycudann plane"]
    grids = HashGrids(shape, 2, "tinycudann")
    features = grids(torch.rand(2, 7, 2))
    features.sum().backward()
    assert [name for name, _ in grids.named_parameters()] == ["tables"]
    assert grids.tables.grad.abs().sum() > 0
    # What was trained with it can be rendered without a GPU.
    positions = torch.rand(2, 7, 2)
    expected = grids(positions)
    for encoder in ("torch", "numba"):
        grids.encoder = encoder
        torch.testing.assert_close(grids(positions), expected)


def test_tables_of_another_layout_are_refused():
    shape = SHAPES["dense"]
    assert layout_of("tinycudann") == "tinycudann"
    assert {layout_of(name) for name in ("torch", "numba", "triton")} == {shape.layout}
    with pytest.raises(InputError, match="cannot read hash grids of the layout torch_ngp"):
        hash_grid_tinycudann.look_up(torch.rand(1, 4, 2), random_tables(shape), shape)


def test_another_count_of_parameters_is_refused(stand_in, monkeypatch):
    monkeypatch.setattr(stand_in, "n_surplus", 8)
    shape = TINYCUDANN["tinycudann plane"]
    with pytest.raises(InputError, match="parameters for a grid of"):
        hash_grid_tinycudann.look_up(torch.rand(1, 4, 2), random_tables(shape), shape)


@pytest.mark.skipif(
    not torch.cuda.is_available() or importlib.util.find_spec("tinycudann") is None,
    reason="tinycudann is not installed, or there is no GPU for it",
)
@pytest.mark.parametrize("shape", TINYCUDANN.values(), ids=TINYCUDANN)
def test_the_real_one_agrees_with_the_definition(shape):
    assert_agrees(hash_grid_tinycudann.look_up, shape, 3, 200, "cuda")
