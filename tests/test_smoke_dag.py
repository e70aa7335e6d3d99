"""The whole workflow at its smallest, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys

import av
import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import ROOT
from tests.report.chromium import CHROMIUM, Page
from wildtalker_core.media.files import load_json
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.scene.scene import load_scene
from workflow_scripts.scene_inputs import scene_files, scene_paths

CONFIG = yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text())
pytestmark = pytest.mark.slow
METHODS = ("ground_truth", "mean_frame", "nearest_landmarks", *CONFIG["methods"])
SETTINGS = ("self_driven", "drive_greeting")


def snakemake(config_path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--nolock",
         "--configfile", config_path, *arguments],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Results folder and config of one finished run."""
    folder = tmp_path_factory.mktemp("smoke")
    config_path = folder / "config.yaml"
    config_path.write_text(yaml.safe_dump({**CONFIG, "results_dir": str(folder / "results")}))
    done = snakemake(config_path)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "results", config_path


def test_nothing_is_left_to_do(run):
    _, config_path = run
    again = snakemake(config_path, "-n")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout + again.stderr


def test_nothing_half_written_remains(run):
    results, _ = run
    assert not [path for path in results.rglob("*") if path.name.startswith(".partial-")]


def test_every_stage_agrees_on_the_number_of_frames(run):
    results, _ = run
    clip = results / "astronaut"
    manifest = load_json(clip / "media" / "manifest.json")
    assert manifest["n_frames"] == 4 * 25
    scene = load_scene(**scene_paths(scene_files(clip, "original.none")))
    assert scene.n_frames == manifest["n_frames"]
    assert (scene.height, scene.width) == (96, 96)
    assert set(scene.train_frames).isdisjoint(scene.test_frames)
    parsing = FrameStore(clip / "person" / "parsing.zarr.zip")[[0, 50]]
    assert (parsing.sum(-1, dtype=int) == 255).all()


@pytest.mark.parametrize("method", [*METHODS])
def test_videos_play_with_sound(run, method):
    results, _ = run
    path = results / "astronaut" / "render" / method / "self_driven.mp4"
    with av.open(str(path)) as container:
        assert container.streams.audio
        sound = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == len(load_json(path.with_suffix(".json"))["frames"])
    assert frames[0].shape == (96, 96, 3)
    assert np.std(frames[0]) > 10, "a picture, not a plain field"
    assert np.abs(sound).max() > 0.01


def test_driven_video_is_as_long_as_its_speech(run):
    results, _ = run
    path = results / "astronaut" / "render" / "wildtalker" / "drive_greeting.mp4"
    with av.open(str(path)) as container:
        n_frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(ROOT / "examples" / "greeting.wav")) as container:
        seconds = sum(f.samples for f in container.decode(audio=0)) / 16000
    assert abs(n_frames / 25 - seconds) < 0.1


def test_tables_hold_every_row_and_possible_scores(run):
    results, _ = run
    table = pd.read_csv(results / "report" / "table1.tsv", sep="\t", comment="#", dtype=str)
    rows = set(table.iloc[:, 0])
    assert set(METHODS) <= rows
    for n in (1, 2, 3):
        for suffix in ("tsv", "md", "tex"):
            assert (results / "report" / f"table{n}.{suffix}").stat().st_size > 100


def test_truth_scores_above_every_method(run):
    """The codec alone must cost less than any portrait."""
    results, _ = run
    psnr = {
        method: load_json(results / "astronaut" / "evaluate" / method / "self_driven.json")
        for method in METHODS
    }
    values = {method: scores["scores"]["psnr_db"]["value"] for method, scores in psnr.items()}
    assert values["ground_truth"] == max(values.values())
    assert values["ground_truth"] > 30


def test_report_is_one_offline_file(run):
    results, _ = run
    html = (results / "report" / "report.html").read_text()
    assert "<video" in html
    assert 'src="http' not in html
    assert "wildtalker" in html
    assert "results" in (results / "report" / "summary.txt").read_text()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_snakemakes_own_report_needs_no_network(run, tmp_path):
    _, config_path = run
    path = tmp_path / "snakemake_report.html"
    done = snakemake(config_path, "--report", path)
    assert done.returncode == 0, done.stdout + done.stderr
    page = Page(path, tmp_path / "profile")
    try:
        shown = page.evaluate("document.body.innerText")
        outside = [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))]
    finally:
        page.close()
    for category in ("Figures", "Tables", "Videos"):
        assert category in shown
    assert outside == []
