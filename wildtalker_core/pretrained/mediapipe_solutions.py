"""MediaPipe's models by its package, as ``mediapipe_models`` describes them.

All but :class:`BlendshapeModel` use the networks inside the wheel of mediapipe 0.10.21, the last
release that carries them.

Mediapipe writes its greetings to the C++ error stream; a job's log catches them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from wildtalker_core.media.files import AnyPath
from wildtalker_core.pretrained.mediapipe_files import absent_task, not_a_task

# Before the first import: only errors of the C++ side, and no search for a GPU display.
os.environ.setdefault("GLOG_minloglevel", "2")
os.environ.setdefault("MEDIAPIPE_DISABLE_GPU", "1")


class _Solution:
    """A ``mediapipe.solutions`` graph with a lifetime."""

    _graph: Any

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._graph.close()

    def reset(self) -> None:
        """Forget the frames seen so far: the next one starts from detection."""
        self._graph.reset()


def _points(landmarks: Any, frame: np.ndarray) -> np.ndarray:
    """Normalised MediaPipe landmarks -> [points, 3] pixels; z has the scale of x."""
    height, width = frame.shape[:2]
    values = np.array([(p.x, p.y, p.z) for p in landmarks.landmark], np.float32)
    return values * np.array([width, height, width], np.float32)


class FaceMesh(_Solution):
    """478 face landmarks with refined eyes and lips (attention mesh, irises included).

    Args:
        max_faces: faces looked for in each frame.
        is_tracking: reuse the last frame's faces as a start (video) or detect anew each time.
    """

    def __init__(self, max_faces: int = 1, is_tracking: bool = True) -> None:
        import mediapipe as mp

        self._graph = mp.solutions.face_mesh.FaceMesh(
            static_image_mode=not is_tracking,
            max_num_faces=max_faces,
            refine_landmarks=True,
            # ASSUME: mediapipe's own defaults; lower values let it hold on to hands as faces.
            min_detection_confidence=0.5,
            min_tracking_confidence=0.5,
        )

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """[faces, 478, 3] (x, y, z) pixels, smaller z nearer; zero faces if none is seen."""
        found = self._graph.process(np.ascontiguousarray(frame)).multi_face_landmarks or []
        points = [_points(face, frame) for face in found]
        return np.stack(points) if points else np.empty((0, 478, 3), np.float32)


class SelfieSegmentation(_Solution):
    """Probability that a pixel belongs to a person, [height, width] in [0, 1].

    The general model (256x256) is meant for square crops as ours.
    """

    def __init__(self) -> None:
        import mediapipe as mp

        self._graph = mp.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        mask = self._graph.process(np.ascontiguousarray(frame)).segmentation_mask
        return np.asarray(mask, np.float32).copy()


class FaceDetection(_Solution):
    """Boxes [faces, 5] of BlazeFace: x0, y0, x1, y1 in pixels, and the score.

    Args:
        min_score: of the short-range model; the full-range one has its own, 0.6.
        is_full_range: for faces further away than about two metres.
    """

    def __init__(self, min_score: float, is_full_range: bool) -> None:
        from mediapipe.python.solutions import face_detection

        self._graph = face_detection.FaceDetection(min_score, int(is_full_range))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        boxes = []
        for detection in self._graph.process(np.ascontiguousarray(image)).detections or []:
            box = detection.location_data.relative_bounding_box
            corners = (box.xmin, box.ymin, box.xmin + box.width, box.ymin + box.height)
            boxes.append((*corners, detection.score[0]))
        return np.array(boxes, float).reshape(-1, 5) * [width, height, width, height, 1]


class BodyPose(_Solution):
    """33 body landmarks (complexity 1: the one inside the wheel)."""

    def __init__(self) -> None:
        import mediapipe as mp

        self._graph = mp.solutions.pose.Pose(model_complexity=1)

    def __call__(self, frame: np.ndarray) -> np.ndarray | None:
        """[33, 4] (x, y, z pixels, visibility in [0, 1]), or None if nobody is seen."""
        found = self._graph.process(np.ascontiguousarray(frame)).pose_landmarks
        if found is None:
            return None
        visibility = np.array([[p.visibility] for p in found.landmark], np.float32)
        return np.concatenate((_points(found, frame), visibility), 1)


class Hands(_Solution):
    """21 landmarks of each of two hands in view."""

    def __init__(self) -> None:
        import mediapipe as mp

        self._graph = mp.solutions.hands.Hands(
            max_num_hands=2,
            model_complexity=1,
            # ASSUME: mediapipe's own defaults; at 0.3 a bare neck was taken for a hand.
            min_detection_confidence=0.5,
            min_tracking_confidence=0.5,
        )

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """[hands, 21, 3] (x, y, z) pixels; zero hands if none is seen."""
        found = self._graph.process(np.ascontiguousarray(frame)).multi_hand_landmarks or []
        points = [_points(hand, frame) for hand in found]
        return np.stack(points) if points else np.empty((0, 21, 3), np.float32)


class BlendshapeModel:
    """52 blendshape scores by the FaceLandmarker task, from a ``.task`` file.

    Raises:
        InputError: the file is absent or not a FaceLandmarker with blendshapes.
    """

    def __init__(self, task_path: AnyPath) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        if not Path(task_path).is_file():
            raise absent_task(task_path)
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(task_path)),
            output_face_blendshapes=True,
            running_mode=vision.RunningMode.IMAGE,
            num_faces=1,
        )
        try:
            self._task = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise not_a_task(task_path, error) from error

    def __enter__(self) -> BlendshapeModel:
        return self

    def __exit__(self, *exception: object) -> None:
        self._task.close()

    def __call__(self, frame: np.ndarray) -> dict[str, float] | None:
        """Scores in [0, 1] by ARKit-like name (``eyeBlinkLeft``, ...), or None without a face."""
        import mediapipe as mp

        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
        result = self._task.detect(image)
        if not result.face_blendshapes:
            return None
        return {shape.category_name: float(shape.score) for shape in result.face_blendshapes[0]}
