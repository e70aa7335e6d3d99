"""Training a portrait of Gaussians: one stage, the whole person, one frame a step (Eq. 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.geometry.moment import Moment
from wildtalker_core.scene.scene import FrameStack, Scene
from wildtalker_core.splats.portrait import SplatPortrait
from wildtalker_core.training.clip import BACKGROUND, HANDS, HEAD, random_frames, unit
from wildtalker_core.training.lips import square_around
from wildtalker_core.training.losses import PerceptualLoss, static_weight
from wildtalker_core.training.optimise import Group, Outcome, Run, Step, optimise
from wildtalker_core.training.options import Optimiser, SplatOptions
from wildtalker_core.training.photometric_loss import photometric_loss

#: Side of the patches on the person, pixels. ASSUME AlexNet sees enough of its surroundings there.
_PATCH_PX = 96
#: Steps from one in which the head must cover by itself to the next.
_COVER_EVERY = 4


def train_splats(
    portrait: SplatPortrait,
    scene: Scene,
    moments: Moment,
    options: SplatOptions,
    perceptual: PerceptualLoss | None,
    optimiser: Optimiser,
    run: Run,
) -> Outcome:
    """Train all Gaussians against the frames.

    Args:
        moments: what the portrait is told of all frames of the scene, [n_frames, ...].
        perceptual: of patches (Eq. 7), where its weights are.
    """
    stacks = {"hand_free": scene.hand_free_frames, "frames": scene.frames}
    shown: FrameStack = stacks[options.torso_reference]
    device = portrait.plate.device
    predicted = portrait.predicted_torso(moments.T_camera_head)

    def loss_of(step: int, generator: torch.Generator) -> Step:
        frame = int(random_frames(scene.train_frames, 1, generator)[0])
        moment = moments[frame]
        if torch.rand((), generator=generator).item() < options.predicted_share:
            moment = replace(moment, torso=predicted[frame])
        colours, alpha = portrait.draw(moment)
        estimate = colours + (1 - alpha)[..., None] * portrait.background(moment)
        counts, is_person = frame_weight(scene, frame, options, device)
        weight = counts.clone()
        weight[box_of(scene.lip_box[frame])] *= options.lip_weight
        target = unit(shown[frame], device)
        photometric = photometric_loss(estimate, target, weight, options.lambda_dssim)
        outline = (weight * (alpha - is_person).square()).mean()
        parts = {"photometric": photometric, "outline": outline}
        loss = photometric + options.lambda_alpha * outline
        if step % _COVER_EVERY == 1:
            parts["cover"] = head_cover(portrait, moment, scene.parsing[frame], counts)
            loss = loss + options.lambda_alpha * parts["cover"]
        if perceptual is not None and step >= options.perceptual_from * optimiser.steps:
            # Where nothing counts there is nothing to correct.
            seen = torch.lerp(target, estimate, counts[..., None])
            for name, factor, patch in patches_of(step, scene, frame, options, generator):
                parts[name] = perceptual(seen[patch][None], target[patch][None])
                # As often as it is left out it counts for more.
                loss = loss + factor * options.perceptual_every * parts[name]
        return Step(loss, parts, {"frames": np.array([frame])})

    groups = parameter_groups(portrait, options)
    return optimise(portrait, groups, loss_of, optimiser, run, "splats")


def parameter_groups(portrait: SplatPortrait, options: SplatOptions) -> list[Group]:
    """Each kind of parameter with its rate: places in pixels, at the body's median depth."""
    body, to_camera = portrait.body, portrait.canvas_to_head
    depth = (body.means.detach() @ to_camera[2, :3] + to_camera[2, 3]).median().item()
    lr_means = options.lr_means * depth / portrait.shape.focal_length
    groups = [
        Group([body.means], lr_means),
        Group([body.colours], options.lr_colours),
        Group([body.opacity_logits], options.lr_opacities),
        Group([body.log_scales], options.lr_scales),
        Group([body.quaternions], options.lr_turns),
    ]
    for bases, rate in ((body.face, options.lr_bases), (body.soft, options.lr_soft)):
        decay = options.basis_decay
        groups += [
            Group([bases.means], rate * lr_means, decay),
            Group([bases.colours], rate * options.lr_colours, decay),
            Group([bases.opacities], rate * options.lr_opacities, decay),
        ]
    return groups


def patches_of(
    step: int, scene: Scene, frame: int, options: SplatOptions, generator: torch.Generator
) -> Iterator[tuple[str, float, tuple[slice, slice]]]:
    """Name, factor and place of the squares that the perceptual loss sees in a step.

    Lips and person have steps of their own, so that none takes much longer than another.
    """
    turn, size = step % options.perceptual_every, (scene.height, scene.width)
    if turn == 0:
        middle = (scene.lip_box[frame][:2] + scene.lip_box[frame][2:]) / 2
        yield "lips", options.lambda_lpips, square_around(middle, options.patch_size, *size)
    if turn == options.perceptual_every // 2 and options.lambda_patches:
        rows, columns = np.nonzero(scene.parsing[frame][..., BACKGROUND] < 128)
        chosen = int(torch.randint(max(len(rows), 1), (), generator=generator))
        if len(rows):
            middle = np.array((columns[chosen], rows[chosen]))
            yield "person", options.lambda_patches, square_around(middle, _PATCH_PX, *size)


def head_cover(
    portrait: SplatPortrait, moment: Moment, parsing: np.ndarray, counts: Tensor
) -> Tensor:
    """How far the head's own Gaussians are from covering what is surely head, mean square.

    Neck and torso go on behind hair and chin. Left alone, training opens holes before them, which
    show as specks as soon as head and torso stand to each other as they never did.

    Args:
        parsing: [height, width, 5] of the frame; counts: [height, width] how much a pixel counts.
    """
    _, alpha = portrait.draw(moment, head_only=True)
    is_head = torch.as_tensor(parsing[..., HEAD] > 250, device=counts.device)
    return (counts * is_head * (alpha - 1).square()).mean()


def box_of(corners: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of a box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = np.round(corners).astype(int).tolist()
    return slice(y0, y1), slice(x0, x1)


def frame_weight(
    scene: Scene, frame: int, options: SplatOptions, device: torch.device
) -> tuple[Tensor, Tensor]:
    """How much each pixel counts [h, w] (Eq. 6), and the person's soft mask [h, w].

    About a hidden mouth none does: what shows of it between the fingers has no known shape.
    """
    parsing = scene.parsing[frame]
    counts = static_weight(unit(scene.transient_mask[frame], device), options.static_weight)
    if options.static_weight != "none":
        counts = counts * (1 - unit(parsing[..., HANDS], device))
        counts[scene.hidden_mouth(frame)] = 0
    return counts, 1 - unit(parsing[..., BACKGROUND], device)
