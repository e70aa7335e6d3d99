"""config/paper.yaml on made-up data: the whole plan, without running anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

CONFIG = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())


def place_made_up_data(folder: Path) -> None:
    """An empty file or folder for everything that the config names."""
    files = [clip["path"] for clip in CONFIG["clips"].values()]
    files += CONFIG["drive"].values()
    files += [
        c["noise_path"] for c in CONFIG["speech"]["corruptions"].values() if "noise_path" in c
    ]
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    for method in CONFIG["methods"].values():
        if method.get("kind") == "external":
            for clip in CONFIG["clips"]:
                videos = folder / method["path"] / clip
                videos.mkdir(parents=True)
                for setting in ("self_driven", *(f"drive_{name}" for name in CONFIG["drive"])):
                    (videos / f"{setting}.mp4").touch()


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("paper")
    place_made_up_data(folder)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--snakefile",
         ROOT / "Snakefile", "--configfile", ROOT / "config" / "paper.yaml", "--directory", folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def count(plan: str, rule: str) -> int:
    found = re.search(rf"^{rule}\s+(\d+)$", plan, re.M)
    return int(found[1]) if found else 0


def test_every_method_of_every_clip_is_rendered_and_scored(plan):
    n_clips, n_drives = len(CONFIG["clips"]), len(CONFIG["drive"])
    external = [m for m in CONFIG["methods"].values() if m.get("kind") == "external"]
    n_trained = len(CONFIG["methods"]) - len(external)
    n_settings = 1 + n_drives
    assert count(plan, "train_head") == n_clips * n_trained
    assert count(plan, "render_portrait") == n_clips * n_trained * n_settings
    assert count(plan, "copy_external") == n_clips * len(external) * n_settings
    assert count(plan, "render_baseline") == n_clips * 3
    assert count(plan, "score_render") == n_clips * (3 + len(CONFIG["methods"]) * n_settings)


def test_every_denoiser_is_scored_on_every_corruption(plan):
    schema = yaml.safe_load((ROOT / "config" / "schema" / "report.yaml").read_text())
    n_denoisers = len(schema["properties"]["denoisers"]["default"])
    n_corruptions = len(CONFIG["speech"]["corruptions"])
    assert count(plan, "score_speech") == len(CONFIG["clips"]) * n_corruptions * n_denoisers


def test_weights_are_fetched_once_each(plan):
    assert count(plan, "fetch_weights") >= 3


def test_its_rows_are_the_papers():
    numbers = yaml.safe_load((ROOT / "config" / "paper_numbers.yaml").read_text())
    assert set(numbers["table1"]) <= set(CONFIG["methods"])
    assert set(numbers["table2"]) <= set(CONFIG["methods"])
