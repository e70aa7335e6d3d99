"""From a speech to the numbers that a renderer is told, one row a picture."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.rest import silence_ramp


@torch.no_grad()
def spoken_shapes(
    ear: Ear,
    audio_features: Float[Tensor, "frames features window"],
    is_silent: Bool[np.ndarray, "frames"],
    audio_frames: Int[np.ndarray, "k"],
    T_camera_head: Float[Tensor, "k 4 4"],
    fps: float,
    options: SpeakingOptions,
) -> Float[Tensor, "k shapes"]:
    """Mouth shapes of pictures that show a speech, on the device of its features.

    Args:
        audio_features: of the speech.
        audio_frames: frame of the speech that each picture shows.
        T_camera_head: head poses that are shown with it.
    """
    frames = torch.as_tensor(audio_frames, device=audio_features.device)
    silence = None
    if options.close_in_silence:
        ramp = silence_ramp(is_silent, fps)[audio_frames]
        silence = torch.as_tensor(ramp, dtype=torch.float32, device=frames.device)
    turns = matrix_to_axis_angle(T_camera_head[:, :3, :3])
    shapes = ear.shapes(audio_features, frames, turns, options.mouth_gain, silence)
    return smooth_causally(shapes, options.lip_smoothing)


def smooth_causally(values: Float[Tensor, "n ..."], memory: float) -> Float[Tensor, "n ..."]:
    """Exponential smoothing along the first axis: ``memory`` in [0, 1) of the last value stays."""
    if not memory:
        return values
    smoothed = values.clone()
    for i in range(1, len(smoothed)):
        smoothed[i] = memory * smoothed[i - 1] + (1 - memory) * smoothed[i]
    return smoothed
