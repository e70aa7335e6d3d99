"""The scene of a tiny made clip: equal lengths, readable again, and loud when they differ."""

import cv2
import numpy as np
import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import save_arrays, save_json
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.media.splits import Split, save_split, split_frames
from wildtalker_core.scene.options import BoxOptions
from wildtalker_core.scene.scene import load_scene
from workflow_scripts.scene import assemble_scene

N, SIZE = 22, 64


def write_stack(path, n, *shape):
    with write_frames(path, n, shape) as writer:
        for i in range(n):
            writer.append(np.full(shape, i, np.uint8))
    return str(path)


@pytest.fixture
def clip(tmp_path):
    rng = np.random.default_rng(0)
    times = (np.arange(N) / 25).tolist()
    save_json(tmp_path / "manifest.json", {"clip": "me", "frame_times_seconds": times})
    is_counted = ~np.isin(np.arange(N), [1, 18, 21])
    save_split(tmp_path / "split.json", Split(split_frames(N), is_counted))
    save_arrays(
        tmp_path / "landmarks.npz",
        landmarks=rng.uniform(20, 44, (N, 478, 2)).astype(np.float32),
        is_interpolated=np.arange(N) == 3,
    )
    pose = np.repeat(np.eye(4)[None], N, 0)
    save_arrays(tmp_path / "head_pose.npz", T_camera_head=pose, focal_length=160.0)
    save_arrays(tmp_path / "expression.npz", expression=np.zeros((N, 7), np.float32))
    cv2.imwrite(str(tmp_path / "background.png"), np.full((SIZE, SIZE, 3), (10, 20, 30), np.uint8))
    stacks = {
        "frames": write_stack(tmp_path / "frames.zarr.zip", N, SIZE, SIZE, 3),
        "parsing": write_stack(tmp_path / "parsing.zarr.zip", N, SIZE, SIZE, 5),
        "transient_mask": write_stack(tmp_path / "mask.zarr.zip", N, SIZE, SIZE),
        "hand_free": write_stack(tmp_path / "hand_free.zarr.zip", N, SIZE, SIZE, 3),
    }
    return tmp_path, stacks


def assemble(folder, stacks):
    assemble_scene.main(
        str(folder / "manifest.json"),
        str(folder / "split.json"),
        str(folder / "landmarks.npz"),
        str(folder / "head_pose.npz"),
        str(folder / "expression.npz"),
        str(folder / "background.png"),
        stacks["frames"],
        stacks["parsing"],
        stacks["transient_mask"],
        stacks["hand_free"],
        str(folder / "scene.npz"),
        BoxOptions(),
    )


def test_a_scene_is_read_back_as_it_was_written(clip):
    folder, stacks = clip
    assemble(folder, stacks)
    save_arrays(
        folder / "audio.npz",
        audio_features=np.zeros((N, 4, 16), np.float32),
        is_silent=np.zeros(N, bool),
    )
    scene = load_scene(
        folder / "scene.npz", folder / "audio.npz", stacks["frames"], stacks["hand_free"],
        stacks["parsing"], stacks["transient_mask"],
    )  # fmt: skip
    assert (scene.clip, scene.n_frames, scene.height, scene.focal_length) == ("me", N, SIZE, 160.0)
    assert scene.background[0, 0].tolist() == [30, 20, 10], "RGB, though OpenCV writes BGR"
    assert np.flatnonzero(~scene.is_face_visible).tolist() == [3]
    assert scene.train_frames.tolist() == [0, *range(2, 18)]
    assert scene.validation_frames.tolist() == [19] and scene.test_frames.tolist() == [20]
    assert scene.seen_train_frames.tolist() == [0, 2, *range(4, 18)]
    assert np.flatnonzero(~scene.is_counted).tolist() == [1, 18, 21]
    assert scene.frames[5][0, 0, 0] == 5


def test_unequal_lengths_are_named(clip):
    folder, stacks = clip
    stacks["parsing"] = write_stack(folder / "short.zarr.zip", N - 1, SIZE, SIZE, 5)
    with pytest.raises(InputError, match=f"parsing has {N - 1}"):
        assemble(folder, stacks)
    assert not (folder / "scene.npz").exists()


def test_not_a_number_is_named_with_its_frame(clip):
    folder, stacks = clip
    pose = np.repeat(np.eye(4)[None], N, 0)
    pose[7, 0, 3] = np.nan
    save_arrays(folder / "head_pose.npz", T_camera_head=pose, focal_length=160.0)
    with pytest.raises(InputError, match="T_camera_head is not finite at frame 7"):
        assemble(folder, stacks)
