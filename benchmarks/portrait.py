"""How like the filmed person a finished portrait is, where it falls short, and against what.

    python benchmarks/portrait.py results/anchor [--method wildtalker] [--sheet sheet.png]

Shows the test split of a clip whose portrait is trained (the folder of its results), driven by the
clip's speech, and prints the mean PSNR in the face box and over the whole frame, before (raw) and
after the codec, and the error of the gradient across the seam of head and torso
(``metrics.image``), for

    portrait          our head, torso and background
    head              our head before the filmed frame, as head-only methods are scored
    mean frame, nearest landmarks, ground truth   as the workflow's rows of these names

then the portrait's error in the face box by region, and what training took. ``--sheet`` writes some
frames: filmed, portrait, head, and the error of the portrait five times enlarged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.finished import (
    Finished,
    heard_mouth,
    load_finished,
    moments,
    pictures,
    through_codec,
)
from wildtalker_core.metrics import image
from wildtalker_core.metrics.frame_scores import picture_regions
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.scene.scene import Scene
from workflow_scripts.render.render_baseline import nearest_training_frame

N_SHOWN, EDGE_PX = 6, 4  # at 256 pixels


def pictures_of(finished: Finished) -> Iterator[tuple[str, Iterator[np.ndarray]]]:
    """Rows by name, with their pictures of the test split."""
    scene, frames = finished.scene, finished.scene.test_frames
    mouth = heard_mouth(finished, frames, frames, SpeakingOptions())
    yield "portrait", pictures(finished, moments(finished, frames, mouth), frames)
    if finished.portrait.predicted_torso(torch.eye(4)[None]).shape[1]:
        given = moments(finished, frames, mouth, "given")
        yield "torso given", pictures(finished, given, frames)
    yield "head", pictures(finished, moments(finished, frames, mouth), frames, "head")
    sample = scene.train_frames[:: max(1, len(scene.train_frames) // 200)]
    mean = np.mean([scene.hand_free_frames[int(i)] for i in sample], 0).round().astype(np.uint8)
    yield "mean frame", (mean for _ in scene.test_frames)
    nearest = (
        nearest_training_frame(scene.landmarks, scene.train_frames, int(i))
        for i in scene.test_frames
    )
    yield "nearest landmarks", (scene.hand_free_frames[int(i)] for i in nearest)
    yield "ground truth", (scene.hand_free_frames[int(i)] for i in scene.test_frames)


def face_and_whole(scene: Scene, pictures: list[np.ndarray]) -> tuple[float, float]:
    """Mean PSNR of pictures of the test split, in the face box and over the frame, dB."""
    face, whole = [], []
    for picture, i in zip(pictures, scene.test_frames, strict=True):
        filmed = scene.hand_free_frames[int(i)]
        face.append(image.psnr_in_box(filmed, picture, scene.face_box[i]))
        whole.append(image.psnr(filmed, picture))
    return float(np.mean(face)), float(np.mean(whole))


def regions(parsing: np.ndarray) -> dict[str, np.ndarray]:
    """Masks [height, width] by name, of soft memberships [height, width, 5]; no pixel is in two."""
    reach = np.ones((2 * max(1, round(EDGE_PX * len(parsing) / 256)) + 1,) * 2, np.uint8)
    is_head = (parsing[..., 1] > 127).astype(np.uint8)
    inside, around = cv2.erode(is_head, reach) > 0, cv2.dilate(is_head, reach) > 0
    return {
        "head": inside,
        "edge of the head": around & ~inside,
        "neck": (parsing[..., 2] > 127) & ~around,
        "torso": (parsing[..., 3] > 127) & ~around,
        "background": (parsing[..., 0] > 127) & ~around,
    }


def print_regions(finished: Finished, shown: list[np.ndarray]) -> None:
    """Where in the face box the error is: share of pixels, PSNR and share of the squared error."""
    scene = finished.scene
    totals: dict[str, np.ndarray] = {}
    for picture, i in zip(shown, scene.test_frames, strict=True):
        x0, y0, x1, y1 = np.round(scene.face_box[i]).astype(int)
        difference = picture.astype(float) - scene.hand_free_frames[int(i)]
        squared = np.square(difference / 255).mean(-1)[y0:y1, x0:x1]
        for name, mask in regions(scene.parsing[int(i)]).items():
            mask = mask[y0:y1, x0:x1]
            part = np.array([mask.sum(), squared[mask].sum()])
            totals[name] = totals.get(name, np.zeros(2)) + part
    n_pixels, error = np.sum(list(totals.values()), 0)
    print(f"\n{'in the face box':22s} {'pixels':>7s} {'PSNR':>7s} {'error':>7s}")
    for name, (n, part) in totals.items():
        if n:
            psnr = -10 * np.log10(part / n)
            print(f"{name:22s} {n / n_pixels:7.1%} {psnr:7.2f} {part / error:7.1%}")


def write_sheet(
    finished: Finished, portrait: list[np.ndarray], head: list[np.ndarray], path: Path
) -> None:
    rows = []
    for k in np.linspace(0, len(portrait) - 1, N_SHOWN).round().astype(int):
        filmed = finished.scene.hand_free_frames[int(finished.scene.test_frames[k])]
        error = np.abs(portrait[k].astype(int) - filmed) * 5
        rows.append(np.vstack((filmed, portrait[k], head[k], error.clip(0, 255).astype(np.uint8))))
    cv2.imwrite(str(path), np.hstack(rows)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dir", type=Path, help="results/{clip} of a finished run")
    parser.add_argument("--method", default="wildtalker")
    parser.add_argument("--speech", default="original.mss_adaptive", help="what the method hears")
    parser.add_argument("--sheet", type=Path, help="png to write")
    arguments = parser.parse_args()
    finished = load_finished(arguments.clip_dir, arguments.method, arguments.speech)
    scene = finished.scene
    print(f"{scene.clip}, {arguments.method}, {len(scene.test_frames)} frames of the test split")
    columns = ("face raw", "whole raw", "face dB", "whole dB")
    print(f"{'row':18s}" + "".join(f"{column:>10s}" for column in columns) + f"{'seam':>7s}")
    bands = [picture_regions(scene.parsing[int(i)]).seam for i in scene.test_frames]
    kept: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, pictures in pictures_of(finished):
            raw = list(pictures)
            shown = kept[name] = through_codec(iter(raw), finished.fps, Path(folder) / "shown.mp4")
            seam = [
                image.seam_error(scene.hand_free_frames[int(i)], picture, band)
                for picture, i, band in zip(shown, scene.test_frames, bands, strict=True)
                if band.any()
            ]
            figures = (*face_and_whole(scene, raw), *face_and_whole(scene, shown))
            print(f"{name:18s}" + "".join(f"{value:10.2f}" for value in figures), end="")
            print(f"{np.mean(seam) if seam else np.nan:7.2f}", flush=True)
    print_regions(finished, kept["portrait"])
    for stage, spent in finished.figures.items():
        print(f"{stage}: {spent['steps']} steps, {spent['seconds'] / 60:.1f} min")
    if arguments.sheet:
        write_sheet(finished, kept["portrait"], kept["head"], arguments.sheet)


if __name__ == "__main__":
    main()
