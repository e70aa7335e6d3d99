"""The training rules' scripts on the ball: files in, portrait, figures and TensorBoard out."""

from __future__ import annotations

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.conftest import tiny_preset
from tests.training.tiny_scene import make_motion, save_scene
from wildtalker_core.media.files import save_arrays
from wildtalker_core.scene.scene import load_scene
from wildtalker_core.training.checkpoints import load_portrait
from workflow_scripts.scene_inputs import scene_paths
from workflow_scripts.train import finetune_lips, train_head, train_torso


@pytest.fixture
def inputs(tmp_path, scene) -> dict:
    """The scene as a rule's named inputs."""
    return save_scene(tmp_path, scene) | {"of another kind": "x"}


def test_three_scripts_make_a_portrait_and_can_be_watched(tmp_path, inputs):
    options = tiny_preset("er_nerf") | {"preview_every": 3, "perceptual": "ms_ssim"}
    options["mixed_precision"] = "bfloat16"
    for stage, steps in (("head", 6), ("lips", 2), ("torso", 4)):
        options[stage]["steps"] = steps
    folder, files = tmp_path / "train" / "er_nerf", scene_paths(inputs)
    made = {
        stage: (str(folder / f"{stage}.safetensors"), str(folder / f"{stage}.json"), options)
        for stage in ("head", "lips", "torso")
    }
    train_head.main(files, *made["head"])
    finetune_lips.main(files, made["head"][0], *made["lips"])
    motion_path = tmp_path / "body_motion.npz"
    save_arrays(motion_path, **make_motion(load_scene(**files)).to_arrays())
    train_torso.main(files, motion_path, made["lips"][0], *made["torso"], head_of="er_nerf")
    figures = {stage: json.loads((folder / f"{stage}.json").read_text()) for stage in made}
    assert [figures[stage]["steps"] for stage in made] == [6, 2, 4]
    assert figures["lips"]["perceptual"] == "ms_ssim"
    assert figures["torso"]["head_of"] == "er_nerf"
    assert {f["encoder"] for f in figures.values()} == {"numba"}
    assert {f["precision"] for f in figures.values()} == {"bfloat16"}
    assert not (folder / "checkpoints" / "head").exists(), "checkpoints have done their work"
    tensors, facts = load_portrait(folder / "torso.safetensors")
    assert facts["stage"] == "torso" and facts["shape"]["head"]["n_uncertainty"] == 32
    for stage, previews in (("head", [3, 6]), ("lips", [2]), ("torso", [3, 4])):
        events = EventAccumulator(str(folder / "tensorboard" / stage))
        events.Reload()
        assert events.Tags()["scalars"]
        pictures = events.Images("preview")
        assert [picture.step for picture in pictures] == previews, stage
        assert (pictures[0].width, pictures[0].height) == (80, 40)
