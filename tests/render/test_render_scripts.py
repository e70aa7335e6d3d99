"""Baselines, finished videos and sound: which frame is shown, and what is heard with it."""

from __future__ import annotations

import json
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.training.tiny_scene import make_scene, save_scene
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform, write_waveform
from wildtalker_core.media.files import save_json
from wildtalker_core.media.options import CodecOptions
from wildtalker_core.media.video import read_video
from wildtalker_core.media.video_writer import VideoWriter
from workflow_scripts.frame_sound import cut_to_frames, sound_of_frames
from workflow_scripts.render import copy_external, render_baseline, render_portrait
from workflow_scripts.scene_inputs import scene_paths

CODEC = CodecOptions(crf=10, encoder_preset="fast")


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
        tmp_path / "out.mp4", tmp_path / "out.json", CODEC,
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


def moving_bar(seconds: float) -> np.ndarray:
    """A picture whose brightness tells the time, [40, 40, 3]."""
    return np.full((40, 40, 3), round(200 * seconds), np.uint8)


def write_stamped(path, stamps, seconds_at_end, offset=0.0):
    """A video whose frames have these time stamps, seconds; each shows the time it is shown at."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1000)
        stream.width = stream.height = 40
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.options = {"crf": "5", "bf": "0"}
        for at, after in zip(stamps, [*stamps[1:], seconds_at_end], strict=True):
            frame = av.VideoFrame.from_ndarray(moving_bar((at + after) / 2), format="rgb24")
            frame.pts, frame.time_base = round(1000 * (at + offset)), Fraction(1, 1000)
            frame.duration = round(1000 * (after - at))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def copy(files, folder, external_path, setting="self_driven"):
    made, _, paths = files
    copy_external.main(
        external_path, paths["scene_path"], made / "manifest.json",
        paths["audio_features_path"], made / "speech.wav", setting,
        folder / "out.mp4", folder / "out.json", CODEC,
    )  # fmt: skip
    return shown(folder / "out.mp4").mean((1, 2, 3))


@pytest.mark.parametrize("rate", [10, 23.976, 24, 25, 30, 50, 59.94])
@pytest.mark.parametrize("part", ["whole", "test"])
def test_finished_videos_are_taken_by_their_own_time(files, tmp_path, rate, part):
    """Every test frame shows its own time, whatever rate the finished video has."""
    scene = files[1]
    first = 0 if part == "whole" else scene.test_frames[0]
    seconds = (scene.n_frames - first) / 25
    stamps = np.arange(round(seconds * rate)) / rate
    write_stamped(tmp_path / "in.mp4", stamps, len(stamps) / rate)
    wanted = 200 * (scene.test_frames - first + 0.5) / 25
    levels = copy(files, tmp_path, tmp_path / "in.mp4")
    assert np.abs(levels - wanted).max() <= 200 * (0.51 / min(rate, 25) + 0.02) + 3
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["frames"] == scene.test_frames.tolist()


def test_a_variable_rate_and_a_clock_that_starts_late_are_read(files, tmp_path):
    """Stamps 20 to 80 ms apart from 1.46 s on: the same times as on an even clock."""
    scene = files[1]
    end = scene.n_frames / 25
    steps = np.tile([0.02, 0.08, 0.04], 60)
    stamps = np.concatenate([[0.0], np.cumsum(steps)])
    stamps = np.append(stamps[stamps < end - 0.06], end - 0.04)
    write_stamped(tmp_path / "in.ts", stamps, end, offset=1.46)
    levels = copy(files, tmp_path, tmp_path / "in.ts")
    assert np.abs(levels - 200 * (scene.test_frames + 0.5) / 25).max() <= 200 * 0.045 + 3


@pytest.mark.parametrize("n_frames", [-1, 1])
def test_any_other_length_is_refused_with_both_lengths_and_rates(files, tmp_path, n_frames):
    scene = files[1]
    for n_right in (scene.n_frames, len(scene.test_frames)):
        n = n_right + n_frames
        write_stamped(tmp_path / "in.mp4", np.arange(n) / 25, n / 25)
        with pytest.raises(InputError) as caught:
            copy(files, tmp_path, tmp_path / "in.mp4")
        message = str(caught.value)
        assert f"{n / 25:.2f} s ({n} frames at 25 fps)" in message
        assert f"whole clip, {scene.n_frames / 25:.2f} s ({scene.n_frames} frames" in message
        assert f"{len(scene.test_frames)} frames at 25 fps" in message
        assert "\n" not in message
    assert not (tmp_path / "out.mp4").exists()


def test_missing_external_video_is_one_line(files, tmp_path):
    with pytest.raises(InputError, match="none.mp4: does not exist"):
        copy(files, tmp_path, tmp_path / "none.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_frames_left_out_of_the_test_split_may_be_in_the_video_or_not():
    """Three black frames at the end of twenty: all three lengths are known, others are not."""
    scene = {
        "test_frames": np.arange(12, 17),
        "frame_times_seconds": np.arange(20) / 25,
        "is_counted": np.arange(20) < 17,
    }
    choices = copy_external.split_choices(scene, 20)
    lengths = {name: len(frames) for name, frames in choices.items()}
    assert list(lengths.values()) == [20, 8, 5]
    for name, n in lengths.items():
        found = copy_external.Length(n / 25, n)
        assert copy_external.frames_shown(found, choices, 25.0, "a.mp4") == name
    with pytest.raises(InputError):
        copy_external.frames_shown(copy_external.Length(7 / 25, 7), choices, 25.0, "a.mp4")


@pytest.mark.parametrize("n_frames", [1, 5, 18, 55])
def test_driven_performance_plays_known_poses_as_long_as_the_speech(files, n_frames):
    scene = files[1]
    performance = render_portrait.driven_performance(scene, n_frames, 25, 0)
    assert len(performance.pose_frames) == len(performance.expression) == n_frames
    assert set(performance.pose_frames) <= set(scene.train_frames.tolist())
    assert (np.abs(np.diff(performance.pose_frames)) == 1).all()  # no jump, no stop
    assert performance.audio_frames.tolist() == list(range(n_frames))
