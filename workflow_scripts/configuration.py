"""The configuration: defaults filled in, checked against the schema, one view per method.

Every entry has a description, limits and a default (``docs/options.md``), so a config file need
only name a clip. Unknown keys are errors.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from wildtalker_core.errors import InputError
from workflow_scripts.config_checks import check_together
from workflow_scripts.sections import ROBUSTNESS_STAGES, STAGES, load_schema

#: Sections that a method may overlay; the others are shared by all methods of a clip.
METHOD_STAGES = ("speech", "occlusion", "train", "render")
#: Of `speech` only these: the rest is not in the paths of the files, which methods share.
METHOD_SPEECH = ("source", "denoiser")
#: Sections of earlier versions.
_RENAMED = {"face": "person and pose", "motion": "occlusion"}
BASELINES = ("ground_truth", "mean_frame", "nearest_landmarks")

Config = dict[str, Any]


def default_options(section: str, config_dir: Path) -> Config:
    """A section as it is when the user says nothing about it."""
    return complete_config({"clips": {"any": {"path": "any"}}}, config_dir)[section]


def complete_config(config: Mapping[str, Any], config_dir: Path) -> Config:
    """Check ``config`` and fill in every default; presets fill ``train`` below the user's values.

    Raises:
        InputError: an unknown key (with the nearest known one), a value out of its limits, an
            unknown preset, or a name that cannot be a folder's.
    """
    schema = load_schema(config_dir)
    _check(config, schema, "config")
    completed = _with_defaults(deepcopy(dict(config)), schema)
    completed["train"] = _train_section(config.get("train", {}), schema, config_dir)
    corruptions, is_missing = completed["speech"]["corruptions"], "is not under speech.corruptions"
    for name, drive in completed["drive"].items():
        if isinstance(drive, str):
            drive = completed["drive"][name] = {"path": drive, "corruption": None}
        if drive["corruption"] is not None:
            _require(drive["corruption"], corruptions, f"drive.{name}.corruption", is_missing)
    for name in completed["evaluate"]["test_corruptions"]:
        _require(name, corruptions, "evaluate.test_corruptions", is_missing)
    methods = completed["methods"]
    for table in ("table1", "table2", "driven"):
        for name in completed["report"][table] or []:
            _require(name, methods, f"report.{table}", "is not a method of this config")
    for name, overlay in methods.items():
        if name in BASELINES:
            raise InputError(
                f"config methods.{name}",
                "is the name of a row that every table has anyway",
                "choose another name",
            )
        if (overlay["kind"] == "external") != ("path" in overlay):
            raise InputError(
                f"config methods.{name}",
                "an external method needs `kind: external` and `path:`, others have no path",
                "give the folder of its finished videos as path",
            )
        view = method_view(config, completed, name, config_dir)
        if overlay["kind"] != "external":
            check_together(view, f"config methods.{name}")
    if completed["robustness"]["path"] is not None:
        _check_robustness(config, completed, config_dir)
    return completed


def as_written(
    config: Mapping[str, Any], command_line: Mapping[str, Any], config_dir: Path
) -> Config:
    """A config as Snakemake hands it over → as its author meant it.

    Names that are numbers (``clips: {2024: ...}``) become text. Values inside braces on the command
    line (``--config 'train={threads: 2}'``), which Snakemake leaves as text, get the schema's type.

    Raises InputError: a name that YAML reads as something else, such as ``no``.
    """
    typed = _typed(command_line, load_schema(config_dir), load_schema(config_dir)["properties"])
    return _text_keys(merge(config, typed), "config")


def _text_keys(value: Any, where: str) -> Any:
    """Plain dicts, lists and text keys, as the validator wants them."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) and (isinstance(key, bool) or not isinstance(key, int)):
                raise InputError(
                    f"{where}: {key}", f"YAML reads this name as {type(key).__name__}", "quote it"
                )
        return {str(key): _text_keys(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_text_keys(item, where) for item in value]
    return value


def _typed(value: Any, schema: Mapping[str, Any], stages: Mapping[str, Any]) -> Any:
    """Text → what the schema wants, where it does not want text."""
    if isinstance(value, Mapping):
        known, other = schema.get("properties", {}), schema.get("additionalProperties")
        typed = {}
        for key, item in value.items():
            entry = known.get(key, other if isinstance(other, Mapping) else {})
            if set(entry) <= {"type", "description", "default"} and key in stages:
                entry = stages[key]  # an overlay on a section
            typed[key] = _typed(item, entry, stages)
        return typed
    if isinstance(value, (list, tuple)):
        return [_typed(item, schema.get("items", {}), stages) for item in value]
    kinds = schema.get("type", "string" if "enum" in schema else None)
    kinds = [kinds] if isinstance(kinds, str) else kinds or []
    if not isinstance(value, str) or not kinds or value in schema.get("enum", ()):
        return value
    if "string" in kinds:
        return None if "null" in kinds and value == "null" else value
    try:
        return float(value) if "number" in kinds and "e" in value else yaml.safe_load(value)
    except (ValueError, yaml.YAMLError):
        return value  # the schema's own words say what is wrong


def robustness_config(config: Mapping[str, Any]) -> Config:
    """The config that the clips of `robustness` are made with, as if the user had written it.

    >>> robustness_config({"media": {"fps": 25}, "robustness": {"media": {"size_px": 128}}})
    {'media': {'fps': 25, 'size_px': 128}}
    """
    overlay = config.get("robustness") or {}
    rest = {name: section for name, section in config.items() if name != "robustness"}
    return merge(rest, {stage: overlay[stage] for stage in ROBUSTNESS_STAGES if stage in overlay})


def _check_robustness(config: Mapping[str, Any], completed: Config, config_dir: Path) -> None:
    for name in completed["robustness"]["methods"] or []:
        _require(name, completed["methods"], "robustness.methods", "is not a method of this config")
    try:
        complete_config(robustness_config(config), config_dir)
    except InputError as error:
        raise InputError(
            "config robustness", f"does not go with the rest ({error})", "see docs/options.md"
        ) from error


def method_view(
    config: Mapping[str, Any], completed: Config, method: str, config_dir: Path
) -> Config:
    """All sections as ``method`` sees them: schema defaults < preset < config < overlay.

    Args:
        config: the config as the user wrote it (needed because a preset ranks below it).
        completed: the result of :func:`complete_config`.
    """
    view = {stage: deepcopy(completed[stage]) for stage in STAGES}
    if method in BASELINES:
        return view
    if method not in completed["methods"]:
        raise InputError(
            f"config methods.{method}", "is not a method of this config", _known(
                method, completed["methods"]),
        )  # fmt: skip
    overlay = completed["methods"][method]
    schema = load_schema(config_dir)
    shared = [
        key
        for key in overlay.get("speech", {})
        if key in schema["properties"]["speech"]["properties"] and key not in METHOD_SPEECH
    ]
    if shared:
        raise InputError(
            f"config methods.{method}.speech.{shared[0]}",
            "is shared by all methods of a run",
            f"a method chooses {' and '.join(METHOD_SPEECH)}; set it under speech: for all",
        )
    for stage in METHOD_STAGES:
        if stage == "train":
            train = merge(config.get("train", {}), overlay.get("train", {}))
            view["train"] = _train_section(train, schema, config_dir)
        else:
            view[stage] = merge(view[stage], overlay.get(stage, {}))
        _check(view[stage], schema["properties"][stage], f"config methods.{method}.{stage}")
    return view


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> Config:
    """``overlay`` on ``base``, mapping by mapping; neither is changed.

    >>> merge({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}})
    {'a': {'b': 1, 'c': 3}}
    """
    merged = deepcopy(dict(base))
    for key, value in overlay.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = deepcopy(value)
    return merged


def _train_section(train: Mapping[str, Any], schema: Config, config_dir: Path) -> Config:
    section_schema = schema["properties"]["train"]
    preset = train.get("preset", section_schema["properties"]["preset"]["default"])
    path = config_dir / "presets" / f"{preset}.yaml"
    if not path.is_file():
        known = [p.stem for p in sorted((config_dir / "presets").glob("*.yaml"))]
        raise InputError("config train.preset", f"{preset!r} is unknown", _known(preset, known))
    merged = merge(_read_yaml(path), train)
    _check(merged, section_schema, f"config train (preset {preset})")
    return _with_defaults(merged, section_schema)


def _with_defaults(value: Any, schema: Mapping[str, Any]) -> Any:
    if value is None and schema.get("type") == "object":
        value = {}
    if not isinstance(value, dict):
        return value
    for name, entry in schema.get("properties", {}).items():
        if name not in value and "default" in entry:
            value[name] = deepcopy(entry["default"])
        elif name not in value and entry.get("type") == "object" and "properties" in entry:
            value[name] = {}
        if name in value:
            value[name] = _with_defaults(value[name], entry)
    named_by_user = schema.get("additionalProperties")
    if isinstance(named_by_user, Mapping):
        for name in value.keys() - schema.get("properties", {}).keys():
            value[name] = _with_defaults(value[name], named_by_user)
    return value


def _check(value: Any, schema: Mapping[str, Any], where: str) -> None:
    error = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(schema).iter_errors(_text_keys(value, where))
    )
    if error is None:
        return
    path = ".".join([where, *map(str, error.absolute_path)])
    if error.validator == "additionalProperties" and "properties" in error.schema:
        known = list(error.schema["properties"])
        unknown = [key for key in error.instance if key not in known]
        raise InputError(f"{path}.{unknown[0]}", "unknown key", _known(unknown[0], known))
    is_even = error.validator == "not" and error.validator_value == {"multipleOf": 2}
    message = f"{error.instance} is not odd" if is_even else error.message
    raise InputError(path, message, error.schema.get("description", "see docs/options.md"))


def _require(name: str, known: Mapping[str, Any], where: str, problem: str) -> None:
    if name not in known:
        remedy = _known(name, known) if known else "add it there"
        raise InputError(f"config {where}: {name}", problem, remedy)


def _known(name: str, known: Any) -> str:
    if name in _RENAMED:
        return f"it is now {_RENAMED[name]}"
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"use one of: {', '.join(known)}"


@cache
def _read_yaml(path: Path) -> Config:
    return yaml.safe_load(path.read_text()) or {}
