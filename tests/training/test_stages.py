"""A made ball with a mouth: does each stage learn what it is for?"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tests.training.conftest import CONFIG, preset, silent
from tests.training.tiny_scene import make_motion, make_scene
from wildtalker_core.training import head, lips, stages
from wildtalker_core.training.build import restore_portrait
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.clip import Clip
from wildtalker_core.training.head_targets import HeadTargets
from wildtalker_core.training.losses import ms_ssim_loss
from wildtalker_core.training.options import FieldOptimiser, HeadOptions, LipOptions


def psnr(reference: np.ndarray, estimate: np.ndarray) -> float:
    return -10 * np.log10(np.square(reference - estimate).mean())


def save(trained, path):
    facts = {"stage": "x", "shape": json.loads(json.dumps(trained.portrait.shape.to_dict()))}
    save_portrait(path, trained.portrait.state_dict(), facts)
    return path


def pictures(portrait, scene, frames, lips, behind=True):
    """Rendered test frames [k, h, w, 3]; ``lips`` [k, n_lip]."""
    poses = torch.as_tensor(scene.T_camera_head, dtype=torch.float32)
    expression = torch.zeros(7)
    shown = []
    for i, frame in enumerate(frames):
        reference = torch.as_tensor(scene.frames[frame]).float() / 255 if behind else None
        picture, _ = portrait.render_frame(poses[frame], lips[i], expression, reference)
        shown.append(picture.numpy())
    return np.stack(shown)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """All three stages on the ball: scene, options, trained head, lips, torso."""
    folder = tmp_path_factory.mktemp("ball")
    scene = make_scene()
    options = preset(
        "smoke",
        head={"steps": 250, "rays_per_step": 512, "occupancy_every": 16},
        lips={"steps": 20, "patch_size": 24},
        torso={"steps": 150, "rays_per_step": 512},
        model={"n_mouth_shapes": 4},
    )
    first = stages.head_stage(scene, options, folder / "h", silent)
    head_path = save(first, folder / "head.safetensors")
    second = stages.lips_stage(scene, head_path, options, ms_ssim_loss, folder / "l", silent)
    lips_path = save(second, folder / "lips.safetensors")
    torso = stages.torso_stage(scene, make_motion(scene), lips_path, options, folder / "t", silent)
    return scene, options, head_path, second, torso


def test_portrait_beats_the_mean_frame_on_unseen_frames(learnt):
    scene, _, _, _, torso = learnt
    portrait, frames = torso.portrait, scene.test_frames
    lips = portrait.lip_features(torch.as_tensor(scene.audio_features), torch.as_tensor(frames))
    reference = scene.frames[frames] / 255
    mean = np.broadcast_to(scene.frames[scene.train_frames].mean(0) / 255, reference.shape)
    whole = pictures(portrait, scene, frames, lips.detach(), behind=False)
    assert psnr(reference, whole) > psnr(reference, mean) + 2


def test_mouth_follows_the_sound(learnt):
    scene, _, _, _, torso = learnt
    portrait = torso.portrait
    frames = np.arange(18)
    lips = portrait.lip_features(torch.as_tensor(scene.audio_features), torch.as_tensor(frames))
    loudness = scene.audio_features[frames].mean((1, 2))
    # The same pose for all, so that only the lip feature can change the picture.
    shown = pictures(portrait, scene, np.zeros(18, int), lips.detach())
    darkness = 1 - shown[:, 20:28, 16:24].mean((1, 2, 3))
    assert np.corrcoef(darkness, loudness)[0, 1] > 0.7


def test_lips_and_torso_leave_what_is_not_theirs_alone(learnt):
    _, options, head_path, second, torso = learnt
    first, _ = restore_portrait(head_path, "torch", torch.device("cpu"))
    of_lips, of_torso = second.portrait.state_dict(), torso.portrait.state_dict()
    for name, tensor in first.state_dict().items():
        if name.startswith(("torso", "alpha_grid")):
            assert torch.equal(of_lips[name], tensor), name
        else:
            assert torch.equal(of_torso[name], of_lips[name]), name
    name = "head.position_encoding.tables"
    assert not torch.equal(of_lips[name], first.state_dict()[name])


def lip_patch_loss(portrait, scene, options) -> float:
    """Mean of Eq. 7 over the training frames, as the lips' stage sees it."""
    clip = Clip.of(scene, torch.device("cpu"))
    targets, told = HeadTargets(clip), stages.told_lips(portrait, clip)
    shape = LipOptions(patch_size=16, lambda_lpips=options["lambda_lpips"])
    generator = torch.Generator().manual_seed(0)
    steps = [
        lips.patch_step(
            portrait,
            clip,
            told,
            targets,
            np.array([frame]),
            shape,
            ms_ssim_loss,
            "squared",
            generator,
        )
        for frame in scene.train_frames
    ]
    return float(torch.stack([step.total.detach() for step in steps]).mean())


def lip_opacity(portrait, scene) -> float:
    """Mean opacity of the head inside the lip boxes of the training frames."""
    clip = Clip.of(scene, torch.device("cpu"))
    told = stages.told_lips(portrait, clip)
    found = []
    for frame in scene.train_frames:
        chosen = np.array([frame])
        x0, y0, x1, y1 = np.round(scene.lip_box[frame]).astype(int)
        pixels = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)), -1).reshape(-1, 2)
        rays = clip.rays(np.repeat(chosen, len(pixels)), pixels)
        with torch.no_grad():
            seen, _ = portrait.render_head(*rays, head.condition_of(portrait, clip, told, chosen))
        found.append(seen.opacities.mean())
    return float(torch.stack(found).mean())


def test_lip_patches_want_a_head(learnt):
    scene, options, head_path, finetuned, _ = learnt
    trained, empty = (restore_portrait(head_path, "torch", torch.device("cpu"))[0] for _ in "ab")
    empty.occupancy.is_occupied[:] = False
    loss = lip_patch_loss(trained, scene, options)
    assert lip_patch_loss(empty, scene, options) > 5 * loss
    assert lip_patch_loss(finetuned.portrait, scene, options) < loss
    before, after = lip_opacity(trained, scene), lip_opacity(finetuned.portrait, scene)
    assert before > 0.9 and after > before - 0.005


def test_background_shows_where_there_is_nobody(learnt):
    scene, _, _, _, torso = learnt
    whole = pictures(torso.portrait, scene, [3], torch.zeros(1, 32), behind=False)[0]
    corner = whole[:6, :6]
    np.testing.assert_allclose(
        corner, np.broadcast_to(scene.background[0, 0] / 255, corner.shape), atol=0.06
    )


def test_masked_hand_is_not_learnt_and_an_unmasked_one_is(tmp_path, learnt):
    _, options, _, second, _ = learnt
    lips_path = save(second, tmp_path / "lips.safetensors")
    scene = make_scene(with_hand=True)
    green = {}
    for form in ("one_minus_mask", "none"):
        trained = stages.torso_stage(
            scene,
            make_motion(scene),
            lips_path,
            options | {"static_weight": form},
            tmp_path / form,
            silent,
        )
        frames = np.arange(8, 16)
        shown = pictures(trained.portrait, scene, frames, torch.zeros(8, 32), behind=False)
        green[form] = shown[:, 32:38, 6:12, 1].mean()
    assert green["none"] > green["one_minus_mask"] + 0.1
    assert green["one_minus_mask"] < 0.3


def test_render_in_training_and_in_front_of_people_is_the_same(learnt):
    scene, _, _, _, torso = learnt
    from wildtalker_core.nerf.head_field import Condition

    portrait, clip = torso.portrait, Clip.of(scene, torch.device("cpu"))
    pixels = np.stack(np.meshgrid(np.arange(10, 30), np.arange(10, 30)), -1).reshape(-1, 2)
    rays = clip.rays(np.full(len(pixels), 4), pixels)
    condition = Condition(torch.zeros(1, 32), torch.zeros(1, 7), portrait.unseen_codes()[0])
    with torch.no_grad():
        seen, _ = portrait.render_head(*rays, condition)
    colours, opacities = portrait.see_head(*rays, condition)
    # see_head stops behind what lets less than 1e-4 of the light through.
    torch.testing.assert_close(colours, seen.colours, atol=3e-4, rtol=0)
    torch.testing.assert_close(opacities, seen.opacities, atol=3e-4, rtol=0)


def test_chunks_do_not_show(learnt):
    scene, _, _, _, torso = learnt
    pose = torch.as_tensor(scene.T_camera_head[2], dtype=torch.float32)
    arguments = (pose, torch.zeros(32), torch.zeros(7), None)
    whole, _ = torso.portrait.render_frame(*arguments)
    torso.portrait.chunk_rays = 77
    parts, _ = torso.portrait.render_frame(*arguments)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_audio_mode_trains_its_network(tmp_path, scene, smoke):
    smoke["model"]["lip_feature"] = "audio"
    smoke["head"]["steps"] = 3
    trained = stages.head_stage(scene, smoke, tmp_path, silent)
    assert not any(name.startswith("ear") for name in trained.portrait.state_dict())
    weight = trained.portrait.audio.net.convolutions[0].weight
    assert weight.grad is not None and weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [path.stem for path in (CONFIG / "presets").glob("*.yaml")])
def test_every_preset_builds_a_portrait_that_survives_its_file(tmp_path, scene, name):
    from wildtalker_core.training.build import new_portrait, options_of

    options = preset(name)
    for stage in ("head", "lips", "torso"):
        options_of(HeadOptions, options[stage])
        options_of(FieldOptimiser, options[stage])
    portrait = new_portrait(scene, options["model"], "torch", torch.device("cpu"), 0)
    path = tmp_path / "portrait.safetensors"
    save_portrait(path, portrait.state_dict(), {"shape": portrait.shape.to_dict()})
    restored, _ = restore_portrait(path, "numba", torch.device("cpu"))
    assert restored.shape == portrait.shape
