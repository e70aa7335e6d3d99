"""The layers and the names of docs/design.md, read from the source."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from workflow_scripts.sections import load_schema

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "wildtalker_core"
STAGES = (
    "media",
    "speech",
    "person",
    "occlusion",
    "pose",
    "scene",
    "train",
    "render",
    "evaluate",
    "report",
)

#: What a package of the core may import from the core, besides itself and EVERYWHERE.
MAY_IMPORT = {
    "media": set(),
    "geometry": set(),
    "speech": {"media", "geometry"},
    "person": {"media", "geometry"},
    "occlusion": {"media", "geometry"},
    "robustness": {"media", "geometry"},
    "pose": {"media", "geometry", "person"},
    "scene": {"media", "geometry", "speech", "person", "occlusion", "pose"},
    "mouth": {"geometry", "scene"},
    "nerf": {"geometry", "mouth"},
    "splats": {"geometry", "mouth"},
    "training": {"media", "geometry", "occlusion", "scene", "mouth", "nerf", "splats"},
    "live": {"media", "geometry", "speech", "mouth", "splats"},
    "metrics": set(),
    "pretrained": {"media", "speech"},  # speech has the form of an encoder
}
EVERYWHERE = {"errors", "option_types", "progress", "compiled", "devices"}

#: Calls that open files; only media may make them, but for the two doors named beside.
OPENERS = {"open", "load", "imread", "imwrite", "VideoCapture", "read_text", "write_text",
           "read_bytes", "write_bytes", "savez", "save_file", "load_file"}  # fmt: skip
DOORS = {"media", "pretrained"}  # pretrained reads weights
DOOR_FILES = {"training/checkpoints.py"}  # the state of a run is its own format


def modules() -> list[Path]:
    return sorted(CORE.rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    """Core packages that a module imports, by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.startswith("wildtalker_core."):
                found.add(name.split(".")[1])
    return found


def test_every_package_is_known():
    packages = {path.name for path in CORE.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert packages == set(MAY_IMPORT)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(CORE)))
def test_layers(path):
    package = path.relative_to(CORE).parts[0]
    if package.endswith(".py"):
        return
    forbidden = imported_packages(path) - MAY_IMPORT[package] - EVERYWHERE - {package}
    assert not forbidden, f"{path.relative_to(ROOT)} imports {sorted(forbidden)}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(CORE)))
def test_only_media_opens_files(path):
    relative = path.relative_to(CORE)
    if relative.parts[0] in DOORS or str(relative) in DOOR_FILES:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            if isinstance(function, ast.Attribute) and getattr(function.value, "id", "") == "tl":
                continue  # triton.language.load reads a device's memory, no file
            name = getattr(function, "id", getattr(function, "attr", None))
            assert name not in OPENERS, f"{path.relative_to(ROOT)}:{node.lineno} calls {name}"


def rule_names(stage: str) -> list[str]:
    return re.findall(r"^rule (\w+):", (ROOT / "rules" / f"{stage}.smk").read_text(), re.M)


@pytest.mark.parametrize("stage", STAGES)
def test_one_word_per_stage(stage):
    """Rule file, schema and script folder of a stage share its name; a rule has its script."""
    scripts = {path.stem for path in (ROOT / "workflow_scripts" / stage).glob("*.py")}
    assert scripts - {"__init__", "options"} == set(rule_names(stage))
    text = (ROOT / "rules" / f"{stage}.smk").read_text()
    for rule in rule_names(stage):
        assert f"workflow_scripts/{stage}/{rule}.py" in text
    schema = load_schema(ROOT / "config")["properties"][stage]
    assert schema["additionalProperties"] is False
    for name, entry in schema["properties"].items():
        assert entry.get("description"), f"{stage}.{name} has no description"
        assert "default" in entry or "properties" in entry, f"{stage}.{name} has no default"


@pytest.mark.parametrize("stage", STAGES)
def test_scripts_import_without_snakemake(stage):
    """The injected object is used under the main guard only."""
    for path in sorted((ROOT / "workflow_scripts" / stage).glob("[a-z]*.py")):
        module = importlib.import_module(f"workflow_scripts.{stage}.{path.stem}")
        assert path.stem == "options" or callable(module.main), path


def test_no_machine_is_named():
    """The project speaks of itself alone: no registry hosts, no machine's paths."""
    forbidden = re.compile(r"pypi\.org|files\.pythonhosted|/opt/wheels|/work/(?!flow)|/root/")
    tracked = [
        path
        for pattern in ("*.md", "*.py", "*.smk", "*.yaml", "Makefile", "Snakefile", "*.lock")
        for path in ROOT.rglob(pattern)
        if not {".venv", "results", ".snakemake"} & set(path.relative_to(ROOT).parts)
    ]
    assert len(tracked) > 20
    for path in tracked:
        if path != Path(__file__):
            assert not forbidden.search(path.read_text()), path
