"""The clips of people nobody filmed for us: the face fills the portrait."""

import json

import numpy as np
import pytest

from tests.media.test_extract import find_faces, options  # noqa: F401
from wildtalker_core.media.frame_store import FrameStore
from workflow_scripts.media import extract_frames


@pytest.mark.parametrize(
    "name", ["anchor_20s", "congress_60s", "gestures_20s", "oddfps_6s", "pencil_7s", "phone_7s",
             "silent_30s"],
)  # fmt: skip
def test_head_is_inside_and_large_enough(tmp_path, shared_data, find_faces, name):  # noqa: F811
    extract_frames.main(
        str(shared_data / "video" / f"{name}.mp4"), str(tmp_path / "f.zarr.zip"),
        str(tmp_path / "m.json"), name, options(max_seconds=0.4, min_seconds=0.3), find_faces,
    )  # fmt: skip
    manifest = json.loads((tmp_path / "m.json").read_text())
    frames = FrameStore(tmp_path / "f.zarr.zip")
    assert frames.shape == (10, 256, 256, 3) and manifest["faceless_frames"] == []
    x0, y0, x1, y1, _ = find_faces(frames[5])[0]
    assert 0.25 < (y1 - y0) / 256 < 0.75
    assert np.all([x0 > 0, x1 < 256, y0 > 20, y1 < 240])
