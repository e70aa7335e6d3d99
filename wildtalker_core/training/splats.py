"""Training a portrait of Gaussians: one stage, the whole person, one frame a step (Eq. 5 and 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.scene.scene import PARSING_CLASSES, Scene
from wildtalker_core.splats.photometric import photometric_loss
from wildtalker_core.splats.portrait import Moment, SplatPortrait
from wildtalker_core.training.clip import random_frames
from wildtalker_core.training.losses import static_weight
from wildtalker_core.training.optimise import Group, Optimiser, Outcome, Run, Step, optimise

_BACKGROUND, _HANDS = PARSING_CLASSES.index("background"), PARSING_CLASSES.index("hands")
#: Adam's steps move a place by pixels: one is this many head units.
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0)
_N_FOLDS, _FOLD_GAP = 6, 12


@dataclass(frozen=True)
class SplatOptions:
    """How Gaussians are trained; units and sources in config/schema/train.yaml.

    Attributes:
        lr_means: pixels; lr_colours, lr_opacities, lr_scales, lr_turns: of base values.
        lr_bases: the bases' rates in units of the base values' rates.
        lr_soft: the torso bases' rates in units of the face's.
        lambda_dssim: share of 1 - SSIM in the photometric loss.
        lambda_alpha: factor of the squared error of alpha against the person's mask.
        lip_weight: factor of the loss in the lip box.
        predicted_share: part of the steps in which the torso stands where the head's pose says.
        basis_decay: weight decay of the bases.
    """

    lr_means: float
    lr_colours: float
    lr_opacities: float
    lr_scales: float
    lr_turns: float
    lr_bases: float
    lr_soft: float
    lambda_dssim: float
    lambda_alpha: float
    lip_weight: float
    predicted_share: float
    basis_decay: float
    static_weight: str
    reference: str
    rasteriser: str


def train_splats(
    portrait: SplatPortrait,
    scene: Scene,
    moments: Moment,
    options: SplatOptions,
    optimiser: Optimiser,
    run: Run,
) -> Outcome:
    """Train all Gaussians against the frames.

    Args:
        moments: what the portrait is told of all frames of the scene, [n_frames, ...].
    """
    shown = {"hand_free": scene.hand_free_frames, "frames": scene.frames}[options.reference]
    device = portrait.plate.device
    predicted = portrait.predicted_torso(moments.T_camera_head)

    def loss_of(step: int, generator: torch.Generator) -> Step:
        frame = int(random_frames(scene.train_frames, 1, generator)[0])
        moment = moments[frame]
        if torch.rand((), generator=generator).item() < options.predicted_share:
            moment = Moment(**{**moment.__dict__, "torso": predicted[frame]})
        colours, alpha = portrait.draw(moment, options.rasteriser)
        estimate = colours + (1 - alpha)[..., None] * portrait.plate
        target = _unit(shown[frame], device)
        weight, is_person = frame_weight(scene, frame, options, device)
        photometric = photometric_loss(estimate, target, weight, options.lambda_dssim)
        outline = (weight * (alpha - is_person).square()).mean()
        return Step(
            photometric + options.lambda_alpha * outline,
            {"photometric": photometric, "outline": outline},
            {"frames": np.array([frame])},
        )

    body = portrait.body
    pixel = median_pixel(portrait)
    groups = [
        Group([body.means], options.lr_means * pixel),
        Group([body.colours], options.lr_colours),
        Group([body.opacity_logits], options.lr_opacities),
        Group([body.log_scales], options.lr_scales),
        Group([body.quaternions], options.lr_turns),
    ]
    for bases, share in ((body.face, 1.0), (body.soft, options.lr_soft)):
        rate = options.lr_bases * share
        decay = options.basis_decay
        groups += [
            Group([bases.means], rate * options.lr_means * pixel, decay),
            Group([bases.colours], rate * options.lr_colours, decay),
            Group([bases.opacities], rate * options.lr_opacities, decay),
        ]
    return optimise(portrait, groups, loss_of, optimiser, run, "splats")


def frame_weight(
    scene: Scene, frame: int, options: SplatOptions, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Weight of each pixel's loss [h, w] (Eq. 6), and the person's soft mask [h, w]."""
    parsing = scene.parsing[frame]
    weight = static_weight(_unit(scene.transient_mask[frame], device), options.static_weight)
    if options.static_weight != "none":
        weight = weight * (1 - _unit(parsing[..., _HANDS], device))
    if options.lip_weight != 1:
        x0, y0, x1, y1 = np.round(scene.lip_box[frame]).astype(int)
        weight[y0:y1, x0:x1] *= options.lip_weight
    return weight, 1 - _unit(parsing[..., _BACKGROUND], device)


def median_pixel(portrait: SplatPortrait) -> float:
    """How many head units a pixel is wide at the body's median depth."""
    affine = portrait.canvas_to_head
    depth = portrait.body.means.detach() @ affine[2, :3] + affine[2, 3]
    return depth.median().item() / portrait.shape.focal_length


def set_conditions(portrait: SplatPortrait, moments: Moment, seen: np.ndarray) -> None:
    """Units and ranges of all conditions from training frames ``seen``."""
    index = torch.as_tensor(seen, device=portrait.plate.device)
    known = moments[index]
    turn = matrix_to_axis_angle(known.T_camera_head[:, :3, :3])
    face = torch.cat((known.mouth, known.expression, known.gaze, turn), 1)
    # ASSUME what varies by less than this does not vary: noise would be made a condition.
    least = torch.full_like(face[0], 2e-2)
    least[-3:] = 2e-3
    pose = portrait.pose_numbers(known.T_camera_head)
    for name, values, floor in (
        ("face", face, least),
        ("torso", known.torso, torch.full_like(known.torso[0], 1e-4)),
        ("pose", pose, torch.full_like(pose[0], 1e-3)),
    ):
        getattr(portrait, f"{name}_mean").copy_(values.mean(0))
        getattr(portrait, f"{name}_scale").copy_(values.std(0).maximum(floor))
        # ASSUME a twentieth of the range beyond what was seen; single odd frames are left out.
        lower, upper = values.quantile(0.002, 0), values.quantile(0.998, 0)
        margin = 0.05 * (upper - lower)
        getattr(portrait, f"{name}_lower").copy_(lower - margin)
        getattr(portrait, f"{name}_upper").copy_(upper + margin)


def fit_torso_prediction(
    portrait: SplatPortrait, moments: Moment, seen: np.ndarray
) -> dict[str, list[float]]:
    """Learn where the torso is under a head pose; cross-validation decides what is told at all.

    For each number of the motion the ridge of the smallest error over six folds of consecutive
    frames, or its mean where no ridge beats it.

    Returns:
        share of each number's variance that is explained on held-out frames (0: the mean is used).
    """
    index = torch.as_tensor(seen, device=portrait.plate.device)
    pose = portrait._unit("pose", portrait.pose_numbers(moments.T_camera_head[index]))
    pose = pose.double().cpu().numpy()
    motion = (moments.torso[index] - portrait.torso_mean).double().cpu().numpy()
    number = np.arange(len(pose))
    errors = np.zeros((len(_RIDGES), motion.shape[1]))
    nothing = np.zeros(motion.shape[1])
    for fold in np.array_split(number, _N_FOLDS):
        known = (number < fold[0] - _FOLD_GAP) | (number > fold[-1] + _FOLD_GAP)
        if known.sum() < 2 * pose.shape[1]:
            continue
        offset, centre = motion[known].mean(0), pose[known].mean(0)
        nothing += np.square(motion[fold] - offset).sum(0)
        for i, ridge in enumerate(_RIDGES):
            slope = _ridge(pose[known] - centre, motion[known] - offset, ridge)
            guess = offset + (pose[fold] - centre) @ slope
            errors[i] += np.square(motion[fold] - guess).sum(0)
    best = errors.argmin(0)
    explained = 1 - errors.min(0) / np.maximum(nothing, 1e-12)
    slopes = np.stack([_ridge(pose, motion, ridge) for ridge in _RIDGES])
    slope = slopes[best, :, np.arange(motion.shape[1])].T
    slope[:, explained <= 0] = 0
    portrait.torso_slope.copy_(torch.as_tensor(slope, dtype=torch.float32))
    return {"torso_explained": [round(float(max(share, 0)), 3) for share in explained]}


def _ridge(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    return np.linalg.solve(x.T @ x + ridge * len(x) * np.eye(x.shape[1]), x.T @ y)


def _unit(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.as_tensor(values, device=device).float() / 255
