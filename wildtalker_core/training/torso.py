"""Stage three: the torso under the finished head, where the picture is static (Eq. 6)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from wildtalker_core.devices import sent
from wildtalker_core.nerf.head_field import Condition
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.nerf.position_encoding import grid_tables, other_parameters
from wildtalker_core.scene.body_motion import BodyMotion
from wildtalker_core.training.clip import HEAD, NECK, TORSO, Clip, in_memory, random_frames
from wildtalker_core.training.head import LipFeatures
from wildtalker_core.training.losses import opacity_entropy, torso_loss
from wildtalker_core.training.optimise import Group, Outcome, Run, Step, optimise
from wildtalker_core.training.options import FieldOptimiser, TorsoOptions
from wildtalker_core.training.schedules import is_due


def train_torso(
    portrait: Portrait,
    clip: Clip,
    motion: BodyMotion,
    lip_features: LipFeatures,
    options: TorsoOptions,
    optimiser: FieldOptimiser,
    run: Run,
) -> Outcome:
    """Train torso field and codes against the hand-free frames; the head is frozen.

    Behind the chin, where no frame shows it, the torso is taught to go on as it is below, as the
    peers fill it in: else background shows between chin and collar whenever the head rises.
    """
    scene = clip.scene
    stacks = {"hand_free": scene.hand_free_frames, "frames": scene.frames}
    masks, shown, parsing = in_memory(
        scene.transient_mask, stacks[options.torso_reference], scene.parsing
    )
    _learn_poses(portrait, clip, motion)

    def loss_of(step: int, generator: torch.Generator) -> Step:
        picks = random_frames(scene.train_frames, options.frames_per_step, generator)
        parts, drawn = [], []
        for frame in picks.tolist():
            n_pixels = options.rays_per_step // len(picks)
            places, row, is_near = drawn_pixels(parsing[frame], n_pixels, generator)
            x = places[:, 0]
            head = _head_at(portrait, clip, lip_features, frame, places, is_near)
            targets = clip.unit(shown[frame][row, x]), clip.unit(masks[frame][row, x])
            number = torch.full((len(x),), frame, device=clip.device)
            parts.append((sent(places, clip.device), number, *head, *targets))
            drawn.append(places)
        pixels, frames, head_colours, head_opacities, reference, transient = (
            torch.cat(values) for values in zip(*parts, strict=True)
        )
        poses, codes = clip.T_camera_head[frames], portrait.torso_codes[frames]
        rgbs, torso_alpha, _ = portrait.render_torso(pixels, poses, codes)
        behind = portrait.background[pixels[:, 1], pixels[:, 0]]
        torso_over = torso_alpha[:, None] * rgbs + (1 - torso_alpha)[:, None] * behind
        estimate = head_colours + (1 - head_opacities)[:, None] * torso_over
        photometric = torso_loss(
            reference, estimate, transient, options.static_weight, options.photometric
        )
        entropy = opacity_entropy(torso_alpha)
        return Step(
            photometric + options.opacity_entropy * entropy,
            {"photometric": photometric, "entropy": entropy},
            {
                "frames": picks,
                "pixels": np.concatenate(drawn),
                "frame_of_pixel": np.repeat(picks, [len(places) for places in drawn]),
            },
        )

    def before_step(step: int, generator: torch.Generator) -> None:
        if is_due(step, options.occupancy_every) and step > 0:
            update_alpha_grid(portrait, clip, generator)

    groups = [
        Group(grid_tables(portrait.torso), optimiser.lr_grids),
        Group([*other_parameters(portrait.torso), portrait.torso_codes], optimiser.lr_nets),
    ]
    return optimise(portrait, groups, loss_of, optimiser, run, "torso", before_step)


def _learn_poses(portrait: Portrait, clip: Clip, motion: BodyMotion) -> None:
    """Let the torso's linear motion start from the measured one."""
    frames, size = clip.scene.train_frames, (clip.scene.width, clip.scene.height)
    shifts = 2 * motion.torso.similarity[frames, :2] / np.array(size)
    portrait.torso.learn_poses(
        clip.T_camera_head[frames], portrait.shape.focal_ratio,
        torch.as_tensor(shifts, dtype=torch.float32, device=clip.device),
    )  # fmt: skip


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


def drawn_pixels(
    parsing: np.ndarray, n: int, generator: torch.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random pixels of a frame's parsing [h, w, 5] that teach the torso.

    Returns:
        [n, 2] pixels (x, y); [n] row whose colour each shall have; [n] whether the head is seen
        there. Hidden pixels are seen without the head, in the colour of the torso below them.

    ASSUME a twentieth of them behind the head: one even colour is soon learnt.
    """
    is_open, is_near_head = head_zones(parsing[..., HEAD])
    below = np.where(is_open, -1, torso_below(parsing))
    is_hidden = below >= 0
    drawn = []
    n_hidden = n // 20 if is_hidden.any() else 0
    for where, k in ((is_open, n - n_hidden), (is_hidden, n_hidden)):
        if k:
            places = np.argwhere(where)
            drawn.append(places[torch.randint(len(places), (k,), generator=generator).numpy()])
    y, x = np.concatenate(drawn).T
    row = np.where(is_hidden[y, x], below[y, x], y)
    return np.stack((x, y), -1), row, is_near_head[y, x] & ~is_hidden[y, x]


def torso_below(parsing: np.ndarray) -> np.ndarray:
    """For pixels behind the head that neck or torso must fill: the row that lends its colour.

    Args:
        parsing: [h, w, 5] uint8 of a frame.

    Returns:
        [h, w] row of the highest neck or torso pixel below, -1 where nothing is to be filled.

    ASSUME a seventh of the height: as far as nodding heads were seen to rise.
    """
    height = len(parsing)
    is_head = parsing[..., HEAD] > 127
    is_below = (parsing[..., NECK].astype(int) + parsing[..., TORSO] > 127) & ~is_head
    found = np.full(is_head.shape, -1)
    # A little below its upper edge, which is mixed with the chin's shadow.
    inset, reach = max(1, round(0.015 * height)), round(height / 7)
    for column in np.flatnonzero(is_below.any(0) & is_head.any(0)):
        top = int(is_below[:, column].argmax())
        hidden = np.arange(max(0, top - reach), top)
        hidden = hidden[is_head[hidden, column]]
        found[hidden, column] = min(top + inset, height - 1)
    return found


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
        near = sent(is_near_head, clip.device)
        index = sent(np.array([frame]), clip.device)
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
