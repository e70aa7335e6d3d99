"""How close hand-free frames come to what was really there, per filler.

    python benchmarks/hand_removal.py
    LAMA_MODEL=big-lama.pt python benchmarks/hand_removal.py

The situations of benchmarks/situations.py, whose hand-free truth is known, with the regions that
the motion stage itself hides. PSNR inside those regions, of every fourth frame together; the frames
went through a video codec, the truth did not. The seam is the mean absolute error (grey levels)
just inside the region's edge less that just outside: what a filler adds where it meets the frame.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from situations import CHOSEN_ON, HELD_OUT, Clip, make_clip
from transient_mask import both_ways, measure

from wildtalker_core.occlusion.hand_removal import (
    View,
    fill_telea,
    fill_temporal,
    hidden_region,
)
from wildtalker_core.occlusion.options import OcclusionSection
from wildtalker_core.occlusion.source_frames import Plan, coarse_hidden


@dataclass(frozen=True)
class HandFree:
    """The stage's result for a clip with the default mask and filler.

    frames: [n, height, width, 3] uint8. transient_mask: [n, height, width] uint8.
    region: [n, height, width] bool, what is hidden. n_unseen: pixels that no frame shows.
    """

    frames: np.ndarray
    transient_mask: np.ndarray
    region: np.ndarray
    n_unseen: int


def remove_hands(clip: Clip, options: OcclusionSection, every: int = 1) -> HandFree:
    """Masks and ``temporal`` hand-free frames as the motion stage makes them.

    Only each ``every``-th frame is filled and returned; all of them are sources.
    """
    masks = both_ways(clip, measure(clip, options.use_hands), options)
    in_bytes = np.rint(255 * masks).astype(np.uint8)
    level, margin = options.mask_level, options.hidden_margin
    hidden = [
        hidden_region(mask, parsing, level, margin)
        for mask, parsing in zip(in_bytes, clip.parsing, strict=True)
    ]
    views = [View(*facts) for facts in zip(clip.frames, clip.parsing, hidden, strict=True)]
    plan = Plan(np.stack([coarse_hidden(region) for region in hidden]))
    filled, n_unseen = [], 0
    for number, view in list(enumerate(views))[::every]:
        sources = plan.sources(number, options.max_sources)
        frame, never_seen = fill_temporal(view, (views[i] for i in sources))
        filled.append(frame)
        n_unseen += int(never_seen.sum())
    return HandFree(np.stack(filled), in_bytes[::every], np.stack(hidden)[::every], n_unseen)


def psnr(estimate: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """dB inside a region [n, height, width] bool."""
    error = estimate[region].astype(np.float64) - truth[region].astype(np.float64)
    return float(10 * np.log10(255.0**2 / np.mean(error**2)))


def seam(estimate: np.ndarray, truth: np.ndarray, region: np.ndarray) -> float:
    """Grey levels of error just inside the edges of a region, less those just outside."""
    cross = np.ones((3, 3), np.uint8)
    inside = np.stack([r & (cv2.erode(r.astype(np.uint8), cross) == 0) for r in region])
    outside = np.stack([~r & (cv2.dilate(r.astype(np.uint8), cross) > 0) for r in region])
    error = np.abs(estimate.astype(np.int16) - truth).mean(-1)
    return float(error[inside].mean() - error[outside].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep the rendered situations here")
    parser.add_argument("--only", nargs="*", help="names of situations; all without")
    parser.add_argument("--every", type=int, default=4, help="fill and score each n-th frame")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    options, lama = OcclusionSection(), None
    wanted = {
        f"{title}/{name}": scenario
        for title, scenarios in (("chosen_on", CHOSEN_ON), ("held_out", HELD_OUT))
        for name, scenario in scenarios.items()
        if scenario.situation.gestures and name in (arguments.only or scenarios)
    }
    if "LAMA_MODEL" in os.environ:
        from wildtalker_core.pretrained.inpainting import Lama

        lama = Lama(os.environ["LAMA_MODEL"], "auto")
    columns = ("untouched", "lama", "telea", "temporal")
    print("PSNR (dB) in the region; seam (grey levels) of telea and temporal")
    print(f"{'':24}  hidden" + "".join(f"{column:>11}" for column in columns), end="")
    print("   gain |  seam telea  temporal |  unseen")
    gains = []
    began = time.process_time()
    with tempfile.TemporaryDirectory() as temporary:
        for name, scenario in wanted.items():
            clip = make_clip(scenario, (arguments.folder or Path(temporary)) / name)
            made = remove_hands(clip, options, arguments.every)
            frames, truth = clip.frames[:: arguments.every], clip.hand_free[:: arguments.every]
            pairs = list(zip(frames, made.region, strict=True))
            shown = {
                "untouched": frames,
                "telea": np.stack([fill_telea(*pair, 0.01 * len(pair[0])) for pair in pairs]),
                "temporal": made.frames,
            }
            if lama is not None:
                shown["lama"] = np.stack([lama(*pair) for pair in pairs])
            db = {k: psnr(filled, truth, made.region) for k, filled in shown.items()}
            gains.append(db["temporal"] - db["telea"])
            row = f"{name:24}{100 * made.region.mean():6.1f} %"
            row += "".join(f"{db[c]:11.2f}" if c in db else f"{'n/a':>11}" for c in columns)
            row += f"{gains[-1]:7.2f} |"
            for filler, width in (("telea", 12), ("temporal", 10)):
                row += f"{seam(shown[filler], truth, made.region):{width}.2f}"
            unseen = 100 * made.n_unseen / max(made.region.sum(), 1)
            print(f"{row} |{unseen:6.1f} %", flush=True)
    print(f"mean gain of temporal over telea {np.mean(gains):.2f} dB, least {min(gains):.2f} dB")
    if lama is None:
        print("lama: n/a, set LAMA_MODEL to big-lama as TorchScript")
    print(f"{time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
