"""How close hand-free frames come to what was really there, per filler.

    python benchmarks/hand_removal.py

The situations of benchmarks/transient_mask.py, whose hand-free truth is known, with the regions
that the motion stage itself hides. PSNR inside those regions, of all frames together; the frames
went through a video codec, the truth did not.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from transient_mask import SITUATIONS, accumulated, make_clip, measure, motion_options

from wildtalker_core.motion.hand_removal import (
    Plan,
    View,
    coarse_hidden,
    fill_telea,
    fill_temporal,
    hidden_region,
)


def psnr(estimate: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """dB inside a region [n, height, width] bool."""
    error = estimate[region].astype(np.float64) - truth[region].astype(np.float64)
    return float(10 * np.log10(255.0**2 / np.mean(error**2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep the rendered situations here")
    parser.add_argument("--situations", nargs="*", default=list(SITUATIONS), choices=SITUATIONS)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    options = motion_options()
    print(f"{'PSNR (dB) in the region':16}  hidden  untouched  telea  temporal   gain  unseen  ms")
    gains = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in arguments.situations:
            clip = make_clip(SITUATIONS[name], (arguments.folder or Path(temporary)) / name)
            if not clip.occluder.any():
                continue
            measured = measure(clip, options["use_hands"])
            masks = accumulated(clip, measured, options, False)
            masks = np.maximum(masks, accumulated(clip, measured, options, True))
            hidden = [
                hidden_region(
                    np.uint8(255 * mask), parsing, options["mask_level"], options["hidden_margin"]
                )
                for mask, parsing in zip(masks, clip.parsing, strict=True)
            ]
            views = [View(*facts) for facts in zip(clip.frames, clip.parsing, hidden, strict=True)]
            plan = Plan(np.stack([coarse_hidden(region) for region in hidden]))
            start = time.perf_counter()
            temporal, unseen = [], 0
            for number, view in enumerate(views):
                sources = plan.sources(number, options["max_sources"])
                frame, never_seen = fill_temporal(view, (views[i] for i in sources))
                temporal.append(frame)
                unseen += int(never_seen.sum())
            ms = 1000 * (time.perf_counter() - start) / len(views)
            telea = [
                fill_telea(view.frame, view.is_hidden, 0.01 * len(view.frame)) for view in views
            ]
            region = np.stack(hidden)
            figures = [
                psnr(np.stack(filled), clip.hand_free, region)
                for filled in (clip.frames, telea, temporal)
            ]
            gains.append(figures[2] - figures[1])
            print(
                f"{name:24}{100 * region.mean():6.1f} %{figures[0]:10.2f}{figures[1]:7.2f}"
                f"{figures[2]:10.2f}{gains[-1]:7.2f}{100 * unseen / region.sum():6.1f} %{ms:4.0f}",
                flush=True,
            )
    print(f"mean gain of temporal over telea {np.mean(gains):.2f} dB, least {min(gains):.2f} dB")


if __name__ == "__main__":
    main()
