"""FaceLandmarker's blendshapes without MediaPipe's package, as ``litert_models`` the others.

Landmarks and names are those of the published graph (``FaceLandmarkerGraph``).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.litert_models import Model, face_region
from wildtalker_core.pretrained.litert_networks import Network
from wildtalker_core.pretrained.litert_regions import Detector
from wildtalker_core.pretrained.mediapipe_files import absent_task, not_a_task

_NAMES = """
_neutral browDownLeft browDownRight browInnerUp browOuterUpLeft browOuterUpRight cheekPuff
cheekSquintLeft cheekSquintRight eyeBlinkLeft eyeBlinkRight eyeLookDownLeft eyeLookDownRight
eyeLookInLeft eyeLookInRight eyeLookOutLeft eyeLookOutRight eyeLookUpLeft eyeLookUpRight
eyeSquintLeft eyeSquintRight eyeWideLeft eyeWideRight jawForward jawLeft jawOpen jawRight
mouthClose mouthDimpleLeft mouthDimpleRight mouthFrownLeft mouthFrownRight mouthFunnel
mouthLeft mouthLowerDownLeft mouthLowerDownRight mouthPressLeft mouthPressRight mouthPucker
mouthRight mouthRollLower mouthRollUpper mouthShrugLower mouthShrugUpper mouthSmileLeft
mouthSmileRight mouthStretchLeft mouthStretchRight mouthUpperUpLeft mouthUpperUpRight
noseSneerLeft noseSneerRight""".split()

# The landmarks of the 478 that the scores are made from: eyes, brows, lips, outline, irises.
_USED = np.array([
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65,
    66, 67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136,
    144, 145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168,
    172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276,
    282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318,
    321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380,
    381, 382, 384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466,
    468, 469, 470, 471, 472, 473, 474, 475, 476, 477,
])  # fmt: skip


class BlendshapeModel(Model):
    def __init__(self, task_path: AnyPath) -> None:
        if not Path(task_path).is_file():
            raise absent_task(task_path)
        try:
            with zipfile.ZipFile(task_path) as task:
                face, mesh, scores = (
                    task.read(f"face_{name}.tflite")
                    for name in ("detector", "landmarks_detector", "blendshapes")
                )
        except (zipfile.BadZipFile, KeyError) as error:
            raise not_a_task(task_path, error) from error
        self._detector = Detector(face, (8, 16, 16, 16), 2, -1.0, 0.5, merged_iou=0.5)
        self._mesh, self._scores = Network(mesh), Network(scores)

    def __call__(self, frame: np.ndarray) -> dict[str, float] | None:
        detected, _ = self._detector(frame)
        if not len(detected):
            return None
        region, side = face_region(detected[0]), self._mesh.side
        points, logit, _ = self._mesh(region.crop(frame, side))
        if logit.item() <= 0:
            return None
        points = region.project(points.reshape(-1, 3) / side)[_USED, :2].astype(np.float32)
        (scores,) = self._scores(points)
        return dict(zip(_NAMES, scores.tolist(), strict=True))
