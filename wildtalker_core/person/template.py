"""A person's own rigid template: the mean shape of their landmarks; no face model is needed.

The frames are brought together by similarity transforms (generalised Procrustes analysis, Gower
1975). Head units: the template is 0.30 wide; axes as the camera's when the head looks straight into
it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from wildtalker_core.person import landmarks as lm

#: Width of every template between the two sides of the face contour, head units.
TEMPLATE_WIDTH = 0.30

_RIGID = list(lm.RIGID_POINTS)


def procrustes(shapes: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Similarity transforms that bring shapes nearest to one target (Umeyama 1991).

    Args:
        shapes: [n, k, 3].
        target: [k, 3].

    Returns:
        scale [n], rotation [n, 3, 3], translation [n, 3] with
        ``scale * rotation @ shape + translation`` nearest to the target in the mean square.
    """
    shape_mean, target_mean = shapes.mean(1, keepdim=True), target.mean(0)
    centred, target_centred = shapes - shape_mean, target - target_mean
    u, s, vt = torch.linalg.svd(target_centred.T @ centred)
    sign = torch.ones_like(s)
    sign[:, 2] = torch.linalg.det(u @ vt).sign()
    rotation = (u * sign[:, None]) @ vt
    scale = (s * sign).sum(-1) / (centred**2).sum((1, 2))
    translation = target_mean - scale[:, None] * (rotation @ shape_mean.mT).squeeze(-1)
    return scale, rotation, translation


def build_template(landmarks: np.ndarray, depth: np.ndarray, n_rounds: int = 4) -> Tensor:
    """Median shape of a person's landmarks over a clip, in head units and axes, [478, 3] float64.

    Only :data:`landmarks.RIGID_POINTS` decide how the frames are brought together; all points then
    take part in the median, so lips and lids rest where they are most of the time.

    Args:
        landmarks: [n, 478, 2] pixels.
        depth: [n, 478] pixels, smaller is nearer.
    """
    shapes = torch.from_numpy(np.concatenate((landmarks, depth[..., None]), -1)).double()
    # ASSUME: 400 frames spread over the clip say as much about a rigid shape as all of them.
    shapes = shapes[:: max(1, len(shapes) // 400)]
    template = shapes[len(shapes) // 2]
    for _ in range(n_rounds):
        scale, rotation, translation = procrustes(shapes[:, _RIGID], template[_RIGID])
        moved = scale[:, None, None] * (shapes @ rotation.mT) + translation[:, None]
        template = moved.median(0).values
        template = to_head_units(template)
    return template


def to_head_units(template: Tensor) -> Tensor:
    """Move, turn and scale a template [478, 3] to head units and axes."""
    scale, axes, centre = head_units_transform(template)
    return scale * (template - centre) @ axes.T


def head_units_transform(template: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scale, axes [3, 3] (rows) and centre [3] that bring a template to head units.

    ASSUME: a head looks straight ahead when its contour's sides lie level and its forehead above
    its chin, as in MediaPipe's canonical face; the origin is the mean of the contour, about the
    middle of the head's width and height.
    """
    across = template[lm.LEFT_CONTOUR] - template[lm.RIGHT_CONTOUR]
    width = across.norm()
    x_axis = across / width
    down = template[lm.CHIN] - template[lm.FOREHEAD]
    y_axis = down - (down @ x_axis) * x_axis
    y_axis = y_axis / y_axis.norm()
    axes = torch.stack((x_axis, y_axis, torch.linalg.cross(x_axis, y_axis)))
    return TEMPLATE_WIDTH / width, axes, template[list(lm.FACE_CONTOUR)].mean(0)
