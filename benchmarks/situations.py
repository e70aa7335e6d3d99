"""Generated clips with hands whose every truth is known, for the motion benchmarks.

``CHOSEN_ON`` are the situations on which constants of the motion stage may be chosen: the
example's own person, one recording quality. ``HELD_OUT`` decide nothing: other persons, clothes,
walls, seeds, paths of the hands, noise and compression. All pass through a video codec and the face
stage as any clip does.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from photograph import PortraitModel, build_portrait  # noqa: E402
from situation import Situation  # noqa: E402
from synthetic_portrait import render_situation  # noqa: E402

from wildtalker_core.media.files import load_arrays, save_arrays, save_json  # noqa: E402
from wildtalker_core.media.frame_store import FrameStore, write_frames  # noqa: E402
from wildtalker_core.media.splits import Split, save_split  # noqa: E402
from wildtalker_core.person.options import HandOptions, LandmarkOptions  # noqa: E402
from wildtalker_core.robustness.gesture import Gesture  # noqa: E402
from wildtalker_core.robustness.synthetic_hand import HandPalette  # noqa: E402
from workflow_scripts.person import detect_landmarks, parse_portrait  # noqa: E402

FPS = 25.0
N_FRAMES = 84
SIZE_PX = 192


@dataclass(frozen=True)
class Scenario:
    """A situation, what the person looks like, and how well it is recorded."""

    situation: Situation
    look: Callable[[PortraitModel], PortraitModel] = lambda model: model
    crf: int = 23


def _scenario(
    *gestures: Gesture,
    seed: int,
    look: Callable[[PortraitModel], PortraitModel] = lambda model: model,
    crf: int = 23,
    **changes: float,
) -> Scenario:
    facts = {"n_frames": N_FRAMES, "size_px": SIZE_PX, "fps": FPS, "sensor_noise": 0.006}
    facts |= {"hand_blur_samples": 3}
    return Scenario(Situation(**{**facts, **changes}, seed=seed, gestures=gestures), look, crf)


def pinstripe(model: PortraitModel) -> PortraitModel:
    """A dark suit with a fine stripe before shelves; darker skin; a dark prop."""
    rows, columns = model.torso.shape[:2]
    light = model.torso.mean(-1, keepdims=True)
    stripe = 0.05 * (np.sin(np.arange(columns) * 0.55) > 0.8)[None, :, None]
    torso = np.array([0.13, 0.15, 0.22]) * (0.45 + 1.1 * light) + stripe
    rng = np.random.default_rng(11)
    books = rng.uniform(0.1, 0.75, (5, columns // 9 + 1, 3)).repeat(9, 1)[:, :columns]
    shelves = cv2.resize(books, (columns, rows), interpolation=cv2.INTER_NEAREST)
    tone = np.array([0.66, 0.56, 0.50])
    return replace(
        model,
        torso=torso.astype(np.float32),
        background=cv2.GaussianBlur(shelves, (0, 0), 1.5).astype(np.float32),
        head=(model.head * tone).astype(np.float32),
        palette=HandPalette(
            skin=model.palette.skin * tone,
            sleeve=np.array([0.15, 0.17, 0.25]),
            cuff=np.array([0.8, 0.8, 0.82]),
            prop=np.array([0.07, 0.07, 0.08]),
        ),
    )


def checked(model: PortraitModel) -> PortraitModel:
    """A checked shirt before a plain wall with a lamp's glow; bare, reddish arms; a blue prop."""
    rows, columns = model.torso.shape[:2]
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32)
    check = (np.sin(x * 0.33) > 0).astype(np.float32) + (np.sin(y * 0.33) > 0)
    light = model.torso.mean(-1, keepdims=True)
    colours = np.array([[0.25, 0.42, 0.36], [0.55, 0.62, 0.50], [0.85, 0.84, 0.72]])
    torso = colours[check.astype(int)] * (0.5 + light)
    glow = np.exp(-((x - 0.8 * columns) ** 2 + (y - 0.2 * rows) ** 2) / (0.35 * columns) ** 2)
    wall = np.array([0.52, 0.50, 0.47]) + glow[..., None] * np.array([0.35, 0.3, 0.2])
    skin = model.palette.skin * np.array([1.05, 0.92, 0.88])
    return replace(
        model,
        torso=torso.astype(np.float32),
        background=wall.astype(np.float32),
        palette=HandPalette(
            skin=skin, sleeve=0.96 * skin, cuff=0.9 * skin, prop=np.array([0.12, 0.25, 0.55])
        ),
    )


CHOSEN_ON = {
    "fast_wave": _scenario(Gesture("fast_wave", "left", 0.5, 2.2), seed=1),
    "slow_entry": _scenario(Gesture("slow_entry", "right", 0.3, 2.8), seed=2),
    "held_hand": _scenario(Gesture("held_hand", "left", 0.2, 3.1), seed=3),
    "leaving_hand": _scenario(Gesture("leaving_hand", "right", 0.0, 2.2), seed=4),
    "prop_in_hand": _scenario(Gesture("prop_in_hand", "left", 0.4, 2.6), seed=5),
    "two_hands": _scenario(
        Gesture("beat", "left", 0.3, 2.4), Gesture("beat", "right", 0.9, 2.2), seed=6
    ),
    "shaky_camera": _scenario(Gesture("beat", "right", 0.5, 2.4), seed=7, camera_shake_px=2.0),
    "sway_only": _scenario(seed=8, body_sway_px=5.0, yaw_degrees=16.0),
}

# Other kinds of noise and compression go with the other looks.
_WORSE: dict[str, Any] = {"sensor_noise": 0.012, "crf": 27}
HELD_OUT = {
    "fast_wave": _scenario(
        Gesture("fast_wave", "right", 0.4, 2.5, (166.0, 214.0)), seed=101, look=pinstripe, **_WORSE
    ),
    "slow_entry": _scenario(
        Gesture("slow_entry", "left", 0.2, 2.9, (98.0, 230.0)), seed=102, look=checked
    ),
    "held_hand": _scenario(
        Gesture("held_hand", "right", 0.2, 3.1, (160.0, 222.0)), seed=103, look=pinstripe
    ),
    "leaving_hand": _scenario(
        Gesture("leaving_hand", "left", 0.0, 2.6, (88.0, 234.0)), seed=104, look=checked, **_WORSE
    ),
    "prop_in_hand": _scenario(
        Gesture("prop_in_hand", "right", 0.3, 2.8, (168.0, 226.0)), seed=105, look=checked
    ),
    "two_hands": _scenario(
        Gesture("held_hand", "left", 0.3, 2.9, (70.0, 230.0)),
        Gesture("fast_wave", "right", 0.9, 2.0, (184.0, 232.0)),
        seed=106,
        look=pinstripe,
        yaw_degrees=6.0,
    ),  # fmt: skip
    "fingertips": _scenario(
        Gesture("beat", "right", 0.3, 2.8, (176.0, 268.0)), seed=107, look=checked, **_WORSE
    ),
    "shaky_camera": _scenario(
        Gesture("slow_entry", "left", 0.2, 2.8, (80.0, 224.0)),
        seed=108,
        look=pinstripe,
        camera_shake_px=1.5,
    ),  # fmt: skip
    "sway_only": _scenario(seed=109, look=checked, body_sway_px=6.0, yaw_degrees=14.0, **_WORSE),
}


@dataclass(frozen=True)
class Clip:
    """A rendered scenario, as the motion stage sees it, and its truth."""

    frames: np.ndarray  # [n, height, width, 3] uint8
    parsing: np.ndarray  # [n, height, width, 5] uint8
    landmarks: np.ndarray  # [n, 478, 2] pixels
    occluder: np.ndarray  # [n, height, width] bool
    head: np.ndarray  # [n, height, width] bool, the true one
    person: np.ndarray  # [n, height, width] bool
    hand_free: np.ndarray  # [n, height, width, 3] uint8
    T_camera_head: np.ndarray  # [n, 4, 4], the true one, metres
    focal_length: float  # pixels


def through_codec(frames: np.ndarray, crf: int) -> np.ndarray:
    """Frames [n, h, w, 3] uint8 after h264 at a usual quality: what a video really gives."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=int(FPS))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"crf": str(crf), "threads": "1"}
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def make_clip(scenario: Scenario, folder: Path) -> Clip:
    """Render, encode, find landmarks and parse; kept in ``folder`` for the next run."""
    if not (folder / "truth.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        situation = scenario.situation
        model = scenario.look(build_portrait(situation.size_px))
        frames, truth = render_situation(situation, model, murmur(situation.n_frames))
        frames = through_codec(frames, scenario.crf)
        with write_frames(folder / "frames.zarr.zip", len(frames), frames.shape[1:]) as writer:
            for frame in frames:
                writer.append(frame)
        save_json(folder / "manifest.json", {"clip": folder.name, "fps": situation.fps})
        find_face(folder)
        save_arrays(
            folder / "truth.npz",
            occluder=truth.occluder_masks,
            head=truth.head_masks,
            person=truth.person_masks,
            hand_free=truth.hand_free_frames,
            T_camera_head=poses(truth.head_rotations, truth.head_translations),
            focal_length=truth.focal_length_px,
        )
    return read_clip(folder)


def poses(rotations: np.ndarray, translations: np.ndarray) -> np.ndarray:
    """[n, 4, 4] float32 from rotations [n, 3, 3] and translations [n, 3]."""
    T_camera_head = np.tile(np.eye(4, dtype=np.float32), (len(rotations), 1, 1))
    T_camera_head[:, :3, :3], T_camera_head[:, :3, 3] = rotations, translations
    return T_camera_head


def read_clip(folder: Path) -> Clip:
    """What :func:`make_clip` wrote."""
    truth: dict[str, Any] = load_arrays(folder / "truth.npz")
    truth["focal_length"] = float(truth["focal_length"])
    return Clip(
        frames=FrameStore(folder / "frames.zarr.zip")[:],
        parsing=FrameStore(folder / "parsing.zarr.zip")[:],
        landmarks=load_arrays(folder / "landmarks.npz")["landmarks"],
        **truth,
    )


def find_face(folder: Path) -> None:
    """Landmarks and parsing of the frames in ``folder``, with the defaults of the stage person."""
    n_frames = len(FrameStore(folder / "frames.zarr.zip"))
    save_split(folder / "split.json", Split((n_frames,) * 3, np.ones(n_frames, bool)))
    detect_landmarks.main(
        str(folder / "frames.zarr.zip"),
        str(folder / "manifest.json"),
        str(folder / "split.json"),
        str(folder / "landmarks.npz"),
        LandmarkOptions(),
    )
    parse_portrait.main(
        str(folder / "frames.zarr.zip"),
        str(folder / "landmarks.npz"),
        str(folder / "split.json"),
        str(folder / "parsing.zarr.zip"),
        str(folder / "background.png"),
        HandOptions(),
    )


def murmur(n_frames: int) -> np.ndarray:
    times = np.arange(int(n_frames / FPS * 16000)) / 16000.0
    return np.sin(2 * np.pi * 500.0 * times) * np.clip(np.sin(2 * np.pi * 2.0 * times), 0, 1)
