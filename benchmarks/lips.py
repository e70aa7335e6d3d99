"""Do the lips listen? A finished portrait under its own speech, other speech and no speech.

    python benchmarks/lips.py results/anchor [--method wildtalker] [--gain 1.3] [--keep folder]
    python benchmarks/lips.py results/anchor --choose-gain [--stage head]

Shows the test split of a clip whose portrait is trained (the folder of its results), finds the face
anew in the videos, and prints per row the mouth's landmark distance to the filmed one (LMD, 20
points, pixels had the frame been 512 wide), the correlation of the mouth's opening with the filmed
one, and the spread of the opening over the filmed spread:

    own, swapped     the clip's speech; other parts of the clip's speech (mean over three)
    mean mouth       the mean of all training mouths, never moving
    true mouth       the mouth as it was filmed: what the field could do if it heard everything
    ground truth     the filmed frames after the codec

and, from guessed landmarks without any picture (a portrait's own errors cannot show there):

    ridge            6 frames of the clip's features (log-mel, or Whisper's states beside it) either
                     side -> mouth landmarks by ridge regression
    ridge, posed     the same in the head's own plane, placed with the head's pose as it is known
    pose, no sound   what the portrait makes of the head's pose alone, likewise
    hearing          what it makes of speech and pose (``mouth.ear``), likewise
    true shapes      the mouth as it was filmed, in the few numbers in which it is heard, likewise

``--choose-gain`` prints the row ``hearing`` on the validation split for gains from 1 to 1.6, by
which ``render.mouth_gain`` is chosen; test frames are for figures only.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from dataclasses import replace

from benchmarks.finished import (
    Finished,
    Row,
    compare,
    faces_in,
    heard_mouth,
    load_finished,
    moments,
    pictures,
    through_codec,
)
from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.shape import (
    LIPS,
    fit_mouth_basis,
    measure_mouth,
    mouth_points,
    mouth_shapes,
)
from wildtalker_core.person.landmarks import MOUTH_OF_68
from wildtalker_core.scene.scene import Scene
from workflow_scripts.render.options import RenderSection

CONTEXT_FRAMES, N_SWAPS = 6, 3
RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)  # of the mean of the Gram matrix's diagonal
N_FOLDS, FOLD_GAP = 6, 12
GAINS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6)


def mouths(
    finished: Finished, frames: np.ndarray, options: SpeakingOptions
) -> dict[str, torch.Tensor]:
    """``Moment.mouth`` of ``frames`` by name of the row (``swapped 1`` and so on).

    Args:
    """
    scene = finished.scene
    found = {"own": heard_mouth(finished, frames, frames, options)}
    train = scene.train_frames
    span = frames[-1] - frames[0]
    for i, start in enumerate(np.linspace(train[0], train[-1] - span, N_SWAPS).astype(int)):
        audio_frames = start + frames - frames[0]
        found[f"swapped {i + 1}"] = heard_mouth(finished, frames, audio_frames, options)
    if finished.n_mouth_shapes:
        shapes, _ = measure_mouth(scene, finished.n_mouth_shapes)
        true = torch.as_tensor(shapes, dtype=torch.float32)
        found["true mouth"], mean = true[frames], true[train].mean(0)
    else:
        mean = heard_mouth(finished, train, train, options).mean(0)
    found["mean mouth"] = mean.expand(len(frames), -1)
    return found


def mean_row(name: str, rows: list[Row]) -> Row:
    return Row(name, *np.mean([(row.lmd_px, row.correlation, row.spread) for row in rows], axis=0))


def ridge(
    sound: np.ndarray, points: np.ndarray, train: np.ndarray, asked: np.ndarray
) -> np.ndarray:
    """Points [k, d] guessed for frames ``asked`` from those of ``train``; the ridge by folds."""

    def guess(known: np.ndarray, wanted: np.ndarray, strength: float) -> np.ndarray:
        centre, mean = sound[known].mean(0), points[known].mean(0)
        inputs = sound[known] - centre
        gram = inputs @ inputs.T
        gram += strength * np.trace(gram) / len(gram) * np.eye(len(gram))
        coefficients = np.linalg.solve(gram, points[known] - mean)
        return mean + (sound[wanted] - centre) @ inputs.T @ coefficients

    def error(strength: float) -> float:
        total = 0.0
        for fold in np.array_split(train, N_FOLDS):
            known = train[(train < fold[0] - FOLD_GAP) | (train > fold[-1] + FOLD_GAP)]
            total += np.square(guess(known, fold, strength) - points[fold]).sum()
        return total

    return guess(train, asked, min(RIDGES, key=error))


def sound_around(scene: Scene) -> np.ndarray:
    """Log-mel of each frame and of 6 frames either side [n, d], standardised on training frames."""
    window = scene.audio_features.shape[2]
    # A frame's own share of its window is the middle quarter.
    middle = scene.audio_features[..., 3 * window // 8 : 5 * window // 8].mean(2)
    train = middle[scene.train_frames]
    middle = (middle - train.mean(0)) / train.std(0).clip(1e-6)
    around = np.arange(-CONTEXT_FRAMES, CONTEXT_FRAMES + 1)
    index = (np.arange(scene.n_frames)[:, None] + around).clip(0, scene.n_frames - 1)
    return middle[index].reshape(scene.n_frames, -1).astype(np.float64)


def heard_faces(
    finished: Finished,
    asked: np.ndarray,
    reference: np.ndarray,
    gains: tuple[float, ...] = (1.0,),
) -> dict[str, np.ndarray]:
    """What can be told from sound without drawing it, by row: landmarks [k, 478, 2].

    Args:
        reference: [k, 478, 2] landmarks found anew in the filmed frames, the truth of all rows.
        gains: of the row ``hearing``.
    """
    scene, portrait = finished.scene, finished.portrait
    seen = scene.seen_train_frames
    sound, mouth = sound_around(scene), list(MOUTH_OF_68)
    filmed = scene.landmarks[:, mouth] - scene.landmarks[:, mouth].mean(1, keepdims=True)
    flat = filmed.reshape(scene.n_frames, -1)

    def face(guess: np.ndarray) -> np.ndarray:
        """Of mouth points [k, 20, 2] in pixels, wherever the head is."""
        estimate = reference.copy()
        middle = reference[:, mouth].mean(1, keepdims=True)
        estimate[:, mouth] = guess - guess.mean(1, keepdims=True) + middle
        return estimate

    faces = {"ridge": face(ridge(sound, flat, seen, asked).reshape(len(asked), -1, 2))}
    found = scene.landmarks.copy()
    found[asked] = reference
    points = mouth_points(
        found, scene.T_camera_head, scene.focal_length, scene.height, scene.width, seen
    )
    of_68 = [LIPS.index(i) for i in mouth]
    truth = points[asked].reshape(len(asked), -1, 2)[:, of_68]
    shape = truth - truth.mean(1, keepdims=True)
    to_pixels = (shape * reference[:, mouth]).sum() / (shape**2).sum()

    def posed(guess: np.ndarray) -> np.ndarray:
        """Of mouth points [k, points * 2] in the head's plane: the error is moved to the frame."""
        error = guess.reshape(len(asked), -1, 2)[:, of_68] - truth
        return face(reference[:, mouth] + error * to_pixels)

    faces["ridge, posed"] = posed(ridge(sound, points, seen, asked))
    if finished.n_mouth_shapes:
        basis = fit_mouth_basis(points[seen], finished.n_mouth_shapes)
        turns = matrix_to_axis_angle(torch.as_tensor(scene.T_camera_head[asked, :3, :3]).float())
        audio = torch.as_tensor(scene.audio_features)
        with torch.no_grad():
            deaf, *heard = (
                portrait.ear.shapes(audio, torch.as_tensor(asked), turns, gain)
                for gain in (0.0, *gains)
            )
        shapes = {"pose, no sound": deaf.numpy()}
        for gain, guess in zip(gains, heard, strict=True):
            shapes["hearing" + ("" if gain == 1 else f", gain {gain:g}")] = guess.numpy()
        shapes["true shapes"] = mouth_shapes(points[asked], basis)
        for name, each in shapes.items():
            faces[name] = posed(basis.mean + each @ basis.basis)
    return faces


def print_rows(
    finished: Finished, asked: np.ndarray, options: RenderSection, keep: Path | None
) -> None:
    """Print all rows. ``keep``: for the videos."""
    scene, size_px = finished.scene, finished.scene.width
    filmed = [scene.frames[int(i)] for i in asked]
    reference = faces_in(filmed)
    for name, found in heard_faces(finished, asked, reference).items():
        print(compare(name, reference, found, size_px), flush=True)
    rows: dict[str, Row] = {}
    with tempfile.TemporaryDirectory() as folder:
        into = keep or Path(folder)
        into.mkdir(parents=True, exist_ok=True)

        def add(name: str, shown: Iterator[np.ndarray]) -> None:
            path = into / f"{name.replace(' ', '_')}.mp4"
            found = faces_in(through_codec(shown, finished.fps, path))
            rows[name] = compare(name, reference, found, size_px)
            if not name.startswith("swapped"):
                print(rows[name], flush=True)

        for name, mouth in mouths(finished, asked, options).items():
            told = moments(finished, asked, mouth)
            add(name, pictures(finished, told, asked, options.mode))
        swaps = [row for name, row in rows.items() if name.startswith("swapped")]
        print(mean_row("swapped", swaps), flush=True)
        add("ground truth", iter(filmed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dir", type=Path, help="results/{clip} of a finished run")
    parser.add_argument("--method", default="wildtalker")
    parser.add_argument("--speech", default="original.mss_adaptive", help="what the method hears")
    parser.add_argument("--stage", help="head, lips, torso or splats; default: the last")
    parser.add_argument("--mode", choices=("portrait", "head"), default="portrait")
    parser.add_argument("--gain", type=float, help="instead of the default of render.mouth_gain")
    parser.add_argument("--choose-gain", action="store_true", help="on validation frames")
    parser.add_argument("--keep", type=Path, help="folder for the videos")
    arguments = parser.parse_args()
    finished = load_finished(
        arguments.clip_dir, arguments.method, arguments.speech, arguments.stage
    )
    if arguments.choose_gain:
        asked = finished.scene.validation_frames
        print(f"{finished.scene.clip}, {len(asked)} frames of the validation split")
        filmed = faces_in([finished.scene.frames[int(i)] for i in asked])
        for name, found in heard_faces(finished, asked, filmed, GAINS).items():
            print(compare(name, filmed, found, finished.scene.width), flush=True)
        return
    asked = finished.scene.test_frames
    print(f"{finished.scene.clip}, {arguments.method}, {len(asked)} frames of the test split")
    print(f"{'row':22s} {'LMD px':>7s} {'correlation':>12s} {'spread':>7s}")
    options = RenderSection(mode=arguments.mode)
    if arguments.gain:
        options = replace(options, mouth_gain=arguments.gain)
    print_rows(finished, asked, options, arguments.keep)


if __name__ == "__main__":
    main()
