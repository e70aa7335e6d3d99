"""MediaPipe's models without its package: the same networks in LiteRT, the steps between them here.

Each class stands for the one of its name in ``mediapipe_solutions`` and gives the same numbers. The
constants are the options of MediaPipe's published graphs (``face_landmark_front_cpu``,
``hand_landmark_tracking_cpu``, ``pose_landmark_cpu``, ``selfie_segmentation_cpu``,
``face_detection_*_range_cpu``).
"""

from __future__ import annotations

import cv2
import numpy as np

from wildtalker_core.pretrained.litert_networks import AttentionMesh, Network
from wildtalker_core.pretrained.litert_regions import (
    Detector,
    Region,
    angle_between,
    around,
    rotation,
)
from wildtalker_core.pretrained.mediapipe_files import network_content

# ASSUME: mediapipe's own defaults, of detection and of what is followed; lower ones take hands for
# faces, and a bare neck for a hand.
_MIN_SCORE = 0.5

# Of two regions that overlap by more, the one that is followed stays.
_SAME_IOU = 0.5


def face_region(points: np.ndarray) -> Region:
    """Around a detected face: corners of its box, right eye, left eye, ..."""
    return around(points[:2], angle_between(points[2], points[3], 0.0)).square(1.5)


def _face_detector(min_score: float, is_full_range: bool = False) -> Detector:
    if is_full_range:
        content = network_content("face_detection/face_detection_full_range_sparse")
        # The graph of the full range has its own threshold and takes no other.
        return Detector(content, (4,), 1, -1.0, 0.6)
    content = network_content("face_detection/face_detection_short_range")
    return Detector(content, (8, 16, 16, 16), 2, -1.0, min_score)


class Model:
    """What holds networks; they are freed with it."""

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is held outside this object."""


class _Followed(Model):
    """Things that are detected once, then looked for where they were."""

    _detector: Detector

    def __init__(self, n_most: int, is_tracking: bool) -> None:
        self._n_most, self._is_tracking = n_most, is_tracking
        self.reset()

    def reset(self) -> None:
        """Forget the frames seen so far: the next one starts from detection."""
        self._regions: list[Region] = []

    def _process(self, frame: np.ndarray) -> list[np.ndarray]:
        candidates = list(self._regions)
        regions: list[Region] = []
        if len(candidates) < self._n_most:
            detected = self._detector(frame)[0][: self._n_most]
            candidates = [self._region_of_detection(points) for points in detected] + candidates
        for region in candidates:
            regions = [other for other in regions if region.overlap(other) <= _SAME_IOU] + [region]
        looked_at = (self._look(frame, region) for region in regions)
        found = [points for points in looked_at if points is not None]
        if self._is_tracking:
            self._regions = [self._region_of_points(points) for points in found]
        return found

    def _region_of_detection(self, points: np.ndarray) -> Region:
        raise NotImplementedError

    def _region_of_points(self, points: np.ndarray) -> Region:
        raise NotImplementedError

    def _look(self, frame: np.ndarray, region: Region) -> np.ndarray | None:
        """Points [n, 3] in pixels of the frame, or None if it is not there."""
        raise NotImplementedError


class FaceMesh(_Followed):
    def __init__(self, max_faces: int = 1, is_tracking: bool = True) -> None:
        super().__init__(max_faces, is_tracking)
        self._detector = _face_detector(_MIN_SCORE)
        self._mesh = AttentionMesh(network_content("face_landmark/face_landmark_with_attention"))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        found = self._process(frame)
        return np.array(found, np.float32).reshape(-1, 478, 3)

    def _region_of_detection(self, points: np.ndarray) -> Region:
        return face_region(points)

    def _region_of_points(self, points: np.ndarray) -> Region:
        return around(points, angle_between(points[33], points[263], 0.0)).square(1.5)

    def _look(self, frame: np.ndarray, region: Region) -> np.ndarray | None:
        side = self._mesh.side
        points, logit = self._mesh(region.crop(frame, side))
        return region.project(points / side) if logit > 0 else None


class Hands(_Followed):
    # Of the hand's landmarks, the region holds wrist, thumb, and the fingers' first two joints.
    _HELD = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]

    def __init__(self) -> None:
        super().__init__(2, is_tracking=True)
        content = network_content("palm_detection/palm_detection_full")
        self._detector = Detector(content, (8, 16, 16, 16), 2, 0.0, _MIN_SCORE)
        self._hand = Network(network_content("hand_landmark/hand_landmark_full"))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        return np.array(self._process(frame), np.float32).reshape(-1, 21, 3)

    def _region_of_detection(self, points: np.ndarray) -> Region:
        return around(points[:2], angle_between(points[2], points[4], 90.0)).square(2.6, -0.5)

    def _region_of_points(self, points: np.ndarray) -> Region:
        middle = (points[5] + points[13]) / 4 + points[9] / 2
        angle = angle_between(points[0], middle, 90.0)
        held, turn = points[self._HELD, :2], rotation(angle)
        upright = around(held @ turn, angle)
        x, y = turn @ (upright.x, upright.y)
        return Region(x, y, upright.width, upright.height, angle).square(2.0, -0.1)

    def _look(self, frame: np.ndarray, region: Region) -> np.ndarray | None:
        side = self._hand.side
        points, score, *_ = self._hand(region.crop(frame, side))
        points = points.reshape(-1, 3) / side / [1, 1, 0.4]
        return region.project(points) if score > _MIN_SCORE else None


class BodyPose(Model):
    def __init__(self) -> None:
        content = network_content("pose_detection/pose_detection")
        self._detector = Detector(content, (8, 16, 32, 32, 32), 2, -1.0, _MIN_SCORE)
        self._body = Network(network_content("pose_landmark/pose_landmark_full"))
        self.reset()

    def reset(self) -> None:
        """Forget the frames seen so far: the next one starts from detection."""
        self._region: Region | None = None
        self._visibility: np.ndarray | None = None
        self._points = _OneEuro(0.05, 80.0)
        self._ends = _OneEuro(0.01, 10.0)

    def __call__(self, frame: np.ndarray) -> np.ndarray | None:
        region = self._region
        if region is None:
            detected, _ = self._detector(frame)
            if not len(detected):
                return None
            region = _along(detected[0, 2:4]).square(1.25)
        side = self._body.side
        values, score, _, heatmap, _ = self._body(region.crop(frame, side))
        if score <= _MIN_SCORE:
            self.reset()
            return None
        values = values.reshape(39, 5)
        points = region.project(_refined(values[:, :3] / side, heatmap))
        visibility = 1 / (1 + np.exp(-values[:33, 3:4]))
        # Middle of the hips, and a point on the circle around the body.
        size = _along(points[33:35]).width
        if self._visibility is not None:
            visibility = 0.1 * visibility + 0.9 * self._visibility
        self._visibility = visibility
        self._region = _along(self._ends(points[33:35], size)).square(1.25)
        return np.concatenate((self._points(points[:33], size), visibility), 1).astype(np.float32)


def _along(ends: np.ndarray) -> Region:
    """The square around a circle, given by its middle and a point on it, which is to be on top."""
    side = 2 * float(np.linalg.norm(ends[1, :2] - ends[0, :2]))
    x, y = map(float, ends[0, :2])
    return Region(x, y, side, side, angle_between(ends[0], ends[1], 90.0))


def _refined(points: np.ndarray, heatmap: np.ndarray, reach: int = 4) -> np.ndarray:
    """Points [n, 3] in shares of the region, each moved to the middle of its heat nearby where that
    is sure. heatmap: [rows, columns, n] logits."""
    n_rows, n_columns, _ = heatmap.shape
    points = points.copy()
    for i, (x, y, _) in enumerate(points):
        column, row = int(x * n_columns), int(y * n_rows)
        if not (0 <= column < n_columns and 0 <= row < n_rows):
            continue
        rows = np.arange(max(0, row - reach), min(n_rows, row + reach + 1))
        columns = np.arange(max(0, column - reach), min(n_columns, column + reach + 1))
        heat = 1 / (1 + np.exp(-heatmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, i]))
        if heat.max() >= _MIN_SCORE:
            middle = np.array([heat.sum(0) @ columns, heat.sum(1) @ rows]) / heat.sum()
            points[i, :2] = middle / [n_columns, n_rows]
    return points


class _OneEuro:
    """A low-pass filter whose cut-off rises with speed (Casiez et al. 2012), 30 frames a second."""

    _SECONDS, _SPEED_CUTOFF_HZ = 0.033333, 1.0

    def __init__(self, min_cutoff_hz: float, beta: float) -> None:
        self._min_cutoff_hz, self._beta = min_cutoff_hz, beta
        self._raw: np.ndarray | None = None

    def __call__(self, values: np.ndarray, size: float) -> np.ndarray:
        """values: any shape, the same at each call; speeds count in ``size`` a second."""
        if self._raw is None:
            self._raw, self._smooth, self._speed = values, values, np.zeros_like(values)
            return values
        speed = (values - self._raw) / size / self._SECONDS
        share = self._share(self._SPEED_CUTOFF_HZ)
        self._speed = share * speed + (1 - share) * self._speed
        share = self._share(self._min_cutoff_hz + self._beta * np.abs(self._speed))
        self._raw, self._smooth = values, share * values + (1 - share) * self._smooth
        return self._smooth

    def _share(self, cutoff_hz):
        return 1 / (1 + 1 / (2 * np.pi * cutoff_hz * self._SECONDS))


class SelfieSegmentation(Model):
    def __init__(self) -> None:
        self._network = Network(network_content("selfie_segmentation/selfie_segmentation"))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        region = Region.whole(frame, is_square=False)
        (mask,) = self._network(region.crop(frame, self._network.side, cv2.BORDER_CONSTANT))
        return cv2.resize(mask, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR)


class FaceDetection(Model):
    def __init__(self, min_score: float, is_full_range: bool) -> None:
        self._detector = _face_detector(min_score, is_full_range)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        points, scores = self._detector(image)
        return np.concatenate((points[:, :2].reshape(-1, 4), scores[:, None]), 1)
