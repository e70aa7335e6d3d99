"""The rule that spoils a clip: what it leaves is a clip as any other, beside its truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import chirp

from wildtalker_core.errors import InputError
from wildtalker_core.media.audio import read_waveform, write_waveform
from wildtalker_core.media.files import load_json, save_json
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.media.splits import Split, save_split, split_frames
from wildtalker_core.media.video import read_video
from wildtalker_core.robustness.options import SpoilOptions
from workflow_scripts.media import spoil_clip

SIZE, FPS, N_FRAMES, RATE = 96, 25, 75, 16000
OPTIONS = {"hand_share": 0.75, "face_box": None, "snr_db": 6.0, "noise": "pink", "seed": 0,
           "place": "chest"}  # fmt: skip


def face_in_the_middle(frame: np.ndarray) -> np.ndarray:
    return np.array([[34.0, 22.0, 63.0, 51.0, 0.9]])


def nobody(frame: np.ndarray) -> np.ndarray:
    return np.empty((0, 5))


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clean")
    with write_frames(folder / "frames.zarr.zip", N_FRAMES, (SIZE, SIZE, 3)) as writer:
        for i in range(N_FRAMES):
            writer.append(np.full((SIZE, SIZE, 3), 60 + i, np.uint8))
    times = np.arange(N_FRAMES * RATE // FPS) / RATE
    speech = (0.3 * chirp(times, 200, times[-1], 3000)).astype(np.float32)
    write_waveform(folder / "speech.wav", speech, RATE)
    save_json(
        folder / "manifest.json",
        {"clip": "spoiled_0", "fps": FPS, "size_px": SIZE, "n_frames": N_FRAMES,
         "source": {"start_seconds": 3.0}, "crop": {"x": 9, "y": 9, "size": 9},
         "source_frames": [0] * N_FRAMES, "sample_rate_hz": RATE},
    )  # fmt: skip
    save_split(folder / "split.json", Split(split_frames(N_FRAMES), np.ones(N_FRAMES, bool)))
    return folder


def spoil(clean, folder, strength, find_faces=face_in_the_middle, **changes):
    names = {"frames": "frames.zarr.zip", "manifest": "manifest.json", "speech": "speech.wav",
             "occluder": "occluder.zarr.zip", "video": "spoiled.mp4"}  # fmt: skip
    outputs = {key: str(folder / name) for key, name in names.items()}
    options = SpoilOptions(**OPTIONS | changes)
    spoil_clip.main(
        str(clean / "frames.zarr.zip"), str(clean / "manifest.json"), str(clean / "speech.wav"),
        str(clean / "split.json"), None, outputs, "spoiled", strength, options,
        find_faces,
    )  # fmt: skip
    return outputs


def added_noise(clean, outputs) -> np.ndarray:
    truth, noisy = (read_waveform(path)[0] for path in (clean / "speech.wav", outputs["speech"]))
    gain = noisy @ truth / (truth @ truth)  # a mix that would clip is scaled down
    return noisy / gain - truth


def test_frames_differ_where_the_mask_says_and_nowhere_far_from_it(clean, tmp_path):
    outputs = spoil(clean, tmp_path, 100)
    before, after = FrameStore(clean / "frames.zarr.zip"), FrameStore(outputs["frames"])
    hands = FrameStore(outputs["occluder"])
    assert after.shape == before.shape and hands.shape == (N_FRAMES, SIZE, SIZE)
    shares = []
    for i in range(N_FRAMES):
        is_hand = hands[i] > 0
        shares.append(is_hand.any())
        if not is_hand.any():
            assert np.abs(after[i].astype(int) - before[i]).max() <= 14
        np.testing.assert_array_equal(after[i][: SIZE // 4], before[i][: SIZE // 4])
    assert 0.4 < np.mean(shares) < 0.8
    pictures = [picture for picture, _ in read_video(outputs["video"])]
    assert len(pictures) == N_FRAMES


def test_noise_amplitude_is_proportional_to_the_strength(clean, tmp_path):
    (tmp_path / "half").mkdir()
    full = added_noise(clean, spoil(clean, tmp_path, 100))
    half = added_noise(clean, spoil(clean, tmp_path / "half", 50))
    assert np.std(full) / np.std(half) == pytest.approx(2.0, rel=0.02)
    assert np.corrcoef(full, half)[0, 1] > 0.99, "the same noise"


def test_the_manifest_is_a_clips_own(clean, tmp_path):
    manifest = load_json(spoil(clean, tmp_path, 50)["manifest"])
    assert manifest["clip"] == "spoiled" and manifest["n_frames"] == N_FRAMES
    assert manifest["source_frames"] == list(range(N_FRAMES))
    assert manifest["source"]["start_seconds"] == 0.0, "its truth begins with its first frame"
    assert manifest["spoiled"]["hand_share"] == pytest.approx(0.375)
    assert manifest["spoiled"]["snr_db"] == pytest.approx(6.0 + 20 * np.log10(2))


def test_a_clip_without_a_face_needs_its_place(clean, tmp_path):
    with pytest.raises(InputError, match="face_box"):
        spoil(clean, tmp_path, 100, nobody)
    outputs = spoil(clean, tmp_path, 100, nobody, face_box=[0.35, 0.23, 0.66, 0.53])
    assert any(mask.any() for mask in FrameStore(outputs["occluder"]))
