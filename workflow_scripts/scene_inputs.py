"""The files of a scene among a rule's inputs: for training and rendering scripts."""

import inspect
from typing import Any

from wildtalker_core.scene.scene import load_scene


def scene_paths(inputs: Any) -> dict[str, str]:
    """Arguments of ``load_scene`` from a rule's named inputs.

    The rule's input ``frames`` is the argument ``frames_path``, and so on.
    """
    names = inspect.signature(load_scene).parameters
    return {name: inputs[name.removesuffix("_path")] for name in names}
