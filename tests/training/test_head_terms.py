"""Regularisers of the head's loss: each notices what it is for, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.conftest import assert_same_bits, silent, tiny_preset
from wildtalker_core.errors import InputError
from wildtalker_core.nerf.head_field import Traces
from wildtalker_core.option_types import options_of
from wildtalker_core.person.landmarks import NOSE_TIP
from wildtalker_core.training import head, stages
from wildtalker_core.training.attention import face_regions, unwanted_attention
from wildtalker_core.training.build import new_portrait
from wildtalker_core.training.clip import Clip
from wildtalker_core.training.head_targets import HeadTargets
from wildtalker_core.training.options import HeadOptions

CPU = torch.device("cpu")
OPTIONS = options_of(HeadOptions, tiny_preset("er_nerf")["head"])


def traces_of(lips, expression) -> Traces:
    lips, expression = torch.tensor(lips), torch.tensor(expression)
    return Traces(lips, expression, torch.zeros(len(lips)), torch.zeros(0, 3), None)


IS_FACE = torch.tensor([False, True, True])
IS_LOWER_FACE = torch.tensor([False, False, True])
TRACES = traces_of([1.0, 10.0, 100.0], [0.5, 0.25, 0.125])


@pytest.mark.parametrize(("region", "wanted"), [("face", 1 / 3), ("lower_face", 11 / 3)])
def test_speech_is_unwanted_outside_its_region(region, wanted):
    parts = unwanted_attention(TRACES, IS_FACE, IS_LOWER_FACE, region, "none")
    assert parts.keys() == {"attention_outside"}
    torch.testing.assert_close(parts["attention_outside"], torch.tensor(wanted))


@pytest.mark.parametrize(("form", "wanted"), [("product", 15 / 3), ("lower_face", 0.125 / 3)])
def test_expression_is_unwanted_where_the_column_says(form, wanted):
    parts = unwanted_attention(TRACES, IS_FACE, IS_LOWER_FACE, "face", form)
    torch.testing.assert_close(parts["expression_attention"], torch.tensor(wanted))


def test_product_does_not_pull_at_the_lips_attention():
    lips = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    expression = torch.ones(3, requires_grad=True)
    traces = Traces(lips, expression, torch.zeros(3), torch.zeros(0, 3), None)
    parts = unwanted_attention(traces, IS_FACE, IS_LOWER_FACE, "face", "product")
    parts["expression_attention"].backward()
    assert lips.grad is None
    torch.testing.assert_close(expression.grad, torch.tensor([0.0, 2 / 3, 1.0]))


def test_regions_are_the_face_box_and_the_part_below_the_nose(scene):
    scene = replace(scene, landmarks=scene.landmarks.copy())
    scene.landmarks[2, NOSE_TIP] = (20, 21)
    scene.face_box[2] = (12, 10, 28, 30)
    pixels = np.array([[12, 10], [11, 10], [27, 21], [27, 20], [28, 25], [20, 30]])
    is_face, is_lower = face_regions(Clip.of(scene, CPU), np.full(6, 2), pixels)
    assert is_face.tolist() == [True, False, True, True, False, False]
    assert is_lower.tolist() == [False, False, True, False, False, False]


@pytest.fixture(scope="module")
def step_of(scene):
    """A function: head options and neighbours -> the same batch's Step, and the portrait."""
    options = tiny_preset("er_nerf")
    portrait = new_portrait(scene, options["model"], "torch", CPU, 0)
    clip = Clip.of(scene, CPU)
    portrait.audio.standardise(clip.audio_features)
    targets = HeadTargets(clip)

    def step(compare_neighbours=False, progress=1.0, **changes):
        settings = replace(OPTIONS, **changes)
        generator = torch.Generator().manual_seed(3)
        batch = head.sample_batch(targets, scene.train_frames, settings, generator)
        portrait.zero_grad()
        return head.head_step(
            portrait, clip, lambda frames: portrait.lip_features(clip.audio_features, frames),
            targets, batch, settings, progress, generator, compare_neighbours,
        )  # fmt: skip

    return step, portrait


def test_terms_that_are_off_are_not_there(step_of):
    step, _ = step_of
    off = {"uncertainty": 0.0, "smoothness": 0.0, "expression_attention": "none"}
    assert step(True, **off).parts.keys() == {"photometric", "entropy", "attention_outside"}
    assert "smoothness" not in step(False).parts
    assert {"uncertainty", "smoothness", "expression_attention"} <= step(True).parts.keys()


def test_total_is_the_sum_of_the_weighted_parts(step_of):
    step, _ = step_of
    weights = {"opacity_entropy": 0.1, "attention_outside": 0.2, "uncertainty": 0.3,
               "smoothness": 0.4}  # fmt: skip
    found = step(True, progress=0.5, expression_noise=0.0, **weights)
    parts = found.parts
    wanted = parts["photometric"] + 0.1 * parts["entropy"] + 0.5 * (
        0.2 * (parts["attention_outside"] + parts["expression_attention"])
        + 0.3 * parts["uncertainty"] + 0.4 * parts["smoothness"]
    )  # fmt: skip
    torch.testing.assert_close(found.total, wanted)


def test_smoothness_teaches_attentions_and_uncertainty_and_no_density(step_of):
    step, portrait = step_of
    step(True).parts["smoothness"].backward()
    moved = {name for name, p in portrait.head.named_parameters()
             if p.grad is not None and p.grad.abs().sum() > 0}  # fmt: skip
    assert any(name.startswith("conditioning.lip_attention") for name in moved)
    assert any(name.startswith("uncertainty_net") for name in moved)
    assert not any(name.startswith(("density_net", "colour_net")) for name in moved)


def test_patches_are_squares_inside_the_picture_and_are_judged_as_such(step_of, scene):
    _, portrait = step_of
    clip = Clip.of(scene, CPU)
    targets, generator = HeadTargets(clip), torch.Generator().manual_seed(0)
    options = replace(
        OPTIONS, rays_per_step=1024, frames_per_step=2, face_patch_size=16, lambda_patches=0.5,
        uncertainty=0.0,
    )  # fmt: skip
    batch = head.sample_patches(targets, scene.train_frames, options, generator)
    assert len(batch.pixels) == 1024 and batch.patch_size == 16
    patches = batch.pixels.reshape(4, 16, 16, 2)
    assert (np.diff(patches[..., 0], axis=2) == 1).all()
    assert (np.diff(patches[..., 1], axis=1) == 1).all()
    assert patches.min() >= 0 and patches.max() < scene.width
    judged = []

    def perceptual(estimate, reference):
        judged.append((estimate, reference))
        return (estimate - reference).abs().mean()

    found = head.head_step(
        portrait, clip, lambda frames: portrait.lip_features(clip.audio_features, frames),
        targets, batch, options, 1.0, generator, perceptual=perceptual,
    )  # fmt: skip
    ((estimate, reference),) = judged
    assert estimate.shape == reference.shape == (4, 16, 16, 3)
    # Where there is no head at all, the patch shows its one colour.
    frames = batch.chosen[batch.row].reshape(4, 16, 16)
    outside = scene.parsing[frames, patches[..., 1], patches[..., 0], 1] == 0
    for patch, is_outside in zip(reference, outside, strict=True):
        colours = patch[torch.as_tensor(is_outside)]
        assert len(colours) == 0 or (colours == colours[0]).all()
    without = found.total - 0.5 * found.parts["patches"]
    assert without < found.total
    with pytest.raises(InputError, match="face_patch_size: is 64, but frames are 40x40"):
        head.sample_patches(
            targets, scene.train_frames, replace(options, face_patch_size=64), generator
        )


def test_batch_names_frames_and_pixels(step_of, scene):
    step, _ = step_of
    batch = step().batch
    assert set(batch["frames"]) <= set(scene.train_frames)
    assert batch["pixels"].shape == (OPTIONS.rays_per_step, 2)
    assert set(batch["frame_of_pixel"]) <= set(batch["frames"])


def test_previews_show_an_unseen_frame_beside_the_portrait(tmp_path, scene, smoke):
    smoke["preview_every"] = 4
    smoke["head"] |= {"steps": 9, "rays_per_step": 64}
    shown = {}

    trained = stages.head_stage(scene, smoke, tmp_path / "a", silent, shown.__setitem__)
    assert list(shown) == [4, 8, 9]
    frame = scene.validation_frames[len(scene.validation_frames) // 2]
    for picture in shown.values():
        assert picture.shape == (40, 80, 3) and picture.dtype == np.uint8
        np.testing.assert_allclose(picture[:, :40], scene.frames[frame], atol=1)
    assert not np.array_equal(shown[4], shown[9])
    smoke["preview_every"] = 0
    unseen = stages.head_stage(scene, smoke, tmp_path / "b", silent, shown.__setitem__)
    assert list(shown) == [4, 8, 9]
    assert_same_bits(trained.portrait.state_dict(), unseen.portrait.state_dict())
