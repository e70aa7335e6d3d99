"""What the perceptual loss on lip patches (Eq. 7) is worth: portraits with and without it.

    python benchmarks/lip_loss.py results/CLIP [results/CLIP ...] --lpips FILE

After a run with two methods that differ in it alone, such as ``wildtalker_splats`` and
``no_lip_loss: {train: {renderer: splats, lambda_lpips: 0}}``.

Test split, against the hand-free frames, torso where it was filmed; of each method with the heard
mouth and with the filmed one (true), which leaves the picture's own faults. LPIPS (AlexNet) of
the frame and of a square of 64 pixels around the lips; PSNR in the face's and the lips' box; edges:
squared gradients over the filmed ones in the lips' box, and inside of the open mouth (teeth); LMD
(pixels at 512) and correlation of the opening, found anew in the frames without a codec.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.finished import (
    Finished,
    compare,
    faces_in,
    heard_mouth,
    load_finished,
    moments,
)
from wildtalker_core.metrics import image
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.person.landmarks import LIPS_INNER
from wildtalker_core.pretrained.lpips_model import LpipsModel
from wildtalker_core.training.lips import square_around
from wildtalker_core.training.splats import box_of

PATCH_PX = 64
#: ASSUME a mouth is open, and shows teeth or tongue, whose inside has this many pixels at 256.
LEAST_INSIDE = 40
COLUMNS = ("LPIPS", "lips", "PSNR", "lips", "edges", "teeth", "LMD", "corr.")


def inside_mouth(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """[height, width] bool between the inner lips of landmarks [478, 2]."""
    mask = np.zeros((height, width), np.uint8)
    if np.isfinite(points).all():
        cv2.fillPoly(mask, [np.round(points[list(LIPS_INNER)]).astype(np.int32)], (1,))
    return mask > 0


def print_row(
    finished: Finished, name: str, mouth: torch.Tensor, reference: np.ndarray, distance: LpipsModel
) -> None:
    """Draw the test frames with mouths [k, n] and print their scores."""
    scene, frames = finished.scene, finished.scene.test_frames
    told = moments(finished, frames, mouth, "given")
    shown, scores, edges = [], [], np.zeros((2, 2))
    for k, i in enumerate(map(int, frames)):
        picture = (finished.portrait.picture(told[k])[0] * 255).round().byte().numpy()
        filmed, lip_box = scene.hand_free_frames[i], scene.lip_box[i]
        middle = (lip_box[:2] + lip_box[2:]) / 2
        lips = square_around(middle, PATCH_PX, scene.height, scene.width)
        patches = (np.ascontiguousarray(x[lips]) for x in (filmed, picture))
        scores.append((
            distance.score(filmed, picture), distance.score(*patches),
            image.psnr_in_box(filmed, picture, scene.face_box[i]),
            image.psnr_in_box(filmed, picture, lip_box),
        ))  # fmt: skip
        inside = inside_mouth(reference[k], scene.height, scene.width)
        is_lips = np.zeros_like(inside)
        is_lips[box_of(lip_box)] = True
        masks = [is_lips]
        if inside.sum() >= LEAST_INSIDE * (scene.width / 256) ** 2:
            masks.append(inside)
        for part, mask in enumerate(masks):
            edges[part] += [image.edge_energy(x, mask) for x in (picture, filmed)]
        shown.append(picture)
    row = compare(name, reference, faces_in(shown), scene.width)
    lpips, lips, psnr, psnr_lips = np.mean(scores, 0)
    sharpness = edges[:, 0] / edges[:, 1].clip(1e-9)
    print(
        f"{name:30s}{lpips:8.4f}{lips:8.4f}{psnr:8.2f}{psnr_lips:8.2f}"
        f"{sharpness[0]:8.2f}{sharpness[1]:8.2f}{row.lmd_px:8.2f}{row.correlation:8.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dirs", type=Path, nargs="+", help="results/{clip} of finished runs")
    parser.add_argument("--methods", nargs="+", default=["wildtalker_splats", "no_lip_loss"])
    parser.add_argument("--speech", default="original.mss_adaptive", help="what the methods hear")
    parser.add_argument("--lpips", type=Path, required=True, help="AlexNet's weights")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    distance = LpipsModel(arguments.lpips)
    for clip_dir in arguments.clip_dirs:
        reference = None
        for method in arguments.methods:
            finished = load_finished(clip_dir, method, arguments.speech)
            scene, test = finished.scene, finished.scene.test_frames
            if reference is None:
                reference = faces_in([scene.frames[int(i)] for i in test])
                print(f"\n{scene.clip}, {scene.width} px, {len(test)} test frames")
                print(f"{'':30s}" + "".join(f"{column:>8s}" for column in COLUMNS))
            heard = heard_mouth(finished, test, test, SpeakingOptions())
            print_row(finished, method, heard, reference, distance)
            if finished.n_mouth_shapes:
                shapes, _ = measure_mouth(scene, finished.n_mouth_shapes)
                true = torch.as_tensor(shapes[test], dtype=torch.float32)
                print_row(finished, f"{method}, true", true, reference, distance)


if __name__ == "__main__":
    main()
