"""The clips of people nobody filmed for us: the face fills the portrait."""

import json

import av
import numpy as np
import pytest

from tests.media.test_extract import find_faces  # noqa: F401
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.options import FrameOptions
from workflow_scripts.media import extract_frames


@pytest.mark.parametrize(
    "name", ["anchor_20s", "congress_60s", "gestures_20s", "oddfps_6s", "pencil_7s", "phone_7s",
             "silent_30s"],
)  # fmt: skip
def test_head_is_inside_and_large_enough(tmp_path, shared_data, find_faces, name):  # noqa: F811
    extract_frames.main(
        str(shared_data / "video" / f"{name}.mp4"), str(tmp_path / "f.zarr.zip"),
        str(tmp_path / "m.json"), name, FrameOptions(size_px=256, max_seconds=0.4, min_seconds=0.3),
        find_faces,
    )  # fmt: skip
    manifest = json.loads((tmp_path / "m.json").read_text())
    frames = FrameStore(tmp_path / "f.zarr.zip")
    assert frames.shape == (10, 256, 256, 3) and manifest["faceless_frames"] == []
    x0, y0, x1, y1, _ = find_faces(frames[5])[0]
    assert 0.25 < (y1 - y0) / 256 < 0.75
    assert np.all([x0 > 0, x1 < 256, y0 > 20, y1 < 240])


def test_odd_frame_rate_shows_at_each_time_what_a_player_shows(tmp_path, shared_data):
    """22.13 frames a second become 25: against the clip's own time stamps."""
    path = shared_data / "video" / "oddfps_6s.mp4"
    extract_frames.main(
        str(path), str(tmp_path / "f.zarr.zip"), str(tmp_path / "m.json"), "c",
        FrameOptions(), lambda image: np.array([[200, 100, 500, 400, 0.9]]),
    )  # fmt: skip
    manifest = json.loads((tmp_path / "m.json").read_text())
    with av.open(str(path)) as video:
        packets = [packet for packet in video.demux(video=0) if packet.pts is not None]
    shown_from = np.sort([float(packet.pts * packet.time_base) for packet in packets])
    shown_from -= shown_from[0]
    # A millisecond early, as sample_frames decides ties: its stamps are thirtieths of a second.
    middles = np.array(manifest["frame_times_seconds"]) + 0.5 / 25 - 0.001
    expected = np.searchsorted(shown_from, middles, side="right") - 1
    assert abs(manifest["n_frames"] - 6.1 * 25) <= 1
    assert np.array_equal(manifest["source_frames"], expected)
