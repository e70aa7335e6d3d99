"""What an ear learns of a scene, whatever draws the mouth."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

from wildtalker_core.devices import floats
from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.rest import rest_shape
from wildtalker_core.mouth.shape import MouthBasis
from wildtalker_core.scene.scene import Scene

#: Sound may come so much before and after its picture until people object (ITU-R BT.1359).
_EARLY_SECONDS, _LATE_SECONDS = 0.09, 0.185


def sync_warning(delay_seconds: float) -> str:
    """What to say of a clip whose sound comes so long after its picture; "" if nothing.

    >>> sync_warning(0.08)
    ''
    >>> sync_warning(-0.2)
    'the sound comes 200 ms before its picture: out of sync; the portrait is taught with that shift'
    """
    if -_EARLY_SECONDS <= delay_seconds <= _LATE_SECONDS:
        return ""
    side = "after" if delay_seconds > 0 else "before"
    return (
        f"the sound comes {1000 * abs(delay_seconds):.0f} ms {side} its picture: out of sync; the "
        "portrait is taught with that shift"
    )


def learn_mouth(
    ear: Ear, scene: Scene, shapes: Float[np.ndarray, "{scene.n_frames} k"], basis: MouthBasis
) -> dict[str, Any]:
    """Fit the ear and its rest on the training frames that show the mouth.

    Args:
        shapes: mouth shapes of the scene in ``basis``.

    Returns:
        figures of the fit, the delay in seconds, a warning if sound and picture are not in step.
    """
    seen, device = scene.mouth_train_frames, ear.rest.device

    rest = rest_shape(shapes[seen], basis.opening(shapes[seen]), scene.is_silent[seen])
    ear.rest.copy_(floats(rest, device))
    turns = matrix_to_axis_angle(floats(scene.T_camera_head[:, :3, :3], device))
    noisy = scene.noisy_audio_features
    figures = ear.fit(
        floats(scene.training_sound, device), turns, floats(shapes, device),
        floats(basis.variances, device), seen, ahead=scene.frames_ahead,
        noisy=None if noisy is None else floats(noisy, device),
    )  # fmt: skip
    times = scene.frame_times_seconds
    delay_seconds = figures["delay_frames"] * (times[-1] - times[0]) / (len(times) - 1)
    warning = sync_warning(delay_seconds)
    if warning:
        print(f"warning: {scene.clip}: {warning}")
    return figures | {"delay_seconds": delay_seconds, "sync_warning": warning}
