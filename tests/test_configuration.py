"""Defaults, presets, overlays and the errors of a wrong config."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from wildtalker_core.errors import InputError
from workflow_scripts.configuration import STAGES, complete_config, load_schema, merge, method_view
from workflow_scripts.option_page import page

CONFIG_DIR = ROOT / "config"
SMALLEST = {"clips": {"me": {"path": "me.mp4"}}}


def test_three_lines_are_enough():
    completed = complete_config(SMALLEST, CONFIG_DIR)
    assert completed["methods"] == {
        "wildtalker_splats": {"kind": "nerf", "train": {"renderer": "splats"}}
    }
    for stage in STAGES:
        missing = set(load_schema(CONFIG_DIR)["properties"][stage]["properties"]) - set(
            completed[stage]
        )
        assert not missing, f"{stage}: {missing}"


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"clip": {}}, "config.clip: unknown key; did you mean clips?"),
        ({**SMALLEST, "media": {"size_pix": 3}}, "did you mean size_px?"),
        ({**SMALLEST, "media": {"size_px": "big"}}, "media.size_px: 'big' is not"),
        ({**SMALLEST, "pose": {"pose_window_frames": 4}}, "pose_window_frames: 4 is not odd"),
        ({**SMALLEST, "train": {"preset": "fsat"}}, "did you mean fast?"),
        ({**SMALLEST, "methods": {"mean_frame": {}}}, "choose another name"),
        ({**SMALLEST, "methods": {"x": {"kind": "external"}}}, "finished videos"),
        ({**SMALLEST, "methods": {"x": {"speech": {"denoisre": "mss"}}}}, "did you mean denoiser?"),
        (
            {**SMALLEST, "methods": {"x": {"speech": {"audio_features": "hf"}}}},
            "methods.x.speech.audio_features: is shared by all methods",
        ),
        ({**SMALLEST, "clips": {"../me": {"path": "x"}}}, "'../me' does not match"),
    ],
)
def test_wrong_config_is_one_line_that_helps(config, words):
    with pytest.raises(InputError) as caught:
        complete_config(config, CONFIG_DIR)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message


def test_overlay_ranks_above_config_and_config_above_preset():
    config = {
        **SMALLEST,
        "train": {"preset": "smoke", "seed": 5},
        "methods": {"a": {}, "b": {"train": {"seed": 6}, "speech": {"denoiser": "none"}}},
    }
    completed = complete_config(config, CONFIG_DIR)
    assert method_view(config, completed, "a", CONFIG_DIR)["train"]["seed"] == 5
    b = method_view(config, completed, "b", CONFIG_DIR)
    assert b["train"]["seed"] == 6
    assert b["speech"]["denoiser"] == "none"
    assert completed["speech"]["denoiser"] != "none", "an overlay must not leak into the defaults"


def test_the_page_of_options_says_what_the_classes_say():
    written = (ROOT / "docs" / "options.md").read_text()
    assert written == page(load_schema(CONFIG_DIR)), "python -m workflow_scripts.option_page"


def test_unknown_method():
    completed = complete_config(SMALLEST, CONFIG_DIR)
    with pytest.raises(InputError, match="did you mean wildtalker"):
        method_view(SMALLEST, completed, "wildtalkr", CONFIG_DIR)


def test_merge_leaves_its_arguments_alone():
    base, overlay = {"a": {"b": 1}}, {"a": {"c": [1]}}
    merged = merge(base, overlay)
    merged["a"]["c"].append(2)
    assert (base, overlay) == ({"a": {"b": 1}}, {"a": {"c": [1]}})
