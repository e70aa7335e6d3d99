"""Every wrong input, through Snakemake as a user meets it: one line, status not 0, no traceback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import soundfile
import yaml

from tests.conftest import ROOT
from wildtalker_core.media.files import load_arrays, load_json

EXAMPLE = ROOT / "examples" / "astronaut.mp4"
SMALL = {"media": {"size_px": 96}, "train": {"preset": "smoke"}}


def ffmpeg(*arguments: str | Path) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *map(str, arguments)]
    subprocess.run(command, check=True)


def snakemake(folder: Path, config: dict, *targets: str) -> tuple[int, str]:
    """Run the workflow on ``config``, results inside ``folder``; status and terminal text."""
    config_path = folder / "config.yaml"
    config_path.write_text(yaml.safe_dump({"results_dir": str(folder / "results"), **config}))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--configfile", config_path,
         "--", *(str(folder / "results" / target) for target in targets)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def assert_one_line(status: int, terminal: str, *words: str) -> None:
    assert status != 0
    assert "Traceback" not in terminal
    lines = [line for line in terminal.splitlines() if all(word in line for word in words)]
    assert len(lines) == 1, terminal


def cut(tmp_path: Path, *options: str | Path) -> Path:
    """Three seconds of the example, re-encoded with ``options``."""
    path = tmp_path / "me.mp4"
    ffmpeg("-t", "3", "-i", EXAMPLE, *options, path)
    return path


def as_is(tmp_path):
    return cut(tmp_path)


def missing(tmp_path):
    return tmp_path / "me.mp4"


def text_file(tmp_path):
    path = tmp_path / "me.mp4"
    path.write_text("not a video\n" * 100)
    return path


def truncated(tmp_path):
    whole = cut(tmp_path, "-movflags", "+faststart").read_bytes()
    path = tmp_path / "me.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    return path


def no_audio(tmp_path):
    return cut(tmp_path, "-an")


def no_face(tmp_path):
    return cut(tmp_path, "-vf", "boxblur=40")


def one_second(tmp_path):
    return cut(tmp_path, "-t", "1")


def tiny(tmp_path):
    return cut(tmp_path, "-vf", "scale=64:64")


def silent(tmp_path):
    return cut(tmp_path, "-af", "volume=0")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing, ["me.mp4", "does not exist", "correct the path"]),
        (text_file, ["error: ", "me.mp4"]),
        (truncated, ["error: ", "me.mp4"]),
        (no_audio, ["error: ", "me.mp4", "audio"]),
        (no_face, ["error: ", "me.mp4", "face"]),
        (one_second, ["error: ", "me.mp4", "second"]),
        (tiny, ["error: ", "me.mp4", "64"]),
        (silent, ["error: ", "me.mp4", "silent"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_clip(tmp_path, make, words):
    config = {**SMALL, "clips": {"me": {"path": str(make(tmp_path))}}}
    status, terminal = snakemake(
        tmp_path, config, "me/media/manifest.json", "me/media/speech.wav"
    )  # fmt: skip
    assert_one_line(status, terminal, *words)
    left = [p for p in (tmp_path / "results").rglob("*.partial*")]
    assert not left, "nothing half-written may remain"


def test_a_few_frames_without_a_face_are_interpolated_marked_and_listed(tmp_path):
    covered = cut(tmp_path, "-vf", "drawbox=w=iw:h=ih:t=fill:enable='between(n,30,34)'")
    config = {**SMALL, "clips": {"me": {"path": str(covered)}}}
    status, terminal = snakemake(tmp_path, config, "me/person/landmarks.npz")
    assert status == 0, terminal
    manifest = load_json(tmp_path / "results/me/media/manifest.json")
    face = load_arrays(tmp_path / "results/me/person/landmarks.npz")
    assert manifest["faceless_frames"] == [30, 31, 32, 33, 34]
    assert set(range(30, 35)) <= set(np.flatnonzero(face["is_interpolated"]))
    assert not face["is_interpolated"][[0, 20, 45, 70]].any()
    # Between their neighbours, not where a black frame might have put them.
    step = np.linalg.norm(np.diff(face["landmarks"][28:38], axis=0), axis=-1).mean(-1)
    assert step.max() < 2.0


def test_wav_with_nan(tmp_path):
    samples = np.zeros(48000, np.float32)
    samples[1000:40000] = 0.1 * np.sin(np.arange(39000))
    samples[5000] = np.nan
    soundfile.write(tmp_path / "hello.wav", samples, 16000, subtype="FLOAT")
    config = {
        **SMALL,
        "clips": {"me": {"path": str(EXAMPLE)}},
        "drive": {"hello": str(tmp_path / "hello.wav")},
    }
    status, terminal = snakemake(tmp_path, config, "me/speech/drive_hello/speech.wav")
    assert_one_line(status, terminal, "error: ", "hello.wav")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"medai": {}}, ["medai", "unknown key", "did you mean media?"]),
        ({"media": {"size": 96}}, ["media.size", "unknown key", "did you mean size_px?"]),
        ({"methods": {"mine": {"kind": "nerv"}}}, ["methods.mine.kind", "nerv"]),
        ({"methods": {"mine": {"train": {"preset": "nerv"}}}}, ["preset", "'nerv' is unknown"]),
    ],
)
def test_bad_config(tmp_path, config, words):
    config = {"clips": {"me": {"path": str(EXAMPLE)}}, **config}
    assert_one_line(*snakemake(tmp_path, config, "me/media/manifest.json"), *words)


def test_external_folder_with_a_missing_video(tmp_path):
    (tmp_path / "videos" / "me").mkdir(parents=True)
    shutil.copy(EXAMPLE, tmp_path / "videos" / "me" / "drive_hello.mp4")
    config = {
        **SMALL,
        "clips": {"me": {"path": str(EXAMPLE)}},
        "methods": {"theirs": {"kind": "external", "path": str(tmp_path / "videos")}},
    }
    status, terminal = snakemake(tmp_path, config, "me/render/theirs/self_driven.mp4")
    assert_one_line(
        status, terminal, "videos/me/self_driven.mp4", "config methods.theirs", "correct"
    )


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 200 kB; skips where mounting is not allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_no_disk_space(tmp_path, small_disk):
    config = {
        "media": {"size_px": 256},
        "clips": {"me": {"path": str(EXAMPLE)}},
        "results_dir": str(small_disk / "results"),
    }
    config_path = tmp_path / "config.yaml"
    config_path.write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", "--configfile", config_path,
         "--", str(small_disk / "results" / "me" / "media" / "frames.zarr.zip")],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert_one_line(done.returncode, done.stdout + done.stderr, "error: ", "no space left")
    assert not (small_disk / "results" / "me" / "media" / "frames.zarr.zip").exists()
