"""Options of the stage scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from wildtalker_core.option_types import limits


@dataclass(frozen=True)
class BoxOptions:
    """How much the boxes of face and lips hold."""

    face_margin: Annotated[float, limits(0, 2)] = 0.1
    """Margin of the face box on each side, in sizes of the face contour. Ours."""
    lip_margin: Annotated[float, limits(0, 2)] = 0.2
    """Margin of the square lip box on each side, in sizes of the mouth (after RAD-NeRF's lip
    rectangle). Ours."""


@dataclass(frozen=True)
class SceneSection(BoxOptions):
    """Everything per frame on one time line."""

    torso_soft_components: Annotated[int, limits(0, 20)] = 3
    """Components of the torso's motion beyond shift, turn and scale: shoulders, sleeves, cloth.
    Ours."""
