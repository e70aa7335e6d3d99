"""A scene's pictures as training reads them: in memory if they fit, rays and colours on demand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int, UInt8
from torch import Tensor

from wildtalker_core.devices import floats, sent
from wildtalker_core.geometry.rays import pixel_rays
from wildtalker_core.scene.scene import PARSING_CLASSES, FrameStack, Scene

# ASSUME half of what a small workstation has, for all stacks of a stage together.
_MEMORY_LIMIT_BYTES = 4e9

BACKGROUND, HEAD, NECK, TORSO, HANDS = range(len(PARSING_CLASSES))


def in_memory(*stacks: FrameStack) -> list[FrameStack]:
    """The uint8 stacks as arrays, in this order, as far as there is room for them; else themselves,
    read by frame."""
    room, result = _MEMORY_LIMIT_BYTES, []
    for stack in stacks:
        size = np.prod(stack.shape, dtype=float)
        fits = size <= room
        result.append(stack[:] if fits else stack)
        room -= size if fits else 0
    return result


def unit(values: UInt8[np.ndarray, "*shape"], device: torch.device) -> Float32[Tensor, "*shape"]:
    """In [0, 1] on ``device``."""
    return sent(values, device).float() / 255


def random_frames(
    frames: Int[np.ndarray, "k"], n: int, generator: torch.Generator
) -> Int[np.ndarray, "{n}"]:
    """``n`` of the frames, each drawn from all of them."""
    return frames[torch.randint(len(frames), (n,), generator=generator).numpy()]


@dataclass(frozen=True)
class Clip:
    """The tensors of a scene that every step needs, on the training device."""

    scene: Scene
    T_camera_head: Float32[Tensor, "n 4 4"]
    audio_features: Float32[Tensor, "n features window"]
    expression: Float32[Tensor, "n 7"]
    device: torch.device

    @classmethod
    def of(cls, scene: Scene, device: torch.device) -> Clip:
        return cls(
            scene=scene,
            T_camera_head=floats(scene.T_camera_head, device),
            audio_features=floats(scene.audio_features, device),
            expression=floats(scene.expression, device),
            device=device,
        )

    @property
    def training_sound(self) -> Float32[Tensor, "k features window"]:
        """``audio_features`` up to the last training frame: what comes later is for tests."""
        return self.audio_features[: len(self.scene.training_sound)]

    def rays(
        self, frames: Int[np.ndarray, "k"], pixels: Int[np.ndarray, "k 2"]
    ) -> tuple[Float32[Tensor, "k 3"], Float32[Tensor, "k 3"]]:
        """rays_o, rays_d of pixels (x, y), each of its own frame."""
        scene = self.scene
        return pixel_rays(
            self.T_camera_head[sent(frames, self.device)],
            scene.focal_length,
            scene.height,
            scene.width,
            sent(pixels, self.device),
        )

    def unit(self, values: UInt8[np.ndarray, "*shape"]) -> Float32[Tensor, "*shape"]:
        """As :func:`unit`, on the device."""
        return unit(values, self.device)
