"""The rules' scripts on tiny clips of a real face, good ones and bad ones."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.media.made_clips import face_picture, run_ffmpeg
from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.options import FrameOptions
from wildtalker_core.media.splits import Split, save_split, split_frames
from wildtalker_core.media.video_writer import VideoWriter
from workflow_scripts.media import extract_frames, extract_speech

CONFIG_DIR = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def find_faces():
    warnings.simplefilter("ignore")
    from wildtalker_core.pretrained.face_detector import FaceDetector

    with FaceDetector() as detector:
        yield detector


@pytest.fixture(scope="module")
def face():
    return face_picture(256)


def film(path, images, sound="sine=frequency=300:sample_rate=44100", fps=25.0):
    silent = path.with_name(f"pictures-{path.name}")
    with VideoWriter(silent, fps) as video:
        for image in images:
            video.append(image)
    if sound is None:
        silent.rename(path)
    else:
        run_ffmpeg("-i", silent, "-f", "lavfi", "-i", sound, "-c:v", "copy", "-shortest", path)
    return path


def extract(path, find_faces, **changes):
    out = path.parent / f"{path.stem}-results"
    extract_frames.main(
        str(path), str(out / "frames.zarr.zip"), str(out / "manifest.json"), "c",
        FrameOptions(**changes), find_faces,
    )  # fmt: skip
    manifest = json.loads((out / "manifest.json").read_text())
    n_frames = manifest["n_frames"]
    save_split(out / "split.json", Split(split_frames(n_frames), np.ones(n_frames, bool)))
    extract_speech.main(
        str(path), str(out / "manifest.json"), str(out / "split.json"), str(out / "speech.wav"),
        str(out / "speech.json"),
    )  # fmt: skip
    return FrameStore(out / "frames.zarr.zip"), manifest, read_waveform(out / "speech.wav")[0]


def test_good_clip_keeps_every_promise_of_the_manifest(tmp_path, find_faces, face):
    blank = np.full_like(face, 90)
    images = [np.roll(face, i % 7, axis=1) for i in range(60)]
    images[20] = images[21] = images[59] = blank
    path = film(tmp_path / "clip.mp4", images)
    frames, manifest, speech = extract(path, find_faces, size_px=128, crop="whole")
    assert frames.shape == (60, 128, 128, 3) and frames.dtype == np.uint8
    assert manifest["n_frames"] == 60 == len(manifest["frame_times_seconds"])
    np.testing.assert_allclose(manifest["frame_times_seconds"], np.arange(60) / 25)
    assert manifest["source_frames"] == list(range(60))
    assert manifest["faceless_frames"] == [20, 21, 59]
    assert manifest["crop"] == {"x": 0, "y": 0, "size": 256}
    assert speech.size == manifest["n_samples"] == 60 * 640
    reduced = images[5].reshape(128, 2, 128, 2, 3).mean(axis=(1, 3))  # area average
    assert np.abs(frames[5] - reduced).mean() < 3


def test_small_face_in_a_large_frame_fills_the_portrait(tmp_path, find_faces, face):
    """Most of the frame is wall; the square must find the face."""
    image = np.full((960, 1280, 3), 100, np.uint8)
    image[300:812, 700:1212] = face_picture(512)
    path = film(tmp_path / "far.mp4", [image] * 20)
    frames, manifest, _ = extract(path, find_faces, min_seconds=0.5, size_px=256)
    own = find_faces(face_picture(512))[0]
    assert manifest["crop"]["size"] == pytest.approx(3 * (own[3] - own[1]), rel=0.1)
    again = find_faces(frames[0])[0]
    assert 0.28 < (again[3] - again[1]) / 256 < 0.4
    centre = 0.5 * (again[0] + again[2])
    assert abs(centre - 128) < 26


def test_second_face_does_not_steal_the_portrait(tmp_path, find_faces, face):
    image = np.full((512, 1024, 3), 100, np.uint8)
    image[100:484, 80:464] = face_picture(384)
    image[200:392, 700:892] = face_picture(192)
    path = film(tmp_path / "two.mp4", [image if i % 3 else image.copy() for i in range(50)])
    _, manifest, _ = extract(path, find_faces)
    assert manifest["faceless_frames"] == []
    assert manifest["crop"]["x"] + manifest["crop"]["size"] / 2 < 400


def refuse(path, find_faces, problem, **changes):
    with pytest.raises(InputError, match=problem) as caught:
        extract(path, find_faces, **changes)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    out = path.parent / f"{path.stem}-results"
    left = [p.name for p in out.iterdir()] if out.exists() else []
    assert not [name for name in left if "partial" in name]
    return left


def test_bad_clips_are_refused_in_one_line(tmp_path, find_faces, face):
    refuse(tmp_path / "absent.mp4", find_faces, "does not exist")
    short = film(tmp_path / "short.mp4", [face] * 25)
    assert refuse(short, find_faces, "gives 1.0 s of frames, at least 2 s") == []
    small = film(tmp_path / "small.mp4", [face_picture(64)] * 50)
    assert refuse(small, find_faces, "has 64x64 pixels, 128 a side") == []
    wall = film(tmp_path / "wall.mp4", [np.full((256, 256, 3), 90, np.uint8)] * 50)
    assert refuse(wall, find_faces, "shows no face in any frame") == []
    boxes = np.kron(np.arange(64).reshape(8, 8) % 5 * 50, np.ones((32, 32))).astype(np.uint8)
    half = film(tmp_path / "half.mp4", [face] * 30 + [np.dstack([boxes] * 3)] * 20)
    assert refuse(half, find_faces, r"in only 60 % .* \(frame 30 is the first") == []
    mute = film(tmp_path / "mute.mp4", [face] * 50, sound=None)
    assert "speech.wav" not in refuse(mute, find_faces, "has no audio stream")
    silent = film(tmp_path / "silent.mp4", [face] * 50, sound="anullsrc")
    assert "speech.wav" not in refuse(silent, find_faces, "is silent")
    tiny = np.full((720, 720, 3), 90, np.uint8)
    tiny[300:500, 300:500] = face_picture(200)
    far = film(tmp_path / "tiny.mp4", [tiny] * 5)
    refuse(far, find_faces, "face so small", min_seconds=0.1, size_px=64)


def test_truncated_clip_is_refused(tmp_path, find_faces, face):
    rng = np.random.default_rng(0)
    noisy = [face ^ rng.integers(0, 8, face.shape, np.uint8) for _ in range(60)]
    path = film(tmp_path / "clip.mp4", noisy)
    front = tmp_path / "front.mp4"
    run_ffmpeg("-i", path, "-c", "copy", "-movflags", "+faststart", front)
    front.write_bytes(front.read_bytes()[: front.stat().st_size // 2])
    refuse(front, find_faces, "truncated|cannot be decoded")


def test_stretch_of_a_long_clip(tmp_path, find_faces, face):
    path = film(tmp_path / "long.mp4", [np.roll(face, i // 10, axis=1) for i in range(150)])
    frames, manifest, speech = extract(path, find_faces, start_seconds=1.0, max_seconds=3.0)
    assert manifest["source_frames"] == list(range(25, 100))
    assert manifest["frame_times_seconds"][0] == 0.0
    assert len(frames) == 75 and speech.size == 3 * 16000
    assert np.abs(speech[-1600:]).max() > 0.05  # the sound goes on to the end


def test_clipped_sound_is_taken_with_a_warning(tmp_path, find_faces, face):
    path = film(
        tmp_path / "loud.mp4", [face] * 50, sound="sine=frequency=200:sample_rate=44100,volume=40dB"
    )
    extract(path, find_faces)
    facts = json.loads((tmp_path / "loud-results" / "speech.json").read_text())
    assert facts["clipped_share"] > 0.01 and "clipped" in facts["warnings"][0]
    assert facts["peak_dbfs"] > 0  # AAC decodes beyond full scale ...
    speech, _ = read_waveform(tmp_path / "loud-results" / "speech.wav")
    assert np.mean(np.abs(speech) == np.abs(speech).max()) < 0.01  # ... and is not cut there
    fine = film(tmp_path / "fine.mp4", [face] * 50)
    extract(fine, find_faces)
    assert json.loads((tmp_path / "fine-results" / "speech.json").read_text())["warnings"] == []
