"""Stage three: the torso under the finished head, where the picture is static (Eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from wildtalker_core.nerf.head_field import Condition
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.nerf.position_encoding import grid_tables, other_parameters
from wildtalker_core.training.clip import HEAD, Clip, in_memory, random_frames
from wildtalker_core.training.head import LipFeatures
from wildtalker_core.training.losses import opacity_entropy, torso_loss
from wildtalker_core.training.optimise import Group, Optimiser, Outcome, Run, Step, is_due, optimise


@dataclass(frozen=True)
class TorsoOptions:
    """How the torso is trained; units and sources in config/schema/train.yaml.

    Attributes:
        pixels_per_step: over all frames of a step.
        frames_per_step: different frames in a step.
        static_weight: form of ``losses.static_weight``.
        reference: ``hand_free`` frames, as the paper, or the ``frames`` as they were filmed.
        photometric: form of the error (:func:`losses.ray_errors`).
        alpha_entropy: factor of the binary entropy of the torso's alpha.
        alpha_every: steps between updates of the alpha grid; 0 for never.
    """

    pixels_per_step: int
    frames_per_step: int
    static_weight: str
    reference: str
    photometric: str
    alpha_entropy: float
    alpha_every: int


def train_torso(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    options: TorsoOptions,
    optimiser: Optimiser,
    run: Run,
) -> Outcome:
    """Train torso field and codes against the hand-free frames; the head is frozen."""
    scene = clip.scene
    stacks = {"hand_free": scene.hand_free_frames, "frames": scene.frames}
    masks, shown, parsing = in_memory(
        scene.transient_mask, stacks[options.reference], scene.parsing
    )
    codes = portrait.torso_codes
    portrait.torso.learn_poses(clip.T_camera_head[scene.train_frames], portrait.shape.focal_ratio)

    def loss_of(step: int, generator: torch.Generator) -> Step:
        picks = random_frames(scene.train_frames, options.frames_per_step, generator)
        parts = []
        for frame in picks.tolist():
            is_open, is_near_head = head_zones(parsing[frame][..., HEAD])
            rows, columns = is_open.nonzero()
            chosen = torch.randint(
                len(rows), (options.pixels_per_step // len(picks),), generator=generator
            ).numpy()
            y, x = rows[chosen], columns[chosen]
            pixels = np.stack((x, y), -1)
            head = _head_at(portrait, clip, lip_features, frame, pixels, is_near_head[y, x])
            targets = clip.unit(shown[frame][y, x]), clip.unit(masks[frame][y, x])
            number = torch.full((len(y),), frame, device=clip.device)
            parts.append((torch.as_tensor(pixels, device=clip.device), number, *head, *targets))
        pixels, frames, head_colours, head_opacities, reference, transient = (
            torch.cat(values) for values in zip(*parts, strict=True)
        )
        rgbs, torso_alpha, _ = portrait.render_torso(
            pixels, clip.T_camera_head[frames], codes[frames]
        )
        behind = portrait.background[pixels[:, 1], pixels[:, 0]]
        torso_over = torso_alpha[:, None] * rgbs + (1 - torso_alpha)[:, None] * behind
        estimate = head_colours + (1 - head_opacities)[:, None] * torso_over
        photometric = torso_loss(
            reference, estimate, transient, options.static_weight, options.photometric
        )
        entropy = opacity_entropy(torso_alpha)
        return Step(
            photometric + options.alpha_entropy * entropy,
            {"photometric": photometric, "entropy": entropy},
            {
                "frames": picks,
                "pixels": pixels.cpu().numpy(),
                "frame_of_pixel": frames.cpu().numpy(),
            },
        )

    def before_step(step: int, generator: torch.Generator) -> None:
        if is_due(step, options.alpha_every) and step > 0:
            update_alpha_grid(portrait, clip, generator)

    groups = [
        Group(grid_tables(portrait.torso), optimiser.lr_grids),
        Group([*other_parameters(portrait.torso), codes], optimiser.lr_nets),
    ]
    return optimise(portrait, groups, loss_of, optimiser, run, "torso", before_step)


def head_zones(membership: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the torso may be seen, and where the head must be rendered to know, both [h, w] bool.

    Args:
        membership: [h, w] uint8 of the head.

    ASSUME 3 % of the height on either side of the mask's edge: deep inside, the opaque head hides
    everything, so those pixels teach the torso nothing; far outside, there is no head.
    """
    reach = np.ones((2 * max(1, round(0.03 * len(membership))) + 1,) * 2, np.uint8)
    is_head = (membership > 127).astype(np.uint8)
    is_open = cv2.erode(is_head, reach) == 0
    return is_open, cv2.dilate(is_head, reach).astype(bool)


def _head_at(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    frame: int,
    pixels: np.ndarray,
    is_near_head: np.ndarray,
) -> tuple[Tensor, Tensor]:
    """The frozen head's colours [k, 3] and opacities [k] at pixels, rendered only near the head."""
    colours = torch.zeros(len(pixels), 3, device=clip.device)
    opacities = torch.zeros(len(pixels), device=clip.device)
    if is_near_head.any():
        near = torch.as_tensor(is_near_head, device=clip.device)
        index = torch.tensor([frame], device=clip.device)
        with torch.no_grad():
            condition = Condition(
                lip_features(index), clip.expression[index], portrait.unseen_codes()[0]
            )
        frames = np.full(int(is_near_head.sum()), frame)
        colours[near], opacities[near] = portrait.see_head(
            *clip.rays(frames, pixels[is_near_head]), condition
        )
    return colours, opacities


def update_alpha_grid(portrait: Portrait, clip: Clip, generator: torch.Generator) -> None:
    """Re-evaluate the torso's alpha grid under a random training pose."""
    frame = int(random_frames(clip.scene.train_frames, 1, generator)[0])

    def alpha_of(points: Tensor) -> Tensor:
        code = portrait.torso_codes[frame : frame + 1]
        return portrait.torso(points, clip.T_camera_head[frame], portrait.shape.focal_ratio, code)[
            1
        ]

    portrait.alpha_grid.update(alpha_of, generator)
