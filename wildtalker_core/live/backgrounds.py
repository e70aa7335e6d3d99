"""What is shown behind the person."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import torch

from wildtalker_core.errors import InputError
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.media.image import read_image
from wildtalker_core.splats.portrait import SplatPortrait

COLOURS = {"green": (0, 177, 64), "white": (255, 255, 255), "black": (0, 0, 0)}
NAMES = ("plate", "alpha", *COLOURS)
#: numba's plain threads end the process where two of ours enter compiled loops at once.
_DRAWING = threading.Lock()


class Background:
    """``plate`` (what was filmed), ``alpha`` (nothing: pictures are RGBA), a colour, or a picture.

    Args:
        name: one of ``NAMES``, or the path of a picture, cut and scaled to the frame.
        height, width: of the frame, pixels.

    Raises InputError: neither a name nor a readable picture.
    """

    def __init__(self, name: str, height: int, width: int) -> None:
        self.name, self._behind = name, None
        if name in COLOURS:
            colour = torch.tensor(COLOURS[name], dtype=torch.float32) / 255
            self._behind = colour.expand(height, width, 3)
        elif name not in NAMES:
            if not name.lower().endswith((".jpg", ".jpeg", ".png", ".webp")):
                raise InputError(
                    name, "is no background", f"use {', '.join(NAMES)} or a jpg, png or webp file"
                )
            self._behind = torch.as_tensor(_filling(read_image(name), height, width)).float() / 255

    @torch.no_grad()
    def picture(self, portrait: SplatPortrait, moment: Moment) -> np.ndarray:
        """[height, width, 3] uint8, or with ``alpha`` [height, width, 4] not premultiplied."""
        with _DRAWING:
            colours, alpha = portrait.draw(moment)
        if self.name == "alpha":
            straight = colours / alpha[..., None].clamp_min(1e-3)
            whole = torch.cat((straight, alpha[..., None]), 2)
        else:
            behind = portrait.background(moment) if self._behind is None else self._behind
            whole = colours + (1 - alpha)[..., None] * behind
        return (whole.clamp(0, 1) * 255).round().byte().numpy()


def _filling(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, scaled so that it fills the frame."""
    scale = max(height / image.shape[0], width / image.shape[1])
    size = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    larger = cv2.resize(image[..., :3], size, interpolation=method)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(larger[top : top + height, left : left + width])
