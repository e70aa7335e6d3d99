"""The sections of a config: each a dataclass beside what reads it, and the schema from them all."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from wildtalker_core.media.options import MediaSection
from wildtalker_core.occlusion.options import OcclusionSection
from wildtalker_core.option_types import schema_of
from wildtalker_core.person.options import PersonSection
from wildtalker_core.pose.options import PoseSection
from wildtalker_core.robustness.options import RobustnessSection
from wildtalker_core.scene.options import SceneSection
from wildtalker_core.speech.options import SpeechSection
from wildtalker_core.training.options import TrainSection
from workflow_scripts.evaluate.options import EvaluateSection
from workflow_scripts.render.options import RenderSection
from workflow_scripts.report.options import ReportSection

#: In the order in which the data flow.
SECTIONS: dict[str, type] = {
    "media": MediaSection,
    "speech": SpeechSection,
    "person": PersonSection,
    "occlusion": OcclusionSection,
    "pose": PoseSection,
    "scene": SceneSection,
    "train": TrainSection,
    "render": RenderSection,
    "evaluate": EvaluateSection,
    "report": ReportSection,
}
STAGES = tuple(SECTIONS)
#: Sections that `robustness` may overlay for its own clips.
ROBUSTNESS_STAGES = ("media", "speech", "person", "occlusion", "pose", "scene", "train")


@cache
def load_schema(config_dir: Path) -> dict[str, Any]:
    """The JSON schema of a whole config: ``schema.yaml`` with each section as a property."""
    schema = yaml.safe_load((config_dir / "schema.yaml").read_text())
    schema["properties"] |= {stage: schema_of(section) for stage, section in SECTIONS.items()}
    robustness = schema["properties"]["robustness"] = deepcopy(schema_of(RobustnessSection))
    for stage in ROBUSTNESS_STAGES:
        about = f"overlay on the section {stage} for these clips"
        robustness["properties"][stage] = {"type": "object", "description": about, "default": {}}
    return schema
