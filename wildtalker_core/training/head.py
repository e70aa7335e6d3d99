"""Stage one: the head alone, over random colours (Eq. 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.devices import sent
from wildtalker_core.errors import InputError
from wildtalker_core.geometry.cameras import pixel_grid
from wildtalker_core.nerf.head_field import Condition
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.nerf.position_encoding import grid_tables, other_parameters
from wildtalker_core.training.attention import (
    difference_of_neighbours,
    face_regions,
    unwanted_attention,
)
from wildtalker_core.training.clip import Clip, random_frames
from wildtalker_core.training.head_targets import Batch, HeadTargets, possible_cells, random_pixels
from wildtalker_core.training.losses import (
    PerceptualLoss,
    opacity_entropy,
    ray_errors,
    uncertainty_loss,
    uncertainty_weights,
)
from wildtalker_core.training.optimise import Group, Outcome, Run, Step, optimise
from wildtalker_core.training.options import FieldOptimiser, HeadOptions
from wildtalker_core.training.schedules import is_due

# ER-NeRF's code, and so SyncTalk's: how often neighbours are compared.
_SMOOTH_EVERY = 16


#: frames [k] -> lip features [k, n_lip], with gradients
LipFeatures = Callable[[Tensor], Tensor]


def train_head(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    options: HeadOptions,
    optimiser: FieldOptimiser,
    run: Run,
) -> Outcome:
    """Train head field, frame codes and what makes lip features, on the training frames."""
    targets = HeadTargets(clip)
    train_frames = clip.scene.seen_train_frames
    portrait.occupancy.carve(possible_cells(portrait, targets, train_frames))

    def before_step(step: int, generator: torch.Generator) -> None:
        if is_due(step, options.occupancy_every) and step > 0:
            update_occupancy(portrait, clip, lip_features, train_frames, options.hide, generator)

    def loss_of(step: int, generator: torch.Generator) -> Step:
        batch = sample_batch(targets, train_frames, options, generator)
        return head_step(
            portrait, clip, lip_features, targets, batch, options,
            (step + 1) / optimiser.steps, generator, is_due(step, _SMOOTH_EVERY),
        )  # fmt: skip

    groups = head_parameters(portrait, optimiser)
    return optimise(portrait, groups, loss_of, optimiser, run, "head", before_step)


def head_parameters(portrait: Portrait, optimiser: FieldOptimiser) -> list[Group]:
    """What the head's and the lips' stage train: tables, networks and codes, audio attention."""
    nets = other_parameters(portrait.head)
    attention: list[torch.nn.Parameter] = []
    if portrait.shape.head.n_code:
        nets.append(portrait.head_codes)
    if portrait.shape.lip_feature == "audio":
        nets += portrait.audio.net.parameters()
        attention += portrait.audio.attention.parameters()
    else:
        # The ear has been fitted to landmarks and stays as it is.
        nets += portrait.mouth_to_lip.parameters()
    return [
        Group(grid_tables(portrait.head), optimiser.lr_grids),
        Group(nets, optimiser.lr_nets),
        Group(
            attention, optimiser.lr_nets * optimiser.audio_attention_factor,
            optimiser.audio_attention_decay,
        ),
    ]  # fmt: skip


def sample_batch(
    targets: HeadTargets,
    train_frames: np.ndarray,
    options: HeadOptions,
    generator: torch.Generator,
) -> Batch:
    """Random training frames, and random pixels around their heads and lips."""
    n_frames = options.frames_per_step
    per_frame = options.rays_per_step // n_frames
    n_lips = round(options.lip_share * per_frame)
    chosen = random_frames(train_frames, n_frames, generator)
    rows = np.arange(n_frames)
    pixels = [random_pixels(targets.boxes[chosen], per_frame - n_lips, generator)]
    row = [rows.repeat(per_frame - n_lips)]
    if n_lips:
        lip_boxes = np.round(targets.clip.scene.lip_box[chosen]).astype(np.int64)
        pixels.append(random_pixels(lip_boxes, n_lips, generator))
        row.append(rows.repeat(n_lips))
    return Batch(chosen, np.concatenate(row), np.concatenate(pixels))


def sample_patches(
    targets: HeadTargets,
    train_frames: np.ndarray,
    options: HeadOptions,
    generator: torch.Generator,
) -> Batch:
    """As :func:`sample_batch`, but square patches around the heads."""
    size, n_frames = options.face_patch_size, options.frames_per_step
    n_patches = max(1, options.rays_per_step // n_frames // size**2)
    chosen = random_frames(train_frames, n_frames, generator)
    scene = targets.clip.scene
    if size > min(scene.height, scene.width):
        raise InputError(
            "config train.lips.face_patch_size",
            f"is {size}, but frames are {scene.width}x{scene.height} pixels",
            "lower it",
        )
    middles = random_pixels(targets.boxes[chosen], n_patches, generator)
    first = np.clip(middles - size // 2, 0, (scene.width - size, scene.height - size))
    pixels = first[:, None] + pixel_grid(size, size, "cpu").numpy()
    row = np.arange(n_frames).repeat(n_patches * size**2)
    return Batch(chosen, row, pixels.reshape(-1, 2), size)


def head_step(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    targets: HeadTargets,
    batch: Batch,
    options: HeadOptions,
    progress: float,
    generator: torch.Generator,
    compare_neighbours: bool = False,
    perceptual: PerceptualLoss | None = None,
) -> Step:
    """Loss of a batch of rays.

    The target is the frame inside the head's soft mask over a random colour per ray: wherever the
    field leaves a hole or a haze, the colour betrays it.

    Args:
        progress: part of the stage that is done, (0, 1]; the regularisers grow with it.
        compare_neighbours: add the smoothness term.
        perceptual: loss on a batch of patches.
    """
    device = clip.device
    frames = batch.chosen[batch.row]
    colours, membership, weight = targets.of(frames, batch.pixels)
    # One colour a patch: noise would be all that a perceptual loss saw there.
    n_per_backdrop = max(1, batch.patch_size**2)
    backdrop = torch.rand(len(colours) // n_per_backdrop, 3, generator=generator)
    backdrop = sent(backdrop.repeat_interleave(n_per_backdrop, 0), device)
    membership = membership[:, None]
    reference = membership * colours + (1 - membership) * backdrop
    condition = condition_of(portrait, clip, lip_features, batch.chosen)
    if options.expression_noise:
        noise = 2 * torch.rand(condition.expression_feature.shape, generator=generator) - 1
        noisy = condition.expression_feature + options.expression_noise * sent(noise, device)
        condition = replace(condition, expression_feature=noisy)
    seen, traces = portrait.render_head(
        *clip.rays(frames, batch.pixels),
        condition,
        frame_index=sent(batch.row, device),
        jitter=sent(torch.rand(len(colours), generator=generator), device),
    )
    estimate = seen.over(backdrop)
    errors = ray_errors(reference, estimate, options.photometric)
    is_face, is_lower_face = face_regions(clip, frames, batch.pixels)
    unwanted = unwanted_attention(
        traces, is_face, is_lower_face, options.attention_region, options.expression_attention
    )
    parts = {"entropy": opacity_entropy(seen.opacities)} | unwanted
    total = options.opacity_entropy * parts["entropy"]
    total = total + options.attention_outside * progress * sum(unwanted.values())
    if options.uncertainty:
        weight = weight * uncertainty_weights(traces.uncertainty, progress)
        parts["uncertainty"] = uncertainty_loss(errors, traces.uncertainty, is_face)
        total = total + options.uncertainty * progress * parts["uncertainty"]
    if options.smoothness and compare_neighbours:
        parts["smoothness"] = difference_of_neighbours(portrait, condition, traces, generator)
        total = total + options.smoothness * progress * parts["smoothness"]
    if perceptual is not None and batch.patch_size:
        shape = (-1, batch.patch_size, batch.patch_size, 3)
        parts["patches"] = perceptual(estimate.view(shape), reference.view(shape))
        total = total + options.lambda_patches * parts["patches"]
    parts = {"photometric": (weight * errors).mean()} | parts
    return Step(parts["photometric"] + total, parts, batch.arrays())


def condition_of(
    portrait: Portrait, clip: Clip, lip_features: LipFeatures, frames: np.ndarray
) -> Condition:
    """Conditions of training frames [f], with their own frame codes."""
    index = sent(frames, clip.device)
    return Condition(lip_features(index), clip.expression[index], portrait.head_codes[index])


def update_occupancy(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    train_frames: np.ndarray,
    hide: bool,
    generator: torch.Generator,
) -> None:
    """Re-evaluate the occupancy grid under the conditions of random training frames."""

    def density_of(positions: Tensor) -> Tensor:
        frame = random_frames(train_frames, 1, generator)
        condition = condition_of(portrait, clip, lip_features, frame)
        return portrait.head.density(positions, condition)[0]

    portrait.occupancy.update(density_of, portrait.shape.step, generator, hide)
