"""MediaPipe's models: RGB array in, plain arrays out.

They are run by MediaPipe's package where that is installed, and otherwise, as on Python 3.13, for
which 0.10.21 has no wheel, by LiteRT with the networks from its wheel. Both give the same up to
what a change of some pixels by one level does (docs/setup.md). ``WILDTALKER_MEDIAPIPE``, set to
``package`` or ``litert``, chooses.

Use each as a context manager: it holds native memory. Frames are uint8 RGB ``[height, width, 3]``;
points are continuous pixels of that frame.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wildtalker_core.errors import InputError
from wildtalker_core.pretrained.mediapipe_files import is_installed

__all__ = ["BlendshapeModel", "BodyPose", "FaceDetection", "FaceMesh", "Hands",
           "SelfieSegmentation", "backend"]  # fmt: skip


def backend() -> str:
    """``package`` or ``litert``. Raises InputError if the environment names another."""
    chosen = os.environ.get("WILDTALKER_MEDIAPIPE") or ("package" if is_installed() else "litert")
    if chosen not in ("package", "litert"):
        raise InputError("WILDTALKER_MEDIAPIPE", f"is {chosen}", "set it to package or litert")
    return chosen


if TYPE_CHECKING or backend() == "package":
    from wildtalker_core.pretrained.mediapipe_solutions import (
        BlendshapeModel,
        BodyPose,
        FaceDetection,
        FaceMesh,
        Hands,
        SelfieSegmentation,
    )
else:
    from wildtalker_core.pretrained.litert_blendshapes import BlendshapeModel
    from wildtalker_core.pretrained.litert_models import (
        BodyPose,
        FaceDetection,
        FaceMesh,
        Hands,
        SelfieSegmentation,
    )
