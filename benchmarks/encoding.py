"""What the video codec costs: PSNR after decoding against time, by x264 preset and crf.

python benchmarks/encoding.py CLIP [CLIP ...] [--sizes 256 512] [--seconds 3] [--crf 14 16 18]
    [--presets ultrafast superfast veryfast faster fast medium]

Takes the middle square of the first seconds of each clip (training frames), at each size. Prints
means over the clips: PSNR against the frames that were given to the writer, processor time of all
threads and time on the clock in ms a frame, and kB a second of video.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from wildtalker_core.media.image import resize_image
from wildtalker_core.media.video import read_video, sample_frames
from wildtalker_core.media.video_writer import VideoWriter
from wildtalker_core.metrics.image import psnr

FPS = 25.0


def squares(path: Path, size: int, seconds: float) -> list[np.ndarray]:
    frames = []
    for sampled in sample_frames(path, FPS, max_seconds=seconds):
        height, width = sampled.image.shape[:2]
        side = min(height, width)
        x, y = (width - side) // 2, (height - side) // 2
        square = np.ascontiguousarray(sampled.image[y : y + side, x : x + side])
        frames += [resize_image(square, size)] * len(sampled.outputs)
    return frames


def measure(frames: list[np.ndarray], preset: str, crf: int) -> tuple[float, float, float, float]:
    """PSNR dB, ms of processor a frame, ms on the clock a frame, kB a second."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.mp4"
        processor, clock = time.process_time(), time.perf_counter()
        with VideoWriter(path, FPS, crf=crf, encoder_preset=preset) as video:
            for frame in frames:
                video.append(frame)
        processor, clock = time.process_time() - processor, time.perf_counter() - clock
        scores = [
            psnr(frame, decoded)
            for frame, (decoded, _) in zip(frames, read_video(path), strict=True)
        ]
        kilobytes = path.stat().st_size / 1000
    n = len(frames)
    return float(np.mean(scores)), 1e3 * processor / n, 1e3 * clock / n, kilobytes / n * FPS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--crf", type=int, nargs="+", default=[14, 16, 18])
    parser.add_argument(
        "--presets",
        nargs="+",
        default=["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"],
    )
    arguments = parser.parse_args()
    print("pixels  preset      crf   psnr_db  processor_ms  clock_ms  kB/s")
    for size in arguments.sizes:
        clips = [squares(path, size, arguments.seconds) for path in arguments.clips]
        for preset in arguments.presets:
            for crf in arguments.crf:
                figures = np.mean([measure(frames, preset, crf) for frames in clips], axis=0)
                print(
                    f"{size:6d}  {preset:10s} {crf:4d}  {figures[0]:8.2f}  {figures[1]:12.2f}"
                    f"  {figures[2]:8.2f}  {figures[3]:5.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
