"""A clip whose mouth is hidden for a while: its other frames teach what they teach alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.conftest import assert_same_bits, preset, silent
from tests.training.tiny_scene import DISTANCE, FOCAL_LENGTH, N_FRAMES, make_motion, make_scene
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.learning import learn_mouth
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.shape import CHIN, LIPS, measure_mouth
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training import stages
from wildtalker_core.training.splat_build import new_splat_portrait

HIDDEN = np.array([4, 5, 6, 10, 11])
N_SHAPES = 2
SPLATS = preset(
    "smoke", renderer="splats",
    splats={"n_gaussians": 700, "steps": 300, "n_mouth_shapes": N_SHAPES},
)  # fmt: skip


def speaking() -> Scene:
    """The ball with landmarks that say what its mouth does: the lower lip drops with loudness."""
    scene = make_scene()
    loudness = 0.5 + 0.5 * np.sin(np.arange(N_FRAMES) * 1.3)
    generator = np.random.default_rng(1)
    face = 20 + generator.normal(0, 2, (478, 2))
    landmarks = np.repeat(face[None], N_FRAMES, 0) + generator.normal(0, 0.05, (N_FRAMES, 478, 2))
    landmarks[..., 0] += (scene.T_camera_head[:, 0, 3] / DISTANCE * FOCAL_LENGTH)[:, None]
    landmarks[:, LIPS[:20:2], 1] += 3 * loudness[:, None]
    landmarks[:, 14] = landmarks[:, 13] + np.stack((0 * loudness, 1 + 3 * loudness), 1)
    return replace(scene, landmarks=landmarks)


def hidden(scene: Scene, shown: int, drop_px: float) -> Scene:
    """The scene with something over the mouth of some frames, and landmarks that are made up.

    Args:
        shown: its colour; drop_px: by so much its lips hang lower than any that were filmed.
    """
    frames, landmarks = scene.frames.copy(), scene.landmarks.copy()
    is_visible = ~np.isin(np.arange(N_FRAMES), HIDDEN)
    spoiled = replace(scene, is_mouth_visible=is_visible)
    for i in HIDDEN.tolist():
        rows, columns = spoiled.hidden_mouth(i)
        # SSIM looks five pixels around what counts.
        frames[i, rows.start + 5 : rows.stop - 5, columns.start + 5 : columns.stop - 5] = shown
        landmarks[i, list(LIPS + CHIN), 1] += drop_px * np.linspace(0, 1, len(LIPS + CHIN))
    return replace(spoiled, frames=frames, hand_free_frames=frames.copy(), landmarks=landmarks)


def without(scene: Scene) -> Scene:
    """Training on the frames alone that show the mouth."""
    return replace(scene, train_frames=np.setdiff1d(scene.train_frames, HIDDEN))


def learnt_mouth(scene: Scene) -> tuple[np.ndarray, object, Ear]:
    shapes, basis = measure_mouth(scene, N_SHAPES)
    n_features, window = scene.audio_features.shape[1:]
    ear = Ear(n_features, window, N_SHAPES, len(scene.mouth_train_frames))
    learn_mouth(ear, scene, shapes, basis)
    return shapes, basis, ear


def test_shapes_and_ear_are_those_of_the_frames_that_show_the_mouth():
    clean = speaking()
    shapes, basis, ear = learnt_mouth(hidden(clean, 200, 9.0))
    expected, wanted, alone = learnt_mouth(without(clean))
    np.testing.assert_array_equal(basis.basis, wanted.basis)
    np.testing.assert_array_equal(basis.mean, wanted.mean)
    shown = np.delete(np.arange(N_FRAMES), HIDDEN)
    np.testing.assert_array_equal(shapes[shown], expected[shown])
    assert_same_bits(ear.state_dict(), alone.state_dict())
    # As lips are taken for true that a hand hides, all this is another mouth.
    blind = replace(hidden(clean, 200, 9.0), is_mouth_visible=np.ones(N_FRAMES, bool))
    _, bent, _ = learnt_mouth(blind)
    assert np.abs(bent.mean - wanted.mean).max() > 0.05 * np.ptp(wanted.mean)


def test_a_hidden_mouth_is_between_those_before_and_after():
    shapes, _ = measure_mouth(hidden(speaking(), 200, 9.0), N_SHAPES)
    np.testing.assert_allclose(shapes[5], (shapes[3] + shapes[7]) / 2, atol=1e-9)
    np.testing.assert_allclose(shapes[10], (2 * shapes[9] + shapes[12]) / 3, atol=1e-9)


def test_no_mouth_is_filled_from_a_later_part_of_the_clip():
    scene = speaking()
    is_visible = np.ones(N_FRAMES, bool)
    is_visible[[14, 15, 16, 17]] = False  # the end of training and all of validation
    shapes, _ = measure_mouth(replace(scene, is_mouth_visible=is_visible), N_SHAPES)
    np.testing.assert_array_equal(shapes[14:18], np.repeat(shapes[13:14], 4, 0))


def trained(renderer: str, scene: Scene, folder) -> dict[str, torch.Tensor]:
    if renderer == "splats":
        options = preset(
            "smoke", renderer="splats", splats={"n_gaussians": 300, "steps": 24}
        )  # fmt: skip
        stage = stages.splats_stage(scene, make_motion(scene), options, None, folder, silent)
        return stage.portrait.state_dict()
    options = preset("smoke", head={"steps": 24, "rays_per_step": 512})
    return stages.head_stage(scene, options, folder, silent).portrait.state_dict()


@pytest.mark.parametrize("renderer", ["splats", "field"])
def test_whatever_hides_a_mouth_teaches_nothing(renderer, tmp_path):
    """Bit for bit the same portrait, whatever hid the lips and wherever they were thought to be."""
    clean = speaking()
    one = trained(renderer, hidden(clean, 200, 9.0), tmp_path / "one")
    other = trained(renderer, hidden(clean, 30, -4.0), tmp_path / "other")
    assert_same_bits(other, one)
    blind = replace(hidden(clean, 30, -4.0), is_mouth_visible=np.ones(N_FRAMES, bool))
    taken_for_true = trained(renderer, blind, tmp_path / "blind")
    assert any(not torch.equal(v, taken_for_true[k]) for k, v in one.items() if "known" not in k)


def lip_errors(scene: Scene, truth: Scene, folder) -> float:
    """Root mean square error about the mouth on test frames, driven by their sound."""
    motion = make_motion(truth)
    portrait = stages.splats_stage(scene, motion, SPLATS, None, folder, silent).portrait
    _, moments, _ = new_splat_portrait(
        truth, motion, SPLATS["splats"] | {"rasteriser": "numba"}, torch.device("cpu"), 0
    )
    frames = truth.test_frames
    told = torch.as_tensor(truth.audio_features)
    poses = moments.T_camera_head[frames]
    options = SpeakingOptions(1.0, close_in_silence=False)
    mouth = portrait.hear(told, truth.is_silent, frames, poses, 25.0, options)
    errors = []
    for i, frame in enumerate(frames):
        picture, _ = portrait.picture(replace(moments[int(frame)], mouth=mouth[i]))
        x0, y0, x1, y1 = np.round(truth.lip_box[frame]).astype(int)
        box = slice(y0, y1 + 2), slice(x0, x1)
        errors.append(np.square(picture.numpy()[box] - truth.frames[frame][box] / 255).mean())
    return float(np.sqrt(np.mean(errors)))


def test_lips_are_drawn_as_those_of_the_clean_frames(tmp_path):
    """At most a tenth worse than from the clean frames alone; taken for true, much worse."""
    clean = speaking()
    spoiled = hidden(clean, 200, 9.0)
    blind = replace(spoiled, is_mouth_visible=np.ones(N_FRAMES, bool))
    alone = lip_errors(without(clean), clean, tmp_path / "alone")
    ours = lip_errors(spoiled, clean, tmp_path / "ours")
    deceived = lip_errors(blind, clean, tmp_path / "blind")
    print(f"rms about the mouth: {alone:.4f} clean frames alone, {ours:.4f}, {deceived:.4f} blind")
    assert ours < 1.1 * alone
    assert deceived > 1.3 * alone
