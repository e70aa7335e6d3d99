"""Each stage is trained with the options that it reads, and nothing else changes its weights."""

from __future__ import annotations

import pytest
import torch

from tests.training.conftest import CONFIG, assert_same_bits, preset, silent, tiny_preset
from wildtalker_core.nerf.encoders import layout_of
from wildtalker_core.option_types import names_of
from wildtalker_core.training.build import new_portrait, portrait_shape, with_new_torso
from wildtalker_core.training.options import (
    FieldOptimiser,
    HeadOptions,
    LipOptions,
    Optimiser,
    SplatOptions,
    TorsoOptions,
)
from wildtalker_core.training.reads import accompanying, deciding, joined
from wildtalker_core.training.stages import head_stage
from workflow_scripts.configuration import merge

CPU = torch.device("cpu")
#: Of the other stages, of parts that the smallest WildTalker does not have, or of the run's course.
OTHERS = {
    "threads": 2, "perceptual": "ms_ssim", "static_weight": "none", "torso_reference": "frames",
    "model": {"torso_hidden": 8, "torso_levels": 2, "alpha_resolution": 24, "n_fine_samples": 3,
              "n_octaves": 2, "n_ambient": 3},
    "head": {"checkpoint_every": 7, "face_patch_size": 20},
    "lips": {"steps": 1}, "torso": {"steps": 1}, "splats": {"steps": 1},
}  # fmt: skip


def read_by_head(train: dict) -> dict:
    return joined(deciding(train, "head"), accompanying(train, "head"))


def test_head_has_the_same_weights_whatever_it_does_not_read(tmp_path, scene):
    train = merge(tiny_preset("paper"), {"head": {"steps": 4}})
    one, two = (
        head_stage(scene, read_by_head(options), tmp_path / name, silent)
        for name, options in (("one", train), ("two", merge(train, OTHERS)))
    )
    assert one.portrait.shape == two.portrait.shape
    assert_same_bits(one.portrait.state_dict(), two.portrait.state_dict())


@pytest.mark.parametrize(
    ("stage", "kinds", "unread"),
    [
        ("head", (HeadOptions, FieldOptimiser), {"lambda_patches", "face_patch_size"}),
        ("lips", (HeadOptions, LipOptions, FieldOptimiser), {"smoothness"}),
        ("torso", (TorsoOptions, Optimiser), set()),
        ("splats", (SplatOptions, Optimiser), set()),
    ],
)
def test_no_option_that_a_stage_reads_is_left_at_its_default(stage, kinds, unread):
    """``options_of`` would not notice: a stage is given all of its classes that it reads."""
    train = merge(preset("paper"), {"perceptual": "ms_ssim", "model": {"lip_feature": "audio"}})
    section = joined(deciding(train, stage), accompanying(train, stage))
    given = {**section, **section[stage]}
    assert {name for kind in kinds for name in names_of(kind)} - given.keys() == unread


@pytest.mark.parametrize("name", [path.stem for path in (CONFIG / "presets").glob("*.yaml")])
def test_torso_is_built_in_its_own_stage(scene, name):
    """From head's and torso's options comes the portrait of the whole section."""
    train = preset(name)
    whole = portrait_shape(scene, train["model"], layout_of("torch"))
    head = new_portrait(scene, deciding(train, "head")["model"], "torch", CPU, 0)
    portrait = with_new_torso(head, deciding(train, "torso")["model"], 0)
    assert portrait.shape.torso == whole.torso
    assert portrait.shape.alpha_resolution == whole.alpha_resolution
    before, after = head.state_dict(), portrait.state_dict()
    kept = [key for key in after if not key.startswith(("torso", "alpha_grid"))]
    assert len(kept) > 5 and all(torch.equal(before[key], after[key]) for key in kept)
    assert after["torso.grid.tables"].abs().max() <= train["model"]["grid_init"]
