"""Where speech and expression may act on the picture, and how evenly they do.

After RAD-NeRF (Tang et al. 2022), ER-NeRF (Li et al. 2023), SyncTalk (Peng et al. 2024).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from wildtalker_core.devices import sent
from wildtalker_core.nerf.head_field import Condition, Traces
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.scene.face_points import NOSE_TIP
from wildtalker_core.training.clip import Clip

# ER-NeRF's code, and so SyncTalk's: how far neighbours are, as a part of the box's half sides.
_REACH = 1e-3


def face_regions(
    clip: Clip, frames: Int[np.ndarray, "k"], pixels: Int[np.ndarray, "k 2"]
) -> tuple[Bool[Tensor, "k"], Bool[Tensor, "k"]]:
    """Whether pixels of frames lie in the face's box, and in it below the nose tip."""
    x0, y0, x1, y1 = clip.scene.face_box[frames].T
    x, y = pixels.T
    is_face = (x >= x0) & (x < x1) & (y >= y0) & (y < y1)
    is_below = y >= clip.scene.landmarks[frames, NOSE_TIP, 1]
    return sent(is_face, clip.device), sent(is_face & is_below, clip.device)


def unwanted_attention(
    traces: Traces,
    is_face: Bool[Tensor, "rays"],
    is_lower_face: Bool[Tensor, "rays"],
    attention_region: str,
    expression_attention: str,
) -> dict[str, Float[Tensor, ""]]:
    """Attention of rays where it should not be, mean over all rays, by name.

    Options as of :class:`training.options.HeadOptions`.
    """
    region = {"face": is_face, "lower_face": is_lower_face}[attention_region]
    parts = {"attention_outside": (traces.lip_attention * ~region).mean()}
    if expression_attention == "product":
        both = traces.expression_attention * traces.lip_attention.detach()
        parts["expression_attention"] = (both * is_face).mean()
    elif expression_attention == "lower_face":
        parts["expression_attention"] = (traces.expression_attention * is_lower_face).mean()
    return parts


def difference_of_neighbours(
    portrait: Portrait, condition: Condition, traces: Traces, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Mean difference of attentions and uncertainty between samples and places beside them.

    ASSUME the absolute difference; the sample's own values are not moved, its neighbour's are.
    """
    positions = traces.positions
    reach = _REACH * portrait.head.half_extents
    shift = sent(2 * torch.rand(positions.shape, generator=generator) - 1, positions.device)
    told = condition.of(traces.frame_index)
    with torch.no_grad():
        here = portrait.head.traces(positions, told)
    return (portrait.head.traces(positions + reach * shift, told) - here).abs().mean()
