"""What the lips' distance from the filmed ones is made of, and which closures are shown.

    python benchmarks/lip_errors.py results/CLIP [results/CLIP ...] [--sheets FOLDER]

Test split of finished portraits, own speech, found anew in the decoded video as by ``lips.py``. By
row: LMD (20 points, pixels at 512); LMD had the mean mouth of these seconds been known; how the
mean squared error divides into that offset, a wrong size of the motion, and motion that is not
told (``metrics.mouth_errors``); closures of the lips that were filmed and those of them that are
shown within two frames, and those shown that nobody filmed.

    hearing             what the ear makes of speech and pose, not drawn
    drawn               the portrait
    true mouth, drawn   the filmed mouth in the numbers that the portrait is told: its own error
    mean mouth, drawn   the mean of all training mouths, never moving
    swapped, drawn      other speech of the clip: what chance closes
    filmed, coded       the filmed frames after the codec: the detector's own error
    filmed, untracked   a detector that sees each filmed frame as its first

With ``--sheets`` the mouths around each closure are written, filmed above drawn.
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
    compare,
    faces_in,
    load_finished,
    moments,
    pictures,
    through_codec,
)
from benchmarks.lips import heard_faces, mouths
from wildtalker_core.metrics.frame_scores import find_faces
from wildtalker_core.metrics.landmarks import at_customary_size
from wildtalker_core.metrics.mouth_errors import closures, error_parts, runs, without_offset
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.person.landmarks import MOUTH_OF_68
from wildtalker_core.pretrained.mediapipe_models import FaceMesh
from workflow_scripts.face_points import FACE

#: ASSUME lips are closed where their inner edges are nearer than this, of the eyes' distance.
CLOSED_BELOW = 0.02
#: Of a sheet: frames on either side of a closure, closures at most, side of a picture.
AROUND, MOST_CLOSURES, SIDE_PX = 3, 8, 160
ROWS = {"own": "drawn", "true mouth": "true mouth, drawn", "mean mouth": "mean mouth, drawn",
        "swapped 2": "swapped, drawn"}  # fmt: skip


def print_row(name: str, reference: np.ndarray, found: np.ndarray, size_px: int) -> None:
    """Scores of landmarks [k, 478, 2]."""
    mouth = list(MOUTH_OF_68)
    row = compare(name, reference, found, size_px)
    moved = found.copy()
    moved[:, mouth] = without_offset(reference[:, mouth], found[:, mouth])
    shares = error_parts(reference[:, mouth], found[:, mouth]).shares()
    closed = closures(FACE.opening(reference), FACE.opening(found), CLOSED_BELOW)
    print(
        f"{name:20s}{row.lmd_px:6.2f}{compare(name, reference, moved, size_px).lmd_px:9.2f}",
        *(f"{share:8.0%}" for share in shares),
        f"{row.correlation:8.2f}{row.spread:8.2f}",
        f"{closed.n_met:5d} of {closed.n_filmed:<3d}{closed.n_false:5d} of {closed.n_shown}",
        flush=True,
    )


def print_clip(finished: Finished, sheets: Path | None) -> None:
    scene = finished.scene
    asked, size_px = scene.test_frames, scene.width
    filmed = [scene.frames[int(i)] for i in asked]
    reference = faces_in(filmed)
    gap_px = at_customary_size(CLOSED_BELOW * eyes_px(reference), size_px)
    print(f"\n{scene.clip}, {len(asked)} frames; lips count as closed below {gap_px:.1f} px at 512")
    heads = ("LMD", "centred", "offset", "size", "untold", "corr.", "spread", "closures", "false")
    print(f"{'':20s}{heads[0]:>6s}" + "".join(f"{head:>9s}" for head in heads[1:]))
    print_row("hearing", reference, heard_faces(finished, asked, reference)["hearing"], size_px)
    told = mouths(finished, asked, SpeakingOptions())
    with tempfile.TemporaryDirectory() as folder:

        def coded(shown: Iterator[np.ndarray]) -> list[np.ndarray]:
            return through_codec(shown, finished.fps, Path(folder, "shown.mp4"))

        for key, name in ROWS.items():
            if key not in told:
                continue
            told_of = moments(finished, asked, told[key])
            shown = coded(pictures(finished, told_of, asked))
            found = faces_in(shown)
            print_row(name, reference, found, size_px)
            if key == "own" and sheets:
                write_sheet(sheets / f"{scene.clip}.png", filmed, shown, reference, found)
        print_row("filmed, coded", reference, faces_in(coded(iter(filmed))), size_px)
    with FaceMesh(max_faces=1, is_tracking=False) as find:
        print_row("filmed, untracked", reference, find_faces(filmed, find), size_px)


def eyes_px(points: np.ndarray) -> float:
    """Mean distance of the outer eye corners, pixels."""
    left, right = (points[:, i] for i in FACE.eyes)
    return float(np.nanmean(np.linalg.norm(left - right, axis=1)))


def write_sheet(
    path: Path,
    filmed: list[np.ndarray],
    shown: list[np.ndarray],
    reference: np.ndarray,
    found: np.ndarray,
) -> None:
    """Mouths around the filmed closures, two rows each: filmed, drawn; red where closed."""
    side = 0.9 * eyes_px(reference)
    gaps = [FACE.opening(points) for points in (reference, found)]
    rows = []
    for first, last in runs(gaps[0] < CLOSED_BELOW)[:MOST_CLOSURES]:
        middle = (first + last - 1) // 2
        around = range(middle - AROUND, middle + AROUND + 1)
        for video, gap in zip((filmed, shown), gaps, strict=True):
            cells = [cell(video, reference, i, side, gap) for i in around]
            rows.append(np.concatenate(cells, 1))
    if rows:
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.concatenate(rows)[..., ::-1])


def cell(
    video: list[np.ndarray], reference: np.ndarray, i: int, side: float, gap: np.ndarray
) -> np.ndarray:
    """The mouth of frame ``i``, where it was filmed; black outside of the clip."""
    if not 0 <= i < len(video) or np.isnan(reference[i]).any():
        return np.zeros((SIDE_PX, SIDE_PX, 3), np.uint8)
    x, y = reference[i][list(MOUTH_OF_68)].mean(0)
    zoom = SIDE_PX / side
    place = np.array([[zoom, 0, SIDE_PX / 2 - zoom * x], [0, zoom, SIDE_PX / 2 - zoom * y]])
    cut = cv2.warpAffine(video[i], place, (SIDE_PX, SIDE_PX), flags=cv2.INTER_CUBIC)
    if gap[i] < CLOSED_BELOW:
        cut[:4] = (255, 0, 0)
    return cut


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dirs", type=Path, nargs="+", help="results/{clip} of finished runs")
    parser.add_argument("--method", default="wildtalker_splats")
    parser.add_argument("--speech", default="original.mss_adaptive", help="what the method hears")
    parser.add_argument("--sheets", type=Path, help="folder for pictures of closures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for clip_dir in arguments.clip_dirs:
        print_clip(load_finished(clip_dir, arguments.method, arguments.speech), arguments.sheets)


if __name__ == "__main__":
    main()
