"""Frames → which of them are trained on, chosen on and tested on, and which count."""

import numpy as np

from wildtalker_core.media.files import load_json
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.splits import PARTS, Split, frames_with_person, save_split, split_frames
from workflow_scripts.job import call, job


def main(frames_path: str, manifest_path: str, split_path: str, train_fraction: float) -> None:
    """Write ``split.json``.

    Raises InputError: a part has no frame that shows the person.
    """
    frames, manifest = FrameStore(frames_path), load_json(manifest_path)
    n_frames = len(frames)
    is_faceless = np.zeros(n_frames, bool)
    is_faceless[manifest["faceless_frames"]] = True
    ends = split_frames(n_frames, train_fraction)
    is_counted = frames_with_person(frames, is_faceless, ends)
    is_counted[manifest.get("blank_frames", [])] = False
    split = Split(ends, is_counted)
    split.require_frames(f"clip {manifest['clip']}")
    counts = ", ".join(f"{len(split.frames(part))} {part}" for part in PARTS)
    print(f"{n_frames} frames: {counts}; {n_frames - is_counted.sum()} do not show the person")
    save_split(split_path, split)


if __name__ == "__main__":
    with job(snakemake):
        call(main, snakemake)
