"""How well the head pose is found and how steady it is, on made clips whose rotation is known.

    python benchmarks/head_pose.py [--frames 250] [--situations calm turns ...]

Prints per situation: mean and largest rotation error in degrees after one global alignment, and
jitter (mean second difference of the projected rigid points, pixels at 512; of the truth too) for
the per-frame fit of raw landmarks, the plain Savitzky-Golay filter, and the bundle adjustment with
and without the observations inside the hand's mask; and seconds per 1000 frames.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from photograph import build_portrait  # noqa: E402
from situation import Situation  # noqa: E402
from synthetic_portrait import render_situation  # noqa: E402

from wildtalker_core.geometry.rotations import align_rotations, geodesic_distance  # noqa: E402
from wildtalker_core.media.splits import Split  # noqa: E402
from wildtalker_core.person.head_pose import HeadTrack, jitter_px, track_head  # noqa: E402
from wildtalker_core.person.landmark_track import find_faces, track_landmarks  # noqa: E402
from wildtalker_core.person.options import FocalLengthOptions, LandmarkOptions  # noqa: E402
from wildtalker_core.pose.options import StabilizerOptions  # noqa: E402
from wildtalker_core.pose.skin_tracks import follow_skin  # noqa: E402
from wildtalker_core.pose.stabilizer import bundle_adjust, smooth_poses  # noqa: E402
from wildtalker_core.pretrained.mediapipe_models import FaceMesh  # noqa: E402
from wildtalker_core.robustness.gesture import Gesture  # noqa: E402

SIZE, FPS = 256, 25.0


def situations(n_frames: int) -> dict[str, Situation]:
    """Made clips, from calm to wild; in two of them the head moves as in `calm`.

    In `hand` a hand twice crosses the lower face. In `held` it rests on half of brow, eyes and nose
    for six tenths of the clip: it is in some of the reference frames, and looks alike in the frames
    that are compared with them, but does not move as the head does.
    """
    hands = tuple(
        Gesture("slow_entry", side, at * n_frames / FPS, 0.3 * n_frames / FPS, crosses_face=True)
        for side, at in (("left", 0.15), ("right", 0.55))
    )
    held = Gesture(
        "held_hand", "right", 0.2 * n_frames / FPS, 0.6 * n_frames / FPS, target_px=(146, 118)
    )
    return {
        "calm": Situation(n_frames, seed=1),
        "hand": Situation(n_frames, seed=1, gestures=hands),
        "held": Situation(n_frames, seed=1, gestures=(held,)),
        "turns": Situation(n_frames, seed=2, yaw_degrees=25, pitch_degrees=8),
        "shake": Situation(n_frames, seed=4, camera_shake_px=3.0),
        "blur": Situation(
            n_frames, seed=3, yaw_degrees=25, frame_blur_samples=3, shutter=0.8, sensor_noise=0.01
        ),
    }


def rotation_errors(track: HeadTrack, head_rotations: np.ndarray) -> np.ndarray:
    """Degrees [n], after one global alignment."""
    truth = torch.from_numpy(head_rotations).double()
    aligned = align_rotations(torch.from_numpy(track.T_camera_head[:, :3, :3]), truth)
    return geodesic_distance(aligned, truth).rad2deg().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--situations", nargs="*", default=list(situations(250)))
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    model = build_portrait(SIZE)
    # Syllables of a hum are enough to move the mouth.
    times = np.arange(int(arguments.frames / FPS * 16000)) / 16000
    hum = 0.3 * np.sin(2 * np.pi * 150 * times) * np.clip(np.sin(2 * np.pi * 2.3 * times), 0, 1)
    print("situation  track                error_mean error_max  jitter  seconds/1000")
    for name in arguments.situations:
        situation = situations(arguments.frames)[name]
        frames, truth = render_situation(situation, model, hum, 16000)
        with FaceMesh(max_faces=2) as mesh:
            faces = list(find_faces(frames, mesh))
        everything = Split((len(frames),) * 3, np.ones(len(frames), bool))
        is_fitted = everything.is_fitted
        raw, smooth = (
            track_landmarks(
                faces,
                SIZE,
                SIZE,
                FPS,
                LandmarkOptions(smoothing_window_frames=window),
                everything,
                name,
            )
            for window in (1, 5)
        )
        coarse = track_head(raw.landmarks, raw.depth, SIZE, SIZE, FocalLengthOptions(), is_fitted)
        start = track_head(
            smooth.landmarks, smooth.depth, SIZE, SIZE, FocalLengthOptions(), is_fitted
        )
        rows = {
            "per-frame fit": (coarse, 0.0),
            "savgol": (smooth_poses(coarse, 7, everything), 0.0),
        }
        masks = {"bundle_adjustment": truth.occluder_masks.astype(np.uint8) * 255}
        if truth.occluder_masks.any():
            masks["... mask kept"] = None
        for label, mask in masks.items():
            began = time.process_time()
            tracks = follow_skin(
                frames, mask, smooth.landmarks, start, ~smooth.is_interpolated, is_fitted,
                range(len(frames)), StabilizerOptions(),
            )  # fmt: skip
            stable = bundle_adjust(start, tracks, smooth.landmarks, SIZE, SIZE, everything)
            seconds = (time.process_time() - began) / len(frames) * 1000
            rows[label] = (stable, seconds)
        for label, (track, seconds) in rows.items():
            errors = rotation_errors(track, truth.head_rotations)
            print(
                f"{name:10s} {label:20s} {errors.mean():10.2f} {errors.max():9.2f} "
                f"{jitter_px(track, SIZE, SIZE):7.3f} {seconds:13.1f}",
                flush=True,
            )
        second_difference = np.diff(truth.rigid_points_px, n=2, axis=0)
        true_jitter = np.linalg.norm(second_difference, axis=-1).mean() * 512 / SIZE
        print(f"{name:10s} {'truth':20s} {0:10.2f} {0:9.2f} {true_jitter:7.3f}", flush=True)


if __name__ == "__main__":
    main()
