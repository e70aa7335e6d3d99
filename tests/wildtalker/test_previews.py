"""Pictures of a portrait in the making: which frame, what over it, and when drawn anew."""

from __future__ import annotations

import cv2
import numpy as np

from wildtalker.previews import METHOD, Previews
from wildtalker_core.media.frame_store import write_frames
from workflow_scripts.training_outputs import watch

N, SIZE = 24, 32


def store(path, stack):
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_frames(path, len(stack), stack.shape[1:]) as writer:
        for frame in stack:
            writer.append(frame)


def shown(previews, name):
    return cv2.imdecode(np.frombuffer(previews.jpeg(name), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_pictures_come_with_their_files(tmp_path):
    previews = Previews(tmp_path / "me")
    assert previews.versions() == {} and previews.jpeg("crop") is None
    frames = np.repeat(np.arange(N, dtype=np.uint8) * 10, SIZE * SIZE * 3).reshape(N, SIZE, SIZE, 3)
    store(tmp_path / "me/media/frames.zarr.zip", frames)
    assert set(previews.versions()) == {"crop"}
    assert np.abs(shown(previews, "crop").astype(int) - 10 * (N // 2)).max() <= 2
    masks = np.zeros((N, SIZE, SIZE), np.uint8)
    masks[-1] = 255  # of the frames that are looked at
    store(tmp_path / "me/occlusion/transient_mask.zarr.zip", masks)
    store(tmp_path / "me/occlusion/hand_free.zarr.zip", 255 - frames)
    assert set(previews.versions()) == {"crop", "masks", "hand_free"}
    red, green, blue = shown(previews, "masks")[5, 5].astype(int)
    assert red > green + 50 and red > blue + 50
    assert np.abs(shown(previews, "hand_free").astype(int) - (255 - 10 * (N - 1))).max() <= 2


def test_the_last_preview_of_the_training_is_shown(tmp_path):
    previews = Previews(tmp_path)
    with watch(tmp_path / "train" / METHOD / "tensorboard/splats") as (log, _):
        log(1, {"loss": 1.0})
    assert "portrait" not in previews.versions()
    versions = []
    for level in (50, 200):  # a training that was ended, and one that goes on
        with watch(tmp_path / "train" / METHOD / "tensorboard/splats") as (_, show):
            show(level, np.full((SIZE, 2 * SIZE, 3), level, np.uint8))
        versions.append(previews.versions()["portrait"])
        picture = shown(previews, "portrait")
        assert picture.shape == (SIZE, 2 * SIZE, 3)
        assert np.abs(picture.astype(int) - level).max() <= 2
    assert versions[0] != versions[1]


def test_a_broken_file_is_passed_over(tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "frames.zarr.zip").write_bytes(b"no store")
    assert Previews(tmp_path).versions() == {}
