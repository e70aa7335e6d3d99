"""A made-up clip of a real face, with everything that lies left of evaluate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wildtalker_core.media.files import save_arrays, save_json
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.media.video_writer import VideoWriter

N_FRAMES, SIZE_PX, FPS, RATE_HZ = 14, 192, 25.0, 16000
TEST_FRAMES = np.arange(4, 14)


@dataclass(frozen=True)
class MadeClip:
    """frames: [n, 192, 192, 3] uint8. root: a results folder; video and render: its one render."""

    root: Path
    frames: np.ndarray

    def path(self, name: str) -> str:
        return str(self.root / "clip" / name)


def portrait_frames() -> np.ndarray:
    """The astronaut's head, moved a pixel a frame, its mouth region stretched now and then."""
    import cv2
    from skimage import data

    photograph = data.astronaut()[0:300, 70:370]
    frames = []
    for i in range(N_FRAMES):
        warp = np.array([[SIZE_PX / 300, 0, 0.7 * np.sin(i)], [0, SIZE_PX / 300, 0.5 * np.cos(i)]])
        frames.append(cv2.warpAffine(photograph, warp, (SIZE_PX, SIZE_PX), borderMode=1))
    return np.stack(frames)


def write_render(folder: Path, frames: np.ndarray, sound_path: Path, **facts: object) -> None:
    with VideoWriter(folder / "self_driven.mp4", FPS, sound_path, crf=12) as video:
        for frame in frames:
            video.append(frame)
    save_json(
        folder / "self_driven.json",
        {
            "frames": TEST_FRAMES.tolist(),
            "mode": "portrait",
            "seconds_per_frame": 0.05,
            "device": "cpu",
            "kind": "nerf",
            **facts,
        },
    )


@pytest.fixture(scope="session")
def made_clip(tmp_path_factory: pytest.TempPathFactory) -> MadeClip:
    root = tmp_path_factory.mktemp("results")
    clip = root / "clip"
    frames = portrait_frames()
    rng = np.random.default_rng(0)
    n_samples = round(N_FRAMES / FPS * RATE_HZ)
    times = np.arange(n_samples) / RATE_HZ
    speech = 0.3 * np.sin(2 * np.pi * 900 * times) * (0.5 + 0.5 * np.sin(2 * np.pi * 4 * times))
    (clip / "media").mkdir(parents=True)
    soundfile.write(
        clip / "media/speech.wav", speech + 0.001 * rng.standard_normal(n_samples), RATE_HZ
    )
    save_json(
        clip / "media/manifest.json",
        {
            "clip": "clip",
            "fps": FPS,
            "n_frames": N_FRAMES,
            "size_px": SIZE_PX,
            "frame_times_seconds": (np.arange(N_FRAMES) / FPS).tolist(),
            "source_frames": list(range(N_FRAMES)),
            "crop": {"x": 10, "y": 4, "size": 2 * SIZE_PX},
            "sample_rate_hz": RATE_HZ,
            "n_samples": n_samples,
            "source": {"start_seconds": 0.0, "first_frame_seconds": 0.0},
        },
    )
    box = np.array([50, 40, 140, 150])
    save_arrays(
        clip / "scene/scene.npz",
        face_box=np.tile(box, (N_FRAMES, 1)),
        lip_box=np.tile([75, 110, 120, 140], (N_FRAMES, 1)),
        landmarks=np.zeros((N_FRAMES, 478, 2), np.float32),
        frame_times_seconds=np.arange(N_FRAMES) / FPS,
        is_counted=np.ones(N_FRAMES, bool),
    )
    parsing = np.zeros((SIZE_PX, SIZE_PX, 5), np.uint8)
    parsing[:150, :, 1], parsing[150:, :, 3] = 255, 255
    with write_frames(clip / "person/parsing.zarr.zip", N_FRAMES, parsing.shape) as store:
        for _ in range(N_FRAMES):
            store.append(parsing)
    with write_frames(clip / "occlusion/hand_free.zarr.zip", N_FRAMES, frames.shape[1:]) as store:
        for frame in frames:
            store.append(frame)
    for part, seconds in (("head", 1800), ("lips", 900), ("torso", 900)):
        save_json(clip / f"train/ours/{part}.json", {"seconds": seconds, "device": "cpu"})
    write_render(clip / "render/ours", frames[TEST_FRAMES], clip / "media/speech.wav")
    return MadeClip(root, frames)
