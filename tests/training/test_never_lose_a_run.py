"""Kills, foreign checkpoints, numbers that are none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from tests.conftest import ROOT
from tests.training.conftest import Killed, assert_same_bits, silent
from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.nerf.layers import MLP
from wildtalker_core.nerf.tri_plane import TriPlane
from wildtalker_core.training import stages
from wildtalker_core.training.checkpoints import (
    load_latest_checkpoint,
    load_portrait,
    save_checkpoint,
    save_portrait,
)
from wildtalker_core.training.optimise import Group, Run, Step, optimise
from wildtalker_core.training.options import Optimiser


def killer(at: int):
    """A log function that dies once the step is reached (logged every 50 steps and at the end)."""

    def log(step, losses):
        if step >= at:
            raise Killed

    return log


def small_run(
    folder, log=silent, steps=200, config=None, poison_at=None, precision="off", **watching
):
    """A tri-plane learns a colour ball: real parts, no scene."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        TriPlane(HashGridShape(2, 2, 1, 8, 4, 8), "numba"), MLP(6, 8, 1, 2, has_biases=True)
    )

    def loss_of(step, generator):
        positions = torch.rand(64, 3, generator=generator)
        noise = torch.rand(64, 1)  # torch's own generator must be restored, too
        wanted = (positions - 0.5).norm(dim=-1, keepdim=True) + 0.1 * noise
        loss = (model(positions) - wanted).square().mean()
        if step == poison_at:
            loss = loss * torch.nan
        batch = {"frames": np.array([7, 3]), "pixels": (40 * positions[:, :2]).long().numpy()}
        return Step(loss, {"fit": loss}, batch)

    outcome = optimise(
        model, [Group([model[0].tables], 1e-2), Group(list(model[1].parameters()), 1e-3, 1e-4)],
        loss_of, Optimiser(steps, checkpoint_every=40),
        Run(config or {"a": {"b": 1}}, folder, 0, precision, log, **watching), "fit",
    )  # fmt: skip
    return model, outcome


@pytest.mark.parametrize("precision", ["off", "bfloat16", "float16"])
def test_run_killed_three_times_ends_with_the_same_bits(tmp_path, precision):
    undisturbed, outcome = small_run(tmp_path / "whole", precision=precision)
    assert outcome.losses["fit"] < 0.02
    for at in (50, 100, 150):
        with pytest.raises(Killed):
            small_run(tmp_path / "killed", killer(at), precision=precision)
    resumed, _ = small_run(tmp_path / "killed", precision=precision)
    assert_same_bits(resumed.state_dict(), undisturbed.state_dict())


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
    with pytest.raises(InputError) as caught:
        small_run(tmp_path, poison_at=100)
    message = str(caught.value)
    assert "fit step 100: the loss is not finite (fit nan); batch: frames 3, 7" in message
    assert "pixels x 0 to 39; pixels y 0 to" in message
    assert "last good checkpoint: " + str(tmp_path / "step_00000080.pt") in message
    batch = load_arrays(tmp_path / "not_finite_step_00000100.npz", "step", "frames", "pixels")
    assert str(tmp_path / "not_finite_step_00000100.npz") in message
    assert batch["step"] == 100 and batch["pixels"].shape == (64, 2)


def test_weights_that_are_not_finite_are_never_kept(tmp_path):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.ones(3))
    model = torch.nn.ParameterList([weight])

    def loss_of(step, generator):
        # At step 5 the loss is 0 and its gradient 0 / 0.
        return Step(((0 if step == 5 else 1) * weight).square().sum().sqrt(), {})

    with pytest.raises(InputError, match=r"weights are not finite.*step_00000004\.pt"):
        optimise(
            model, [Group([weight], 1e-3)], loss_of, Optimiser(6, checkpoint_every=2),
            Run({}, tmp_path, 0), "bad",
        )  # fmt: skip
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step_00000002.pt", "step_00000004.pt"]


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
    assert_same_bits(resumed.portrait.state_dict(), whole.portrait.state_dict())


def test_killed_with_signal_9_three_times_the_run_ends_with_the_same_bits(tmp_path, smoke):
    """In processes of their own: two die at a random step, one while it writes a checkpoint."""
    smoke["head"] |= {"steps": 30, "rays_per_step": 64, "checkpoint_every": 4}
    smoke["model"] |= {"n_mouth_shapes": 4, "occupancy_resolution": 12}
    seed = int(np.random.SeedSequence().entropy % 2**32)
    generator = np.random.default_rng(seed)
    deaths = [f"step:{generator.integers(1, 9)}", f"save:{generator.integers(1, 3)}",
              f"step:{generator.integers(1, 9)}"]  # fmt: skip

    deaths = [*generator.permutation(deaths), "never"]
    runs = [("whole", "never"), *(("killed", death) for death in deaths)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.mortal_run", json.dumps(smoke),
         *(f"{tmp_path / name},{tmp_path / name}.safetensors,{death}" for name, death in runs)],
        cwd=ROOT, text=True, capture_output=True, check=True,
    )  # fmt: skip
    statuses = json.loads(done.stdout.splitlines()[-1])
    assert statuses == [0, *[-signal.SIGKILL] * 3, 0], done.stdout + done.stderr
    wanted, _ = load_portrait(tmp_path / "whole.safetensors")
    resumed, _ = load_portrait(tmp_path / "killed.safetensors")
    assert_same_bits(resumed, wanted, lambda said: f"{said} (seed {seed}, {deaths})")


def test_a_resumed_head_tells_what_was_chosen_before_its_first_step(tmp_path, scene, smoke):
    """Delay, sharpness, noise and turn weight are chosen once; the JSON of a killed and resumed
    run has them like that of an undisturbed one."""
    smoke["head"] |= {"steps": 100, "checkpoint_every": 50}
    whole = stages.head_stage(scene, smoke, tmp_path / "whole", silent).figures
    with pytest.raises(Killed):
        stages.head_stage(scene, smoke, tmp_path / "killed", killer(100))
    resumed = stages.head_stage(scene, smoke, tmp_path / "killed", silent).figures
    chosen = ("delay_frames", "turn_weight", "sharpness", "noise")
    assert {key: resumed[key] for key in chosen} == {key: whole[key] for key in chosen}
    assert set(resumed) == set(whole)
