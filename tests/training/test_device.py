"""Nothing of a training step lands on the wrong device, as far as a CPU can tell.

What is created without saying where goes to PyTorch's default device. Here that is ``meta``, which
holds no values: wherever such a tensor meets one of the portrait's, the step fails as it would with
a portrait on a GPU. Random numbers are drawn on the CPU on purpose (a run is the same on any
device) and moved; those are let through.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.conftest import preset, tiny_preset
from tests.training.tiny_scene import make_motion
from wildtalker_core.mouth.learning import learn_mouth
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.option_types import options_of
from wildtalker_core.training import head, lips, splats, stages, torso
from wildtalker_core.training.build import new_portrait
from wildtalker_core.training.clip import Clip
from wildtalker_core.training.losses import ms_ssim_loss
from wildtalker_core.training.optimise import Run
from wildtalker_core.training.options import (
    FieldOptimiser,
    HeadOptions,
    LipOptions,
    Optimiser,
    SplatOptions,
    TorsoOptions,
)
from wildtalker_core.training.photometric_loss import photometric_loss
from wildtalker_core.training.splat_build import new_splat_portrait

CPU = torch.device("cpu")


def on_the_cpu(create):
    @functools.wraps(create)
    def created(*arguments, **options):
        if options.get("generator") is not None:
            options.setdefault("device", CPU)
        return create(*arguments, **options)

    return created


@pytest.fixture
def elsewhere(monkeypatch):
    """A context in which the default device is another than the portrait's."""
    for name in ("rand", "randint", "randn", "randperm"):
        monkeypatch.setattr(torch, name, on_the_cpu(getattr(torch, name)))
    return torch.device("meta")


def test_the_trick_notices_a_forgotten_device(elsewhere):
    values = torch.ones(3)
    with elsewhere, pytest.raises(RuntimeError):
        (values + torch.zeros(3)).sum().item()
    with elsewhere:
        generator = torch.Generator()
        assert (values + torch.rand(3, generator=generator)).device == CPU


@pytest.mark.parametrize("name", ["fast", "synctalk", "er_nerf", "rad_nerf", "ad_nerf"])
def test_all_stages_and_the_picture_stay_on_their_device(tmp_path, scene, name, elsewhere):
    options = tiny_preset(name)
    for stage in ("head", "lips", "torso"):
        options[stage] |= {"steps": 3, "rays_per_step": 256}
        options[stage]["occupancy_every"] = min(options[stage]["occupancy_every"], 2)
    options["head"]["hide"] = True
    portrait, clip = new_portrait(scene, options["model"], "torch", CPU, 0), Clip.of(scene, CPU)
    if options["model"]["lip_feature"] == "mouth_shape":
        shapes, basis = measure_mouth(scene, portrait.shape.n_mouth_shapes)
        learn_mouth(portrait.ear, scene, shapes, basis)
    lip_features = stages.told_lips(portrait, clip)

    def no_log(step, losses):
        pass

    def run(stage):
        return stages._run(portrait, clip, options, stage, tmp_path / stage, no_log, None, {})

    with elsewhere:
        head.train_head(
            portrait, clip, lip_features, options_of(HeadOptions, options["head"]),
            options_of(FieldOptimiser, options["head"]), run("head"),
        )  # fmt: skip
        lips.finetune_lips(
            portrait, clip, lip_features, options_of(HeadOptions, options["lips"]),
            options_of(LipOptions, options["lips"], lambda_lpips=0.01), ms_ssim_loss,
            options_of(FieldOptimiser, options["lips"]), run("lips"),
        )  # fmt: skip
        torso.train_torso(
            portrait, clip, make_motion(clip.scene), lip_features,
            TorsoOptions(
                rays_per_step=256, opacity_entropy=0.1, occupancy_every=2
            ),
            options_of(FieldOptimiser, options["torso"]), run("torso"),
        )  # fmt: skip
        heard = portrait.lip_features(clip.audio_features, torch.arange(2, device=CPU)).detach()
        picture, _ = portrait.render_frame(clip.T_camera_head[0], heard[0], clip.expression[0])
    assert picture.device == CPU and picture.isfinite().all()


@pytest.mark.parametrize("margin", [0, 4])
def test_a_portrait_of_gaussians_stays_on_its_device(
    tmp_path, scene, elsewhere, monkeypatch, margin
):
    values = preset("smoke", renderer="splats")["splats"] | {"n_gaussians": 300, "steps": 3}
    values |= {"perceptual_from": 0, "perceptual_every": 1, "patch_size": 16}
    monkeypatch.setattr(
        splats, "photometric_loss", functools.partial(photometric_loss, implementation="torch")
    )
    motion = make_motion(scene)
    plate = np.pad(scene.background, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    portrait, moments, _ = new_splat_portrait(
        scene, replace(motion, plate=plate), values | {"rasteriser": "torch"}, CPU, 0
    )
    assert portrait.shape.plate_margin == margin
    options = options_of(
        SplatOptions, values, static_weight="one_minus_mask", torso_reference="hand_free",
        lambda_lpips=0.01,
    )  # fmt: skip
    run = Run(config={}, folder=tmp_path, seed=0)
    with elsewhere:
        splats.train_splats(
            portrait, scene, moments, options, ms_ssim_loss, options_of(Optimiser, values), run
        )
        picture, _ = portrait.picture(moments[0])
        heard = portrait.hear(
            torch.as_tensor(scene.audio_features[:4], device=CPU), np.zeros(4, bool), np.arange(4),
            moments.T_camera_head[:4], 25.0,
            SpeakingOptions(1.0, True, 0.3),
        )  # fmt: skip
    assert picture.device == CPU and picture.isfinite().all()
    assert heard.device == CPU and heard.isfinite().all()
