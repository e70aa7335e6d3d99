"""Stage one: the head alone, over random colours (Eq. 5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from wildtalker_core.geometry.cameras import project
from wildtalker_core.geometry.rotations import transform_points
from wildtalker_core.nerf.head_field import Condition
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.training.clip import HANDS, HEAD, Clip, in_memory
from wildtalker_core.training.losses import opacity_entropy, reconstruction_loss
from wildtalker_core.training.optimise import Optimiser, Outcome, optimise

NOSE_TIP = 1


@dataclass(frozen=True)
class HeadOptions:
    """How the head is trained; units and sources in config/schema/train.yaml.

    Attributes:
        rays_per_step: over all frames of a step.
        frames_per_step: different frames in a step.
        lip_share: part of the rays that go through the lip box.
        opacity_entropy: factor of :func:`losses.opacity_entropy`.
        attention_outside: factor of the lip attention seen above the nose tip.
        occupancy_every: steps between updates of the occupancy grid.
        hide: skip hidden cells (:meth:`OccupancyGrid.update`).
    """

    rays_per_step: int
    frames_per_step: int
    lip_share: float
    opacity_entropy: float
    attention_outside: float
    occupancy_every: int
    hide: bool


class HeadTargets:
    """What the head should look like: colours and weights of pixels, frame by frame.

    Attributes:
        boxes: [n, 4] pixels x0, y0, x1, y1 around the head's mask, with a margin.
    """

    # ASSUME a tenth of the head's size around it: enough emptiness to learn where the head ends.
    _MARGIN = 0.1

    def __init__(self, clip: Clip) -> None:
        self.clip = clip
        self.frames, self.parsing = in_memory(clip.scene.frames), in_memory(clip.scene.parsing)
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
    config: dict,
    folder: Path,
    seed: int,
    log: Callable[[int, dict[str, float]], None] | None = None,
) -> Outcome:
    """Train head field, frame codes and what makes lip features, on the training frames."""
    targets = HeadTargets(clip)
    train_frames = clip.scene.train_frames[clip.scene.is_face_visible[clip.scene.train_frames]]
    portrait.occupancy.carve(possible_cells(portrait, targets, train_frames))

    def before_step(step: int, generator: torch.Generator) -> None:
        if step % options.occupancy_every == 0 and step > 0:
            update_occupancy(portrait, clip, lip_features, train_frames, options.hide, generator)

    def loss_of(step: int, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        batch = sample_batch(targets, train_frames, options, generator)
        return head_step(
            portrait, clip, lip_features, targets, batch, options,
            (step + 1) / optimiser.steps, generator,
        )  # fmt: skip

    grids, nets = head_parameters(portrait)
    return optimise(
        portrait, grids, nets, loss_of, optimiser, config, folder, "head", seed, before_step, log
    )


def head_parameters(portrait: Portrait) -> tuple[list, list]:
    """Tables and network weights that the head's and the lips' stage train."""
    grids = [portrait.head.planes.tables]
    nets = [p for name, p in portrait.head.named_parameters() if name != "planes.tables"]
    nets.append(portrait.head_codes)
    if portrait.shape.lip_feature == "audio":
        nets += portrait.audio.parameters()
    else:
        # The hearing has been fitted to landmarks and stays as it is.
        nets += portrait.mouth_to_lip.parameters()
    return grids, nets


@dataclass(frozen=True)
class Batch:
    """Pixels of one step. ``chosen`` [f] frames; ``row`` [k] index into them; ``pixels`` [k, 2]."""

    chosen: np.ndarray
    row: np.ndarray
    pixels: np.ndarray


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
    chosen = train_frames[
        torch.randint(len(train_frames), (n_frames,), generator=generator).numpy()
    ]
    rows = np.arange(n_frames)
    pixels = [random_pixels(targets.boxes[chosen], per_frame - n_lips, generator)]
    row = [rows.repeat(per_frame - n_lips)]
    if n_lips:
        lip_boxes = np.round(targets.clip.scene.lip_box[chosen]).astype(np.int64)
        pixels.append(random_pixels(lip_boxes, n_lips, generator))
        row.append(rows.repeat(n_lips))
    return Batch(chosen, np.concatenate(row), np.concatenate(pixels))


def head_step(
    portrait: Portrait,
    clip: Clip,
    lip_features: LipFeatures,
    targets: HeadTargets,
    batch: Batch,
    options: HeadOptions,
    progress: float,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch of rays.

    The target is the frame inside the head's soft mask over a random colour per ray: wherever the
    field leaves a hole or a haze, the colour betrays it.
    """
    device = clip.device
    frames = batch.chosen[batch.row]
    colours, membership, weight = targets.of(frames, batch.pixels)
    backdrop = torch.rand(len(colours), 3, generator=generator).to(device)
    membership = membership[:, None]
    reference = membership * colours + (1 - membership) * backdrop
    row = torch.as_tensor(batch.row, device=device)
    seen, attention = portrait.render_head(
        *clip.rays(frames, batch.pixels),
        condition_of(portrait, clip, lip_features, batch.chosen),
        frame_index=row,
        jitter=torch.rand(len(colours), generator=generator).to(device),
    )
    photometric = reconstruction_loss(reference, seen.over(backdrop), weight)
    entropy = opacity_entropy(seen.opacities)
    nose = torch.as_tensor(clip.scene.landmarks[frames, NOSE_TIP, 1], device=device)
    is_above = torch.as_tensor(batch.pixels[:, 1], device=device) < nose
    outside = (attention * is_above).mean()
    total = (
        photometric
        + options.opacity_entropy * entropy
        + options.attention_outside * progress * outside
    )
    return total, {"photometric": photometric, "entropy": entropy, "attention_outside": outside}


def condition_of(
    portrait: Portrait, clip: Clip, lip_features: LipFeatures, frames: np.ndarray
) -> Condition:
    """Conditions of training frames [f], with their own frame codes."""
    index = torch.as_tensor(frames, device=clip.device)
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
        frame = train_frames[torch.randint(len(train_frames), (1,), generator=generator).numpy()]
        condition = condition_of(portrait, clip, lip_features, frame)
        return portrait.head.density(positions, condition)[0]

    portrait.occupancy.update(density_of, portrait.shape.step, generator, hide)
