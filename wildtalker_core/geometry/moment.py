"""What a renderer is told of one frame."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Moment:
    """One frame, or several along a first axis of every entry.

    Attributes:
        T_camera_head: [4, 4] maps head points into the camera.
        mouth: [n_mouth] shapes (or what a renderer makes of audio itself).
        expression: [7] in [0, 1], see ``Scene.expression``.
        gaze: [2] where the irises stand between the corners of the eyes, in eye widths.
        torso: [4 + k] shift x, y (pixels), rotation (radians), log-scale, soft motion.
        camera: [4] the same of what is behind the person, without soft motion.
    """

    T_camera_head: Tensor
    mouth: Tensor
    expression: Tensor
    gaze: Tensor
    torso: Tensor
    camera: Tensor

    def __getitem__(self, index: int | Tensor | slice) -> Moment:
        return Moment(*(getattr(self, name)[index] for name in self.__dataclass_fields__))
