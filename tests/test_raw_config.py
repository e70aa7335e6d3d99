"""Config files as people write them: one line, with file and line, for each slip."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from wildtalker_core.errors import InputError
from workflow_scripts import raw_config
from workflow_scripts.configuration import as_written, complete_config

CONFIG_DIR = ROOT / "config"
CLIPS = "clips: {me: {path: me.mp4}}\n"


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        (CLIPS + "train:\n  seed: 1\n" + CLIPS, 4, "`clips` is given twice, first in line 1"),
        (CLIPS + "media: {fps: 25, size_px: 96,\n  fps: 30}\n", 3, "`fps` is given twice"),
        (CLIPS + "train:\n  # seed: 1\n", 2, "`train:` is empty"),
        ("clips:\n  me:\n\t path: me.mp4\n", 3, "indented with a tab"),
        ("clips: {me: {path: me.mp4}\nmedia: {}\n", 2, "no valid YAML"),
        ("- clips\n", 1, "no sections"),
        ("", 1, "no sections"),
        ("# nothing yet\n", 1, "no sections"),
        ("clips: {no: {path: me.mp4}}\n", 1, "reads the name `no` as bool"),
        (CLIPS + "drive:\n  1.0: me.wav\n", 3, "reads the name `1.0` as float"),
        (CLIPS + "drive:\n  2024-01-01: me.wav\n", 3, "as timestamp"),
        (CLIPS + "drive: {07: me.wav}\n", 2, "reads the name `07` as int"),
        (CLIPS.encode("utf-16"), 1, "is UTF-16 text"),
        (CLIPS.encode() + "# fähig\n".encode("latin-1"), 2, "is not UTF-8 text"),
        (CLIPS + "train: {seed: \x07}\n", 2, "no valid YAML"),
    ],
)
def test_slips_are_named_with_their_line(tmp_path, content, line, words):
    path = tmp_path / "me.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        raw_config.check_files([path])
    message = str(caught.value)
    assert f"me.yaml line {line}: " in message and words in message
    assert "\n" not in message


def test_what_is_right_passes(tmp_path):
    path = tmp_path / "me.yaml"
    path.write_text("\ufeffclips: {2024: {path: me.mp4}}\ntrain: {head: &h {steps: 1}, lips: *h}\n")
    raw_config.check_files([path])
    for given in ROOT.glob("config/*.yaml"):
        raw_config.check_files([given])
    raw_config.check_files([ROOT / "config.yaml", *(ROOT / "config/presets").glob("*.yaml")])


def test_targets_behind_configfile_are_no_config_files():
    assert raw_config.config_files(["--cores", "1", "--configfile", "a.yaml", "b", "-n"]) == [
        "a.yaml", "b"
    ]  # fmt: skip
    assert raw_config.config_files(["--configfile", "a.yaml", "--", "b"]) == ["a.yaml"]
    assert raw_config.config_files(["--configfile=a.yaml", "b"]) == ["a.yaml"]
    assert raw_config.config_files(["b", "-n"]) == []


def test_names_that_are_numbers_are_text():
    config = {"clips": {2024: {"path": "a.mp4"}}, "methods": {1: {}}, "drive": {7: "x.wav"}}
    completed = complete_config(as_written(config, {}, CONFIG_DIR), CONFIG_DIR)
    assert [list(completed[key]) for key in ("clips", "methods", "drive")] == [
        ["2024"], ["1"], ["7"]
    ]  # fmt: skip
    with pytest.raises(InputError, match="False: YAML reads this name as bool"):
        as_written({"clips": {False: {"path": "a.mp4"}}}, {}, CONFIG_DIR)


def test_numbers_inside_braces_on_the_command_line_are_numbers():
    """Snakemake hands over text for all that is inside ``--config 'train={...}'``."""
    config = {"clips": {"me": {"path": "me.mp4"}}, "train": {"seed": 3}}
    line = {
        "train": {"threads": "2", "preset": "smoke", "head": {"hide": "false", "lr_nets": "1e-3"}},
        "methods": {"a": {"train": {"seed": "5"}, "speech": {"denoiser": "none"}}},
        "evaluate": {"lpips_weights": "null"},
        "robustness": {"strengths": ["0", "50"], "train": {"seed": "6"}},
        "drive": {"7": "007.wav"},
    }
    written = as_written(config, line, CONFIG_DIR)
    assert written["train"] == {
        "seed": 3, "threads": 2, "preset": "smoke", "head": {"hide": False, "lr_nets": 1e-3}
    }  # fmt: skip
    assert written["methods"]["a"] == {"train": {"seed": 5}, "speech": {"denoiser": "none"}}
    assert written["evaluate"]["lpips_weights"] is None
    assert written["robustness"] == {"strengths": [0, 50], "train": {"seed": 6}}
    assert written["drive"] == {"7": "007.wav"}


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"train": {"perceptual": "lpips", "lpips_backbone": ""}}, "train.perceptual: is lpips"),
        (
            {
                "media": {"size_px": 96},
                "train": {"perceptual": "ms_ssim", "lips": {"patch_size": 97}},
            },
            "train.lips.patch_size: 97: is larger than the frame (media.size_px: 96)",
        ),
        ({"occlusion": {"inpaint": "lama"}}, "occlusion.inpaint: is lama"),
        ({"occlusion": {"flow": "ptlflow"}}, "occlusion.flow: is ptlflow"),
        ({"train": {"encoder": "triton", "device": "cpu"}}, "train.encoder: triton: runs on"),
        ({"train": {"encoder": "numba", "device": "cuda"}}, "train.encoder: numba: runs on a CPU"),
        ({"train": {"rasteriser": "triton", "device": "cpu"}}, "train.rasteriser: triton: runs on"),
        ({"train": {"rasteriser": "numba", "device": "cuda"}}, "train.rasteriser: numba: runs on"),
        ({"train": {"encoder": "numba", "device": "mps"}}, "train.encoder: numba: runs on a CPU"),
        ({"train": {"encoder": "triton", "device": "mps"}}, "train.encoder: triton: runs on an N"),
        ({"speech": {"audio_features": "hf"}}, "speech.audio_features: is hf, but speech.hf_mod"),
        ({"media": {"max_seconds": 1}}, "media.min_seconds: 2: is above media.max_seconds (1)"),
        ({"occlusion": {"still_flow": 0.01}}, "occlusion.still_flow: 0.01: is above occl"),
        ({"person": {"smoothing_order": 5}}, "person.smoothing_order: 5: is not below person."),
        ({"train": {"head": {"uncertainty": 1}}}, "train.head.uncertainty: is trained by no"),
        ({"speech": {"source": "cafe"}}, "speech.source: cafe: is not under speech.corruptions"),
    ],
)  # fmt: skip
def test_sections_that_do_not_go_together_are_refused(section, words, monkeypatch):
    monkeypatch.delenv("LAMA_MODEL", raising=False)
    with pytest.raises(InputError) as caught:
        complete_config({"clips": {"me": {"path": "me.mp4"}}, **section}, CONFIG_DIR)
    assert words in str(caught.value) and "config methods.wildtalker" in str(caught.value)


def test_a_methods_own_overlay_is_looked_at():
    config = {
        "clips": {"me": {"path": "me.mp4"}},
        "methods": {"a": {}, "b": {"train": {"perceptual": "lpips", "lpips_backbone": ""}}},
    }
    with pytest.raises(InputError, match=r"config methods.b: train.perceptual"):
        complete_config(config, CONFIG_DIR)


@pytest.mark.parametrize("key", ["encoder", "rasteriser"])
def test_triton_is_for_a_gpu_somewhere(monkeypatch, key):
    """On a login node without a GPU, ``device: cuda`` says that there is one where jobs run."""
    monkeypatch.setattr("shutil.which", lambda name: None)
    clips = {"clips": {"me": {"path": "me.mp4"}}}
    with pytest.raises(InputError, match="none is here"):
        complete_config({**clips, "train": {key: "triton"}}, CONFIG_DIR)
    complete_config({**clips, "train": {key: "triton", "device": "cuda"}}, CONFIG_DIR)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--configfile", "tabs.yaml"], "error: tabs.yaml line 2: is indented with a tab"),
        (["--configfile", "utf16.yaml"], "error: utf16.yaml line 1: is UTF-16 text"),
        (
            ["--configfile", "good.yaml", "results/report/report.html"],
            "error: results/report/report.html: stands behind --configfile",
        ),
        (["--configfile", "none.yaml"], "error: none.yaml: does not exist"),
    ],
)
def test_snakemake_says_it_in_one_line(tmp_path, arguments, line):
    """As a user meets it; with the profiles that ship with the workflow."""
    (tmp_path / "tabs.yaml").write_text("clips:\n\tme: {path: me.mp4}\n")
    (tmp_path / "utf16.yaml").write_bytes(CLIPS.encode("utf-16"))
    (tmp_path / "good.yaml").write_text(CLIPS)
    for profile in ([], ["--workflow-profile", str(ROOT / "profiles/slurm")]):
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "-n", "--cores", "1", "--snakefile",
             ROOT / "Snakefile", *profile, *arguments],
            cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        text = done.stdout + done.stderr
        assert done.returncode == 1, text
        assert [s for s in text.splitlines() if s.startswith(line)], text
        assert "Traceback" not in text
