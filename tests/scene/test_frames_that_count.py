"""Black parts of real files: in no list of the split, in no mask, plate or mean."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.training.tiny_scene import N_FRAMES, make_scene
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.options import FrameOptions
from wildtalker_core.media.splits import PARTS, load_split
from wildtalker_core.pretrained.face_detector import FaceDetector
from workflow_scripts.media import extract_frames, split_frames
from workflow_scripts.render.render_baseline import mean_frame

FAULTS = ROOT.parent / "shared" / "faults"


@pytest.mark.parametrize("name", ["blacktail", "leadin"])
def test_black_frames_of_a_file_are_in_no_part(tmp_path, name):
    path = FAULTS / f"{name}.mp4"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    frames, manifest, split = (str(tmp_path / n) for n in ("f.zarr.zip", "m.json", "s.json"))
    options = FrameOptions(size_px=96)
    with FaceDetector() as find_faces:
        extract_frames.main(str(path), frames, manifest, name, options, find_faces)
    split_frames.main(frames, manifest, split, options.train_fraction)
    is_black = np.array([frame.max() < 40 for frame in FrameStore(frames)])
    assert is_black.any() and not is_black.all()
    found = load_split(split)
    assert np.array_equal(found.is_counted, ~is_black)
    listed = np.concatenate([found.frames(part) for part in PARTS])
    assert np.array_equal(listed, np.flatnonzero(~is_black))


def test_the_mean_frame_is_of_frames_that_count():
    scene = make_scene()
    frames = scene.frames.copy()
    frames[:4] = 0
    is_counted = np.arange(N_FRAMES) >= 4
    train = scene.train_frames[4:]
    black = replace(scene, frames=frames, is_counted=is_counted, train_frames=train)
    expected = scene.frames[train].mean(0)
    assert np.abs(mean_frame(black)(0) - expected).max() <= 0.5
    assert black.seen_train_frames.tolist() == train.tolist()
