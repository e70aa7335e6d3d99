"""The curve over seeds: which cells are found, their intervals, and one config for every run."""

from __future__ import annotations

import argparse

import numpy as np
import pytest

from benchmarks import robustness_curve
from benchmarks.robustness_curve_parts import SHOWN, draw, interval, read_cells
from tests.conftest import ROOT
from wildtalker_core.media.files import save_json
from wildtalker_core.media.image import read_image
from workflow_scripts import configuration


def arguments(**changes) -> argparse.Namespace:
    defaults = {
        "clip": robustness_curve.EXAMPLE, "sound": None, "methods": list(robustness_curve.METHODS),
        "strengths": [0, 100], "snr_db": -10.0, "size": 128, "clip_seconds": 8.0,
    }  # fmt: skip
    return argparse.Namespace(**defaults | changes)


def write_cell(folder, place: str, seed: int, strength: int, method: str, value) -> None:
    scores = {key: {"value": value} for key in SHOWN}
    path = folder / f"{place}_{seed}/spoiled_{strength}/evaluate/{method}/self_driven.json"
    path.parent.mkdir(parents=True)
    save_json(path, {"scores": scores})


def test_clean_cells_count_for_both_places(tmp_path):
    write_cell(tmp_path, "chest", 1, 0, "ours", 20.0)
    write_cell(tmp_path, "mouth", 1, 100, "ours", 15.0)
    write_cell(tmp_path, "mouth", 2, 100, "ours", None)
    write_cell(tmp_path, "chest", 1, 0, "ground_truth", 40.0)
    found = {(c.place, c.seed, c.strength, c.value) for c in read_cells(tmp_path)}
    assert found == {
        ("chest", 1, 0, 20.0), ("mouth", 1, 0, 20.0), ("mouth", 1, 100, 15.0),
        ("mouth", 2, 100, None),
    }  # fmt: skip
    draw(read_cells(tmp_path), tmp_path / "curve.png")
    assert read_image(tmp_path / "curve.png").shape[1] > 1000


def test_an_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        mean, width = interval(list(rng.normal(3.0, 2.0, 3)))
        hits += abs(mean - 3.0) <= width
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)
    assert np.isnan(interval([1.0])[1]), "one seed says nothing of its spread"


def test_every_row_is_a_config_that_holds(tmp_path):
    """All methods, with steps laid over; the seed is that of hands, noise and training."""
    steps = {name: {"head": 7, "lips": 3, "torso": 5, "splats": 9}
             for name in robustness_curve.METHODS}  # fmt: skip
    config = robustness_curve.config_of(arguments(), tmp_path, "mouth", 2, steps)
    completed = configuration.complete_config(config, ROOT / "config")
    assert completed["robustness"]["place"] == "mouth"
    assert completed["robustness"]["snr_db"] == -10.0
    for name in robustness_curve.METHODS:
        view = configuration.method_view(config, completed, name, ROOT / "config")
        assert view["train"]["seed"] == completed["robustness"]["seed"] == 2
        stages = ["splats"] if "splats" in name else ["head", "lips", "torso"]
        assert [view["train"][stage]["steps"] for stage in stages] == [
            steps[name][stage] for stage in stages
        ]
        is_masked = view["train"]["static_weight"] != "none"
        assert is_masked == (name in ("wildtalker", "no_mss", "wildtalker_splats", "splats_no_mss"))
