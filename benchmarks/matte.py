"""Mattes of `say --background alpha` against the true alpha of the bundled example.

    python benchmarks/matte.py results/astronaut [--method wildtalker_splats]

A finished run of examples/astronaut.mp4 at its own 256 pixels; the example is drawn again for the
alpha that its pictures were made with, hands left out. Rows: test frames, with the torso where the
head's pose says (predicted) or where it was filmed (given), and training frames; MediaPipe's
segmentation of the true hand-free frames, for comparison. Columns: SAD (thousands of pixels), MSE
(thousandths) of the frame and of the 11 pixels around the edge, gradient error (thousands), dtSSD
(hundredths), as in ``wildtalker_core.metrics.matting``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import soundfile
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from make_example import FPS, GESTURES, N_FRAMES, SEED, SIZE_PX
from situation import Situation
from synthetic_portrait import render_situation

from benchmarks.finished import load_finished, moments
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.live.backgrounds import Background
from wildtalker_core.live.portrait_file import load_kept
from wildtalker_core.metrics import matting
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.pretrained.mediapipe_models import SelfieSegmentation
from wildtalker_core.splats.portrait import SplatPortrait

ROOT = Path(__file__).resolve().parents[1]
EDGE_PX = 11


def true_alphas() -> tuple[np.ndarray, np.ndarray]:
    """The example's alpha [n, height, width] in [0, 1] and its hand-free frames."""
    speech, rate_hz = soundfile.read(ROOT / "examples" / "truth" / "clean_speech.flac")
    situation = Situation(n_frames=N_FRAMES, size_px=SIZE_PX, fps=FPS, seed=SEED, gestures=GESTURES)
    _, truth = render_situation(situation, waveform=speech, sample_rate_hz=rate_hz)
    packed = np.load(ROOT / "examples" / "truth" / "parsing.npz")["person"]
    shipped = np.unpackbits(packed, axis=-1).astype(bool)
    if (shipped != truth.person_masks).mean() > 1e-4:
        raise SystemExit("this is not the example that is shipped; run examples/make_example.py")
    return truth.person_alphas.astype(np.float32) / 255, truth.hand_free_frames


def mattes(portrait: SplatPortrait, told: Moment) -> np.ndarray:
    """Alpha [k, height, width] in [0, 1] as it is written."""
    behind = Background("alpha", portrait.shape.height, portrait.shape.width)
    pictures = (behind.picture(portrait, told[k]) for k in range(len(told.mouth)))
    return np.stack([picture[..., 3] for picture in pictures]).astype(np.float32) / 255


def print_row(name: str, found: np.ndarray, true: np.ndarray) -> None:
    """Scores of mattes [k, height, width], means over frames."""
    around = np.ones((EDGE_PX, EDGE_PX), np.uint8)
    scores = []
    for alpha, wanted in zip(found, true, strict=True):
        is_edge = ((wanted > 0.02) & (wanted < 0.98)).astype(np.uint8)
        edge = cv2.dilate(is_edge, around) > 0
        scores.append((
            matting.sum_of_differences(alpha, wanted),
            matting.mean_squared_error(alpha, wanted),
            matting.mean_squared_error(alpha[edge], wanted[edge]),
            matting.gradient_error(alpha, wanted),
        ))  # fmt: skip
    print(f"{name:18s}" + "".join(f"{score:9.2f}" for score in np.mean(scores, 0))
          + f"{matting.flicker(found, true):9.2f}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dir", type=Path, help="results/{clip} of the example")
    parser.add_argument("--method", default="wildtalker_splats")
    parser.add_argument("--speech", default="original.mss_adaptive", help="what the method hears")
    arguments = parser.parse_args()
    finished = load_finished(arguments.clip_dir, arguments.method, arguments.speech)
    scene = finished.scene
    kept = load_kept(arguments.clip_dir / "train" / arguments.method / "me.portrait")
    true, frames = true_alphas()
    if (scene.height, scene.width) != true.shape[1:] or len(scene.T_camera_head) != len(true):
        raise SystemExit(
            f"the run has {scene.width} pixels, the truth {SIZE_PX}: set media.size_px"
        )
    shapes, _ = measure_mouth(scene, kept.portrait.shape.n_mouth)
    mouth = torch.as_tensor(shapes, dtype=torch.float32)
    test, seen = scene.test_frames, scene.seen_train_frames[-len(scene.test_frames) :]
    columns = ("SAD", "MSE", "MSE edge", "Grad", "dtSSD")
    print(f"{len(test)} test frames, {scene.width} px\n{'':18s}"
          + "".join(f"{column:>9s}" for column in columns))  # fmt: skip
    for name, shown, torso in (
        ("predicted", test, "predicted"), ("given", test, "given"), ("training", seen, "given")
    ):  # fmt: skip
        told = moments(finished, shown, mouth[shown], torso)
        print_row(name, mattes(kept.portrait, told), true[shown])
    with SelfieSegmentation() as find_person:
        print_row("MediaPipe", np.stack([find_person(frames[i]) for i in test]), true[test])


if __name__ == "__main__":
    main()
