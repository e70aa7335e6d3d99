"""Where MediaPipe's networks look: detections from anchors, and rotated regions of a picture.

Written from the published descriptions of MediaPipe's graphs (their options are named in
``litert_models``) and from BlazeFace (Bazarevsky et al. 2019), whose detector all of them share.
Points are continuous pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wildtalker_core.pretrained.litert_networks import Network


@dataclass(frozen=True)
class Region:
    """A rectangle around (x, y), turned by ``angle`` radians (x to y)."""

    x: float
    y: float
    width: float
    height: float
    angle: float = 0.0

    @classmethod
    def whole(cls, image: np.ndarray, is_square: bool) -> Region:
        """All of an image; ``is_square``: with borders beside or above and below it."""
        height, width = image.shape[:2]
        x, y = width / 2, height / 2
        if is_square:
            width = height = max(width, height)
        return cls(x, y, width, height)

    def square(self, scale: float, shift_y: float = 0.0) -> Region:
        """Moved along its own y by a share of its height, then a square of its long side."""
        step = self.height * shift_y
        side = scale * max(self.width, self.height)
        x, y = self.x - step * np.sin(self.angle), self.y + step * np.cos(self.angle)
        return Region(x, y, side, side, self.angle)

    def crop(self, image: np.ndarray, side: int, border: int = cv2.BORDER_REPLICATE) -> np.ndarray:
        """The region's pixels [side, side, 3] in [0, 1], float32."""
        size = self.width, self.height
        corners = cv2.boxPoints(((self.x, self.y), size, float(np.degrees(self.angle))))
        target = np.array([[0, side], [0, 0], [side, 0], [side, side]], np.float32)
        matrix = cv2.getPerspectiveTransform(corners, target)
        found = cv2.warpPerspective(image, matrix, (side, side), borderMode=border)
        return found.astype(np.float32) * np.float32(1 / 255)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2 or 3] in shares of the region -> pixels of the picture; z by its width."""
        turn = rotation(self.angle)
        xy = ((points[..., :2] - 0.5) @ turn.T) * [self.width, self.height] + [self.x, self.y]
        return np.concatenate((xy, points[..., 2:] * self.width), -1)

    def overlap(self, other: Region) -> float:
        """Intersection over union with another, both taken as upright."""
        return float(_iou(self._box(), other._box()[None])[0])

    def _box(self) -> np.ndarray:
        middle, half = np.array([self.x, self.y]), np.array([self.width, self.height]) / 2
        return np.array([middle - half, middle + half])


def rotation(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def angle_between(start: np.ndarray, end: np.ndarray, target_degrees: float) -> float:
    """The turn after which the way from start to end goes at ``target_degrees`` (y up)."""
    x, y = end[:2] - start[:2]
    return float(np.radians(target_degrees) + np.arctan2(y, x))


def around(points: np.ndarray, angle: float) -> Region:
    """The upright box around points [n, 2], to be turned about its middle."""
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    (x, y), (width, height) = (low + high) / 2, high - low
    return Region(x, y, width, height, angle)


class Detector:
    """A network of BlazeFace's kind.

    Args:
        strides: input pixels between the anchors of each layer.
        n_per_cell: anchors at one place in each layer.
        low: what a black pixel is to the network (a white one is 1).
        min_score: in [0, 1].
        merged_iou: detections that overlap by more are averaged, by their scores.
    """

    def __init__(
        self,
        content: bytes,
        strides: tuple[int, ...],
        n_per_cell: int,
        low: float,
        min_score: float,
        merged_iou: float = 0.3,
    ) -> None:
        self._network, self._low, self._min_score = Network(content), low, min_score
        self._merged_iou = merged_iou
        self._anchors = np.concatenate(
            [
                _anchors(self._network.side // stride, n_per_cell * strides.count(stride))
                for stride in dict.fromkeys(strides)
            ]
        )

    def __call__(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points [n, 2 + keypoints, 2]: two corners of a box, then keypoints; and scores [n].

        The surest comes first.
        """
        region, side = Region.whole(image, is_square=True), self._network.side
        tensor = region.crop(image, side, cv2.BORDER_CONSTANT)
        values, logits = self._network(tensor * np.float32(1 - self._low) + np.float32(self._low))
        scores = 1 / (1 + np.exp(-np.clip(logits[:, 0], -80, 80)))
        kept = scores >= self._min_score
        values = values[kept].reshape(-1, values.shape[1] // 2, 2) / side
        anchors = self._anchors[kept, None]
        half = values[:, 1:2] / 2
        middle, keypoints = values[:, :1] + anchors, values[:, 2:] + anchors
        points = np.concatenate((middle - half, middle + half, keypoints), 1)
        points, scores = merged(points, scores[kept], self._merged_iou)
        return region.project(points), scores


def _anchors(n_cells: int, n_per_cell: int) -> np.ndarray:
    """Middles [n, 2] of the cells of a square, in shares of it."""
    middles = (np.arange(n_cells) + 0.5) / n_cells
    x, y = np.meshgrid(middles, middles)
    return np.repeat(np.stack((x, y), -1).reshape(-1, 2), n_per_cell, axis=0)


def merged(points: np.ndarray, scores: np.ndarray, min_iou: float) -> tuple[np.ndarray, np.ndarray]:
    """Non-maximum suppression that averages what it removes."""
    left = np.argsort(-scores, kind="stable")
    averages, best = [], []
    while len(left):
        is_same = _iou(points[left[0], :2], points[left, :2]) > min_iou
        is_same[0] = True
        weights = scores[left[is_same]]
        averages.append(np.average(points[left[is_same]], axis=0, weights=weights))
        best.append(scores[left[0]])
        left = left[~is_same]
    return np.array(averages).reshape(-1, *points.shape[1:]), np.array(best)


def _iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """box: [2, 2] two corners; others: [n, 2, 2]."""
    low, high = np.maximum(box[0], others[:, 0]), np.minimum(box[1], others[:, 1])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = (others[:, 1] - others[:, 0]).prod(-1) + (box[1] - box[0]).prod()
    return shared / np.maximum(areas - shared, 1e-12)
