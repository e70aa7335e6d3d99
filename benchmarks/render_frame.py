"""Milliseconds a rendered frame, by part, at several sizes.

python benchmarks/render_frame.py portrait.safetensors [threads]
The same trained portrait is shown at 128, 256 and 512 pixels.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
N_THREADS = int(sys.argv[2]) if len(sys.argv) > 2 else 1
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(N_THREADS)

import dataclasses  # noqa: E402
import time  # noqa: E402

import torch  # noqa: E402

from wildtalker_core.nerf.portrait import Portrait  # noqa: E402
from wildtalker_core.training.build import choose_device, restore_portrait  # noqa: E402


def at_size(portrait: Portrait, size: int) -> None:
    """Let a square portrait render at another size."""
    shape = portrait.shape
    portrait.shape = dataclasses.replace(
        shape, height=size, width=size, focal_length=shape.focal_length * size / shape.width
    )
    background = torch.zeros(size, size, 3, device=portrait.background.device)
    portrait.background = background


def main(path: str) -> None:
    torch.set_num_threads(N_THREADS)
    device = choose_device("auto")
    portrait, _ = restore_portrait(Path(path), "auto", device)
    pose = torch.eye(4, device=device)
    # ASSUME a face that fills as much of the picture as in the clips here: 1.8 head units away at a
    # focal length of 2.5 picture widths.
    pose[2, 3] = 1.8 * portrait.shape.focal_ratio / 5
    lip = torch.zeros(portrait.shape.head.n_lip, device=device)
    expression = torch.zeros(portrait.shape.head.n_expression, device=device)
    for size in (128, 256, 512):
        at_size(portrait, size)
        behind = torch.zeros(size, size, 3, device=device)
        figures = {}
        for part, backdrop in (("head", behind), ("all", None)):
            portrait.render_frame(pose, lip, expression, backdrop)
            started = time.perf_counter()
            for _ in range(3):
                portrait.render_frame(pose, lip, expression, backdrop)
            figures[part] = (time.perf_counter() - started) / 3 * 1e3
        print(
            f"{size} px, {device}, {N_THREADS} threads: head {figures['head']:.0f} ms, "
            f"torso {figures['all'] - figures['head']:.0f} ms, frame {figures['all']:.0f} ms"
        )


if __name__ == "__main__":
    main(sys.argv[1])
