"""The split is in time, complete, and says when it cannot be made; what does not count is out."""

import numpy as np
import pytest

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.media.splits import (
    PARTS,
    Split,
    frames_with_person,
    load_split,
    save_split,
    split_frames,
)
from workflow_scripts.media import split_frames as script


@pytest.mark.parametrize("n_frames", [4, 11, 275, 300, 7500])
def test_parts_are_in_order_and_complete(n_frames):
    split = Split(split_frames(n_frames), np.ones(n_frames, bool))
    frames = [split.frames(part) for part in PARTS]
    np.testing.assert_array_equal(np.concatenate(frames), np.arange(n_frames))
    n_train, n_validation, n_test = map(len, frames)
    assert n_train + n_validation == n_frames * 10 // 11, "the test is what it has always been"
    assert abs(n_validation - (n_train + n_validation) / 10) < 1
    assert np.array_equal(np.flatnonzero(split.is_fitted), frames[0])


def test_no_part_may_be_empty():
    with pytest.raises(InputError, match="0 to test"):
        split_frames(10, 0.9999999999)
    with pytest.raises(InputError, match="0 frames to train"):
        split_frames(2)


def test_a_split_is_read_back_as_it_was_written(tmp_path):
    is_counted = ~np.isin(np.arange(33), [0, 5, 28, 32])
    save_split(tmp_path / "split.json", Split(split_frames(33), is_counted))
    split = load_split(tmp_path / "split.json")
    assert split.spans == ((0, 27), (27, 30), (30, 33))
    assert split.frames("validation").tolist() == [27, 29]
    assert split.frames("test").tolist() == [30, 31]
    assert np.array_equal(split.is_counted, is_counted)


def picture(seed: int = 0) -> np.ndarray:
    """A person before a wall, in rough strokes; another seed moves the person a little."""
    image = np.full((64, 64, 3), 120, np.uint8)
    image[40:, 8 + seed : 56 + seed] = (30, 40, 90)
    image[12:40, 22 + seed : 42 + seed] = (200, 160, 140)
    return image


def test_a_hidden_face_counts_and_a_title_does_not():
    hand = picture(1)
    hand[18:36, 20:40] = (210, 170, 150)
    title = np.full((64, 64, 3), 20, np.uint8)
    title[28:36, 6:58:4] = 250
    faded = (0.2 * picture(1) + 5).astype(np.uint8)
    black = np.zeros((64, 64, 3), np.uint8)
    me = [picture(i % 3) for i in range(5)]
    frames = [black, title, *me, hand, title, title, faded, *me, black]
    # The detector sees a face in one of the titles.
    is_faceless = np.isin(np.arange(len(frames)), [0, 1, 7, 8, 10, 16])
    counted = frames_with_person(frames, is_faceless, (14, 15, 17))
    assert np.flatnonzero(counted).tolist() == [*range(2, 8), *range(11, 16)]


def test_what_counts_in_training_does_not_ask_the_test_frames():
    frames = [picture(i % 3) for i in range(22)]
    is_faceless = np.isin(np.arange(22), [0, 7, 8, 20])
    frames[8] = np.zeros_like(frames[8])
    end = split_frames(22)[1]
    before = frames_with_person(frames, is_faceless, split_frames(22))
    noise = np.random.default_rng(0).integers(0, 256, (22, 64, 64, 3), np.uint8)
    after = frames_with_person(
        [*frames[:end], *noise[end:]], is_faceless | (np.arange(22) >= end), split_frames(22)
    )
    assert np.array_equal(before[:end], after[:end]) and not after[end:].any()
    assert np.flatnonzero(~before).tolist() == [8]


def run_script(folder, blank_frames):
    with write_frames(folder / "frames.zarr.zip", 22, (64, 64, 3)) as writer:
        for i in range(22):
            writer.append(picture(i % 3))
    manifest = {"clip": "me", "faceless_frames": [], "blank_frames": blank_frames}
    save_json(folder / "manifest.json", manifest)
    paths = [folder / name for name in ("frames.zarr.zip", "manifest.json", "split.json")]
    script.main(*map(str, paths), train_fraction=10 / 11)
    return load_json(folder / "split.json")


def test_blank_frames_of_the_manifest_do_not_count(tmp_path):
    assert run_script(tmp_path, [0, 1, 20])["uncounted_frames"] == [0, 1, 20]
    with pytest.raises(InputError, match="in none of the test frames 20 to 21"):
        run_script(tmp_path, [20, 21])
