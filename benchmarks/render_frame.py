"""Milliseconds a rendered frame, by part, at 128, 256 and 512 pixels.

python benchmarks/render_frame.py [portrait.safetensors] [--threads 1] [--device auto] [--frames 3]
    [--sizes 128 256 512] [--encoder auto] [--processor]

A trained portrait is shown at each size; without one, a fresh one with a dense ball for a head and
a torso over the lower half, which costs about as much. The parts: marching (rays and occupied
samples), hash grids, networks (all of the head field that is not a grid), compositing and the rest
of the head, torso, and encoding the frame into a video file.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

parser = argparse.ArgumentParser()
parser.add_argument("portrait", type=Path, nargs="?")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
parser.add_argument("--frames", type=int, default=3, help="frames that are timed at each size")
parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
parser.add_argument("--encoder", default="auto")
parser.add_argument(
    "--processor", action="store_true", help="count processor time, for a CPU that is busy"
)
ARGUMENTS = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(ARGUMENTS.threads)

import dataclasses  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from tests.training import tiny_scene  # noqa: E402
from tests.training.conftest import preset  # noqa: E402
from wildtalker_core.media.video_writer import VideoWriter  # noqa: E402
from wildtalker_core.nerf import portrait as portrait_module  # noqa: E402
from wildtalker_core.nerf.portrait import Portrait  # noqa: E402
from wildtalker_core.nerf.tri_plane import HashGrids  # noqa: E402
from wildtalker_core.training.build import (  # noqa: E402
    choose_device,
    device_name,
    new_portrait,
    restore_portrait,
)
from wildtalker_core.training.optimise import keep_freed_memory  # noqa: E402


class Clock:
    """Time spent in named functions, each without what it calls by another name."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[float] = []  # time spent in named functions inside each open one

    def now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.process_time() if ARGUMENTS.processor else time.perf_counter()

    def named(self, part: str, function: Callable) -> Callable:
        def timed(*arguments, **options):
            started = self.now()
            self._open.append(0.0)
            try:
                return function(*arguments, **options)
            finally:
                whole = self.now() - started
                self.seconds[part] += whole - self._open.pop()
                if self._open:
                    self._open[-1] += whole

        return timed


def fresh_portrait(device: torch.device) -> Portrait:
    """The preset `fast`, untrained: a ball for a head, a torso over the lower half."""
    portrait = new_portrait(
        tiny_scene.make_scene(), preset("fast")["model"], ARGUMENTS.encoder, device, 0
    )
    grid = portrait.occupancy
    centres = grid.cell_centres(torch.arange(grid.resolution**3, device=device))
    is_ball = centres.norm(dim=-1) < 0.8 * min(grid.half_extents)
    grid.is_occupied.copy_(is_ball.view_as(grid.is_occupied))
    portrait.alpha_grid.is_occupied.zero_()
    portrait.alpha_grid.is_occupied[portrait.alpha_grid.resolution // 2 :] = True
    return portrait


def at_size(portrait: Portrait, size: int) -> None:
    """Let a square portrait render at another size."""
    shape = portrait.shape
    portrait.shape = dataclasses.replace(
        shape, height=size, width=size, focal_length=shape.focal_length * size / shape.width
    )
    portrait.background = torch.zeros(size, size, 3, device=portrait.background.device)


def milliseconds_to_encode(image: np.ndarray, n_frames: int = 50) -> float:
    """Of a frame in a video of ``n_frames``, each moved by a pixel, the encoder's start included.

    While rendering, the encoder works beside it, so this is not all waiting time.
    """
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        with VideoWriter(Path(folder) / "frames.mp4", fps=25.0) as video:
            for i in range(n_frames):
                video.append(np.roll(image, i, 1))
    return 1e3 * (time.perf_counter() - started) / n_frames


def name_parts(portrait: Portrait, clock: Clock) -> None:
    """Let the clock see the parts of a frame."""
    timed: list[tuple[Any, str, str]] = [
        (portrait, "render_frame", "head, the rest"),
        (portrait, "sample", "marching"),
        (portrait_module, "pixel_rays", "marching"),
        (portrait.head, "forward", "networks"),
        (portrait_module, "composite", "compositing"),
        (portrait, "_torso_over_background", "torso"),
    ]
    grids = [module for module in portrait.head.modules() if isinstance(module, HashGrids)]
    for owner, name, part in [*timed, *((grid, "forward", "hash grids") for grid in grids)]:
        setattr(owner, name, clock.named(part, getattr(owner, name)))


def main() -> None:
    torch.set_num_threads(ARGUMENTS.threads)
    keep_freed_memory()
    device = choose_device(ARGUMENTS.device)
    if ARGUMENTS.portrait:
        portrait, _ = restore_portrait(ARGUMENTS.portrait, ARGUMENTS.encoder, device)
    else:
        portrait = fresh_portrait(device)
    portrait.eval()
    pose = torch.eye(4, device=device)
    # ASSUME a face that fills as much of the picture as in the clips here: 1.8 head units away at a
    # focal length of 2.5 picture widths.
    pose[2, 3] = 1.8 * portrait.shape.focal_ratio / 5
    lip = torch.zeros(portrait.shape.head.n_lip, device=device)
    expression = torch.zeros(7, device=device)
    clock = Clock(device)
    name_parts(portrait, clock)
    kind = "processor" if ARGUMENTS.processor else "clock"
    threads = f"{ARGUMENTS.threads} threads"
    print(f"{device_name(device)}, {threads}, encoder {portrait.encoder}; ms a frame, {kind}")
    parts = ("marching", "hash grids", "networks", "compositing", "head, the rest", "torso")
    print("  ".join(f"{name:>14s}" for name in ("pixels", *parts, "encode", "frame")))
    for size in ARGUMENTS.sizes:
        at_size(portrait, size)
        portrait.render_frame(pose, lip, expression)  # compiles and fills the caches
        clock.seconds.clear()
        for _ in range(ARGUMENTS.frames):
            picture, _ = portrait.render_frame(pose, lip, expression)
        image = (255 * picture).round().byte().cpu().numpy()
        figures = [1e3 * clock.seconds[part] / ARGUMENTS.frames for part in parts]
        figures.append(milliseconds_to_encode(image))
        print("  ".join(f"{value:14.1f}" for value in (size, *figures, sum(figures))))


if __name__ == "__main__":
    main()
