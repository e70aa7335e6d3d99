"""What a renderer is told of one frame."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Moment:
    """One frame, or several along a first axis of every entry.

    Attributes:
        T_camera_head: maps head points into the camera.
        mouth: shapes (or what a renderer makes of audio itself).
        expression: in [0, 1], see ``Scene.expression``.
        gaze: where the irises stand between the corners of the eyes, in eye widths.
        torso: shift x, y (pixels), rotation (radians), log-scale, soft motion.
        camera: the same of what is behind the person, without soft motion.
    """

    T_camera_head: Float[Tensor, "*frames 4 4"]
    mouth: Float[Tensor, "*frames n_mouth"]
    expression: Float[Tensor, "*frames n_expression"]
    gaze: Float[Tensor, "*frames n_gaze"]
    torso: Float[Tensor, "*frames n_torso"]
    camera: Float[Tensor, "*frames 4"]

    def __getitem__(self, index: int | Tensor | slice) -> Moment:
        return Moment(*(getattr(self, name)[index] for name in self.__dataclass_fields__))
