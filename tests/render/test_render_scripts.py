"""Baselines, finished videos and sound: which frame is shown, and what is heard with it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.training.tiny_scene import make_scene, save_scene
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform, write_waveform
from wildtalker_core.media.files import save_json
from wildtalker_core.media.video import VideoWriter, read_video
from workflow_scripts.frame_sound import cut_to_frames, sound_of_frames
from workflow_scripts.render import copy_external, render_baseline, render_portrait
from workflow_scripts.scene_inputs import scene_paths

RENDER = {"mode": "portrait", "crf": 10, "encoder_preset": "fast", "lip_smoothing": 0,
          "close_in_silence": True, "chunk_rays": 4096}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The ball clip as the files of its rules."""
    folder, scene = tmp_path_factory.mktemp("ball"), make_scene()
    paths = scene_paths(save_scene(folder, scene))
    n = scene.n_frames
    save_json(
        folder / "manifest.json",
        {
            "fps": 25, "size_px": scene.width, "source_frames": list(range(n)),
            "crop": {"x": 0, "y": 0, "size": scene.width},
        },
    )  # fmt: skip
    write_waveform(folder / "speech.wav", np.linspace(-0.5, 0.5, 640 * n, dtype=np.float32), 16000)
    return folder, scene, paths


def shown(path) -> np.ndarray:
    return np.stack([picture for picture, _ in read_video(path)]).astype(float)


def run_baseline(method, files, tmp_path, truth=""):
    folder, _, paths = files
    render_baseline.main(
        method, paths, folder / "manifest.json", folder / "speech.wav", truth,
        tmp_path / "out.mp4", tmp_path / "out.json", RENDER,
    )  # fmt: skip
    return shown(tmp_path / "out.mp4"), json.loads((tmp_path / "out.json").read_text())


def test_ground_truth_is_the_reference_through_the_codec(files, tmp_path):
    pictures, facts = run_baseline("ground_truth", files, tmp_path)
    scene = files[1]
    assert facts["frames"] == scene.test_frames.tolist() and facts["kind"] == "baseline"
    assert np.abs(pictures - scene.hand_free_frames[scene.test_frames]).mean() < 6


def test_known_truth_is_shown_instead_of_the_filled_frames(files, tmp_path):
    scene = files[1]
    with VideoWriter(tmp_path / "truth.mp4", 25, None, 5) as video:
        for i in range(scene.n_frames):
            video.append(np.full((40, 40, 3), 10 * i, np.uint8))
    pictures, _ = run_baseline("ground_truth", files, tmp_path, str(tmp_path / "truth.mp4"))
    np.testing.assert_allclose(pictures.mean((1, 2, 3)), 10 * scene.test_frames, atol=2)


def test_mean_frame_never_changes(files, tmp_path):
    pictures, _ = run_baseline("mean_frame", files, tmp_path)
    mean = files[1].frames[files[1].train_frames].mean(0)
    assert np.abs(pictures - pictures[0]).mean() < 2
    assert np.abs(pictures[0] - mean).mean() < 6


def test_nearest_landmarks_finds_the_same_face_elsewhere():
    generator = np.random.default_rng(0)
    landmarks = generator.normal(size=(9, 478, 2))
    landmarks[8] = landmarks[3] + [40.0, -7.0]  # shifted: the mean is removed
    assert render_baseline.nearest_training_frame(landmarks, np.arange(8), 8) == 3


def test_sound_is_that_of_the_frames(files):
    ramp = np.arange(6400, dtype=np.float32)
    cut = cut_to_frames(ramp, 16000, np.array([2, 3, 7]), 25)
    np.testing.assert_array_equal(cut, np.r_[1280:2560, 4480:5120])
    np.testing.assert_array_equal(cut_to_frames(ramp, 16000, np.array([10]), 25), np.zeros(640))
    folder = files[0]
    with sound_of_frames(str(folder / "speech.wav"), np.arange(5), 25) as path:
        assert len(read_waveform(path)[0]) == 3200
    assert not path.exists()


def test_finished_videos_are_taken_by_frame_and_short_ones_refused(tmp_path):
    test_frames = np.arange(18, 24)
    take = copy_external.frames_to_take
    assert take(24, 6, test_frames, "a.mp4").tolist() == test_frames.tolist()
    assert take(7, 6, test_frames, "a.mp4").tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(InputError, match="a.mp4: has 5 frames, 6 are scored"):
        take(5, 6, test_frames, "a.mp4")


def test_missing_external_video_is_one_line(files, tmp_path):
    folder, _, paths = files
    with pytest.raises(InputError, match="none.mp4: does not exist"):
        copy_external.main(
            tmp_path / "none.mp4", paths["scene_path"], folder / "manifest.json",
            paths["audio_features_path"], folder / "speech.wav", True,
            tmp_path / "out.mp4", tmp_path / "out.json", RENDER,
        )  # fmt: skip
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("n_frames", [1, 5, 18, 55])
def test_driven_performance_plays_known_poses_as_long_as_the_speech(files, n_frames):
    scene = files[1]
    performance = render_portrait.driven_performance(scene, n_frames, 25, 0)
    assert len(performance.pose_frames) == len(performance.expression) == n_frames
    assert set(performance.pose_frames) <= set(scene.train_frames.tolist())
    assert (np.abs(np.diff(performance.pose_frames)) == 1).all()  # no jump, no stop
    assert performance.audio_frames.tolist() == list(range(n_frames))
