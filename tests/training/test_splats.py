"""A portrait of Gaussians learns the ball, its mouth and a torso that sways."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.training.conftest import Killed, assert_same_bits, preset, silent
from tests.training.tiny_scene import SIZE, make_motion, make_scene
from wildtalker_core.live.portrait_file import Kept, load_kept, save_kept
from wildtalker_core.mouth.blinks import BlinkManner
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.occlusion.registration import similarity_matrix
from wildtalker_core.option_types import options_of
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training import splats, stages
from wildtalker_core.training.build import open_portrait
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.options import Drawing, SplatOptions
from wildtalker_core.training.splat_build import fit_torso_prediction, new_splat_portrait

CPU = torch.device("cpu")
OPTIONS = preset("smoke", renderer="splats", splats={"n_gaussians": 700, "steps": 300})


def sway(scene: Scene) -> tuple[Scene, object]:
    """The scene with a torso that moves sideways by half of the head's way, and its motion."""
    motion = make_motion(scene)
    shift = 0.5 * scene.T_camera_head[:, 0, 3] / 1.5 * scene.focal_length
    similarity = np.zeros((scene.n_frames, 4))
    similarity[:, 0] = shift - shift[0]
    torso = replace(motion.torso, similarity=similarity)
    frames, parsing = scene.frames.copy(), scene.parsing.copy()
    # A dark stripe on the torso shows where it is.
    stripe = np.zeros((SIZE, SIZE, 3), np.uint8)
    stripe[28:, 6:10] = 1
    for i, matrix in enumerate(similarity_matrix(similarity, torso.centre)):
        where = cv2.warpAffine(stripe, matrix[:2], (SIZE, SIZE), flags=cv2.INTER_NEAREST) > 0
        frames[i][where & (parsing[i][..., 3:4] > 127)] = 40
    moved = replace(scene, frames=frames, hand_free_frames=frames.copy())
    return moved, replace(motion, torso=torso)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    scene, motion = sway(make_scene())
    folder = tmp_path_factory.mktemp("splats")
    trained = stages.splats_stage(scene, motion, OPTIONS, None, folder, silent)
    _, moments, _ = new_splat_portrait(
        scene, motion, OPTIONS["splats"] | {"rasteriser": "numba"}, CPU, OPTIONS["seed"]
    )
    return scene, motion, trained, moments


def psnr(reference: np.ndarray, estimate: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(reference - estimate).mean()))


def drawn(portrait, moments, frames) -> np.ndarray:
    return np.stack([portrait.picture(moments[int(i)])[0].numpy() for i in frames])


def test_it_beats_the_mean_frame_on_unseen_frames(learnt):
    scene, _, trained, moments = learnt
    frames = scene.test_frames
    reference = scene.frames[frames] / 255
    mean = np.broadcast_to(scene.frames[scene.train_frames].mean(0) / 255, reference.shape)
    assert psnr(reference, drawn(trained.portrait, moments, frames)) > psnr(reference, mean) + 3


def test_the_figures_say_what_drew_it(learnt):
    _, _, trained, _ = learnt
    kernel = OPTIONS["splats"]["kernel"]
    assert trained.figures["rasteriser"] == "numba" and trained.figures["kernel"] == kernel
    assert trained.portrait.shape.to_dict()["kernel"] == kernel


def test_the_torso_is_predicted_from_the_heads_pose(learnt):
    scene, motion, trained, moments = learnt
    guess = trained.portrait.predicted_torso(moments.T_camera_head[scene.test_frames])
    truth = motion.torso.similarity[scene.test_frames]
    assert np.abs(guess.numpy()[:, 0] - truth[:, 0]).max() < 0.3 * np.ptp(truth[:, 0]) + 0.1


def test_what_the_pose_does_not_tell_stays_at_its_mean(learnt):
    scene, motion, trained, moments = learnt
    noise = torch.as_tensor(np.random.default_rng(0).normal(size=(scene.n_frames, 4))).float()
    told = replace(moments, torso=noise)
    portrait, _, _ = new_splat_portrait(
        scene, motion, OPTIONS["splats"] | {"rasteriser": "numba"}, CPU, 0
    )
    portrait.torso_mean.copy_(noise[scene.train_frames].mean(0))
    figures = fit_torso_prediction(portrait, told, scene.train_frames)
    unexplained = np.array(figures["torso_explained"]) == 0
    assert unexplained.any()
    assert (portrait.torso_slope[:, unexplained] == 0).all()


def test_soft_motion_goes_on_beyond_what_training_showed():
    """Its directions are measured. The similarity moves a bone and has no such end."""
    scene = make_scene()
    motion = make_motion(scene)
    soft = np.sin(np.arange(scene.n_frames))[:, None]
    torso = replace(motion.torso, soft=soft, soft_basis=np.zeros((1, 9, 9, 2)))
    options = OPTIONS["splats"] | {"rasteriser": "torch"}
    portrait, _, _ = new_splat_portrait(scene, replace(motion, torso=torso), options, CPU, 0)
    shown = soft[scene.seen_train_frames]
    raw = torch.tensor([0.0, 1.4, 1.8, 9.0])[:, None] * torch.tensor([0.0, 0, 0, 0, shown.max()])
    told = portrait.unit("torso", raw)[:, 4]
    assert (told[1] - told[0]) / 1.4 == pytest.approx((told[2] - told[0]).item() / 1.8, rel=1e-4)
    assert told[3] < (told[2] - told[0]) * 2.2 / 1.8 + told[0]


def test_the_mouth_follows_its_shapes(learnt):
    _, _, trained, moments = learnt
    still = moments[0]
    dark = []
    for i in range(16):
        picture, _ = trained.portrait.picture(replace(still, mouth=moments.mouth[i]))
        dark.append(1 - picture[20:28, 16:24].mean().item())
    opening = [1 - p for p in drawn(trained.portrait, moments, range(16))[:, 20:28, 16:24].mean(
        (1, 2, 3))]  # fmt: skip
    assert np.ptp(dark) > 0.3 * np.ptp(opening)


def test_the_torso_goes_on_behind_the_chin(learnt):
    """The head rises by a fifth of its height: what it uncovers is body, not wall.

    Before training: this ball rolls on its torso, so frames do show wall beside where they touch.
    """
    scene, motion, _, moments = learnt
    portrait, _, _ = new_splat_portrait(
        scene, motion, OPTIONS["splats"] | {"rasteriser": "numba"}, CPU, OPTIONS["seed"]
    )
    moment = moments[3]
    risen = moment.T_camera_head.clone()
    risen[1, 3] -= 0.06
    _, alpha = portrait.picture(replace(moment, T_camera_head=risen))
    below_chin = alpha[24:29, 23:26]  # where the ball was
    assert below_chin.min() > 0.5
    head_only, _ = portrait.picture(
        replace(moment, T_camera_head=risen), torch.zeros(SIZE, SIZE, 3)
    )
    assert head_only[27:29, 23:26].max() < 0.3  # the head itself is gone from there


def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    scene, motion = sway(make_scene())
    options = preset(
        "smoke", renderer="splats",
        splats={"n_gaussians": 300, "steps": 12, "checkpoint_every": 5},
    )  # fmt: skip
    whole = stages.splats_stage(scene, motion, options, None, tmp_path / "whole", silent)

    def kill(step, picture):
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        stages.splats_stage(
            scene, motion, options | {"preview_every": 4}, None, tmp_path / "parts", silent, kill
        )
    again = stages.splats_stage(scene, motion, options, None, tmp_path / "parts", silent)
    assert_same_bits(again.portrait.state_dict(), whole.portrait.state_dict())


def test_a_file_opens_without_being_told_what_it_is(learnt, tmp_path):
    _, _, trained, moments = learnt
    path = tmp_path / "splats.safetensors"
    facts = {"stage": "splats", "shape": trained.portrait.shape.to_dict()}
    save_portrait(path, trained.portrait.state_dict(), facts)
    opened = open_portrait(path, Drawing(rasteriser="numba"), CPU)
    torch.testing.assert_close(
        opened.picture(moments[1])[0], trained.portrait.picture(moments[1])[0]
    )


def test_patches_lie_on_lips_and_person(monkeypatch):
    scene = make_scene()
    options = options_of(
        SplatOptions, OPTIONS["splats"], static_weight="none", torso_reference="frames",
        lambda_patches=0.1, perceptual_every=4, patch_size=6,
    )  # fmt: skip
    monkeypatch.setattr(splats, "_PATCH_PX", 5)
    generator = torch.Generator().manual_seed(0)
    found = [
        (name, patch)
        for step in range(400)
        for name, _, patch in splats.patches_of(step, scene, 3, options, generator)
    ]
    is_person = scene.parsing[3][..., 0] < 128
    assert [name for name, _ in found[:2]] == ["lips", "person"] and len(found) == 200
    lips = {(rows.start, columns.start) for name, (rows, columns) in found if name == "lips"}
    x0, y0, x1, y1 = scene.lip_box[3]
    assert lips == {(round((y0 + y1) / 2 - 3), round((x0 + x1) / 2 - 3))}
    covered = np.zeros_like(is_person)
    for name, patch in found:
        assert (
            is_person[patch].any() and is_person[patch].shape == ((6, 6), (5, 5))[name == "person"]
        )
        covered[patch] = True
    assert covered[is_person].mean() > 0.9


def test_the_head_must_cover_by_itself(learnt):
    """Holes before the torso are seen by the loss, though nobody sees them in the picture."""
    scene, _, trained, moments = learnt
    portrait = deepcopy(trained.portrait)
    frame = int(scene.train_frames[0])
    parsing = scene.parsing[frame]
    n_head, everywhere = portrait.shape.body.n_head, torch.ones(SIZE, SIZE)

    def cover(logit: float, counts: torch.Tensor) -> float:
        with torch.no_grad():
            portrait.body.opacity_logits[:n_head] = logit
            portrait.body.opacity_logits[n_head:] = 8.0
            return splats.head_cover(portrait, moments[frame], parsing, counts).item()

    is_head = (parsing[..., 1] > 250).mean()
    assert cover(-9.0, everywhere) > 0.9 * is_head > 0.05
    assert cover(8.0, everywhere) < 0.1 * is_head
    assert cover(-9.0, 1 - torch.as_tensor(parsing[..., 1] > 250).float()) == 0


def test_no_patch_shows_what_a_hand_hides(tmp_path):
    scene = make_scene(with_hand=True)
    under_hand = []

    def perceptual(estimate, reference):
        is_hand = (reference[0].detach() * 255).round().eq(torch.tensor([0.0, 255, 0])).all(-1)
        if reference.shape[1] == SIZE and is_hand.any():
            errors = (estimate - reference).detach().abs()[0].amax(-1)
            under_hand.append((errors[is_hand].max().item(), errors[~is_hand].max().item()))
        return (estimate - reference).square().mean()

    options = preset(
        "smoke", renderer="splats",
        splats={"n_gaussians": 200, "steps": 16, "perceptual_from": 0, "perceptual_every": 2},
    )  # fmt: skip
    stages.splats_stage(scene, make_motion(scene), options, perceptual, tmp_path, silent)
    hidden, seen = np.array(under_hand).T
    assert hidden.max() < 1e-6 and seen.min() > 0.01


def test_a_packed_portrait_draws_what_the_trained_one_does(learnt, tmp_path):
    """Half precision and 8 bits change pictures by less than a display shows, on every frame."""
    _, _, trained, moments = learnt
    blinks = BlinkManner(np.full((15, 2), 0.5), np.zeros(2), 3.0)
    kept = Kept(
        trained.portrait, deepcopy(trained.portrait.ear), moments, blinks, 25.0,
        {"audio_features": "logmel"}, SpeakingOptions(), {},
    )  # fmt: skip
    save_kept(tmp_path / "me.portrait", kept)
    opened = load_kept(tmp_path / "me.portrait", "numba")
    frames = range(len(moments.mouth))
    before, after = (drawn(x.portrait, moments, frames) for x in (kept, opened))
    assert np.ptp(before) > 0.5
    assert 60 <= psnr(before, after) < np.inf
    assert (np.abs(before - after) > 4 / 255).mean() <= 1e-3
