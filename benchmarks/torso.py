"""What masks and hand-free frames are worth to the torso that learns from them (Eq. 6).

    python benchmarks/torso.py

The bundled example and two more generated clips with hands, at 192 pixels. Masks and hand-free
frames come from the motion stage as it stands. The torso alone is trained, with the torso section
of the preset `example`: the head's inside is left out, its rim and the neck are not scored. Rows
are the methods of the same names. PSNR over the true torso and wherever a hand is, against the
hand-free truth; the split is the workflow's, and torsos are rendered as for unseen frames.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import av
import cv2
import numpy as np
import torch
from hand_removal import HandFree, psnr, remove_hands
from situations import (
    ROOT,
    SIZE_PX,
    Clip,
    Gesture,
    Scenario,
    Situation,
    checked,
    find_face,
    make_clip,
    pinstripe,
    poses,
    read_clip,
)

from wildtalker_core.media.files import load_arrays, save_arrays, save_json
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.media.image import read_image
from wildtalker_core.media.splits import Split, split_frames
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.occlusion.options import OcclusionSection
from wildtalker_core.scene.body_motion import measure_body
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training.build import new_portrait
from wildtalker_core.training.checkpoints import save_portrait
from wildtalker_core.training.clip import HEAD
from wildtalker_core.training.stages import torso_stage
from workflow_scripts.configuration import complete_config

#: A face template is 0.30 head units wide; a face, 0.15 metres.
UNITS_PER_METRE = 2.0

GENERATED = {
    "pinstripe": Scenario(
        Situation(
            n_frames=220, size_px=SIZE_PX, seed=201, sensor_noise=0.006, hand_blur_samples=3,
            gestures=(
                Gesture("beat", "left", 0.4, 2.6, (74.0, 226.0)),
                Gesture("held_hand", "right", 3.2, 3.0, (172.0, 224.0)),
                Gesture("fast_wave", "left", 6.4, 2.2, (82.0, 220.0)),
            ),
        ),
        pinstripe,
    ),
    "checked": Scenario(
        Situation(
            n_frames=220, size_px=SIZE_PX, seed=202, sensor_noise=0.006, hand_blur_samples=3,
            gestures=(
                Gesture("slow_entry", "right", 0.3, 3.2, (176.0, 226.0)),
                Gesture("prop_in_hand", "left", 2.6, 3.0, (84.0, 228.0)),
                Gesture("beat", "right", 5.8, 2.8, (166.0, 230.0)),
            ),
        ),
        checked,
    ),
}  # fmt: skip


def example_clip(folder: Path) -> Clip:
    """The bundled example as a :class:`situations.Clip`; kept in ``folder`` for the next run."""
    if not (folder / "truth.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        frames = _read_video(ROOT / "examples/astronaut.mp4")
        with write_frames(folder / "frames.zarr.zip", len(frames), frames.shape[1:]) as writer:
            for frame in frames:
                writer.append(frame)
        save_json(folder / "manifest.json", {"clip": "example", "fps": 25.0})
        find_face(folder)
        truth = load_arrays(ROOT / "examples/truth/truth.npz")
        masks = {
            name: np.stack([_shrink(255 * mask) > 127 for mask in np.unpackbits(packed, axis=-1)])
            for file in ("parsing", "occluder_masks")
            for name, packed in load_arrays(ROOT / f"examples/truth/{file}.npz").items()
            if name != "shape"
        }
        save_arrays(
            folder / "truth.npz",
            **masks,
            hand_free=_read_video(ROOT / "examples/truth/hand_free.mp4"),
            T_camera_head=poses(truth["head_rotations"], truth["head_translations"]),
            focal_length=truth["focal_length_px"] * SIZE_PX / 256,
        )
    return read_clip(folder)


def _read_video(path: Path) -> np.ndarray:
    with av.open(str(path)) as video:
        frames = [_shrink(frame.to_ndarray(format="rgb24")) for frame in video.decode(video=0)]
    return np.stack(frames)


def _shrink(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)


def scene_of(clip: Clip, made: HandFree, background: np.ndarray) -> Scene:
    """A scene of the torso alone: true poses, no speech."""
    n, height, width = made.region.shape
    T_camera_head = clip.T_camera_head.astype(np.float32).copy()
    T_camera_head[:, :3, 3] *= UNITS_PER_METRE
    split = Split(split_frames(n), np.ones(n, bool))
    nowhere = np.zeros((n, 4), np.int64)
    return Scene(
        clip="benchmark", frame_times_seconds=np.arange(n) / 25.0, T_camera_head=T_camera_head,
        focal_length=clip.focal_length, landmarks=clip.landmarks,
        expression=np.zeros((n, 7), np.float32), is_face_visible=np.ones(n, bool),
        is_mouth_visible=np.ones(n, bool),
        face_box=nowhere, lip_box=nowhere, background=background,
        is_counted=split.is_counted, train_frames=split.frames("train"),
        validation_frames=split.frames("validation"), test_frames=split.frames("test"),
        audio_features=np.zeros((n, 1, 8), np.float32),
        is_silent=np.zeros(n, bool), frames=clip.frames, hand_free_frames=made.frames,
        parsing=clip.parsing, transient_mask=made.transient_mask,
    )  # fmt: skip


def train_options(method: str) -> dict:
    """The section ``train`` for a method of config.yaml, preset ``example``."""
    config = {
        "clips": {"any": {"path": "any.mp4"}},
        "methods": {"wildtalker": {}},
        "train": {"preset": "example", "device": "cpu"},
    }
    train = complete_config(config, ROOT / "config")["train"]
    changes = {"static_weight": "none", "torso_reference": "frames"}
    return train | (changes if method == "no_transient_mask" else {})


def trained(scene: Scene, train: dict, folder: Path) -> Portrait:
    """A portrait whose torso has learnt; it has no head: nothing is in its box."""
    portrait = new_portrait(scene, train["model"], train["encoder"], torch.device("cpu"), 0)
    portrait.occupancy.carve(torch.zeros_like(portrait.occupancy.is_occupied))
    path = folder / "lips.safetensors"
    save_portrait(path, portrait.state_dict(), {"shape": portrait.shape.to_dict()})
    motion = measure_body(scene, np.zeros((478, 3)), n_soft=0)
    done = torso_stage(scene, motion, path, train, folder, lambda step, losses: None).portrait
    assert isinstance(done, Portrait)
    return done


@torch.no_grad()
def rendered(portrait: Portrait, scene: Scene, frames: np.ndarray) -> np.ndarray:
    """Torso over background [k, height, width, 3] uint8, as for frames never seen."""
    code = portrait.unseen_codes()[1]
    pictures = []
    for frame in frames.tolist():
        T_camera_head = torch.as_tensor(scene.T_camera_head[frame])
        picture = portrait._torso_over_background(T_camera_head, code)
        pictures.append(np.rint(255 * picture.clamp(0, 1).numpy()).astype(np.uint8))
    return np.stack(pictures)


def scored_region(clip: Clip) -> np.ndarray:
    """[n, height, width] bool: the true torso and any hand, away from the head."""
    size = 2 * round(0.04 * SIZE_PX) + 1
    head = np.maximum(clip.head, clip.parsing[..., HEAD] > 127).astype(np.uint8)
    near_head = np.stack([cv2.dilate(mask, np.ones((size, size), np.uint8)) for mask in head]) > 0
    return (clip.person | clip.occluder) & ~near_head


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep the prepared clips here")
    parser.add_argument("--only", nargs="*", default=["example", *GENERATED])
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    options = OcclusionSection()
    print("PSNR (dB) of the torso; reference: the hand-free frames themselves, all frames")
    print(f"{'':12}hands in  reference | test: wildtalker  no_transient_mask   gain | all:", end="")
    print("  wildtalker  no_transient_mask   gain  seconds")
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.only:
            folder = (arguments.folder or Path(temporary)) / f"torso_{name}"
            clip = example_clip(folder) if name == "example" else make_clip(GENERATED[name], folder)
            made = remove_hands(clip, options)
            scene = scene_of(clip, made, read_image(folder / "background.png"))
            region = scored_region(clip)
            everything = np.arange(scene.n_frames)
            row: tuple[list[float], list[float]] = ([], [])
            seconds = []
            for method in ("wildtalker", "no_transient_mask"):
                began = time.process_time()
                with tempfile.TemporaryDirectory() as checkpoints:
                    portrait = trained(scene, train_options(method), Path(checkpoints))
                seconds.append(time.process_time() - began)
                for found, frames in zip(row, (scene.test_frames, everything), strict=True):
                    pictures = rendered(portrait, scene, frames)
                    found.append(psnr(pictures, clip.hand_free[frames], region[frames]))
            reference = psnr(made.frames, clip.hand_free, region)
            share = clip.occluder.any((1, 2)).mean()
            test, all_frames = (f"{a:12.2f}{b:19.2f}{a - b:7.2f}" for a, b in row)
            print(
                f"{name:12}{100 * share:6.0f} %{reference:10.2f}  |     {test} |     {all_frames}"
                f"{np.mean(seconds):9.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
