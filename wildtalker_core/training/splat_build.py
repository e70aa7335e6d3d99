"""A portrait of Gaussians before training: sizes, conditions, ear, first Gaussians."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.devices import floats
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.mouth.ear import n_remembered
from wildtalker_core.mouth.learning import learn_mouth
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.scene.body_motion import BodyMotion
from wildtalker_core.scene.scene import Scene
from wildtalker_core.splats.body import Bases, BodyShape
from wildtalker_core.splats.portrait import (
    N_SIMILARITY,
    SplatPortrait,
    SplatShape,
    face_numbers,
    n_soft_conditions,
)
from wildtalker_core.training.splat_nodes import Nodes, near_lips_and_eyes, place_nodes
from wildtalker_core.training.splat_start import Start, reference_frame, start_gaussians

_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
_OPACITY_LOGIT = 1.4
#: How far conditions go beyond their range in training, in units of it. ASSUME further for soft
#: motion: its directions are measured, and cut off the torso stands where it was not filmed.
_BEYOND_SEEN, _SOFT_BEYOND_SEEN = 0.05, 0.5
_N_FOLDS, _FOLD_GAP = 6, 12  # frames: half a second at 25 fps


def filmed_moments(
    scene: Scene, motion: BodyMotion, mouth: np.ndarray, device: torch.device
) -> Moment:
    """All frames of a clip as they were filmed, [n_frames, ...].

    Args:
        mouth: [n_frames, k] shapes.
    """

    return Moment(
        T_camera_head=floats(scene.T_camera_head, device),
        mouth=floats(mouth, device),
        expression=floats(scene.expression, device),
        gaze=floats(motion.gaze, device),
        torso=floats(motion.torso_numbers, device),
        camera=floats(motion.camera, device),
    )


def new_splat_portrait(
    scene: Scene, motion: BodyMotion, options: Mapping[str, Any], device: torch.device, seed: int
) -> tuple[SplatPortrait, Moment, dict[str, Any]]:
    """An untrained portrait of ``scene``, its frames' moments, and figures of what was fitted.

    Args:
        options: the config section ``train.splats``, with ``rasteriser``.
    """
    seen = scene.seen_train_frames
    shapes, basis = measure_mouth(scene, options["n_mouth_shapes"])
    moments = filmed_moments(scene, motion, shapes, torch.device("cpu"))
    face = face_numbers(moments)
    shown = scene.mouth_train_frames
    mean, scale = _spread(face[shown], _least_spread(face.shape[1]))
    conditions = ((face - mean) / scale).numpy()
    n_mouth = shapes.shape[1]
    reference = reference_frame(scene, conditions[:, -3:], conditions[:, :n_mouth])
    start = start_gaussians(
        scene, motion.template, motion.torso, conditions, reference, options["n_gaussians"], seed
    )
    on_head, others = start.means[: start.n_head], start.means[start.n_head :]
    spacing = options["node_spacing"]
    nodes = (
        place_nodes(on_head, spacing, near_lips_and_eyes(on_head, motion.template)),
        place_nodes(others, spacing),
    )
    shape = _shape(scene, motion, start, nodes, face, n_mouth, options["kernel"])
    portrait = SplatPortrait(shape, options["rasteriser"])
    _set_start(portrait, start, nodes, motion, scene)
    set_conditions(portrait, moments, seen, shown)
    figures = fit_torso_prediction(portrait, moments, seen)
    heard = learn_mouth(portrait.ear, scene, shapes, basis)
    moved = Moment(*(value.to(device) for value in moments.__dict__.values()))
    return portrait.to(device), moved, {**figures, **heard, "n_gaussians": portrait.shape.body.n}


def _shape(
    scene: Scene,
    motion: BodyMotion,
    start: Start,
    nodes: tuple[Nodes, Nodes],
    face: Tensor,
    n_mouth: int,
    kernel: str,
) -> SplatShape:
    n_torso = motion.torso_numbers.shape[1]
    return SplatShape(
        height=scene.height,
        width=scene.width,
        focal_length=scene.focal_length,
        plate_margin=(motion.plate.shape[0] - scene.height) // 2,
        body=BodyShape(
            start.n_head, len(start.means) - start.n_head, face.shape[1],
            n_soft_conditions(n_torso, n_mouth), len(nodes[0].index), len(nodes[1].index),
        ),
        n_mouth=n_mouth,
        n_expression=scene.expression.shape[1],
        n_gaze=motion.gaze.shape[1],
        n_torso=n_torso,
        n_audio_features=scene.audio_features.shape[1],
        audio_window=scene.audio_features.shape[2],
        n_heard=n_remembered(
            len(scene.mouth_train_frames), scene.noisy_audio_features is not None
        ),
        kernel=kernel,
    )  # fmt: skip


@torch.no_grad()
def _set_start(
    portrait: SplatPortrait,
    start: Start,
    nodes: tuple[Nodes, Nodes],
    motion: BodyMotion,
    scene: Scene,
) -> None:
    body = portrait.body
    body.means.copy_(torch.as_tensor(start.means))
    body.colours.copy_(torch.as_tensor(start.colours))
    body.log_scales.copy_(torch.as_tensor(start.spreads).log())
    body.opacity_logits.fill_(_OPACITY_LOGIT)
    share = torch.as_tensor(start.head_weights)
    body.weights.copy_(torch.stack((share, 1 - share), 1))
    spread = motion.torso.soft[scene.seen_train_frames].std(0)
    _set_bases(body.face, nodes[0], start.face_basis)
    _set_bases(body.soft, nodes[1], start.soft_basis * spread)
    portrait.canvas_to_head.copy_(torch.as_tensor(start.canvas_to_head))
    # OpenCV's pixel centres are whole numbers, ours half ones.
    portrait.torso_centre.copy_(torch.as_tensor(motion.torso.centre + 0.5))
    portrait.camera_centre.copy_(torch.as_tensor(motion.camera_centre + 0.5))
    portrait.plate.copy_(torch.as_tensor(motion.plate).float() / 255)


def _set_bases(bases: Bases, nodes: Nodes, basis: np.ndarray) -> None:
    """Interpolation, and the motion [n, 3, k] of the Gaussians by the first k conditions."""
    bases.near.copy_(torch.as_tensor(nodes.near))
    bases.shares.copy_(torch.as_tensor(nodes.shares))
    bases.means[..., : basis.shape[2]] = torch.as_tensor(basis[nodes.index])


def _least_spread(n_face: int) -> Tensor:
    """ASSUME what varies by less does not vary: else noise would be made a condition."""
    least = torch.full((n_face,), 2e-2)
    least[-3:] = 2e-3  # radians: a tenth of a degree
    return least


def _spread(values: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    return values.mean(0), values.std(0).maximum(least)


def set_conditions(
    portrait: SplatPortrait, moments: Moment, seen: np.ndarray, shown: np.ndarray
) -> None:
    """Units and ranges of all conditions from training frames ``seen``.

    Those of the face come from the ones that show the mouth: a hand over it bends all landmarks.
    """
    known = moments[torch.as_tensor(seen)]
    face = face_numbers(moments[torch.as_tensor(shown)])
    pose = portrait.pose_numbers(known.T_camera_head)
    for name, values, least in (
        ("face", face, _least_spread(face.shape[1])),
        ("torso", known.torso, torch.full_like(known.torso[0], 1e-4)),
        ("pose", pose, torch.full_like(pose[0], 1e-3)),
    ):
        mean, scale = _spread(values, least)
        getattr(portrait, f"{name}_mean").copy_(mean)
        getattr(portrait, f"{name}_scale").copy_(scale)
        # Single odd frames are left out.
        lower, upper = values.quantile(0.002, 0), values.quantile(0.998, 0)
        margin = _BEYOND_SEEN * (upper - lower)
        if name == "torso":
            margin[N_SIMILARITY:] *= _SOFT_BEYOND_SEEN / _BEYOND_SEEN
        getattr(portrait, f"{name}_lower").copy_(lower - margin)
        getattr(portrait, f"{name}_upper").copy_(upper + margin)


def fit_torso_prediction(
    portrait: SplatPortrait, moments: Moment, seen: np.ndarray
) -> dict[str, Any]:
    """Learn where the torso is under a head pose; cross-validation decides what is told at all.

    For each number of the motion the ridge of the smallest error over six folds of consecutive
    frames, or its mean where no ridge beats that.

    Returns:
        ``torso_explained``: share of each number's variance explained on held-out frames (0: the
        mean is used).
    """
    known = moments[torch.as_tensor(seen)]
    pose = portrait.unit("pose", portrait.pose_numbers(known.T_camera_head)).double().numpy()
    motion = (known.torso - portrait.torso_mean).double().numpy()
    number = np.arange(len(pose))
    errors = np.zeros((len(_RIDGES), motion.shape[1]))
    of_mean = np.zeros(motion.shape[1])
    gap = min(_FOLD_GAP, len(pose) // 16)
    for fold in np.array_split(number, _N_FOLDS):
        others = (number < fold[0] - gap) | (number > fold[-1] + gap)
        if others.sum() <= pose.shape[1]:
            continue
        offset, centre = motion[others].mean(0), pose[others].mean(0)
        of_mean += np.square(motion[fold] - offset).sum(0)
        for i, ridge in enumerate(_RIDGES):
            slope = _ridge_slope(pose[others] - centre, motion[others] - offset, ridge)
            guess = offset + (pose[fold] - centre) @ slope
            errors[i] += np.square(motion[fold] - guess).sum(0)
    # Nothing that could be held out, or nothing that moves: the mean.
    explained = np.maximum(1 - errors.min(0) / of_mean.clip(1e-12), 0) * (of_mean > 1e-12)
    slopes = np.stack([_ridge_slope(pose, motion, ridge) for ridge in _RIDGES])
    slope = slopes[errors.argmin(0), :, np.arange(motion.shape[1])].T
    slope[:, explained == 0] = 0
    portrait.torso_slope.copy_(torch.as_tensor(slope))
    return {"torso_explained": [round(float(share), 3) for share in explained]}


def _ridge_slope(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + ridge * len(x) * np.eye(x.shape[1]), x.T @ y)
