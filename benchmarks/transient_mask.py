"""How well masks find what comes and goes, on clips whose occluder is known.

    python benchmarks/transient_mask.py

The example's generator renders situations (a hand waves, enters slowly, is held, leaves, holds a
prop; the body merely sways); they pass through a video codec and the face stage as any clip does.
Per situation: precision, recall and IoU of the accumulated mask (above one half), of the flow
threshold alone, and of Eq. 4 with a constant decay, all outside the head; from flow alone, and with
the parsing's hands. The occluder's shadow moves, and should not be learnt either, but is no
occluder in this truth: its pixels count neither way, and the precision with them as errors stands
beside.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from synthetic_hand import Gesture  # noqa: E402
from synthetic_portrait import Situation, build_portrait, render_situation  # noqa: E402

from wildtalker_core.media.files import (  # noqa: E402
    load_arrays,
    save_arrays,
    save_json,
)
from wildtalker_core.media.frame_store import FrameStore, write_frames  # noqa: E402
from wildtalker_core.motion.flow import DisFlow, measure_motion, without_hands  # noqa: E402
from wildtalker_core.motion.rigid_motion import RigidMotion  # noqa: E402
from wildtalker_core.motion.transient_mask import (  # noqa: E402
    accumulate,
    restrict_to_transients,
    threshold_px,
    without_head_motion,
)
from workflow_scripts.face import detect_landmarks, parse_portrait  # noqa: E402
from workflow_scripts.motion.accumulate_transient_masks import (  # noqa: E402
    backward,
    make_decay,
)

FPS = 25.0
N_FRAMES = 120


def _situation(*gestures: Gesture, seed: int, **changes: float) -> Situation:
    return Situation(
        n_frames=N_FRAMES, fps=FPS, seed=seed, gestures=gestures, sensor_noise=0.006, **changes
    )


SITUATIONS = {
    "fast_wave": _situation(Gesture("fast_wave", "left", 0.8, 2.6), seed=1),
    "slow_entry": _situation(Gesture("slow_entry", "right", 0.6, 3.4), seed=2),
    "held_hand": _situation(Gesture("held_hand", "left", 0.6, 3.3), seed=3),
    "leaving_hand": _situation(Gesture("leaving_hand", "right", 0.0, 2.4), seed=4),
    "prop_in_hand": _situation(Gesture("prop_in_hand", "left", 0.6, 3.2), seed=5),
    "two_hands": _situation(
        Gesture("beat", "left", 0.5, 3.0), Gesture("beat", "right", 1.2, 3.0), seed=6
    ),
    "shaky_camera": _situation(Gesture("beat", "right", 0.8, 3.0), seed=7, camera_shake_px=2.0),
    "sway_only": _situation(seed=8, body_sway_px=5.0, yaw_degrees=16.0),
}


@dataclass(frozen=True)
class Clip:
    """A rendered situation, as the motion stage sees it, and its truth."""

    frames: np.ndarray  # [n, height, width, 3] uint8
    parsing: np.ndarray  # [n, height, width, 5] uint8
    landmarks: np.ndarray  # [n, 478, 2] pixels
    occluder: np.ndarray  # [n, height, width] bool
    head: np.ndarray  # [n, height, width] bool, the true one
    person: np.ndarray  # [n, height, width] bool
    hand_free: np.ndarray  # [n, height, width, 3] uint8


def through_codec(frames: np.ndarray, crf: int = 23) -> np.ndarray:
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
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def face_options() -> dict:
    """Defaults of the config section ``face``."""
    schema = yaml.safe_load((ROOT / "config/schema/face.yaml").read_text())
    return {name: entry.get("default") for name, entry in schema["properties"].items()}


def motion_options() -> dict:
    """Defaults of the config section ``motion``."""
    schema = yaml.safe_load((ROOT / "config/schema/motion.yaml").read_text())
    return {name: entry["default"] for name, entry in schema["properties"].items()}


def make_clip(situation: Situation, folder: Path) -> Clip:
    """Render, encode, find landmarks and parse; kept in ``folder`` for the next run."""
    if not (folder / "truth.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        model = build_portrait(situation.size_px)
        frames, truth = render_situation(situation, model, _murmur(situation.n_frames))
        frames = through_codec(frames)
        with write_frames(folder / "frames.zarr.zip", len(frames), frames.shape[1:]) as writer:
            for frame in frames:
                writer.append(frame)
        save_json(folder / "manifest.json", {"clip": folder.name, "fps": situation.fps})
        options = face_options()
        detect_landmarks.main(
            str(folder / "frames.zarr.zip"),
            str(folder / "manifest.json"),
            str(folder / "landmarks.npz"),
            **{
                key: options[key]
                for key in (
                    "max_faces",
                    "max_gap_seconds",
                    "max_faceless_share",
                    "smoothing_window_frames",
                    "smoothing_order",
                )
            },
        )
        parse_portrait.main(
            str(folder / "frames.zarr.zip"),
            str(folder / "landmarks.npz"),
            str(folder / "parsing.zarr.zip"),
            str(folder / "background.png"),
            options["max_hand_gap_frames"],
            options["min_hand_frames"],
        )
        save_arrays(
            folder / "truth.npz",
            occluder=truth.occluder_masks,
            head=truth.head_masks,
            person=truth.person_masks,
            hand_free=truth.hand_free_frames,
        )
    return Clip(
        frames=FrameStore(folder / "frames.zarr.zip")[:],
        parsing=FrameStore(folder / "parsing.zarr.zip")[:],
        landmarks=load_arrays(folder / "landmarks.npz")["landmarks"],
        **load_arrays(folder / "truth.npz"),
    )


def _murmur(n_frames: int) -> np.ndarray:
    times = np.arange(int(n_frames / FPS * 16000)) / 16000.0
    return np.sin(2 * np.pi * 500.0 * times) * np.clip(np.sin(2 * np.pi * 2.0 * times), 0, 1)


@dataclass(frozen=True)
class Measured:
    """What estimate_flow gives for a clip; the parsing without hands if they are not used."""

    flow_magnitude: list[np.ndarray]
    motions: list[RigidMotion]
    parsing: np.ndarray
    use_hands: bool


def measure(clip: Clip, use_hands: bool) -> Measured:
    """Flow beyond rigid motion of a clip by the default estimator."""
    stream = list(
        measure_motion(clip.frames, clip.parsing, clip.landmarks, DisFlow("medium"), 1, use_hands)
    )
    parsing = clip.parsing if use_hands else np.stack([without_hands(p) for p in clip.parsing])
    magnitude = [
        without_head_motion(frame.beyond_rigid, p) for frame, p in zip(stream, parsing, strict=True)
    ]
    return Measured(magnitude, [frame.rigid for frame in stream], parsing, use_hands)


def accumulated(clip: Clip, measured: Measured, options: dict, is_backward: bool) -> np.ndarray:
    """Transient masks [n, height, width] float32 as the stage makes them."""
    step = -1 if is_backward else 1
    motions = backward(measured.motions) if is_backward else measured.motions
    height = clip.frames.shape[1]
    parsing = measured.parsing[::step]
    decay = make_decay(
        {**options, "use_hands": measured.use_hands},
        height, FPS, clip.frames[::step], parsing, motions,
    )  # fmt: skip
    masks = accumulate(
        measured.flow_magnitude[::step], threshold_px(options["flow_threshold"], height, FPS), decay
    )
    made = [
        restrict_to_transients(mask, p, measured.use_hands)
        for mask, p in zip(masks, parsing, strict=True)
    ]
    return np.stack(made)[::step]


def variants(clip: Clip, measured: Measured, options: dict) -> dict[str, np.ndarray]:
    """Masks [n, height, width] bool by every way that is compared."""
    forward = accumulated(clip, measured, options, False)
    both = np.maximum(forward, accumulated(clip, measured, options, True))

    def other(**changes: object) -> np.ndarray:
        return accumulated(clip, measured, {**options, **changes}, False)

    return {
        "threshold alone": other(decay="constant", constant_decay=0.0) > 0.5,
        "Eq. 4, constant 0.9": other(decay="constant", constant_decay=0.9) > 0.5,
        "Eq. 4, constant 0.97": other(decay="constant", constant_decay=0.97) > 0.5,
        "adaptive": other(decay="adaptive") > 0.5,
        "memory, forward": forward > 0.5,
        "memory, both (default)": both > 0.5,
    }


def shadow(clip: Clip) -> np.ndarray:
    """[n, height, width] bool: beside the occluder, but darkened by its shadow; counts nowhere."""
    shaded = []
    for frame, clean, occluder in zip(clip.frames, clip.hand_free, clip.occluder, strict=True):
        change = cv2.absdiff(cv2.blur(frame, (3, 3)), cv2.blur(clean, (3, 3))).max(-1)
        shaded.append((change > 10) & ~occluder)
    return np.stack(shaded)


def scores(mask: np.ndarray, clip: Clip, ignored: np.ndarray) -> np.ndarray:
    """Precision, recall, IoU of a mask [n, height, width] bool outside head and ``ignored``."""
    counted = ~clip.head & ~ignored
    found = int((mask & clip.occluder & counted).sum())
    masked, hidden = int((mask & counted).sum()), int((clip.occluder & counted).sum())
    return np.array(
        [found / max(masked, 1), found / max(hidden, 1), found / max(masked + hidden - found, 1)]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep the rendered situations here")
    parser.add_argument("--situations", nargs="*", default=list(SITUATIONS), choices=SITUATIONS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    options = motion_options()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        clips = {name: make_clip(SITUATIONS[name], folder / name) for name in arguments.situations}
        for use_hands in (False, True):
            print(f"\n{'with the hands of the parsing' if use_hands else 'from flow alone'}")
            report(clips, options, use_hands)


def report(clips: dict[str, Clip], options: dict, use_hands: bool) -> None:
    """Print precision, recall and IoU, and the masked share of the torso."""
    all_scores: dict[str, list[np.ndarray]] = {}
    all_shadowed: dict[str, list[float]] = {}
    lower: dict[float, list[np.ndarray]] = {share: [] for share in (0.0005, 0.001, 0.0015, 0.002)}
    print(f"{'':14}{'':22}precision recall   IoU | shadow as error: precision | torso masked")
    for name, clip in clips.items():
        measured, ignored = measure(clip, use_hands), shadow(clip)
        for variant, mask in variants(clip, measured, options).items():
            torso = clip.person & ~clip.head & ~clip.occluder
            share = (mask & torso & ~ignored).sum() / torso.sum()
            row = f"{name:14}{variant:22}"
            if clip.occluder.any():
                score = scores(mask, clip, ignored)
                shadowed = scores(mask, clip, np.zeros_like(ignored))[0]
                all_scores.setdefault(variant, []).append(score)
                all_shadowed.setdefault(variant, []).append(shadowed)
                row += f"{score[0]:9.3f}{score[1]:7.3f}{score[2]:6.3f} |{shadowed:27.3f} |"
            else:
                row += f"{'':22} |{'':27} |"
            print(f"{row}{100 * share:11.2f} %", flush=True)
        for threshold, found in lower.items():
            if clip.occluder.any():
                changes = {"decay": "constant", "constant_decay": 0.0, "flow_threshold": threshold}
                alone = accumulated(clip, measured, {**options, **changes}, False) > 0.5
                found.append(scores(alone, clip, ignored))
    for variant, found in all_scores.items():
        mean, shadowed = np.mean(found, axis=0), np.mean(all_shadowed[variant])
        print(
            f"{'mean':14}{variant:22}{mean[0]:9.3f}{mean[1]:7.3f}{mean[2]:6.3f} |{shadowed:27.3f} |"
        )
    for threshold, found in lower.items():
        mean = np.mean(found, axis=0)
        row = f"{'mean':14}{f'threshold alone {threshold}':22}"
        print(f"{row}{mean[0]:9.3f}{mean[1]:7.3f}{mean[2]:6.3f} |")


if __name__ == "__main__":
    main()
