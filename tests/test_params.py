"""A changed option makes stale exactly the rules that read it."""

from __future__ import annotations

import functools
import importlib
import inspect
import itertools
import os
import re
from copy import deepcopy
from fnmatch import fnmatch
from pathlib import Path

import pytest
from snakemake.api import SnakemakeApi
from snakemake.iocontainers import Wildcards
from snakemake.settings.types import ConfigSettings, OutputSettings, ResourceSettings

from tests.conftest import ROOT
from wildtalker_core.option_types import names_of
from workflow_scripts.code_closure import closure
from workflow_scripts.configuration import STAGES, load_schema, merge
from workflow_scripts.weight_inputs import REGISTRY

METHODS = {"field": "field", "body": "splats"}
WILDCARDS = {
    "clip": ["astronaut"],
    "occlusion": ["occlusion"],
    "method": list(METHODS),
    "speech": ["original", "drive_greeting"],
    "drive": ["greeting"],
    "denoiser": ["mss", "log_mmse", "deepfilternet"],
    "enhancer": ["mss", "log_mmse", "deepfilternet"],
    "setting": ["self_driven", "head", "drive_greeting"],
    "file": [next(iter(REGISTRY))],
}
LEARNT = {"train_head", "finetune_lips", "train_torso", "train_splats", "pack_portrait"}
BODY = {"train_splats", "pack_portrait"}
FIELD = {"train_head", "finetune_lips", "train_torso"}
HEARD = {"extract_audio_features"}
DENOISED = {"denoise_speech", "extract_audio_features", "score_speech_pairs"}
#: The first pattern that an option matches -> the rules that read it.
READ_BY = {
    "train.device": LEARNT | {"render_portrait", "score_render"},
    "train.seed": LEARNT | {"render_portrait", "score_render"},
    "train.encoder": FIELD | {"render_portrait"},
    "train.mixed_precision": FIELD,
    "train.rasteriser": {"render_portrait"},
    "train.static_weight": BODY | {"train_torso"},
    "train.torso_reference": BODY | {"train_torso"},
    "train.perceptual": BODY | {"finetune_lips"},
    "train.lambda_lpips": BODY | {"finetune_lips"},
    # Of the model, the torso is built in its own stage.
    "train.model.torso_*": {"train_torso"},
    "train.model.alpha_resolution": {"train_torso"},
    "train.model.grid_init": {"train_head", "train_torso"},
    # Its other value has parts that lips and rendering read options for.
    "train.model.lip_feature": {"train_head", "finetune_lips", "render_portrait"},
    "train.model.*": {"train_head"},
    "train.*.checkpoint_every": set(),
    "train.head.lambda_patches": set(),
    "train.head.*patch_size": set(),
    "train.lips.smoothness": set(),
    "train.head.*": {"train_head"},
    "train.lips.*": {"finetune_lips"},
    **{f"train.torso.{key}": {"train_torso"} for key in (
        "steps", "lr_*", "final_factor", "beta*", "epsilon", "ema_decay", "rays_per_step",
        "frames_per_step", "photometric", "opacity_entropy", "occupancy_every")},
    "train.torso.*": set(),
    "train.splats.*": BODY,
    # Threads, previews; LPIPS' file is compared itself; the renderer decides which rules run.
    "train.*": set(),
    "speech.audio_features": HEARD | {"pack_portrait"},
    "speech.whisper_*": HEARD | {"pack_portrait"},
    "speech.scales": DENOISED | {"pack_portrait"},
    "speech.over_subtraction": DENOISED | {"pack_portrait"},
    "speech.leading_seconds": DENOISED | {"pack_portrait"},
    "speech.deepfilternet_model": DENOISED,
    "speech.denoiser": {"denoise", "pack_portrait"},
    "speech.logmel_floor_db": HEARD | {"pack_portrait"},
    "speech.source": set(),
    "speech.external_dir": set(),
    "speech.corruptions": set(),
    "speech.*": HEARD,
    "render.mode": {"render_portrait"},
    "render.chunk_rays": {"render_portrait"},
    "render.crf": {"render_portrait", "render_baseline", "copy_external"},
    "render.encoder_preset": {"render_portrait", "render_baseline", "copy_external"},
    "render.*": {"render_portrait", "pack_portrait"},
    "report.table[12]": {"compare_videos"},
    "report.driven": {"compare_videos"},
}  # fmt: skip
#: Options of parts that a portrait may lack -> what it takes to have them.
NEEDS = {
    "train.head.audio_attention_*": {"train": {"model": {"lip_feature": "audio"}}},
    "train.lips.audio_attention_*": {"train": {"model": {"lip_feature": "audio"}}},
    "train.model.n_fine_samples": {"train": {"model": {"sampling": "hierarchical"}}},
    "train.model.n_octaves": {"train": {"model": {"position_encoding": "frequency"}}},
    "train.model.n_ambient": {"train": {"model": {"conditioning": "ambient"}}},
    "train.lambda_lpips": {"train": {"perceptual": "ms_ssim"}},
    "train.lips.lambda_patches": {"train": {"perceptual": "ms_ssim"}},
    "train.lips.face_patch_size": {"train": {"perceptual": "ms_ssim"}},
    "train.splats.lambda_patches": {"train": {"perceptual": "ms_ssim"}},
    "train.splats.perceptual_*": {"train": {"perceptual": "ms_ssim"}},
    "train.splats.patch_size": {"train": {"perceptual": "ms_ssim"}},
    "speech.whisper_*": {"speech": {"audio_features": "whisper"}},
    "speech.hf_*": {"speech": {"audio_features": "hf"}},
    "speech.deepspeech_model": {"speech": {"audio_features": "deepspeech"}},
}
#: The other way round: with this they are not read.
UNREAD_WITH = {
    "train.model.n_mouth_shapes": {"train": {"model": {"lip_feature": "audio"}}},
    "train.model.n_attention": {"train": {"model": {"conditioning": "concatenate"}}},
    "train.model.n_expression_attention": {"train": {"model": {"expression": "none"}}},
    "train.model.grid_levels": {"train": {"model": {"position_encoding": "frequency"}}},
    "speech.logmel_floor_db": {"speech": {"audio_features": "hf"}},
}


def leaves(schema: dict, path: str):
    """(option, its schema) of a section, sections inside it included."""
    for key, entry in schema["properties"].items():
        if "properties" in entry:
            yield from leaves(entry, f"{path}.{key}")
        else:
            yield f"{path}.{key}", entry


OPTIONS = dict(
    leaf for stage in STAGES
    for leaf in leaves(load_schema(ROOT / "config")["properties"][stage], stage)
)  # fmt: skip


class Plan:
    """The workflow, loaded once; its params for any config."""

    def __init__(self, workflow) -> None:
        # A spoiled clip is made with none of these sections.
        self.rules = [rule for rule in workflow.rules if rule.name != "spoil_clip"]
        self.globals = workflow.globals
        self.base = deepcopy(self.globals["CONFIG"])
        self.base["methods"] = {name: {"kind": "nerf", "path": "outside"} for name in METHODS}

    def params(self, config: dict) -> dict[str, list]:
        """Rule -> its params, for all its wildcards."""
        self.globals["CONFIG"] = config
        self.globals["method_view"] = lambda method, for_spoiled=False: merge(
            {stage: config[stage] for stage in STAGES}, {"train": {"renderer": METHODS[method]}}
        )
        return {rule.name: list(self._params(rule)) for rule in self.rules}

    @staticmethod
    def _params(rule):
        names = sorted(rule.wildcard_names)
        known = dict(WILDCARDS)
        if rule.name in FIELD | BODY:
            known["method"] = ["field" if rule.name in FIELD else "body"]
        for values in itertools.product(*(known.get(name, ["x"]) for name in names)):
            wildcards = Wildcards(fromdict=dict(zip(names, values, strict=True)))
            for name, value in rule.params.items():
                if not callable(value):
                    yield name, value
                # Snakemake does not compare params that depend on the input.
                elif list(inspect.signature(value).parameters) == ["wildcards"]:
                    yield name, value(wildcards)

    def stale(self, option: str, overlay: dict) -> set[str]:
        """Rules whose params change with an option of a config."""
        config = merge(self.base, overlay)
        before = self.params(config)
        *sections, key = option.split(".")
        changed = section = deepcopy(config)
        for name in sections:
            section = section[name]
        section[key] = other(section[key], OPTIONS[option])
        after = self.params(changed)
        return {name for name in before if before[name] != after[name]}


def other(value, entry):
    """Another value of an option."""
    if choices := [choice for choice in entry.get("enum", []) if choice != value]:
        return choices[-1]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, list):
        return [*value, *value[:1]]
    return {"new": {}} if isinstance(value, dict) else f"{value or ''}other"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    environment, folder = dict(os.environ), Path.cwd()
    with SnakemakeApi(OutputSettings()) as api:
        api = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[ROOT / "config" / "smoke.yaml"]),
            snakefile=ROOT / "Snakefile",
        )
        yield Plan(api._workflow)
    os.environ.clear()
    os.environ.update(environment)
    assert Path.cwd() == folder


def matching(table: dict, option: str, default):
    return next((value for pattern, value in table.items() if fnmatch(option, pattern)), default)


@functools.cache
def read_below(script: Path) -> set[str]:
    """Options that a script or a module that it imports reads of a dataclass."""
    files = (script, *closure(script, ROOT, ROOT / "wildtalker_core"))
    return {key for path in files for key in re.findall(r"\boptions\.(\w+)", path.read_text())}


def readers(plan: Plan, option: str) -> set[str]:
    """Rules of READ_BY; else those of the option's stage whose script reads it, by the text."""
    stage, key = option.split(".")[0], option.split(".")[-1]
    listed = matching(READ_BY, option, None)
    if listed is not None:
        return listed
    found = {"plot_speech", "prepare_drive"} if option == "media.sample_rate_hz" else set()
    for rule in plan.rules:
        if rule.script and f"/{stage}/" in rule.script:
            script = (ROOT / "rules" / rule.script).resolve()
            text = script.read_text()
            module = importlib.import_module(f"workflow_scripts.{stage}.{script.stem}")
            # `call` hands on what main has an argument for.
            is_handed_on = "call(main" in text and key in inspect.signature(module.main).parameters
            if is_handed_on or re.search(rf'options\["{key}"\]|params\.{key}\b', text):
                found.add(rule.name)
            # Or it fills a dataclass, whose fields are read there or in what the script imports.
            for kind in re.findall(r"(\w+Options)\(\*\*snakemake\.params", text):
                if key in names_of(getattr(module, kind)) and key in read_below(script):
                    found.add(rule.name)
    return found


@pytest.mark.parametrize("option", OPTIONS)
def test_option_makes_its_readers_stale(plan, option):
    needs = matching(NEEDS, option, None)
    if needs is not None:
        assert plan.stale(option, {}) == set()
    assert plan.stale(option, needs or {}) == readers(plan, option)


@pytest.mark.parametrize("option", UNREAD_WITH)
def test_option_of_an_absent_part_makes_no_training_stale(plan, option):
    assert not plan.stale(option, UNREAD_WITH[option]) - {"pack_portrait"}


def test_tables_name_known_options():
    for pattern in (*READ_BY, *NEEDS, *UNREAD_WITH):
        assert any(fnmatch(option, pattern) for option in OPTIONS), pattern
