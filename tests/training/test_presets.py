"""Each method as a preset of the same parts: it has its parts, learns, resumes and renders."""

from __future__ import annotations

import pytest
import torch

from tests.training.conftest import CONFIG, preset, silent, tiny_preset
from tests.training.tiny_scene import make_motion
from wildtalker_core.nerf.head_field import HeadShape
from wildtalker_core.nerf.options import ModelSection
from wildtalker_core.option_types import names_of, options_of
from wildtalker_core.training import stages
from wildtalker_core.training.build import new_portrait, restore_portrait
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.clip import Clip
from wildtalker_core.training.head import (
    head_parameters,
    head_step,
    sample_batch,
)
from wildtalker_core.training.head_targets import HeadTargets
from wildtalker_core.training.losses import ms_ssim_loss
from wildtalker_core.training.optimise import Step
from wildtalker_core.training.options import FieldOptimiser, HeadOptions
from wildtalker_core.training.run_config import run_config

METHODS = ("synctalk", "er_nerf", "rad_nerf", "ad_nerf")
CPU = torch.device("cpu")


def n_parameters(*modules) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def step_on_training_rays(portrait, scene, options) -> Step:
    """What a step finds on the same rays, whatever the portrait."""
    clip, head_options = Clip.of(scene, CPU), options_of(HeadOptions, options["head"])
    targets, generator = HeadTargets(clip), torch.Generator().manual_seed(5)
    batch = sample_batch(targets, scene.train_frames, head_options, generator)
    return head_step(
        portrait, clip, lambda frames: portrait.lip_features(clip.audio_features, frames),
        targets, batch, head_options, 1.0, generator, compare_neighbours=True,
    )  # fmt: skip


def untrained_portrait(scene, options):
    portrait = new_portrait(scene, options["model"], "torch", CPU, 0)
    portrait.audio.standardise(torch.as_tensor(scene.audio_features))
    return portrait


@pytest.fixture(scope="module", params=METHODS)
def trained(request, tmp_path_factory, scene):
    """name, options, and the portraits after head, lips and torso of a tiny run."""
    folder, options = tmp_path_factory.mktemp(request.param), tiny_preset(request.param)
    head = stages.head_stage(scene, options, folder / "h", silent)
    after_head = {k: v.clone() for k, v in head.portrait.state_dict().items()}
    path = folder / "head.safetensors"
    facts = {"stage": "head", "shape": head.portrait.shape.to_dict()}
    save_portrait(path, head.portrait.state_dict(), facts)
    lips = stages.lips_stage(scene, path, options, ms_ssim_loss, folder / "l", silent)
    path = folder / "lips.safetensors"
    save_portrait(path, lips.portrait.state_dict(), facts)
    torso = stages.torso_stage(scene, make_motion(scene), path, options, folder / "t", silent)
    return request.param, options, head.portrait, after_head, lips, torso


def test_loss_falls(trained, scene):
    _, options, head, *_ = trained
    with torch.no_grad():
        before = step_on_training_rays(untrained_portrait(scene, options), scene, options)
        after = step_on_training_rays(head, scene, options)
    assert after.parts["photometric"] < 0.7 * before.parts["photometric"]


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_every_parameter(name, scene):
    options = tiny_preset(name)
    portrait = untrained_portrait(scene, options)
    step_on_training_rays(portrait, scene, options).total.backward()
    groups = head_parameters(portrait, options_of(FieldOptimiser, options["head"]))
    trained_here = {id(p) for group in groups for p in group.parameters}
    for parameter_name, p in portrait.named_parameters():
        if id(p) in trained_here:
            assert p.grad is not None and p.grad.abs().sum() > 0, parameter_name
        else:
            # AD-NeRF has no frame codes.
            assert parameter_name.startswith("torso") or not p.numel(), parameter_name


def test_torso_learns_with_the_head_untouched(trained):
    *_, lips, torso = trained
    before, after = lips.portrait.state_dict(), torso.portrait.state_dict()
    for name, tensor in after.items():
        is_torso = name.startswith(("torso", "alpha_grid"))
        assert is_torso or torch.equal(tensor, before[name]), name
    for name, p in torso.portrait.torso.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name


def test_lips_stage_changes_what_has_one(trained):
    name, _, _, after_head, lips, _ = trained
    same = all(torch.equal(v, after_head[k]) for k, v in lips.portrait.state_dict().items())
    assert same == (name == "ad_nerf"), "AD-NeRF alone has no lip stage"


def test_portrait_survives_its_file_and_renders_alike(trained, tmp_path, scene):
    name, options, *_, torso = trained
    path = tmp_path / "torso.safetensors"
    facts = {"stage": "torso", "shape": torso.portrait.shape.to_dict()}
    save_portrait(path, torso.portrait.state_dict(), facts)
    restored, _ = restore_portrait(path, "torch", CPU)
    pose = torch.as_tensor(scene.T_camera_head[3], dtype=torch.float32)
    n_lip = options["model"]["n_lip"]
    pictures = [
        portrait.render_frame(pose, torch.zeros(n_lip), torch.zeros(7))
        for portrait in (torso.portrait, restored)
    ]
    torch.testing.assert_close(pictures[0][0], pictures[1][0], atol=1e-4, rtol=0)
    assert pictures[0][0].shape == (scene.height, scene.width, 3)
    assert pictures[0][1].max() > 0.5, "no head to be seen"


def test_speech_changes_the_picture(trained, scene):
    _, options, *_, torso = trained
    portrait, pose = torso.portrait, torch.as_tensor(scene.T_camera_head[3], dtype=torch.float32)
    features = torch.as_tensor(scene.audio_features)
    loudest, quietest = features.mean((1, 2)).argmax(), features.mean((1, 2)).argmin()
    lips = portrait.lip_features(features, torch.stack((loudest, quietest))).detach()
    a, b = (portrait.render_frame(pose, lip, torch.zeros(7))[0] for lip in lips)
    assert not torch.equal(a, b)


def test_checkpoint_of_one_method_is_not_anothers(scene):
    a, b = (run_config(preset(name), "head", scene) for name in ("er_nerf", "synctalk"))
    assert a != b


# What the papers' tables and codes say of sizes (ER-NeRF, SyncTalk, RAD-NeRF, AD-NeRF).


def test_er_nerf_has_its_sizes(scene):
    portrait = new_portrait(scene, preset("er_nerf")["model"], "torch", CPU, 0)
    head = portrait.head
    assert n_parameters(head.position_encoding) == 490_752
    assert head.conditioning.n_features == 36 + 32 + 1
    assert [layer.weight.shape for layer in head.density_net.layers] == [
        (64, 69), (64, 64), (65, 64),
    ]  # fmt: skip
    assert [tuple(layer.weight.shape) for layer in head.colour_net.layers] == [(64, 84), (3, 64)]
    eyes = head.conditioning.expression_attention
    assert [tuple(layer.weight.shape) for layer in eyes.mlp.layers] == [(16, 36), (1, 16)]
    assert eyes.is_gate
    assert [tuple(x.weight.shape) for x in head.uncertainty_net.layers] == [(32, 36), (1, 32)]
    assert tuple(portrait.torso.deform_net.layers[0].weight.shape) == (32, 84)
    assert tuple(portrait.torso.colour_net.layers[0].weight.shape) == (32, 116)


def test_synctalk_is_told_seven_expressions_without_a_gate(scene):
    head = new_portrait(scene, preset("synctalk")["model"], "torch", CPU, 0).head
    assert tuple(head.density_net.layers[0].weight.shape) == (64, 75)
    eyes = head.conditioning.expression_attention
    assert [tuple(layer.weight.shape) for layer in eyes.mlp.layers] == [(64, 36), (7, 64)]
    assert not eyes.is_gate


def test_rad_nerf_has_its_sizes(scene):
    portrait = new_portrait(scene, preset("rad_nerf")["model"], "torch", CPU, 0)
    head = portrait.head
    assert round(n_parameters(head.position_encoding) / 1e6, 3) == 1.807
    assert round(n_parameters(head.conditioning.grid) / 1e6, 3) == 1.111
    assert [tuple(x.weight.shape) for x in head.conditioning.coordinate_net.layers] == [
        (64, 96), (64, 64), (2, 64),
    ]  # fmt: skip
    assert tuple(head.density_net.layers[0].weight.shape) == (64, 65)
    assert tuple(portrait.torso.deform_net.layers[0].weight.shape) == (64, 104)
    assert tuple(portrait.torso.colour_net.layers[0].weight.shape) == (32, 136)


def test_ad_nerf_has_its_sizes(scene):
    head = new_portrait(scene, preset("ad_nerf")["model"], "torch", CPU, 0).head
    shapes = [tuple(layer.weight.shape) for layer in head.density_net.layers]
    assert shapes == [(256, 127), *[(256, 256)] * 4, (256, 383), *[(256, 256)] * 2, (257, 256)]
    assert [tuple(x.weight.shape) for x in head.colour_net.layers] == [(128, 283), (3, 128)]
    assert all(layer.bias is not None for layer in head.density_net.layers)


def test_every_size_of_the_head_can_be_configured():
    # options_of would leave a field without a key at its default, and nobody would notice.
    assert set(names_of(HeadShape)) - {"grid"} <= set(names_of(ModelSection))


@pytest.mark.parametrize("name", [path.stem for path in (CONFIG / "presets").glob("*.yaml")])
def test_terms_have_their_parts(name):
    options = preset(name)
    for stage in ("head", "lips"):
        if options[stage]["uncertainty"]:
            assert options["model"]["n_uncertainty"], "uncertainty without its network"
    if name in ("paper", "fast", "example", "smoke"):
        assert options["head"]["uncertainty"] == options["head"]["smoothness"] == 0
