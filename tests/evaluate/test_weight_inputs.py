"""Weights as inputs of rules: seen, or fetched, before any job; a path overrides the download."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.weight_formats import convert
from wildtalker_core.pretrained.weight_registry import REGISTRY
from workflow_scripts import configuration
from workflow_scripts.evaluate import try_weights
from workflow_scripts.perceptual import settle_perceptual
from workflow_scripts.weight_inputs import (
    ALEXNET,
    IS_USED,
    NOT_TRIED,
    Tried,
    check_present,
    fetchable_for,
    is_fetchable,
    read_tried,
    settle_audio_features,
    weight_inputs,
)

LAMA = {"inpaint": "lama", "lama_weights_path": "weights/big-lama.pt"}


def snakemake(folder: Path, config: dict, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "clip.mp4").touch()
    (folder / "config.yaml").write_text(
        yaml.safe_dump({"clips": {"clip": {"path": "clip.mp4"}}, **config})
    )
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--snakefile", ROOT / "Snakefile",
         "--directory", folder, "--configfile", folder / "config.yaml", *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_only_what_is_used_is_needed():
    assert weight_inputs("occlusion", LAMA, "lama_weights_path") == ["weights/big-lama.pt"]
    assert weight_inputs("occlusion", LAMA | {"inpaint": "temporal"}, "lama_weights_path") == []
    assert weight_inputs("occlusion", LAMA | {"lama_weights_path": ""}, "lama_weights_path") == []


@pytest.mark.parametrize(
    ("model", "files"),
    [
        ("facebook/hubert-base-ls960", []),
        ("/data/hubert", ["/data/hubert/config.json"]),
        (
            "weights/wav2vec2-base-960h",
            [
                "weights/wav2vec2-base-960h/config.json",
                "weights/wav2vec2-base-960h/model.safetensors",
            ],
        ),
    ],
)
def test_a_checkpoint_is_a_folder_or_a_name_on_the_hub(model, files):
    options = {"audio_features": "hf", "hf_model": model}
    assert weight_inputs("speech", options, "hf_model") == files


def test_every_entry_of_the_config_that_names_weights_is_known():
    schema = configuration.load_schema(ROOT / "config")["properties"]
    for stage, key in IS_USED:
        assert key in schema[stage]["properties"]
    named = " ".join(weights.purpose for weights in REGISTRY.values())
    for stage, key in IS_USED:
        assert f"{stage}.{key}" in named


def test_a_missing_file_is_named_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = LAMA | {"flow": "dis", "flow_weights_path": ""}
    check_present("occlusion", options)
    with pytest.raises(
        InputError, match=r"my.pt: does not exist .config occlusion.lama_.*give weights/big-lama.pt"
    ):
        check_present("occlusion", options | {"lama_weights_path": "my.pt"})
    Path("my.pt").touch()
    check_present("occlusion", options | {"lama_weights_path": "my.pt"})


def test_what_the_run_could_fetch_instead():
    assert fetchable_for("occlusion.lama_weights_path") == ["weights/big-lama.pt"]
    assert fetchable_for("speech.hf_model") == [
        "weights/wav2vec2-base-960h",
        "weights/hubert-large-ls960-ft",
    ]
    assert fetchable_for("speech.deepspeech_model") == []


def test_only_the_registrys_files_are_fetched():
    assert is_fetchable("weights/big-lama.pt")
    assert not is_fetchable("weights/bigger-lama.pt")
    assert not is_fetchable("big-lama.pt")


def test_the_run_fetches_what_the_config_names(tmp_path):
    config = {
        "occlusion": LAMA,
        "evaluate": {"syncnet_weights": "own.model"},
        "methods": {
            "ours": {},
            "with_lpips": {"train": {"perceptual": "lpips"}},
        },
    }
    wrong = snakemake(tmp_path, config, "-n")
    assert wrong.returncode != 0
    assert "own.model: does not exist (config evaluate.syncnet_weights)" in wrong.stdout
    (tmp_path / "own.model").touch()
    plan = snakemake(tmp_path, config, "-n", "fetch_all")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    fetched = set(re.findall(r"^    output: (\S+)", plan.stdout, re.M))
    assert fetched == {
        "weights/big-lama.pt",
        "weights/alexnet_features.safetensors",
        "results/weights/alexnet_features.safetensors.json",
        "results/weights/whisper_tiny.en_encoder.safetensors.json",
    }


def test_weights_of_the_robustness_benchmark_are_looked_for_too(tmp_path):
    (tmp_path / "clean.mp4").touch()
    train = {"perceptual": "lpips", "lpips_backbone": "own.pth"}
    config = {"robustness": {"path": "clean.mp4", "train": train}}
    wrong = snakemake(tmp_path, config, "-n")
    assert wrong.returncode != 0
    assert "own.pth: does not exist (config train.lpips_backbone)" in wrong.stdout
    del train["lpips_backbone"]
    plan = snakemake(tmp_path, config, "-n", "fetch_all")
    assert "output: weights/alexnet_features.safetensors" in plan.stdout


def test_a_present_file_is_proven_again_and_not_fetched(tmp_path, shared_data):
    """Without network, as on a compute node; a changed script makes Snakemake run the rule."""
    file = "weights/face_landmarker.task"
    (tmp_path / "weights").mkdir()
    (tmp_path / file).write_bytes((shared_data / file).read_bytes())
    config = {"evaluate": {"blendshape_model": file}}
    again = snakemake(tmp_path, config, "--forcerun", "fetch_weights", "--", file)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "(as registered)" in next(tmp_path.rglob("fetch_weights.*.log")).read_text()
    (tmp_path / file).write_bytes(b"other")
    wrong = snakemake(tmp_path, config, "--forcerun", "fetch_weights", "--", file)
    assert wrong.returncode != 0
    assert "has sha256" in wrong.stderr and "do not use it" in wrong.stderr


def test_a_run_without_network_goes_on_and_uses_what_is_given_later(
    tmp_path, shared_data, monkeypatch
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing answers there
    said_path = tmp_path / "results/weights" / f"{ALEXNET}.json"
    target = f"results/weights/{ALEXNET}.json"
    first = snakemake(tmp_path, {}, "--", target)
    assert first.returncode == 0, first.stdout + first.stderr
    said = read_tried([str(said_path)])
    assert said.path is None
    assert f"copy the file from another machine to weights/{ALEXNET}" in said.reason
    assert "train.perceptual: none" in said.reason
    assert "Nothing to be done" in snakemake(tmp_path, {}, "--", target).stderr
    (tmp_path / "weights").mkdir(exist_ok=True)
    convert(
        "torchvision AlexNet",
        shared_data / "weights/alexnet_features.pth",
        tmp_path / "weights" / ALEXNET,
    )
    later = snakemake(tmp_path, {}, "--", target)
    assert later.returncode == 0, later.stdout + later.stderr
    assert read_tried([str(said_path)]).path == f"weights/{ALEXNET}"
    assert "Nothing to be done" in snakemake(tmp_path, {}, "--", target).stderr


def test_another_content_is_not_passed_over(tmp_path):
    (tmp_path / ALEXNET).write_bytes(b"other")
    with pytest.raises(InputError, match="has sha256"):
        try_weights.main(ALEXNET, str(tmp_path / ALEXNET), str(tmp_path / "said.json"), False)


def test_auto_is_lpips_where_it_can_be(tmp_path):
    options = default_train_options() | {"perceptual": "auto"}
    tried = Tried("weights/a.safetensors", "")
    settled, reason = settle_perceptual(options, tried, "lips")
    assert (settled["perceptual"], settled["lpips_backbone"]) == ("lpips", tried.path)
    assert not reason
    settled, reason = settle_perceptual(options, Tried(None, "no network"), "lips")
    assert (settled["perceptual"], reason) == ("none", "no network")
    small = options | {"lips": options["lips"] | {"patch_size": 16}}
    assert settle_perceptual(small, tried, "lips")[0]["perceptual"] == "none"
    assert settle_perceptual(options | {"perceptual": "none"}, tried, "lips") == (
        options | {"perceptual": "none"},
        "",
    )


def default_train_options() -> dict:
    return configuration.default_options("train", ROOT / "config")


def test_auto_hears_by_whisper_where_it_can():
    options = configuration.default_options("speech", ROOT / "config")
    assert options["audio_features"] == "auto"
    settled, reason = settle_audio_features(options, Tried("weights/w.safetensors", ""))
    assert (settled["audio_features"], reason) == ("whisper", "")
    settled, reason = settle_audio_features(options, Tried(None, "no network"))
    assert (settled["audio_features"], reason) == ("logmel", "no network")
    own = options | {"whisper_model": "/nowhere/whisper"}
    assert settle_audio_features(own, NOT_TRIED)[0]["audio_features"] == "logmel"
    wanted = {"audio_features": "whisper", "whisper_model": "tiny"}
    assert weight_inputs("speech", wanted, "whisper_model") == [
        "weights/whisper_tiny_encoder.safetensors"
    ]
