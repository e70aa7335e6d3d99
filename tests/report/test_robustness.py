"""The paired benchmark: its clips, tables and curves."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.report.conftest import MADE_WITH, video_score
from wildtalker_core.errors import InputError
from wildtalker_core.media.image import read_image
from wildtalker_core.metrics.tables import ranks
from workflow_scripts import configuration
from workflow_scripts.report import plot_robustness, tabulate_robustness

CONFIG_DIR = ROOT / "config"
STRENGTHS = {"spoiled_100": 100, "spoiled_0": 0, "spoiled_50": 50}


@pytest.fixture
def scores():
    """Each method loses with the strength; no_mask loses twice as much."""
    found = [
        video_score(clip, method, "self_driven", 30 - loss * strength / 10)
        for clip, strength in STRENGTHS.items()
        for method, loss in (("ours", 1), ("no_mask", 2))
    ]
    return [video_score("spoiled_0", "ground_truth", "self_driven", 45.0), *found]


def test_curves_rise_with_strength(scores, tmp_path):
    scores[1]["scores"]["lmd_px"] = {"value": None, "backend": None, "reason": "no face"}
    curves = plot_robustness.robustness_curves(scores[1:], STRENGTHS)
    assert curves["psnr_torso_db"]["ours"] == [(0, 30.0), (50, 25.0), (100, 20.0)]
    assert curves["psnr_torso_db"]["no_mask"][2] == (100, 10.0)
    assert curves["lmd_px"]["ours"] == [(0, 30.0), (50, 25.0)], "a gap, not a zero"
    plot_robustness.main(scores, STRENGTHS, str(tmp_path / "robustness.png"))
    assert read_image(tmp_path / "robustness.png").shape[1] > 1000
    figure = plot_robustness.draw_robustness(curves, {"psnr_torso_db": 45.0})
    panel = figure.axes[0]
    assert len(panel.lines) == 2 and panel.get_ylim()[1] < 40, "the truth does not flatten them"
    assert panel.get_title(loc="right") == "truth 45.00"


def test_a_table_for_each_strength_and_one_for_the_cost(scores):
    *by_strength, cost = tabulate_robustness.build_tables(scores, STRENGTHS, MADE_WITH)
    assert [t.part for t in by_strength] == ["strength 0", "strength 50", "strength 100"]
    for table in by_strength:
        assert [row.name for row in table.rows] == ["ground_truth", "ours", "no_mask"]
    values = {row.name: row.scores["psnr_torso_db"].value for row in by_strength[2].rows}
    assert values == {"ground_truth": 45.0, "ours": 20.0, "no_mask": 10.0}
    assert {row.name: row.scores["psnr_db"].value for row in cost.rows} == {
        "ours": -10.0, "no_mask": -20.0,
    }  # fmt: skip
    assert ranks(cost)[0, "psnr_db"] == 1, "who loses least is best"
    assert by_strength[0].footers and not by_strength[1].footers


def test_a_single_strength_costs_nothing(scores):
    alone = [s for s in scores if s["clip"] == "spoiled_0"]
    tables = tabulate_robustness.build_tables(alone, {"spoiled_0": 0}, MADE_WITH)
    assert len(tables) == 1


def test_the_default_run_has_a_small_one_and_its_clips_join_no_other_table(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--nolock", "--cores", "1",
         "--config", f"results_dir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    plan = done.stdout + done.stderr
    assert done.returncode == 0, plan
    jobs = re.split(r"\n(?=(?:local)?rule )", plan)
    inputs = {
        match[1]: match[2]
        for job in jobs
        if (match := re.search(r"^(?:local)?rule (\w+):.*?input: (.*?)\n", job, re.S))
    }
    assert "spoiled_100/evaluate" in inputs["tabulate_robustness"]
    assert "spoiled_" not in inputs["tabulate"]
    assert "robustness.png" in inputs["write_report"]
    whole = ("rule train_torso", "rule train_splats")
    n_spoiled = sum(job.startswith(whole) and "clip=spoiled" in job for job in jobs)
    config = yaml.safe_load((ROOT / "config.yaml").read_text())["robustness"]
    assert n_spoiled == len(config["strengths"]) * len(config["methods"])


def complete(**robustness):
    config = {
        "clips": {"me": {"path": "me.mp4"}},
        "media": {"size_px": 256, "fps": 30},
        "train": {"preset": "fast", "head": {"steps": 7}},
        "robustness": {"path": "clean.mp4", **robustness},
    }
    configuration.complete_config(config, CONFIG_DIR)
    return configuration.complete_config(configuration.robustness_config(config), CONFIG_DIR)


def test_its_clips_have_the_runs_config_but_for_the_overlay():
    spoiled = complete(media={"size_px": 128}, train={"torso": {"steps": 9}})
    assert spoiled["media"]["size_px"] == 128 and spoiled["media"]["fps"] == 30
    assert spoiled["train"]["head"]["steps"] == 7 and spoiled["train"]["torso"]["steps"] == 9


@pytest.mark.parametrize(
    ("robustness", "words"),
    [
        ({"strengths": [120]}, "120"),
        ({"media": {"size": 128}}, "did you mean size_px"),
        ({"methods": ["wildtalkr"]}, "did you mean wildtalker"),
    ],
)
def test_mistakes_are_named(robustness, words):
    with pytest.raises(InputError, match=words):
        complete(**robustness)


def test_its_clips_names_are_taken():
    with pytest.raises(InputError, match="spoiled_50"):
        configuration.complete_config({"clips": {"spoiled_50": {"path": "a.mp4"}}}, CONFIG_DIR)
