"""What each score can tell: real frames against their codec, other sound and a frozen mouth.

    python benchmarks/metric_sense.py CLIP.mp4 ... [--seconds 10] [--size 192] [--keep FILE.json]
        [--sound-only]

With ``--keep`` the answers of each clip are kept, and clips that are there are not asked again;
with ``--sound-only`` the filmed frames stand for the codec's and other sound is asked about alone,
in a tenth of the time.
Four videos are made of each clip and scored like any method's:

    truth     the frames as they were filmed
    codec     the same after the codec of all rendered videos
    sound     the codec's video, scored against the clip's own sound from half the clip away
    mouth     the mouth of one frame held fast in all others, after the codec

A score is of use for lips if it tells the last two from `codec`. For each the mean over the clips
that have a value is printed, and three verdicts, each by the difference's standard error (paired
block bootstrap, `metrics.bootstrap`; two errors):

    tells      worse than `codec` (or, for scores without a direction, another value), in so many
               of the clips
    WRONG WAY  better than `codec`
    BLIND      within two errors;  deaf: looks at pictures alone;  n/a: has no value there

`codec` is held against `truth` in the same way, and should be within the errors; scores of pictures
against the truth have no value for itself. Scores that need weights are left out where these are
not given. Torso and seam are the same in all four videos.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.finished import through_codec
from benchmarks.metric_sense_parts import (
    Clip,
    Statistic,
    freeze_mouth,
    pairs,
    read_clip,
    statistics,
)
from wildtalker_core.metrics import bootstrap
from wildtalker_core.metrics.frame_scores import Measured, Models, find_meshes, measure_frames
from wildtalker_core.metrics.landmarks import has_face
from wildtalker_core.pretrained.lpips_model import LpipsModel
from wildtalker_core.pretrained.mediapipe_models import BlendshapeModel, FaceMesh
from workflow_scripts.face_points import FACE
from workflow_scripts.score_tables import BY_KEY

CASES = ("truth", "codec", "sound", "mouth")
#: What is told from what, by the heading of the verdict.
QUESTIONS = {"codec": ("codec", "truth"), "sound": ("sound", "codec"), "mouth": ("mouth", "codec")}
TOLD_ERRORS = 2.0


@dataclass(frozen=True)
class Answer:
    """Values of one clip by case, and each question's difference with its standard error."""

    values: dict[str, float]
    differences: dict[str, tuple[float, float | None]]


def measure_videos(clip: Clip, models: Models, is_sound_only: bool) -> dict[str, Measured]:
    """What is measured of the frames of each case."""
    meshes = find_meshes(clip.frames, models.find_landmarks)
    known = has_face(clip.points)
    truth = Measured(known, {}, meshes, clip.points, [], [])
    if is_sound_only:
        return dict.fromkeys(CASES, truth)
    with tempfile.TemporaryDirectory() as name:
        seen = {
            case: through_codec(shown, clip.fps, Path(name) / f"{case}.mp4")
            for case, shown in (("codec", iter(clip.frames)), ("mouth", freeze_mouth(clip)))
        }
    measured = {
        case: measure_frames(pairs(clip, shown), models, FACE, True) for case, shown in seen.items()
    }
    return measured | {"truth": truth, "sound": measured["codec"]}


def ask(clip: Clip, models: Models, is_sound_only: bool) -> dict[str, Answer]:
    """Each score's answers on one clip."""
    measured = measure_videos(clip, models, is_sound_only)
    strange = np.roll(clip.waveform, len(clip.waveform) // 2)
    of = {
        case: statistics(clip, measured[case], strange if case == "sound" else clip.waveform)
        for case in CASES
    }
    n = len(clip.frames)
    block, every = bootstrap.block_frames(n, clip.fps), np.arange(n)
    answers = {}
    for key in of["codec"]:
        values = {case: of[case][key](every) if key in of[case] else np.nan for case in CASES}
        differences = {}
        for question, (one, other) in QUESTIONS.items():
            a, b = of[one].get(key), of[other].get(key)
            error = None
            if a and b:
                error = bootstrap.error_of(difference_of(a, b), n, block)
            differences[question] = (values[one] - values[other], error)
        answers[key] = Answer(values, differences)
    return answers


def difference_of(one: Statistic, other: Statistic) -> Statistic:
    return lambda frames: one(frames) - other(frames)


def verdict(column_key: str, question: str, answers: list[Answer]) -> str:
    """In words; see the head of this file."""
    pairs_ = [answer.differences[question] for answer in answers]
    if all(value == 0 for value, _ in pairs_):
        return "deaf" if question == "sound" else "same"
    known = [(value, error) for value, error in pairs_ if np.isfinite(value) and error is not None]
    if not known:
        return "n/a"
    better = BY_KEY[column_key].better
    sign = {"higher": -1.0, "lower": 1.0, "none": 0.0}[better]

    def told(value: float, error: float) -> bool:
        return (abs(value) if sign == 0 else sign * value) > TOLD_ERRORS * error

    mean = float(np.mean([value for value, _ in known]))
    error = float(np.sqrt(np.sum(np.square([e for _, e in known])))) / len(known)
    n_told = sum(told(*pair) for pair in known)
    word = "tells" if question != "codec" else "moves"
    if told(mean, error):
        return f"{word} {n_told}/{len(known)}"
    if sign and -sign * mean > TOLD_ERRORS * error:
        return "WRONG WAY"
    return f"BLIND {n_told}/{len(known)}" if question != "codec" else "same"


def report(answers: dict[str, list[Answer]]) -> None:
    heads = [*CASES, *(f"{q}?" for q in QUESTIONS)]
    print("\n" + "  ".join([f"{'score':22s}", *(f"{head:>10s}" for head in heads)]))
    for key in (key for key in BY_KEY if key in answers):
        column, of = BY_KEY[key], answers[key]
        cells = [f"{column.heading} {column.arrow}".ljust(22)]
        for case in CASES:
            known = [v for answer in of if np.isfinite(v := answer.values[case])]
            value = np.mean(known) if known else np.nan
            cells.append(
                f"{value:10.{column.n_digits}f}" if np.isfinite(value) else f"{'n/a':>10s}"
            )
        cells += [f"{verdict(key, question, of):>10s}" for question in QUESTIONS]
        print("  ".join(cells))
    absent = [column.heading for key, column in BY_KEY.items() if key not in answers]
    print(f"not asked (no weights, or the same in all videos): {', '.join(absent)}")


def remembered(function: Callable[[np.ndarray], object]) -> Callable:
    """The function, asked once for equal pictures: each reference is seen in every case."""
    known: dict[int, object] = {}

    def answer(picture: np.ndarray) -> object:
        key = hash(picture.tobytes())
        if key not in known:
            known[key] = function(picture)
        return known[key]

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP.mp4")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each clip, from its start")
    parser.add_argument("--size", type=int, default=192, help="pixels a side, at least 176")
    parser.add_argument("--sound-only", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE.json", help="of the answers by clip")
    parser.add_argument("--lpips-weights", type=Path, metavar="FILE")
    parser.add_argument("--blendshape-model", type=Path, metavar="FILE")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    known = json.loads(args.keep.read_text()) if args.keep and args.keep.is_file() else {}
    for path in args.clips:
        if path.stem not in known:
            found = ask_clip(path, args)
            known[path.stem] = {key: asdict(answer) for key, answer in found.items()}
            if args.keep:
                args.keep.write_text(json.dumps(known))
        print(f"{path.stem} is asked", flush=True)
    answers: dict[str, list[Answer]] = defaultdict(list)
    for of_clip in known.values():
        for key, answer in of_clip.items():
            answers[key].append(Answer(**answer))
    report(answers)


def ask_clip(path: Path, args: argparse.Namespace) -> dict[str, Answer]:
    with ExitStack() as stack:
        face_mesh = stack.enter_context(FaceMesh(is_tracking=False))
        shapes = None
        if args.blendshape_model:
            shapes = stack.enter_context(BlendshapeModel(args.blendshape_model))
        lpips = LpipsModel(args.lpips_weights) if args.lpips_weights else None
        models = Models(
            remembered(face_mesh),
            "mediapipe face mesh",
            perceptual_distance=lpips.score if lpips else None,
            blendshapes=remembered(shapes) if shapes else None,
        )
        clip = read_clip(path, args.seconds, args.size, models)
        return ask(clip, models, args.sound_only)


if __name__ == "__main__":
    main()
