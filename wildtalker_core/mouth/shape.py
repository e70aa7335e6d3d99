"""The mouth's shape as a few numbers, from landmarks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from wildtalker_core.scene.face_points import LIPS_INNER, LIPS_OUTER
from wildtalker_core.scene.scene import Scene

#: Landmarks of the outer and inner lip contour, and five of the chin.
LIPS = LIPS_OUTER + LIPS_INNER
CHIN = (152, 148, 377, 176, 400)
UPPER_INNER_LIP, LOWER_INNER_LIP = LIPS.index(13), LIPS.index(14)
_PLANES_TRIED = np.linspace(-0.2, 0.1, 31)  # head units; the face's front is about -0.1


@dataclass(frozen=True)
class MouthBasis:
    """``points = mean + shape @ basis``: mouth landmarks in the head's own plane, head units.

    Attributes:
        basis: scaled so that shapes have unit variance on training frames.
    """

    mean: Float[np.ndarray, "coordinates"]
    basis: Float[np.ndarray, "shapes coordinates"]

    @property
    def variances(self) -> Float[np.ndarray, "shapes"]:
        """Variance of all points together along each shape."""
        return (self.basis**2).sum(1)

    def opening(self, shapes: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n"]:
        """Gap between the inner lips (head units) of shapes."""
        points = (self.mean + shapes @ self.basis).reshape(len(shapes), -1, 2)
        return points[:, LOWER_INNER_LIP, 1] - points[:, UPPER_INNER_LIP, 1]


def onto_head_planes(
    pixels: Float[np.ndarray, "n k 2"],
    T_camera_head: Float[np.ndarray, "n 4 4"],
    focal_length: float,
    height: int,
    width: int,
) -> Callable[[float | Float[np.ndarray, "k"]], Float[np.ndarray, "n k 2"]]:
    """Where rays through pixels meet planes of the head that are parallel to the face.

    Returns:
        (depth, one or one a point, head units) -> x and y, head units.
    """
    centred = (pixels - np.array([width / 2, height / 2])) / focal_length
    rotation, translation = T_camera_head[:, :3, :3], T_camera_head[:, :3, 3]
    rays = np.concatenate((centred, np.ones((*pixels.shape[:2], 1))), -1) @ rotation
    origins = -np.einsum("nji,nj->ni", rotation, translation)[:, None]

    def on_plane(z: float | Float[np.ndarray, "k"]) -> Float[np.ndarray, "n k 2"]:
        t = (z - origins[..., 2]) / rays[..., 2]
        return (origins + t[..., None] * rays)[..., :2]

    return on_plane


def mouth_points(
    landmarks: Float[np.ndarray, "n 478 2"],
    T_camera_head: Float[np.ndarray, "n 4 4"],
    focal_length: float,
    height: int,
    width: int,
    fit_frames: Int[np.ndarray, "fit"],
) -> Float[np.ndarray, "n coordinates"]:
    """Mouth and chin landmarks in the head's own plane: x and y of each point, head units.

    Rays through the landmarks meet planes of the head that are parallel to the face, one for each
    point, for lips are not flat: its depth is the one at which the point moves least. What still
    goes with the head's rotation is not taken off by a regression, for a mouth that opens with each
    nod would lose its opening, too (docs/portrait.md).

    Args:
        landmarks: pixels.
        fit_frames: frames whose statistics are used.
    """
    on_plane = onto_head_planes(
        landmarks[:, LIPS + CHIN], T_camera_head, focal_length, height, width
    )
    tried = np.stack([on_plane(z)[fit_frames].var(0).sum(-1) for z in _PLANES_TRIED])
    depths = _PLANES_TRIED[tried.argmin(0)]
    return on_plane(depths).reshape(len(landmarks), -1)


def fit_mouth_basis(points: Float[np.ndarray, "n coordinates"], n_shapes: int) -> MouthBasis:
    """Principal components of mouth points."""
    mean = points.mean(0)
    _, spread, directions = np.linalg.svd(points - mean, full_matrices=False)
    n_shapes = min(n_shapes, len(spread))
    return MouthBasis(
        mean, directions[:n_shapes] * (spread[:n_shapes] / np.sqrt(len(points)))[:, None]
    )


def mouth_shapes(
    points: Float[np.ndarray, "n coordinates"], basis: MouthBasis
) -> Float[np.ndarray, "n shapes"]:
    """The shapes of mouth points in a basis."""
    return (points - basis.mean) @ basis.basis.T / basis.variances


def measure_mouth(scene: Scene, n_shapes: int) -> tuple[Float[np.ndarray, "n shapes"], MouthBasis]:
    """Mouth shapes of all frames, with unit variance on the training frames that show it.

    What a frame hides is filled in from the nearest ones that show it, of its own part of the clip
    and the parts before it.
    """
    seen = scene.mouth_train_frames
    points = mouth_points(
        scene.landmarks, scene.T_camera_head, scene.focal_length, scene.height, scene.width, seen
    )
    basis = fit_mouth_basis(points[seen], n_shapes)
    return _filled(mouth_shapes(points, basis), scene), basis


def _filled(shapes: np.ndarray, scene: Scene) -> np.ndarray:
    shapes = shapes.copy()
    parts = (scene.train_frames, scene.validation_frames, np.array([scene.n_frames - 1]))
    start = 0
    for stop in (int(part[-1]) + 1 for part in parts if len(part)):
        known = np.flatnonzero(scene.is_mouth_visible[:stop])
        hidden = start + np.flatnonzero(~scene.is_mouth_visible[start:stop])
        for column in shapes.T:
            column[hidden] = np.interp(hidden, known, column[known])
        start = stop
    return shapes
