"""How a portrait holds and moves its head, beside what it hears."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from wildtalker_core.errors import InputError
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.geometry.rotations import (
    axis_angle_to_matrix,
    euler_to_matrix,
    matrix_to_axis_angle,
    mean_rotation,
)
from wildtalker_core.mouth.blinks import BlinkManner

# ASSUME: beyond this a head shows sides that most clips have never shown.
MOST_TURN_DEGREES = 20.0
MOST_BLINKS = 5.0


@dataclass(frozen=True)
class Manner:
    """What can be set of a portrait's behaviour.

    Attributes:
        turn_degrees: yaw, pitch and roll added to the head's filmed poses, up to 20 each. In the
            picture, positive ones turn it to the left, raise it, and tilt it clockwise.
        motion: part of the filmed motion of head, torso and gaze around their mean, 0 (still) to 1.
        blinks: factor of how often the person blinks, 0 (never) to 5.

    Raises InputError: out of these ranges.
    """

    turn_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    motion: float = 1.0
    blinks: float = 1.0

    def __post_init__(self) -> None:
        if len(self.turn_degrees) != 3 or not all(
            abs(angle) <= MOST_TURN_DEGREES for angle in self.turn_degrees
        ):
            raise InputError(
                "turn", f"is {self.turn_degrees}", "give three angles between -20 and 20 degrees"
            )
        if not 0 <= self.motion <= 1:
            raise InputError("motion", f"is {self.motion}", "give a number between 0 and 1")
        if not 0 <= self.blinks <= MOST_BLINKS:
            raise InputError("blinks", f"is {self.blinks}", "give a number between 0 and 5")

    def moments(self, filmed: Moment) -> Moment:
        """The filmed moments [k, ...] as this manner shows them."""
        T = filmed.T_camera_head
        mean = mean_rotation(T[:, :3, :3])
        away = matrix_to_axis_angle(mean.T @ T[:, :3, :3])
        turn = euler_to_matrix(torch.deg2rad(T.new_tensor(self.turn_degrees)))
        poses = T.clone()
        poses[:, :3, :3] = turn @ mean @ axis_angle_to_matrix(self.motion * away)
        poses[:, :3, 3] = self._calmed(T[:, :3, 3])
        calmed = {
            name: self._calmed(getattr(filmed, name))
            for name in ("expression", "gaze", "torso", "camera")
        }
        return replace(filmed, T_camera_head=poses, **calmed)

    def _calmed(self, values: torch.Tensor) -> torch.Tensor:
        return torch.lerp(values.mean(0), values, self.motion)

    def blinking(self, filmed: BlinkManner) -> BlinkManner:
        """How often to blink."""
        if not self.blinks or filmed.mean_interval_seconds is None:
            return replace(filmed, mean_interval_seconds=None)
        return replace(filmed, mean_interval_seconds=filmed.mean_interval_seconds / self.blinks)
