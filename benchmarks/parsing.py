"""How well the bundled example is parsed, against its truth.

    python benchmarks/parsing.py

Prints IoU of person, of head (the truth's head holds the neck and part of the collar) and of hands,
the flicker of the head's mask beside the truth's own motion, and frames per second of CPU time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import av
import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from wildtalker_core.media.files import save_json  # noqa: E402
from wildtalker_core.media.frame_store import FrameStore, write_frames  # noqa: E402
from wildtalker_core.media.splits import Split, save_split  # noqa: E402
from wildtalker_core.person import parsing  # noqa: E402
from wildtalker_core.person.options import HandOptions, LandmarkOptions  # noqa: E402
from workflow_scripts.person import detect_landmarks, parse_portrait  # noqa: E402


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks."""
    return float((a & b).sum() / (a | b).sum())


def main() -> None:
    cv2.setNumThreads(1)
    with av.open(str(ROOT / "examples" / "astronaut.mp4")) as video:
        frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    with tempfile.TemporaryDirectory() as folder:
        path = {name: f"{folder}/{name}" for name in ("frames.zarr.zip", "parsing.zarr.zip")}
        with write_frames(path["frames.zarr.zip"], len(frames), frames[0].shape) as writer:
            for frame in frames:
                writer.append(frame)
        save_json(f"{folder}/manifest.json", {"clip": "astronaut", "fps": 25.0})
        everything = Split((len(frames),) * 3, np.ones(len(frames), bool))
        save_split(f"{folder}/split.json", everything)
        detect_landmarks.main(
            path["frames.zarr.zip"], f"{folder}/manifest.json", f"{folder}/split.json",
            f"{folder}/landmarks.npz", LandmarkOptions(),
        )  # fmt: skip
        began = time.process_time()
        parse_portrait.main(
            path["frames.zarr.zip"], f"{folder}/landmarks.npz", f"{folder}/split.json",
            path["parsing.zarr.zip"],
            f"{folder}/background.png", HandOptions(),
        )  # fmt: skip
        seconds = time.process_time() - began
        found = FrameStore(path["parsing.zarr.zip"])[:] / np.float32(255)
    truth = {
        name: np.unpackbits(archive[name], axis=-1).astype(bool)
        for archive in (
            np.load(ROOT / "examples" / "truth" / "parsing.npz"),
            np.load(ROOT / "examples" / "truth" / "occluder_masks.npz"),
        )
        for name in archive.files
        if name != "shape"
    }
    hand = truth["occluder"]
    person = found[..., parsing.BACKGROUND] < 0.5
    head = found[..., parsing.HEAD] + found[..., parsing.NECK] > 0.5
    hands = found[..., parsing.HANDS] > 0.5
    print(f"person IoU         {overlap(person, truth['person'] | hand):.3f}")
    print(f"head and neck IoU  {overlap(head & ~hand, truth['head'] & ~hand):.3f}")
    print(f"hands IoU          {overlap(hands, hand):.3f}", end="")
    print(f"  precision {(hands & hand).sum() / hands.sum():.2f}", end="")
    print(f"  recall {(hands & hand).sum() / hand.sum():.2f}")
    flicker = np.abs(np.diff(found[..., parsing.HEAD], axis=0)).mean()
    own = np.abs(np.diff(truth["head"].astype(np.float32), axis=0)).mean()
    print(f"head change/frame  {flicker:.4f}  (truth's motion {own:.4f})")
    print(f"frames per second of CPU  {len(frames) / seconds:.1f}")


if __name__ == "__main__":
    main()
