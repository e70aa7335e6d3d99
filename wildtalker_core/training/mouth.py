"""The mouth's shape as a few numbers, and how they are learnt to be heard.

The peers let the picture's error alone teach an audio network what a sound looks like; from a
minute of speech it then rather learns the minute by heart. Here what can be heard at all is first
learnt from landmarks (``nerf.hearing``), and only that reaches the field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.nerf.hearing import fit_kernel
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.scene.scene import Scene

#: MediaPipe's landmarks of the outer and inner lip contour, and five of the chin.
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191,
)  # fmt: skip
CHIN = (152, 148, 377, 176, 400)
UPPER_INNER_LIP, LOWER_INNER_LIP = LIPS.index(13), LIPS.index(14)
_SHARPNESSES, _NOISES = (0.25, 0.5, 1.0, 2.0), (0.03, 0.1, 0.3, 1.0)
_TURN_WEIGHTS = (0.0, 0.003, 0.01, 0.03, 0.1)
_DELAYS = range(-2, 5)  # frames
#: Sharpness and noise while delay and turn weight are chosen, and if nothing can be held out.
_CAUTIOUS = (0.5, 1.0)
_N_FOLDS, _FOLD_GAP = 6, 12  # frames: half a second at 25 fps
#: The choice is made on this many frames at most: its cost grows with their third power.
_MOST_COMPARED = 2000
_PLANES_TRIED = np.linspace(-0.2, 0.1, 31)  # head units; the face's front is about -0.1


@dataclass(frozen=True)
class MouthBasis:
    """``points = mean + shape @ basis``: mouth landmarks in the head's own plane, head units.

    Attributes:
        mean: [points * 2].
        basis: [shapes, points * 2], scaled so that shapes have unit variance on training frames.
    """

    mean: np.ndarray
    basis: np.ndarray

    @property
    def variances(self) -> np.ndarray:
        """Variance of all points together along each shape [shapes]."""
        return (self.basis**2).sum(1)

    def opening(self, shapes: np.ndarray) -> np.ndarray:
        """Gap between the inner lips [n] (head units) of shapes [n, k]."""
        points = (self.mean + shapes @ self.basis).reshape(len(shapes), -1, 2)
        return points[:, LOWER_INNER_LIP, 1] - points[:, UPPER_INNER_LIP, 1]


def mouth_points(
    landmarks: np.ndarray,
    T_camera_head: np.ndarray,
    focal_length: float,
    height: int,
    width: int,
    fit_frames: np.ndarray,
) -> np.ndarray:
    """Mouth and chin landmarks in the head's own plane: [n, points * 2], head units.

    Rays through the landmarks meet planes of the head that are parallel to the face, one for each
    point, for lips are not flat: its depth is the one at which the point moves least. What still
    goes with the head's rotation is not taken off by a regression, for a mouth that opens with each
    nod would lose its opening, too (docs/portrait.md).

    Args:
        landmarks: [n, 478, 2] pixels.
        T_camera_head: [n, 4, 4].
        fit_frames: frames whose statistics are used.
    """
    pixels = landmarks[:, LIPS + CHIN]
    directions = np.concatenate(
        (
            (pixels - np.array([width / 2, height / 2])) / focal_length,
            np.ones((*pixels.shape[:2], 1)),
        ),
        -1,
    )
    rotation, translation = T_camera_head[:, :3, :3], T_camera_head[:, :3, 3]
    directions = directions @ rotation
    origins = -np.einsum("nji,nj->ni", rotation, translation)[:, None]

    def on_plane(z: float | np.ndarray) -> np.ndarray:
        t = (z - origins[..., 2]) / directions[..., 2]
        return (origins + t[..., None] * directions)[..., :2]

    tried = np.stack([on_plane(z)[fit_frames].var(0).sum(-1) for z in _PLANES_TRIED])
    depths = _PLANES_TRIED[tried.argmin(0)]
    return on_plane(depths).reshape(len(landmarks), -1)


def fit_mouth_basis(points: np.ndarray, n_shapes: int) -> MouthBasis:
    """Principal components of mouth points [n, points * 2]."""
    mean = points.mean(0)
    _, spread, directions = np.linalg.svd(points - mean, full_matrices=False)
    n_shapes = min(n_shapes, len(spread))
    return MouthBasis(
        mean, directions[:n_shapes] * (spread[:n_shapes] / np.sqrt(len(points)))[:, None]
    )


def mouth_shapes(points: np.ndarray, basis: MouthBasis) -> np.ndarray:
    """Points [n, points * 2] -> shapes [n, k]."""
    return (points - basis.mean) @ basis.basis.T / basis.variances


def rest_shape(shapes: np.ndarray, opening: np.ndarray, is_silent: np.ndarray) -> np.ndarray:
    """The shape of the resting mouth [k]: mean over the more closed half of the silent frames.

    ASSUME with fewer than ten silent frames, over the tenth of all frames that is most closed.
    """
    if is_silent.sum() >= 10:
        candidates, share = np.flatnonzero(is_silent), 0.5
    else:
        candidates, share = np.arange(len(shapes)), 0.1
    n = max(1, round(share * len(candidates)))
    return shapes[candidates[np.argsort(opening[candidates])[:n]]].mean(0)


def measure_mouth(scene: Scene, n_shapes: int) -> tuple[np.ndarray, MouthBasis]:
    """Mouth shapes of all frames [n, k], with unit variance on the training frames."""
    seen = scene.seen_train_frames
    points = mouth_points(
        scene.landmarks, scene.T_camera_head, scene.focal_length, scene.height, scene.width, seen
    )
    basis = fit_mouth_basis(points[seen], n_shapes)
    return mouth_shapes(points, basis), basis


def learn_to_hear(
    portrait: Portrait,
    audio_features: Tensor,
    turns: Tensor,
    shapes: Tensor,
    importance: Tensor,
    train_frames: np.ndarray,
) -> dict[str, float]:
    """Fit the portrait's hearing on training frames; cross-validation chooses its four numbers.

    First the delay between picture and sound, then how much the pose tells, then sharpness and
    noise together.

    ASSUME six folds of consecutive frames, half a second apart from what they are tested on:
    windows overlap, so a random fold would be tested on what it was trained with.

    Args:
        audio_features: [n, features, window]; turns: [n, 3] rotation vectors of the head, radians;
            shapes: [n, k] of the same frames.
        importance: [k] what an error of one unit costs (``MouthBasis.variances``).
        train_frames: frame numbers, in time order.

    Returns:
        the part of the mouth's motion that cross-validation leaves unexplained, and the choice.
    """
    hearing = portrait.hearing
    frames = torch.as_tensor(np.ascontiguousarray(train_frames), device=shapes.device)
    hearing.standardise(audio_features[frames], turns[frames])
    compared = frames[:_MOST_COMPARED]
    turned = hearing.turned(turns[compared])
    by_turn = turned @ turned.T

    def likeness(delay: int) -> Tensor:
        heard = hearing.describe(audio_features, compared, delay)
        return hearing.kernel(heard, heard, 1.0)

    def unexplained(likeness: Tensor, turn_weight: float, sharpness: float, noise: float) -> float:
        kernel = likeness**sharpness + turn_weight * by_turn
        errors = _cross_validate(kernel, shapes[compared], noise)
        return ((errors * importance).sum() / importance.sum()).item()

    # Nearest to none first: stays none if the clip is too short to hold anything out.
    delays = sorted(_DELAYS, key=abs)
    delay = min(delays, key=lambda delay: unexplained(likeness(delay), 0.0, *_CAUTIOUS))
    alike = likeness(delay)
    turn_weight = min(_TURN_WEIGHTS, key=lambda weight: unexplained(alike, weight, *_CAUTIOUS))
    choices = [_CAUTIOUS, *product(_SHARPNESSES, _NOISES)]
    left = [unexplained(alike, turn_weight, *choice) for choice in choices]
    best = int(np.argmin(left))
    sharpness, noise = choices[best]
    known = hearing.describe(audio_features, frames, delay)
    hearing.fit(known, shapes[frames], sharpness, noise, delay, turns[frames], turn_weight)
    figures = {
        "delay_frames": delay,
        "turn_weight": turn_weight,
        "sharpness": sharpness,
        "noise": noise,
    }
    if math.isinf(left[best]):
        return figures
    return {"unexplained_variance": left[best], **figures}


def _cross_validate(kernel: Tensor, wanted: Tensor, noise: float) -> Tensor:
    """Mean squared error [k] of guessing ``wanted`` [n, k], each fold from the folds far from it.

    Infinite if there are too few frames to keep any apart.
    """
    n = len(wanted)
    number = torch.arange(n, device=wanted.device)
    squared = torch.zeros_like(wanted)
    for fold in number.chunk(_N_FOLDS):
        known = number[(number < fold[0] - _FOLD_GAP) | (number > fold[-1] + _FOLD_GAP)]
        if not len(known):
            return torch.full_like(wanted[0], torch.inf)
        mean, coefficients = fit_kernel(kernel[known][:, known], wanted[known], noise)
        guess = mean + kernel[fold][:, known] @ coefficients
        squared[fold] = (guess - wanted[fold]).square()
    return squared.mean(0)
