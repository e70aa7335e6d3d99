"""Stage one: the head alone, over random colours (Eq. 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from wildtalker_core.devices import sent
from wildtalker_core.errors import InputError
from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import transform_points
from wildtalker_core.nerf.head_field import Condition
from wildtalker_core.nerf.portrait import Portrait, Traces
from wildtalker_core.nerf.position_encoding import grid_tables, other_parameters
from wildtalker_core.scene.face_points import NOSE_TIP
from wildtalker_core.training.clip import HANDS, HEAD, Clip, in_memory, random_frames
from wildtalker_core.training.losses import (
    PerceptualLoss,
    opacity_entropy,
    ray_errors,
    uncertainty_loss,
    uncertainty_weights,
)
from wildtalker_core.training.optimise import Group, Optimiser, Outcome, Run, Step, is_due, optimise

# ER-NeRF's code, and so SyncTalk's: how often neighbours are compared, and how far they are, as a
# part of the box's half sides.
_SMOOTH_EVERY, _SMOOTH_REACH = 16, 1e-3


@dataclass(frozen=True)
class HeadOptions:
    """How the head is trained; units and sources in config/schema/train.yaml.

    Attributes:
        rays_per_step: over all frames of a step.
        frames_per_step: different frames in a step.
        lip_share: part of the rays that go through the lip box.
        photometric: form of the error (:func:`losses.ray_errors`).
        opacity_entropy: factor of :func:`losses.opacity_entropy`.
        attention_outside: factor of the lip attention seen outside the ``attention_region``, and of
            the ``expression_attention`` that is unwanted.
        attention_region: where speech may act: ``face`` (its box) or ``lower_face`` (that below the
            nose tip).
        expression_attention: what of it is unwanted: ``none``; ``product`` with the lips' in the
            face; all of it in the ``lower_face``.
        uncertainty: factor of :func:`losses.uncertainty_loss`; above 0, rays are weighted by
            :func:`losses.uncertainty_weights`, too.
        smoothness: factor of the difference of attentions and uncertainty between near positions.
        expression_noise: half width of uniform noise on the expression while training.
        lambda_patches: factor of the perceptual loss on random patches (lips stage, on the steps
            that are not the lips').
        face_patch_size: side of these patches, pixels.
        occupancy_every: steps between updates of the occupancy grid; 0 for never.
        hide: skip hidden cells (:meth:`OccupancyGrid.update`).
    """

    rays_per_step: int
    frames_per_step: int
    lip_share: float
    photometric: str
    opacity_entropy: float
    attention_outside: float
    attention_region: str
    expression_attention: str
    uncertainty: float
    expression_noise: float
    occupancy_every: int
    hide: bool
    smoothness: float = 0.0
    lambda_patches: float = 0.0
    face_patch_size: int = 32


class HeadTargets:
    """What the head should look like: colours and weights of pixels, frame by frame.

    Attributes:
        boxes: [n, 4] pixels x0, y0, x1, y1 around the head's mask, with a margin.
    """

    # ASSUME a tenth of the head's size around it: enough emptiness to learn where the head ends.
    _MARGIN = 0.1

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.frames, self.parsing = in_memory(clip.scene.frames, clip.scene.parsing)
        self.boxes = np.stack([self._box(i) for i in range(clip.scene.n_frames)])

    def _box(self, frame: int) -> np.ndarray:
        height, width = self.clip.scene.height, self.clip.scene.width
        mask = self.parsing[frame][..., HEAD] > 25
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        if not len(rows):
            x0, y0, x1, y1 = self.clip.scene.face_box[frame]
        else:
            x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        margin = self._MARGIN * max(x1 - x0, y1 - y0)
        return np.round([
            max(x0 - margin, 0), max(y0 - margin, 0),
            min(x1 + margin, width), min(y1 + margin, height),
        ]).astype(np.int64)  # fmt: skip

    def of(self, frames: np.ndarray, pixels: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
        """Colours [k, 3], head membership [k] and loss weight [k] of pixels [k, 2] of frames [k].

        ASSUME a pixel counts as much as it is not a hand: where a hand crosses the face there is
        nothing to learn about the face. The transient mask is not used here, since the talking
        mouth itself may be called transient.
        """
        colours = np.empty((len(pixels), 3), np.uint8)
        parsing = np.empty((len(pixels), self.parsing.shape[-1]), np.uint8)
        for frame in np.unique(frames):
            here = frames == frame
            x, y = pixels[here].T
            colours[here] = self.frames[int(frame)][y, x]
            parsing[here] = self.parsing[int(frame)][y, x]
        unit = self.clip.unit
        return unit(colours), unit(parsing[:, HEAD]), 1 - unit(parsing[:, HANDS])


def random_pixels(boxes: np.ndarray, per_box: int, generator: torch.Generator) -> np.ndarray:
    """``per_box`` uniform pixels in each of the boxes [k, 4]: [k * per_box, 2] int64 (x, y)."""
    uniform = torch.rand(len(boxes), per_box, 2, generator=generator).numpy()
    lower, upper = boxes[:, None, :2], boxes[:, None, 2:]
    return (
        (lower + np.minimum(uniform * (upper - lower), upper - lower - 1))
        .astype(np.int64)
        .reshape(-1, 2)
    )


def possible_cells(portrait: Portrait, targets: HeadTargets, train_frames: np.ndarray) -> Tensor:
    """Cells of the occupancy grid that some head could fill, [r, r, r] bool: the visual hull.

    ASSUME a cell is impossible if it is seen outside the head (mask dilated by 3 % of the height)
    in more than a tenth of 32 frames; the tenth forgives bad poses and masks.
    """
    scene, grid = targets.clip.scene, portrait.occupancy
    device = targets.clip.device
    r = grid.resolution
    centres = grid.cell_centres(torch.arange(r**3, device=device))
    chosen = train_frames[np.linspace(0, len(train_frames) - 1, 32).round().astype(int)]
    kernel = np.ones((2 * round(0.03 * scene.height) + 1,) * 2, np.uint8)
    n_outside = torch.zeros(r**3, device=device)
    for frame in chosen:
        parsing = targets.parsing[int(frame)]
        possible = (parsing[..., HEAD] > 25) | (parsing[..., HANDS] > 25)
        mask = torch.as_tensor(cv2.dilate(possible.astype(np.uint8), kernel), device=device).bool()
        seen = transform_points(targets.clip.T_camera_head[int(frame)], centres)
        xy = project(seen, scene.focal_length, scene.height, scene.width).long()
        size = xy.new_tensor((scene.width, scene.height))
        is_in_image = ((xy >= 0) & (xy < size)).all(-1)
        x, y = torch.where(is_in_image[:, None], xy, 0).unbind(-1)
        n_outside += is_in_image & ~mask[y, x]
    return (n_outside <= 0.1 * len(chosen)).view(r, r, r)


#: frames [k] -> lip features [k, n_lip], with gradients
LipFeatures = Callable[[Tensor], Tensor]


def train_head(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    options: HeadOptions,
    optimiser: Optimiser,
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


def head_parameters(portrait: Portrait, optimiser: Optimiser) -> list[Group]:
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


@dataclass(frozen=True)
class Batch:
    """Pixels of one step.

    Attributes:
        chosen: [f] frames.
        row: [k] index into them.
        pixels: [k, 2].
        patch_size: side of the square patches that the pixels are, one after the other, each in
            reading order; 0 if they are scattered.
    """

    chosen: np.ndarray
    row: np.ndarray
    pixels: np.ndarray
    patch_size: int = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """For :class:`optimise.Step`: the frames, and each ray's pixel with its frame."""
        return {
            "frames": self.chosen,
            "pixels": self.pixels,
            "frame_of_pixel": self.chosen[self.row],
        }


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


def square_pixels(size: int) -> np.ndarray:
    """(x, y) of the pixels of a square from 0, in reading order, [size^2, 2]."""
    y, x = np.mgrid[:size, :size]
    return np.stack((x, y), -1).reshape(-1, 2)


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
    pixels = first[:, None] + square_pixels(size)
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
    row = sent(batch.row, device)
    condition = condition_of(portrait, clip, lip_features, batch.chosen)
    if options.expression_noise:
        noise = 2 * torch.rand(condition.expression_feature.shape, generator=generator) - 1
        noisy = condition.expression_feature + options.expression_noise * sent(noise, device)
        condition = replace(condition, expression_feature=noisy)
    seen, traces = portrait.render_head(
        *clip.rays(frames, batch.pixels),
        condition,
        frame_index=row,
        jitter=sent(torch.rand(len(colours), generator=generator), device),
    )
    estimate = seen.over(backdrop)
    errors = ray_errors(reference, estimate, options.photometric)
    is_face, is_lower_face = face_regions(clip, frames, batch.pixels)
    parts = {"entropy": opacity_entropy(seen.opacities)}
    total = options.opacity_entropy * parts["entropy"]
    unwanted = _unwanted_attention(traces, is_face, is_lower_face, options)
    total = total + options.attention_outside * progress * sum(unwanted.values())
    parts |= unwanted
    if options.uncertainty:
        weight = weight * uncertainty_weights(traces.uncertainty, progress)
        parts["uncertainty"] = uncertainty_loss(errors, traces.uncertainty, is_face)
        total = total + options.uncertainty * progress * parts["uncertainty"]
    if options.smoothness and compare_neighbours:
        parts["smoothness"] = _difference_of_neighbours(portrait, condition, traces, generator)
        total = total + options.smoothness * progress * parts["smoothness"]
    if perceptual is not None and batch.patch_size:
        shape = (-1, batch.patch_size, batch.patch_size, 3)
        parts["patches"] = perceptual(estimate.view(shape), reference.view(shape))
        total = total + options.lambda_patches * parts["patches"]
    parts = {"photometric": (weight * errors).mean()} | parts
    return Step(parts["photometric"] + total, parts, batch.arrays())


def face_regions(clip: Clip, frames: np.ndarray, pixels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Whether pixels [k, 2] of frames [k] lie in the face's box, and in it below the nose tip."""
    x0, y0, x1, y1 = clip.scene.face_box[frames].T
    x, y = pixels.T
    is_face = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    is_below = y >= clip.scene.landmarks[frames, NOSE_TIP, 1]
    return sent(is_face, clip.device), sent(is_face & is_below, clip.device)


def _unwanted_attention(
    traces: Traces, is_face: Tensor, is_lower_face: Tensor, options: HeadOptions
) -> dict[str, Tensor]:
    """Attention of rays where it should not be, mean over all rays, by name.

    After RAD-NeRF (Tang et al. 2022), ER-NeRF (Li et al. 2023), SyncTalk (Peng et al. 2024).
    """
    region = {"face": is_face, "lower_face": is_lower_face}[options.attention_region]
    parts = {"attention_outside": (traces.lip_attention * ~region).mean()}
    if options.expression_attention == "product":
        both = traces.expression_attention * traces.lip_attention.detach()
        parts["expression_attention"] = (both * is_face).mean()
    elif options.expression_attention == "lower_face":
        parts["expression_attention"] = (traces.expression_attention * is_lower_face).mean()
    return parts


def _difference_of_neighbours(
    portrait: Portrait, condition: Condition, traces: Traces, generator: torch.Generator
) -> Tensor:
    """Mean difference of attentions and uncertainty between samples and places beside them.

    ASSUME the absolute difference; the sample's own values are not moved, its neighbour's are.
    """
    positions = traces.positions
    reach = _SMOOTH_REACH * portrait.head.half_extents
    shift = sent(2 * torch.rand(positions.shape, generator=generator) - 1, positions.device)
    told = condition.of(traces.frame_index)
    with torch.no_grad():
        here = portrait.head.traces(positions, told)
    return (portrait.head.traces(positions + reach * shift, told) - here).abs().mean()


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
