"""Stands in for Snakemake: its events and bars, pictures, a portrait, or a failure.

What the first bytes of the video say decides: ``fails`` fails until the file ``mended`` lies beside
the video, ``waits`` waits for the file ``go_on``. Work that was done once is not done again.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))
from wildtalker_core.media.frame_store import write_frames

JOBS = ["extract_frames", "parse_portrait", "accumulate_transient_masks", "train_splats"]


def tell(event: str, **values) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def make(rule: str, clip: Path) -> None:
    frames = np.full((3, 32, 32, 3), 90, np.uint8)
    files = {
        "extract_frames": ("media/frames.zarr.zip", frames),
        "parse_portrait": ("person/parsing.zarr.zip", np.full((3, 32, 32, 5), 51, np.uint8)),
        "accumulate_transient_masks": ("occlusion/transient_mask.zarr.zip", frames[..., 0]),
    }
    if rule in files:
        path, stack = files[rule]
        (clip / path).parent.mkdir(parents=True, exist_ok=True)
        with write_frames(clip / path, len(stack), stack.shape[1:]) as writer:
            for frame in stack:
                writer.append(frame)


def main(config_path: str, target: str, portrait: str) -> int:
    config = yaml.safe_load(Path(config_path).read_text())
    video = Path(config["clips"]["me"]["path"])
    clip = Path(config["results_dir"]) / "me"
    clip.mkdir(parents=True, exist_ok=True)
    (video.parent / "pid").write_text(str(os.getpid()))
    todo = [rule for rule in JOBS if not (clip / rule).exists()]
    tell("run_info", stats={**dict.fromkeys(todo, 1), "total": len(todo)})
    for number, rule in enumerate(todo):
        tell("job_info", jobid=number, rule_name=rule)
        say(f"\r{rule}:   0%|     | 0/2\r{rule}:  50%|##   | 1/2 [00:01<00:01,  1.0it/s]")
        if rule == "parse_portrait" and video.read_bytes().startswith(b"fails"):
            if not (video.parent / "mended").exists():
                say(f"\nerror: {video}: has no face; film one\n")
                tell("job_error", jobid=number, rule_name=rule, text="")
                return 1
        while video.read_bytes().startswith(b"waits") and not (video.parent / "go_on").exists():
            time.sleep(0.05)
        make(rule, clip)
        (clip / rule).touch()
        tell("job_finished", job_id=number)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(portrait, target)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
