"""How fast every preparation stage is, and how much memory it takes, on a long clip.

    python benchmarks/preparation.py [--clip video.mp4] [--frames 7500] [--folder kept]

Cuts a square portrait of 512 pixels out of a real clip, plays it forth and back until it has the
wanted length, and lets Snakemake prepare it, one thread a stage, as a user would. Prints per stage:
wall and CPU seconds, frames per second of CPU time (of one core, whatever else the machine does),
and the peak resident memory of its process, as the kernel counts it (VmHWM; Snakemake's own figure
is sampled and misses peaks). Linux only.

With --folder the clip, the results and the figures stay; the same command then goes on where it
stopped, or measures anew what has changed since.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from wildtalker_core.media.crop import follow_main_face, square_around_face  # noqa: E402
from wildtalker_core.media.image import resize_image  # noqa: E402
from wildtalker_core.media.video import sample_frames  # noqa: E402
from wildtalker_core.media.video_writer import VideoWriter  # noqa: E402
from wildtalker_core.pretrained.face_detector import FaceDetector  # noqa: E402

FPS = 25.0
#: Preparation in the order of the data; draw_overlays and assemble_scene ask for all the others.
STAGES = (
    "extract_frames", "split_frames", "extract_speech", "corrupt_speech", "denoise_speech",
    "extract_audio_features", "detect_landmarks", "parse_portrait", "track_head", "estimate_flow",
    "accumulate_transient_masks", "stabilize_head", "measure_expression", "remove_hands",
    "draw_overlays", "assemble_scene",
)  # fmt: skip


def make_long_clip(source: Path, path: Path, n_frames: int, size_px: int) -> None:
    """Write ``n_frames`` square frames of ``source``, played forth and back, with sound."""
    with FaceDetector() as find_faces:
        looks = list(sample_frames(source, 1.0))
        boxes = follow_main_face([find_faces(look.image) for look in looks])
    height, width = looks[0].image.shape[:2]
    crop = square_around_face(boxes, height, width, crop_scale=2.5, min_side=size_px)
    forth = []
    for sampled in sample_frames(source, FPS, max_seconds=n_frames / FPS):
        forth += [resize_image(crop.of(sampled.image), size_px)] * len(sampled.outputs)
    period = path.with_name("period.mp4")
    with VideoWriter(period, FPS, crf=18) as video:
        for frame in forth + forth[-2:0:-1]:
            video.append(frame)
    picture = ffmpeg.input(str(period), stream_loop=-1).video
    sound = ffmpeg.input(str(source), stream_loop=-1).audio
    length = {"vframes": n_frames, "t": n_frames / FPS}
    codecs = {"vcodec": "copy", "acodec": "aac", "loglevel": "error"}
    both = ffmpeg.output(picture, sound, str(path), **length, **codecs).overwrite_output()
    both.run(cmd=imageio_ffmpeg.get_ffmpeg_exe())
    period.unlink()


def write_config(folder: Path, clip: Path, size_px: int) -> Path:
    """The config that a user would write: clips and the size; all else is the default."""
    config = {
        "results_dir": str(folder / "results"),
        "clips": {"long": {"path": str(clip)}},
        "media": {"size_px": size_px},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def wanted_files(folder: Path) -> list[str]:
    """What makes Snakemake run every stage of :data:`STAGES`."""
    clip = folder / "results" / "long"
    speech = clip / "speech" / "original.mss_adaptive" / "audio_features.npz"
    return [
        str(p) for p in (speech, clip / "occlusion" / "overlay.png", clip / "scene" / "scene.npz")
    ]


def run_measured(command: list[str], log_path: Path, figures_path: Path) -> int:
    """Run Snakemake; returns its exit status.

    Per stage, wall and CPU seconds and peak memory in MB go to ``figures_path``; what it holds of
    other stages stays.

    The processes of rule scripts are looked at four times a second. Their high-water mark
    only grows, so that no peak is missed but one in the last quarter of a second.
    """
    before = json.loads(figures_path.read_text()) if figures_path.is_file() else {}
    figures: dict[str, dict[str, float]] = {}
    with open(log_path, "w") as log:
        snakemake = psutil.Popen(command, stdout=log, stderr=log, cwd=ROOT)
        while snakemake.poll() is None:
            for process in _children(snakemake):
                stage = _stage_of(process)
                if stage is not None:
                    try:
                        _note(figures.setdefault(stage, {}), process)
                    except (psutil.Error, FileNotFoundError, ProcessLookupError):
                        continue  # it has just ended; what was noted before stands
            figures_path.write_text(json.dumps(before | figures, indent=1))
            time.sleep(0.25)
    return snakemake.returncode


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _stage_of(process: psutil.Process) -> str | None:
    """The rule whose script a process runs; Snakemake copies it to tmp....<rule>.py."""
    try:
        arguments = process.cmdline()
    except psutil.Error:
        return None
    if not arguments or "python" not in Path(arguments[0]).name:
        return None
    for argument in arguments[1:3]:
        found = re.search(r"\.snakemake/scripts/tmp\w+\.(\w+)\.py$", argument)
        if found:
            return found[1]
    return None


def _note(figure: dict[str, float], process: psutil.Process) -> None:
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
    if peak is None:
        return  # a zombie has no memory any more
    times = process.cpu_times()
    figure["cpu_seconds"] = sum(times[:4])  # own and children's (ffmpeg), user and system
    figure["seconds"] = time.time() - process.create_time()
    figure["peak_mb"] = max(int(peak[1]) / 1024, figure.get("peak_mb", 0.0))


def print_table(figures: dict[str, dict[str, float]], n_frames: int) -> None:
    print(f"{'stage':28} {'seconds':>8} {'CPU s':>8} {'frames/CPU s':>13} {'peak MB':>8}")
    for stage in STAGES:
        if stage not in figures:
            print(f"{stage:28} (not run)")
            continue
        figure = figures[stage]
        speed = n_frames / max(figure["cpu_seconds"], 0.01)
        print(
            f"{stage:28} {figure['seconds']:8.1f} {figure['cpu_seconds']:8.1f} {speed:13.1f} "
            f"{figure['peak_mb']:8.0f}"
        )
    known = [figures[stage] for stage in STAGES if stage in figures]
    total = sum(figure["cpu_seconds"] for figure in known)
    wall = sum(figure["seconds"] for figure in known)
    peak = max(figure["peak_mb"] for figure in known)
    print(f"{'all':28} {wall:8.1f} {total:8.1f} {n_frames / total:13.1f} {peak:8.0f}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default_clip = ROOT.parent / "shared" / "data" / "video" / "gestures_20s.mp4"
    parser.add_argument("--clip", type=Path, default=default_clip, help="a real clip with sound")
    parser.add_argument("--frames", type=int, default=7500)
    parser.add_argument("--size", type=int, default=512, help="side of the square frames, pixels")
    parser.add_argument("--cores", type=int, default=1, help="stages that run side by side")
    parser.add_argument("--folder", type=Path, help="keep clip, results and figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        clip = folder / f"{arguments.clip.stem}_{arguments.frames}_{arguments.size}.mp4"
        if not clip.is_file():
            make_long_clip(arguments.clip, clip, arguments.frames, arguments.size)
        config_path = write_config(folder, clip, arguments.size)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--configfile", str(config_path), "--notemp", "--nolock"]
        command += ["--cores", str(arguments.cores)]
        command += ["--rerun-incomplete", "--quiet", "rules", "--", *wanted_files(folder)]
        figures_path = folder / "figures.json"
        status = run_measured(command, folder / "snakemake.log", figures_path)
        figures = json.loads(figures_path.read_text())
        print(f"{arguments.frames} frames of {arguments.clip.name} at {arguments.size} pixels")
        print_table(figures, arguments.frames)
        if status != 0:
            print((folder / "snakemake.log").read_text()[-2000:], file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
