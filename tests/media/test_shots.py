"""Blank frames, fades, cuts and captions, laid over a clip in which there are none."""

import cv2
import numpy as np
import pytest

from tests.conftest import ROOT, faults_folder
from tests.media.test_extract import extract, film, find_faces  # noqa: F401
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.shots import Stills, find_shots, shot_warnings, thumbnail
from wildtalker_core.media.video import sample_frames

FPS = 25.0


@pytest.fixture(scope="module")
def clip():
    """Four seconds of a person who moves and speaks, [100, 256, 256, 3]."""
    path = ROOT / "examples" / "astronaut.mp4"
    return np.stack([resize_image(s.image, 256) for s in sample_frames(path, FPS, 0.0, 4.0)])


def shots_of(frames, fps=FPS):
    return find_shots(np.stack([thumbnail(f) for f in frames]), np.arange(len(frames)) / fps)


def captions_of(frames, shots=None):
    shots = shots or shots_of(frames)
    stills = Stills(len(frames))
    for frame in frames:
        stills.see(frame)
    face = np.tile([0.35, 0.15, 0.65, 0.5], (len(frames), 1))
    return stills.captions(shots.blank, shots.cuts, face)


def faded(frames, gains, field):
    return np.stack(
        [
            np.round(gain * frame + (1 - gain) * field).astype(np.uint8)
            for frame, gain in zip(frames, gains, strict=True)
        ]
    )


def test_a_plain_clip_has_none_of_it(clip):
    shots = shots_of(clip)
    assert len(shots.blank) == len(shots.cuts) == 0
    assert captions_of(clip) == []


@pytest.mark.parametrize("name", ["anchor_20s", "congress_60s", "phone_7s", "moving_camera_8s"])
def test_real_clips_have_none_of_it(shared_data, name):
    frames = [s.image for s in sample_frames(shared_data / "video" / f"{name}.mp4", FPS, 0.0, 3.0)]
    assert len(shots_of(frames).blank) == len(shots_of(frames).cuts) == 0


@pytest.mark.parametrize("level", [0, 16, 128, 255])
@pytest.mark.parametrize("place", ["start", "middle", "end"])
def test_plain_frames_are_blank_whatever_their_colour(clip, level, place):
    rng = np.random.default_rng(0)
    where = {"start": range(0, 20), "middle": range(40, 47), "end": range(92, 100)}[place]
    frames = clip.copy()
    for i in where:
        frames[i] = np.clip(level + rng.normal(0, 2, frames[i].shape), 0, 255)
    assert shots_of(frames).blank.tolist() == list(where)
    assert len(shots_of(frames).cuts) == 0


@pytest.mark.parametrize("field", [0, 255])
@pytest.mark.parametrize("n_fade", [6, 12, 25, 50])
@pytest.mark.parametrize("n_black", [0, 10])
@pytest.mark.parametrize("is_in", [True, False])
def test_fades_are_blank_from_end_to_end(clip, field, n_fade, n_black, is_in):
    """To within the last tenth, which is as good as the picture."""
    gains = np.r_[np.zeros(n_black), (np.arange(n_fade) + 0.5) / n_fade, np.ones(100)][:100]
    if not is_in:
        gains = gains[::-1]
    frames = faded(clip, gains, field)
    blank = np.isin(np.arange(100), shots_of(frames).blank)
    assert blank[gains < 0.85].all(), (gains[~blank].min(),)
    assert not blank[gains > 0.995].any()


def test_a_cut_is_named_and_a_flash_is_not(clip):
    other = np.ascontiguousarray(clip[:, ::-1, ::-1])
    frames = np.concatenate([clip[:40], other[40:70], clip[70:]])
    assert shots_of(frames).cuts.tolist() == [40, 70]
    flash = clip.copy()
    flash[50:52] = 255 - flash[50:52]
    assert len(shots_of(flash).cuts) == 0
    assert len(shots_of(np.roll(clip, 1, axis=0)[1:]).cuts) == 0


def test_a_real_jump_cut(shared_data):
    path = shared_data / "video" / "gestures_20s.mp4"
    frames = [s.image for s in sample_frames(path, FPS, 8.5, 1.0)]
    assert shots_of(frames).cuts.tolist() == [13]


CORNERS = {"top left": (12, 28), "bottom left": (12, 244), "bottom right": (150, 244)}


@pytest.mark.parametrize("place", CORNERS)
@pytest.mark.parametrize("colour", [(255, 255, 255), (20, 20, 20)])
def test_a_caption_that_comes_is_named_with_its_instant(clip, place, colour):
    frames = clip.copy()
    for frame in frames[30:]:
        x, y = CORNERS[place]
        back = (10, 10, 10) if colour[0] > 128 else (240, 240, 240)
        cv2.rectangle(frame, (x - 6, y - 18), (x + 92, y + 7), back, -1)
        cv2.putText(frame, "CH 7 NEWS", (x, y), 0, 0.5, colour, 1, cv2.LINE_AA)
    found = [(i, where) for i, where in captions_of(frames) if i is not None]
    assert len(found) == 1
    assert abs(found[0][0] - 30) <= 1 and found[0][1] == place
    lines = shot_warnings(np.zeros(0, int), np.zeros(0, int), found, FPS)
    assert place in lines[0] and "1.2" in lines[0]


@pytest.mark.parametrize("place", CORNERS)
def test_a_caption_that_stays_is_named(clip, place):
    frames = clip.copy()
    for frame in frames:
        cv2.putText(frame, "CH 7 NEWS", CORNERS[place], 0, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    assert (None, place) in captions_of(frames)


# --- in the manifest ------------------------------------------------------------------------------


def test_a_black_lead_in_breaks_neither_crop_nor_share(tmp_path, clip, find_faces):  # noqa: F811
    """Blank frames count neither as the face's nor as frames without it."""
    black = [np.zeros((256, 256, 3), np.uint8)] * 30
    plain = film(tmp_path / "plain.mp4", list(clip[:70]))
    led = film(tmp_path / "led.mp4", black + list(clip[:70]))
    _, before, _ = extract(plain, find_faces, size_px=64)
    frames, after, _ = extract(led, find_faces, size_px=64)
    assert after["crop"] == before["crop"]
    assert after["blank_frames"] == list(range(30)) and before["blank_frames"] == []
    assert set(range(30)) <= set(after["faceless_frames"])
    assert "frames 0 to 29 (0.00 to 1.20 s) are blank" in after["warnings"][0]
    assert len(frames) == 100 == after["n_frames"]


def test_a_cut_stands_in_the_manifest(tmp_path, clip, find_faces):  # noqa: F811
    moved = np.roll(clip, (20, 30), axis=(1, 2))
    path = film(tmp_path / "cut.mp4", [*clip[:40], *moved[40:80]])
    _, manifest, _ = extract(path, find_faces, size_px=64)
    assert manifest["cut_frames"] == [40]
    assert any("a cut at 1.60 s (frame 40)" in line for line in manifest["warnings"])


@pytest.mark.parametrize(
    ("name", "blank"), [("leadin.mp4", range(0, 20)), ("blacktail.mp4", range(118, 125))]
)
def test_faulty_clips(tmp_path, find_faces, name, blank):  # noqa: F811
    path = tmp_path / name
    path.write_bytes((faults_folder() / name).read_bytes())
    _, manifest, _ = extract(path, find_faces, size_px=64)
    assert manifest["blank_frames"] == list(blank)
    assert manifest["crop"] == {"x": 0, "y": 0, "size": 256}


@pytest.mark.parametrize("name", ["size_first_second.webm", "size_slight.ts"])
def test_a_size_that_changes_keeps_one_framing(tmp_path, find_faces, name):  # noqa: F811
    path = tmp_path / name
    path.write_bytes((faults_folder() / name).read_bytes())
    frames, manifest, _ = extract(path, find_faces, size_px=256)
    assert manifest["crop"] == {"x": 0, "y": 0, "size": 512}
    assert "all frames are scaled to 512x512" in manifest["warnings"][0]
    boxes = np.array([find_faces(frames[i])[0][:4] for i in (5, 15, 40, 100)])
    heights = boxes[:, 3] - boxes[:, 1]
    assert np.ptp(heights) < 0.12 * heights.mean()
    assert np.ptp(boxes[:, 0]) < 20
