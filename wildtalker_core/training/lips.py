"""Stage two: the lips, with Eq. 7 on patches."""

from __future__ import annotations

import numpy as np
import torch

from wildtalker_core.devices import sent
from wildtalker_core.geometry.cameras import pixel_grid
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.training.clip import Clip, random_frames
from wildtalker_core.training.head import (
    LipFeatures,
    condition_of,
    head_parameters,
    head_step,
    sample_batch,
    sample_patches,
    update_occupancy,
)
from wildtalker_core.training.head_targets import Batch, HeadTargets
from wildtalker_core.training.losses import PerceptualLoss, head_loss
from wildtalker_core.training.optimise import Outcome, Run, Step, optimise
from wildtalker_core.training.options import FieldOptimiser, HeadOptions, LipOptions
from wildtalker_core.training.schedules import is_due


def finetune_lips(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    head_options: HeadOptions,
    options: LipOptions,
    perceptual: PerceptualLoss | None,
    optimiser: FieldOptimiser,
    run: Run,
) -> Outcome:
    """Alternate steps on lip patches (Eq. 7) with steps on the whole head (Eq. 5), as peers do."""
    targets = HeadTargets(clip)
    train_frames, shown = clip.scene.seen_train_frames, clip.scene.mouth_train_frames

    def before_step(step: int, generator: torch.Generator) -> None:
        if is_due(step, head_options.occupancy_every):
            update_occupancy(
                portrait, clip, lip_features, train_frames, head_options.hide, generator
            )

    def loss_of(step: int, generator: torch.Generator) -> Step:
        if step % 2:
            has_patches = perceptual is not None and head_options.lambda_patches > 0
            sample = sample_patches if has_patches else sample_batch
            return head_step(
                portrait, clip, lip_features, targets,
                sample(targets, train_frames, head_options, generator), head_options, 1.0,
                generator, perceptual=perceptual,
            )  # fmt: skip
        frame = random_frames(shown, 1, generator)
        return patch_step(
            portrait, clip, lip_features, targets, frame, options, perceptual,
            head_options.photometric, generator,
        )  # fmt: skip

    groups = head_parameters(portrait, optimiser)
    return optimise(portrait, groups, loss_of, optimiser, run, "lips", before_step)


def lip_patch(lip_box: np.ndarray, patch_size: int, height: int, width: int) -> np.ndarray:
    """Pixels [patch_size^2, 2] (x, y), in reading order, of a square around the lip box's middle.

    Stays inside the image. Raises ValueError if the image is smaller than the patch.
    """
    if patch_size > min(height, width):
        raise ValueError(f"a patch of {patch_size} does not fit into {width}x{height} pixels")
    rows, columns = square_around((lip_box[:2] + lip_box[2:]) / 2, patch_size, height, width)
    return pixel_grid(patch_size, patch_size, "cpu").numpy() + (columns.start, rows.start)


def square_around(middle: np.ndarray, size: int, height: int, width: int) -> tuple[slice, slice]:
    """Rows and columns of a square about (x, y), inside the picture, which may be smaller."""
    size = min(size, height, width)
    first = np.round(middle - size / 2).astype(int)
    x, y = np.clip(first, 0, (width - size, height - size)).tolist()
    return slice(y, y + size), slice(x, x + size)


def patch_step(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    targets: HeadTargets,
    frame: np.ndarray,
    options: LipOptions,
    perceptual: PerceptualLoss | None,
    photometric: str,
    generator: torch.Generator,
) -> Step:
    """Eq. 7 on a patch: the head's part of the frame over one random colour.

    As in :func:`head.head_step` the colour betrays a hole or a haze: over the frame's own colours
    the best head would be none.
    """
    scene, size = clip.scene, options.patch_size
    pixels = lip_patch(scene.lip_box[frame[0]], size, scene.height, scene.width)
    batch = Batch(frame, np.zeros(len(pixels), np.int64), pixels)
    frames = frame[batch.row]
    colours, membership, weight = targets.of(frames, pixels)
    backdrop = sent(torch.rand(1, 3, generator=generator), clip.device)
    membership, weight = membership[:, None], weight[:, None]
    reference = membership * colours + (1 - membership) * backdrop
    seen, _ = portrait.render_head(
        *clip.rays(frames, pixels), condition_of(portrait, clip, lip_features, frame)
    )
    # Under a hand there is nothing to correct.
    estimate = weight * seen.over(backdrop) + (1 - weight) * reference
    loss = head_loss(
        reference.view(1, size, size, 3), estimate.view(1, size, size, 3),
        options.lambda_lpips, perceptual, photometric,
    )  # fmt: skip
    return Step(loss, {"lips": loss}, batch.arrays())
