"""The rule scripts on a tiny made clip: artefacts, errors, fillers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.occlusion.test_rigid_motion import SIZE, moving_square
from wildtalker_core.errors import InputError
from wildtalker_core.media.files import load_arrays, save_arrays, save_json
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.media.image import read_image
from wildtalker_core.media.splits import Split, save_split
from wildtalker_core.occlusion.options import FlowOptions, MaskOptions, RemovalOptions
from workflow_scripts.occlusion import (
    accumulate_transient_masks,
    draw_overlays,
    estimate_flow,
    remove_hands,
)

N_FRAMES = 12


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Stores of a clip in which a square crosses the torso, with flow and masks made."""
    folder = tmp_path_factory.mktemp("clip")
    frames, parsings, places = moving_square(N_FRAMES)
    for name, stack in (("frames", frames), ("parsing", parsings)):
        with write_frames(folder / f"{name}.zarr.zip", N_FRAMES, stack.shape[1:]) as writer:
            for frame in stack:
                writer.append(frame)
    landmarks = np.random.default_rng(0).uniform(50, 80, (1, 478, 2)) + np.zeros((N_FRAMES, 1, 1))
    save_arrays(folder / "landmarks.npz", landmarks=landmarks)
    save_json(folder / "manifest.json", {"fps": 25.0, "n_frames": N_FRAMES})
    save_split(folder / "split.json", Split((N_FRAMES,) * 3, np.ones(N_FRAMES, bool)))
    np.save(folder / "places.npy", places)
    estimate_flow.main(
        str(folder / "frames.zarr.zip"),
        str(folder / "parsing.zarr.zip"),
        str(folder / "landmarks.npz"),
        str(folder / "split.json"),
        str(folder / "flow_magnitude.zarr.zip"),
        str(folder / "rigid_motion.npz"),
        FlowOptions(),
    )
    make_masks(folder, folder / "transient_mask.zarr.zip", MaskOptions())
    return folder


def make_masks(folder, path, options):
    accumulate_transient_masks.main(
        str(folder / "frames.zarr.zip"),
        str(folder / "flow_magnitude.zarr.zip"),
        str(folder / "rigid_motion.npz"),
        str(folder / "parsing.zarr.zip"),
        str(folder / "manifest.json"),
        str(folder / "split.json"),
        str(path),
        options,
    )
    return FrameStore(path)[:]


def test_flow_store_is_as_promised(clip):
    magnitudes = FrameStore(clip / "flow_magnitude.zarr.zip")
    assert magnitudes.shape == (N_FRAMES, SIZE, SIZE)
    assert magnitudes.dtype == np.float16
    assert not magnitudes[0].any()
    assert load_arrays(clip / "rigid_motion.npz")["torso"].shape == (N_FRAMES, 2, 6)


def test_masks_cover_the_occluder(clip):
    masks, places = (
        FrameStore(clip / "transient_mask.zarr.zip")[:] > 127,
        np.load(clip / "places.npy"),
    )
    assert (masks & places)[2:].sum() / places[2:].sum() > 0.8
    assert (masks & ~places)[2:].mean() < 0.07


@pytest.mark.parametrize(
    "changes",
    [{"decay": "constant"}, {"decay": "adaptive"}, {"direction": "both"}, {"use_hands": False}],
    ids=str,
)
def test_every_way_to_accumulate_contains_the_motion_of_now(clip, tmp_path, changes):
    options = MaskOptions(**changes)
    masks = make_masks(clip, tmp_path / "mask.zarr.zip", options)
    plain = make_masks(
        clip, tmp_path / "plain.zarr.zip", replace(options, decay="constant", constant_decay=0.0)
    )
    assert plain.any() and (masks >= plain).all()
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_both_directions_are_no_less_than_forward(clip, tmp_path):
    both = make_masks(clip, tmp_path / "mask.zarr.zip", MaskOptions(direction="both"))
    assert (both >= FrameStore(clip / "transient_mask.zarr.zip")[:]).all()


@pytest.mark.parametrize("inpaint", ["temporal", "telea"])
def test_hand_free_frames_and_overlay(clip, tmp_path, inpaint, capsys):
    options = RemovalOptions(inpaint=inpaint)
    filled = tmp_path / "hand_free.zarr.zip"
    remove_hands.main(
        str(clip / "frames.zarr.zip"),
        str(clip / "parsing.zarr.zip"),
        str(clip / "transient_mask.zarr.zip"),
        str(clip / "split.json"),
        str(filled),
        options,
        remove_hands.make_filler(options, SIZE),
    )
    assert "hidden:" in capsys.readouterr().out
    frames, hand_free = FrameStore(clip / "frames.zarr.zip")[:], FrameStore(filled)[:]
    changed = (frames != hand_free).any(-1)
    masks = FrameStore(clip / "transient_mask.zarr.zip")[:]
    assert changed[6].any()
    assert not changed[masks.max(0)[None].repeat(N_FRAMES, 0) == 0][:10].any()
    draw_overlays.main(
        str(clip / "frames.zarr.zip"),
        str(clip / "parsing.zarr.zip"),
        str(clip / "flow_magnitude.zarr.zip"),
        str(clip / "transient_mask.zarr.zip"),
        str(filled),
        str(tmp_path / "overlay.png"),
    )
    height, width, _ = read_image(tmp_path / "overlay.png").shape
    assert width == 6 * draw_overlays.COLUMN_PX and height > 5 * draw_overlays.COLUMN_PX


def test_unequal_lengths_stop_at_once(clip, tmp_path):
    save_arrays(tmp_path / "landmarks.npz", landmarks=np.zeros((3, 478, 2)))
    with pytest.raises(InputError, match="has 3 frames"):
        estimate_flow.main(
            str(clip / "frames.zarr.zip"),
            str(clip / "parsing.zarr.zip"),
            str(tmp_path / "landmarks.npz"),
            str(clip / "split.json"),
            str(tmp_path / "flow.zarr.zip"),
            str(tmp_path / "rigid.npz"),
            FlowOptions(),
        )
    assert list(tmp_path.iterdir()) == [tmp_path / "landmarks.npz"]
