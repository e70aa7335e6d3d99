"""What an ear learns of a scene, whatever draws the mouth."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.mouth.ear import Ear, sync_warning
from wildtalker_core.mouth.rest import rest_shape
from wildtalker_core.mouth.shape import MouthBasis
from wildtalker_core.scene.scene import Scene


def learn_mouth(ear: Ear, scene: Scene, shapes: np.ndarray, basis: MouthBasis) -> dict[str, Any]:
    """Fit the ear and its rest on the training frames that show the mouth.

    Args:
        shapes: [n_frames, k] mouth shapes of the scene in ``basis``.

    Returns:
        figures of the fit, the delay in seconds, a warning if sound and picture are not in step.
    """
    seen, device = scene.mouth_train_frames, ear.rest.device

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(np.ascontiguousarray(values), dtype=torch.float32, device=device)

    rest = rest_shape(shapes[seen], basis.opening(shapes[seen]), scene.is_silent[seen])
    ear.rest.copy_(tensor(rest))
    turns = matrix_to_axis_angle(tensor(scene.T_camera_head[:, :3, :3]))
    noisy = scene.noisy_audio_features
    figures = ear.fit(
        tensor(scene.training_sound), turns, tensor(shapes), tensor(basis.variances), seen,
        ahead=scene.frames_ahead, noisy=None if noisy is None else tensor(noisy),
    )  # fmt: skip
    times = scene.frame_times_seconds
    delay_seconds = figures["delay_frames"] * (times[-1] - times[0]) / (len(times) - 1)
    warning = sync_warning(delay_seconds)
    if warning:
        print(f"warning: {scene.clip}: {warning}")
    return figures | {"delay_seconds": delay_seconds, "sync_warning": warning}
