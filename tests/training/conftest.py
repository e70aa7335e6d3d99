"""Options of the smoke preset, smaller still, and the made scene."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from tests.training.tiny_scene import make_scene
from workflow_scripts import configuration

CONFIG = Path(__file__).resolve().parents[2] / "config"


def preset(name: str, **changes) -> dict:
    """The train section of a preset as the rules' scripts get it."""
    schema = {"properties": {"train": yaml.safe_load((CONFIG / "schema/train.yaml").read_text())}}
    section = configuration._train_section({"preset": name}, schema, CONFIG)
    return configuration.merge(section, changes)


@pytest.fixture
def smoke() -> dict:
    return deepcopy(preset("smoke"))


@pytest.fixture(scope="session")
def scene():
    return make_scene()
