"""Options of the smoke preset, smaller still, and the made scene."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.tiny_scene import make_scene
from workflow_scripts import configuration

CONFIG = Path(__file__).resolve().parents[2] / "config"


def preset(name: str, **changes) -> dict:
    """The train section of a preset as the rules' scripts get it."""
    user = {"clips": {"any": {"path": "any"}}, "train": {"preset": name}}
    return configuration.merge(configuration.complete_config(user, CONFIG)["train"], changes)


#: Laid over a published preset it trains in a second: its parts, losses and schedule stay.
TINY = {
    "preview_every": 0,
    "model": {
        "grid_init": 1e-2, "grid_levels": 4, "grid_base_resolution": 8,
        "grid_finest_resolution": 32, "grid_log2_hashmap_size": 10, "occupancy_resolution": 16,
        "alpha_resolution": 16, "n_hidden": 16, "n_geometry": 16, "n_colour_hidden": 16,
        "n_attention": 16, "n_octaves": 4, "n_samples": 12, "n_fine_samples": 12,
        "torso_levels": 4, "torso_log2_hashmap_size": 8, "torso_finest_resolution": 32,
        "torso_hidden": 16, "torso_deform_hidden": 16,
    },
    "head": {"steps": 60, "rays_per_step": 128, "lr_grids": 1e-2, "lr_nets": 5e-3,
             "checkpoint_every": 30},
    "lips": {"rays_per_step": 512, "patch_size": 16, "face_patch_size": 16},
    "torso": {"steps": 20, "rays_per_step": 128, "checkpoint_every": 10},
}  # fmt: skip


def tiny_preset(name: str) -> dict:
    """A published preset in the smallest size."""
    options = configuration.merge(preset(name), TINY)
    options["lips"]["steps"] = min(options["lips"]["steps"], 4)
    return options


class Killed(Exception):
    """What ends a run in the middle."""


def silent(step, losses):
    """A log that nobody reads."""


def assert_same_bits(found: dict[str, Tensor], wanted: dict[str, Tensor], said=None) -> None:
    """Tensors of the same names, equal to the last bit."""
    torch.testing.assert_close(dict(found), dict(wanted), rtol=0, atol=0, msg=said)


@pytest.fixture
def smoke() -> dict:
    return deepcopy(preset("smoke"))


@pytest.fixture(scope="session")
def scene():
    return make_scene()
