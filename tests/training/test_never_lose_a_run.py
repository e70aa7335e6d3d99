"""Kills, foreign checkpoints, numbers that are none."""

from __future__ import annotations

import pytest
import torch

from wildtalker_core.errors import InputError
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.tri_plane import TriPlane
from wildtalker_core.training import stages
from wildtalker_core.training.checkpoints import (
    load_latest_checkpoint,
    load_portrait,
    save_checkpoint,
    save_portrait,
)
from wildtalker_core.training.optimise import Optimiser, optimise


class Killed(Exception):
    pass


def silent(step, losses):
    pass


def killer(at: int):
    """A log function that dies once the step is reached (logged every 50 steps and at the end)."""

    def log(step, losses):
        if step >= at:
            raise Killed

    return log


def small_run(folder, log=silent, steps=200, config=None, poison_at=None):
    """A tri-plane learns a colour ball: real parts, no scene."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        TriPlane(HashGridShape(2, 2, 1, 8, 4, 8), "numba"), torch.nn.Linear(6, 1)
    )

    def loss_of(step, generator):
        positions = torch.rand(64, 3, generator=generator)
        noise = torch.rand(64, 1)  # torch's own generator must be restored, too
        wanted = (positions - 0.5).norm(dim=-1, keepdim=True) + 0.1 * noise
        loss = (model(positions) - wanted).square().mean()
        if step == poison_at:
            loss = loss * torch.nan
        return loss, {"fit": loss}

    outcome = optimise(
        model, [model[0].tables], list(model[1].parameters()), loss_of,
        Optimiser(steps, checkpoint_every=40), config or {"a": {"b": 1}}, folder, "fit", 0, log=log,
    )  # fmt: skip
    return model, outcome


def test_run_killed_three_times_ends_with_the_same_bits(tmp_path):
    undisturbed, outcome = small_run(tmp_path / "whole")
    assert outcome.losses["fit"] < 0.02
    for at in (50, 100, 150):
        with pytest.raises(Killed):
            small_run(tmp_path / "killed", killer(at))
    resumed, _ = small_run(tmp_path / "killed")
    for name, tensor in undisturbed.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name


def test_last_two_checkpoints_are_kept(tmp_path):
    small_run(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000160.pt", "step_00000200.pt"]


def test_seconds_count_all_parts_of_a_run(tmp_path):
    with pytest.raises(Killed):
        small_run(tmp_path, killer(150))
    _, state = load_latest_checkpoint(tmp_path, {"a": {"b": 1}})
    _, outcome = small_run(tmp_path)
    assert outcome.seconds > state["seconds"] > 0


def test_checkpoint_of_another_config_is_refused_by_key(tmp_path):
    save_checkpoint(tmp_path, 5, {"step": 5}, {"train": {"head": {"steps": 9}, "seed": 0}})
    with pytest.raises(InputError, match=r"another train\.head\.steps, train\.seed;"):
        load_latest_checkpoint(tmp_path, {"train": {"head": {"steps": 8}, "seed": 1}})


def test_broken_checkpoint_is_named(tmp_path):
    (tmp_path / "step_00000007.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(InputError, match="step_00000007.pt: cannot be read"):
        load_latest_checkpoint(tmp_path, {})


def test_not_a_number_stops_at_its_step_and_names_the_way_back(tmp_path):
    with pytest.raises(InputError, match=r"fit step 100: .*not finite.*step_00000080\.pt"):
        small_run(tmp_path, poison_at=100)


def test_portrait_file_survives_the_round_trip_and_a_broken_one_is_named(tmp_path):
    path = tmp_path / "head.safetensors"
    save_portrait(path, {"a": torch.arange(3.0)}, {"stage": "head"})
    tensors, facts = load_portrait(path)
    assert facts == {"stage": "head"} and torch.equal(tensors["a"], torch.arange(3.0))
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(InputError, match="is not a portrait"):
        load_portrait(path)
    with pytest.raises(InputError, match="does not exist"):
        load_portrait(tmp_path / "none.safetensors")


def test_head_stage_killed_and_resumed_gives_the_same_head(tmp_path, scene, smoke):
    whole = stages.head_stage(scene, smoke, tmp_path / "whole", silent)
    with pytest.raises(Killed):
        stages.head_stage(scene, smoke, tmp_path / "killed", killer(40))
    resumed = stages.head_stage(scene, smoke, tmp_path / "killed", silent)
    wanted = whole.portrait.state_dict()
    assert wanted.keys() == resumed.portrait.state_dict().keys()
    for name, tensor in resumed.portrait.state_dict().items():
        assert torch.equal(wanted[name], tensor), name
