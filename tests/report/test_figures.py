"""Figures and side-by-side videos show what they claim to."""

from __future__ import annotations

import numpy as np
import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.media.image import read_image
from wildtalker_core.media.video import read_video
from wildtalker_core.media.video_writer import VideoWriter
from workflow_scripts.report import (
    compare_videos,
    plot_comparison,
    plot_speech,
    plot_training,
)


def plain_video(path, level: int, n_frames: int = 6, size: int = 64) -> str:
    with VideoWriter(path, 25, crf=10) as video:
        for _ in range(n_frames):
            video.append(np.full((size, size, 3), level, np.uint8))
    return str(path)


def test_side_by_side_holds_every_video_in_its_place(tmp_path):
    levels = (10, 60, 110, 160, 210)
    paths = [plain_video(tmp_path / f"{level}.mp4", level) for level in levels]
    compare_videos.main(paths, [str(level) for level in levels], str(tmp_path / "all.mp4"), 64)
    frames = [frame for frame, _ in read_video(tmp_path / "all.mp4")]
    assert len(frames) == 6
    label = frames[0].shape[0] // 2 - 64
    assert frames[0].shape == (2 * (64 + label), 4 * 64, 3)
    for i, level in enumerate(levels):
        top, left = (i // 4) * (64 + label) + label, (i % 4) * 64
        cell = frames[3][top + 4 : top + 60, left + 4 : left + 60]
        assert abs(float(cell.mean()) - level) < 4
    assert frames[0][-30:, 70:].mean() > 250, "places without a video are white"


def test_a_short_video_is_named(tmp_path):
    paths = [plain_video(tmp_path / "a.mp4", 9), plain_video(tmp_path / "b.mp4", 9, n_frames=4)]
    with pytest.raises(InputError, match="b.mp4: ends at frame 4"):
        compare_videos.main(paths, ["a", "b"], str(tmp_path / "all.mp4"), 64)
    assert not (tmp_path / "all.mp4").exists()


def test_figure_frames_go_from_open_to_closed():
    openings = np.array([3.0, 9.0, 1.0, 5.0, 7.0])
    assert plot_comparison.choose_frames(openings, 3).tolist() == [1, 3, 2]
    assert plot_comparison.choose_frames(openings, 9).tolist() == [1, 4, 3, 0, 2]
    assert plot_comparison.choose_frames(openings, 1).tolist() == [1]


def test_zoom_boxes_lie_inside():
    boxes = plot_comparison.zoom_boxes(np.array([[0.0, 0, 30, 10], [40, 90, 80, 100]]), 100)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, :2] + boxes[:, 2:] <= 100).all()
    np.testing.assert_allclose(boxes[:, 2], [48, 64])


def test_figure_shows_each_column(tmp_path):
    """A red and a blue method: each half of the picture has its colour."""
    frames = np.zeros((2, 64, 64, 3), np.uint8)
    red, blue = frames + np.uint8([200, 0, 0]), frames + np.uint8([0, 0, 200])
    clip = plot_comparison.ClipPictures(
        "anna", [("reference", red), ("ours", blue)], np.array([[10.0, 10, 20]] * 2), [4, 7]
    )
    plot_comparison.main([clip, clip], str(tmp_path / "figure.png"), 96)
    picture = read_image(tmp_path / "figure.png").astype(int)
    is_red = (picture[..., 0] > 150) & (picture[..., 2] < 60) & (picture[..., 1] < 40)
    is_blue = (picture[..., 2] > 150) & (picture[..., 0] < 60) & (picture[..., 1] < 40)
    assert is_red.sum() > 0.15 * is_red.size and is_blue.sum() > 0.15 * is_blue.size
    assert np.argwhere(is_red)[:, 1].max() < np.argwhere(is_blue)[:, 1].min()


def test_spectrogram_of_a_tone():
    rate = 16000
    tone = np.sin(2 * np.pi * 3000 * np.arange(rate) / rate)
    levels_db, seconds, top_hz = plot_speech.spectrogram(tone, rate)
    assert seconds == 1 and top_hz == 8000 and levels_db.max() == 0
    loudest = levels_db[:, 60].argmax() / (len(levels_db) - 1) * top_hz
    assert abs(loudest - 3000) < 40


def test_speech_figure_starts_where_something_is_heard(tmp_path):
    rate = 16000
    waveform = np.zeros(10 * rate)
    waveform[6 * rate : 9 * rate] = np.random.default_rng(0).normal(0, 0.1, 3 * rate)
    part = plot_speech.loudest_part(waveform, rate)
    assert part.start <= 6 * rate and part.stop >= 9 * rate
    speech = {"original": {"noisy": waveform, "mss": waveform}, "cafe": {"noisy": waveform}}
    plot_speech.main(speech, rate, str(tmp_path / "speech.png"))
    assert read_image(tmp_path / "speech.png").shape[1] > 400


def test_training_curves_are_read_back(tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    for method, factor in (("ours", 1.0), ("other", 2.0)):
        for stage in ("head", "torso"):
            with SummaryWriter(tmp_path / method / stage) as log:
                for step in range(0, 50, 10):
                    log.add_scalar("loss", factor / (1 + step), step)
    folders = {name: str(tmp_path / name) for name in ("ours", "other", "untrained")}
    curves = plot_training.read_curves(folders)
    assert set(curves) == {"head/loss", "torso/loss"}
    steps, values = curves["head/loss"]["other"]
    assert steps.tolist() == [0, 10, 20, 30, 40]
    np.testing.assert_allclose(values, 2 / (1 + steps), rtol=1e-6)
    plot_training.main(curves, str(tmp_path / "curves.png"))
    plot_training.main({}, str(tmp_path / "none.png"))


def test_smoothing_keeps_level_and_length():
    values = np.random.default_rng(0).normal(5, 1, 600)
    smoothed = plot_training.smooth(values)
    assert smoothed.shape == values.shape
    assert smoothed.mean() == pytest.approx(values.mean(), abs=0.1)
    assert smoothed.std() < 0.5 * values.std()
    np.testing.assert_array_equal(plot_training.smooth(np.arange(5.0)), np.arange(5.0))
