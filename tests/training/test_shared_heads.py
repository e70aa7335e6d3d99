"""Methods with the same head train it once."""

from __future__ import annotations

from tests.conftest import ROOT
from workflow_scripts import configuration
from workflow_scripts.shared_heads import head_key, head_owner

CONFIG = {
    "clips": {"me": {"path": "me.mp4"}},
    "train": {"preset": "smoke"},
    "methods": {
        "wildtalker": {},
        "no_mss": {"speech": {"denoiser": "none"}},
        "no_transient_mask": {"train": {"static_weight": "none", "torso_reference": "frames"}},
        "other_seed": {"train": {"seed": 1}},
        "no_mss_no_mask": {"speech": {"denoiser": "none"}, "train": {"static_weight": "none"}},
        "longer_torso": {"train": {"torso": {"steps": 50}, "threads": 2}},
        "longer_lips": {"train": {"lips": {"steps": 50}}},
    },
}


def test_first_method_with_the_same_head_owns_it():
    completed = configuration.complete_config(CONFIG, ROOT / "config")
    views = {
        name: configuration.method_view(CONFIG, completed, name, ROOT / "config")
        for name in CONFIG["methods"]
    }
    owners = {name: head_owner(name, views) for name in views}
    assert owners == {
        "wildtalker": "wildtalker",
        "no_mss": "no_mss",
        "no_transient_mask": "wildtalker",
        "other_seed": "other_seed",
        "no_mss_no_mask": "no_mss",
        "longer_torso": "wildtalker",
        "longer_lips": "longer_lips",
    }
    assert "torso" not in head_key(views["wildtalker"])
