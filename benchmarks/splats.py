"""A portrait of Gaussians (or a radiance field) of a finished run, figure by figure.

    python benchmarks/splats.py results/CLIP [results/CLIP ...] [--method wildtalker_splats]

Test split, before the codec, against the hand-free frames. Rows: the torso where the head's pose
says (predicted), where it was filmed (given), with the filmed mouth (true mouth), and training
frames. Columns: PSNR in the face box, of the whole frame, of torso and neck; LPIPS of the whole
frame where its weights are; the share of neck and throat pixels through which background shows.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.finished import Finished, heard_mouth, load_finished, moments
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.metrics import image
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training.clip import BACKGROUND, HANDS, NECK, TORSO

#: Opacity below which background is said to show.
LEAST_ALPHA = 0.8
N_TIMED = 20


def regions(scene: Scene, frame: int) -> dict[str, np.ndarray]:
    """Torso, neck and throat [height, width] bool; hands hide the torso."""
    parsing = scene.parsing[frame]
    neck = parsing[..., NECK] > 127
    # Surely person, near the neck: there no background may show, the mask's own edge left out.
    reach = np.ones((2 * round(0.02 * len(neck)) + 1,) * 2, np.uint8)
    inside = cv2.erode((parsing[..., BACKGROUND] < 40).astype(np.uint8), reach) > 0
    near = cv2.dilate(neck.astype(np.uint8), reach) > 0
    return {
        "torso": parsing[..., TORSO].astype(int) + parsing[..., HANDS] > 127,
        "neck": neck,
        "throat": inside & near,
    }


def print_row(finished: Finished, name: str, told: Moment, frames: np.ndarray, distance) -> None:
    """Draw frames and print their scores."""
    scene = finished.scene
    scores: dict[str, list[float]] = {"face": [], "whole": [], "lpips": [], "leak": []}
    errors = {"torso": np.zeros(2), "neck": np.zeros(2)}
    for k, i in enumerate(map(int, frames)):
        picture, alpha = finished.portrait.picture(told[k])
        shown = (picture * 255).round().byte().numpy()
        filmed = scene.hand_free_frames[i]
        scores["face"].append(image.psnr_in_box(filmed, shown, scene.face_box[i]))
        scores["whole"].append(image.psnr(filmed, shown))
        if distance is not None:
            scores["lpips"].append(distance(filmed, shown))
        squared = np.square((shown.astype(float) - filmed) / 255).mean(-1)
        parts = regions(scene, i)
        for part, total in errors.items():
            total += (squared[parts[part]].sum(), parts[part].sum())
        if parts["throat"].any():
            leaks = alpha.numpy()[parts["throat"]] < LEAST_ALPHA
            scores["leak"].append(float(leaks.mean()))
    psnr = {part: -10 * np.log10(max(e, 1e-9) / max(n, 1)) for part, (e, n) in errors.items()}
    mean = {key: np.mean(values) if values else np.nan for key, values in scores.items()}
    print(
        f"{name:14s}{mean['face']:8.2f}{mean['whole']:8.2f}{psnr['torso']:8.2f}{psnr['neck']:8.2f}"
        f"{mean['lpips']:8.3f}{mean['leak']:10.3%}",
        flush=True,
    )


def milliseconds(finished: Finished, told: Moment) -> tuple[float, ...]:
    """Processor and elapsed time of a frame on one thread, without encoding."""
    torch.set_num_threads(1)
    import numba

    numba.set_num_threads(1)
    finished.portrait.picture(told[0])
    started, busy = time.perf_counter(), time.process_time()
    for k in range(N_TIMED):
        finished.portrait.picture(told[k % len(told.mouth)])
    return tuple(
        1e3 * (now - then) / N_TIMED
        for now, then in ((time.process_time(), busy), (time.perf_counter(), started))
    )


def print_clip(clip_dir: Path, method: str, speech: str, distance) -> None:
    finished = load_finished(clip_dir, method, speech)
    scene, options = finished.scene, SpeakingOptions()
    test, seen = scene.test_frames, scene.seen_train_frames[::12]
    mouth = heard_mouth(finished, test, test, options)
    print(f"\n{scene.clip}, {method}, {scene.width} px, {len(test)} test frames")
    columns = ("face", "whole", "torso", "neck", "lpips", "leak")
    print(f"{'dB':14s}" + "".join(f"{c:>8s}" for c in columns))
    print_row(finished, "predicted", moments(finished, test, mouth), test, distance)
    given = moments(finished, test, mouth, "given")
    print_row(finished, "given", given, test, distance)
    if finished.n_mouth_shapes:
        shapes, _ = measure_mouth(scene, finished.n_mouth_shapes)
        true = torch.as_tensor(shapes, dtype=torch.float32)
        print_row(
            finished, "true mouth", moments(finished, test, true[test], "given"), test, distance
        )
        print_row(
            finished, "training", moments(finished, seen, true[seen], "given"), seen, distance
        )
    busy, elapsed = milliseconds(finished, given)
    print(f"a frame: {busy:.1f} ms of one core ({elapsed:.1f} elapsed)")
    for stage, figures in finished.figures.items():
        told = {k: figures[k] for k in ("n_gaussians", "torso_explained") if k in figures}
        print(f"{stage}: {figures['steps']} steps, {figures['seconds']:.0f} s elapsed {told or ''}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dirs", type=Path, nargs="+", help="results/{clip} of finished runs")
    parser.add_argument("--method", default="wildtalker_splats")
    parser.add_argument("--speech", default="original.mss_adaptive", help="what the method hears")
    parser.add_argument("--lpips", type=Path, help="AlexNet's weights, as evaluate.lpips_weights")
    arguments = parser.parse_args()
    distance = None
    if arguments.lpips:
        from wildtalker_core.pretrained.lpips_model import LpipsModel

        distance = LpipsModel(arguments.lpips).score
    for clip_dir in arguments.clip_dirs:
        print_clip(clip_dir, arguments.method, arguments.speech, distance)


if __name__ == "__main__":
    main()
