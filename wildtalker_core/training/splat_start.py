"""Where the Gaussians of a portrait start: on the person, as training frames show it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import cKDTree

from wildtalker_core.mouth.shape import LIPS, onto_head_planes
from wildtalker_core.occlusion.registration import Motion
from wildtalker_core.scene.scene import Scene
from wildtalker_core.training.clip import HANDS, HEAD
from wildtalker_core.training.splat_canvas import Canvas

_INNER_LIPS = LIPS[20:]
#: A Gaussian's spread in units of the spacing, and of its third axis in units of that.
_SPREAD, _FLATNESS = 0.55, float(np.exp(-0.7))
#: Depth behind the lips at which the inside of the mouth stands, head units.
_MOUTH_DEPTH = 0.03
_RIDGE = 3.0


@dataclass(frozen=True)
class Start:
    """Gaussians before training; the head's come first.

    Attributes:
        means: [n, 3] head units; colours: [n, 3] in [0, 1]; spreads: [n, 3] head units.
        head_weights: [n] skinning weight of the head's bone.
        n_head: how many belong to the head alone.
        face_basis: [n_head, 3, n_face] motion of the means per unit of each condition.
        soft_basis: [n - n_head, 3, k] the same for the torso's soft motion.
        canvas_to_head: [4, 4] maps head points into the camera that the canvas was seen by.
    """

    means: np.ndarray
    colours: np.ndarray
    spreads: np.ndarray
    head_weights: np.ndarray
    n_head: int
    face_basis: np.ndarray
    soft_basis: np.ndarray
    canvas_to_head: np.ndarray


def start_gaussians(
    scene: Scene,
    template: np.ndarray,
    torso: Motion,
    face: np.ndarray,
    reference: int,
    n_gaussians: int,
    seed: int,
) -> Start:
    """Gaussians on a grid over the person in a reference frame.

    Args:
        template: [478, 3] the face's landmarks, head units.
        face: [n_frames, n_face] conditions in units of their spread.
        reference: the training frame near the mean pose and mouth.
        n_gaussians: about so many, half as far apart on the head as elsewhere.
    """
    generator = np.random.default_rng(seed)
    canvas = Canvas.of(scene, torso, reference)
    head_area = (canvas.parsing[..., HEAD] > 100).sum()
    rest_area = canvas.is_rest.sum()
    # Twice as many per area on the head: eyes and teeth are finer than cloth.
    spacing = max(1.4, float(np.sqrt((head_area + rest_area / 1.5) / n_gaussians)))
    head = _start_head(scene, template, face, reference, spacing, generator)
    rest = _start_rest(scene, canvas, torso, head, spacing * np.sqrt(1.5), generator)
    return Start(
        **{
            name: np.concatenate((head[name], rest[name])).astype(np.float32)
            for name in ("means", "colours", "spreads", "head_weights")
        },
        n_head=len(head["means"]),
        face_basis=head["basis"],
        soft_basis=rest["basis"],
        canvas_to_head=canvas.T_camera_head,
    )


def reference_frame(scene: Scene, turns: np.ndarray, mouth: np.ndarray) -> int:
    """The training frame nearest to the mean turn and mouth, with few hands over the torso.

    It shows the mouth, since the Gaussians have its colours.

    Args:
        turns: [n, 3], mouth: [n, k] in units of their spread.
    """
    seen = scene.mouth_train_frames
    distance = np.square(turns[seen]).sum(1) + np.square(mouth[seen] / 2).sum(1)
    nearest = seen[np.argsort(distance)[: max(1, len(seen) // 10)]]
    hands = [float((scene.parsing[int(i)][..., HANDS] > 60).mean()) for i in nearest]
    return int(nearest[int(np.argmin(np.round(hands, 3)))])


def landmark_basis(
    scene: Scene, template: np.ndarray, face: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks in the head's frame, at the template's depths: mean [478, 2], basis [478, k, 2].

    The basis is a ridge regression of their motion on the conditions, over the training frames that
    show the mouth.
    """
    seen = scene.mouth_train_frames
    points = onto_head_planes(
        scene.landmarks, scene.T_camera_head, scene.focal_length, scene.height, scene.width
    )(template[:, 2])
    x, y = face[seen].astype(np.float64), points[seen]
    mean = y.mean(0)
    solved = np.linalg.solve(
        x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ (y - mean).reshape(len(y), -1)
    )
    return mean, solved.reshape(x.shape[1], -1, 2).transpose(1, 0, 2)


def _start_head(
    scene: Scene,
    template: np.ndarray,
    face: np.ndarray,
    reference: int,
    spacing: float,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    T, f = scene.T_camera_head[reference], scene.focal_length
    mean, basis = landmark_basis(scene, template, face)
    camera = np.concatenate((mean, template[:, 2:]), 1) @ T[:3, :3].T + T[:3, 3]
    seen_at = camera[:, :2] / camera[:, 2:] * f + scene.middle
    pixels = _jittered_grid(scene.height, scene.width, spacing, generator)
    column, row = pixels.astype(int).T
    pixels = pixels[scene.parsing[reference][..., HEAD][row, column] > 100]
    column, row = pixels.astype(int).T
    depth = LinearNDInterpolator(seen_at, camera[:, 2])(pixels)
    distance, nearest = cKDTree(seen_at).query(pixels)
    unit = camera[:, 2].mean() / f  # head units per pixel
    # ASSUME behind the face's edge the head recedes by .6 of the distance: a ball does.
    depth = np.where(np.isnan(depth), camera[nearest, 2] + 0.6 * distance * unit, depth)
    means = (_unproject(scene, pixels, depth) - T[:3, 3]) @ T[:3, :3]
    colours = scene.hand_free_frames[reference][row, column] / 255.0
    spreads = _spreads(spacing * depth / f)
    inside = _inside_of_mouth(mean, template, spacing * unit)
    move = _spread_basis(means, mean, basis)
    n_inside = len(inside)
    return {
        "means": np.concatenate((means, inside)),
        # ASSUME a dark red: what is behind the lips is tongue and shadow, teeth are learnt.
        "colours": np.concatenate((colours, np.full((n_inside, 3), (0.35, 0.2, 0.2)))),
        "spreads": np.concatenate((spreads, _spreads(np.full(n_inside, spacing * unit)))),
        "head_weights": np.ones(len(means) + n_inside),
        "basis": np.concatenate((move, np.zeros((n_inside, *move.shape[1:])))).astype(np.float32),
    }


def _jittered_grid(
    height: int, width: int, spacing: float, generator: np.random.Generator
) -> np.ndarray:
    """Pixel positions [k, 2] (x, y), one in each cell of a grid."""
    y, x = np.mgrid[0:height:spacing, 0:width:spacing]
    corners = np.stack((x.ravel(), y.ravel()), 1)
    pixels = corners + spacing * generator.uniform(0.2, 0.8, corners.shape)
    return pixels[(pixels < [width, height]).all(1)]


def _unproject(scene: Scene, pixels: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Pixels [k, 2] of a frame at depths [k] -> camera points [k, 3]."""
    xy = (pixels - scene.middle) / scene.focal_length * depth[:, None]
    return np.concatenate((xy, depth[:, None]), 1)


def _spreads(spacing: np.ndarray) -> np.ndarray:
    """Spacing [k] head units -> standard deviations [k, 3]: flat, facing the camera."""
    return _SPREAD * spacing[:, None] * np.array([1, 1, _FLATNESS])


def _inside_of_mouth(mean: np.ndarray, template: np.ndarray, spacing: float) -> np.ndarray:
    """Points [k, 3] of an ellipse behind the lips, which stay while the lips move."""
    lips = mean[list(_INNER_LIPS)]
    centre = lips.mean(0)
    half = np.abs(lips - centre).max(0)[0]
    x, y = np.meshgrid(
        np.arange(-half, half, spacing), np.arange(-0.45 * half, 0.55 * half, spacing)
    )
    chosen = np.square(x / half) + np.square(2 * y / half) < 1
    depth = template[list(_INNER_LIPS), 2].mean() + _MOUTH_DEPTH
    n = int(chosen.sum())
    return np.stack((centre[0] + x[chosen], centre[1] + y[chosen], np.full(n, depth)), 1)


def _spread_basis(means: np.ndarray, landmarks: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Landmarks' motion [478, k, 2] -> that of means near them [n, 3, k], fading with distance."""
    distance, near = cKDTree(landmarks).query(means[:, :2], k=4)
    weight = 1 / np.square(distance + 2e-3)
    weight /= weight.sum(1, keepdims=True)
    reach = np.exp(-np.square(np.maximum(distance[:, 0] - 0.015, 0) / 0.03))
    move = np.einsum("nj,njkd->ndk", weight, basis[near]) * reach[:, None, None]
    return np.concatenate((move, np.zeros_like(move[:, :1])), 1)


def _start_rest(
    scene: Scene,
    canvas: Canvas,
    torso: Motion,
    head: dict[str, np.ndarray],
    spacing: float,
    generator: np.random.Generator,
) -> dict[str, np.ndarray]:
    height, width = canvas.is_rest.shape
    pixels = _jittered_grid(height, width, spacing, generator)
    column, row = pixels.astype(int).T
    chosen = canvas.is_rest[row, column]
    pixels, row, column = pixels[chosen], row[chosen], column[chosen]
    linear, shift = canvas.T_camera_head[:3, :3], canvas.T_camera_head[:3, 3]
    head_depths = head["means"] @ linear[2] + shift[2]
    # A plane behind the face; ASSUME the head's 90th percentile of depth, where the ears are.
    depth = np.percentile(head_depths, 90) + 0.03 + generator.uniform(0, 0.02, len(pixels))
    f = scene.focal_length
    in_frame = pixels - canvas.pad
    back = np.linalg.inv(linear)
    basis = _soft_at(in_frame, torso) * (depth / f)[:, None, None]  # [n, 2, k] camera units
    basis = np.concatenate((basis, np.zeros_like(basis[:, :1])), 1)
    return {
        "means": (_unproject(scene, in_frame, depth) - shift) @ back.T,
        "colours": canvas.colours[row, column] / 255.0,
        "spreads": _spreads(spacing * depth / f),
        "head_weights": canvas.head_share[row, column],
        "basis": np.einsum("ij,njk->nik", back, basis).astype(np.float32),
    }


def _soft_at(pixels: np.ndarray, torso: Motion) -> np.ndarray:
    """The torso's soft motion at canvas pixels [n, 2] -> [n, 2, k] pixels per unit."""
    basis = torso.soft_basis
    grid = basis.shape[1]
    place = (pixels - 0.5 - torso.box[:2]) / (torso.box[2:] - torso.box[:2]) * (grid - 1)
    x, y = place.astype(np.float32).T
    moved = [
        cv2.remap(component.astype(np.float32), x[:, None], y[:, None], cv2.INTER_LINEAR,
                  borderMode=cv2.BORDER_REPLICATE)[:, 0]
        for component in basis
    ]  # fmt: skip
    return np.stack(moved, -1) if moved else np.zeros((len(pixels), 2, 0))
