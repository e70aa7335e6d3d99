"""What is shown behind the person."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import torch
from jaxtyping import UInt8

from wildtalker_core.compiled import njit
from wildtalker_core.errors import InputError
from wildtalker_core.geometry.moment import Moment
from wildtalker_core.media.image import read_image
from wildtalker_core.splats.portrait import SplatPortrait

COLOURS = {"green": (0, 177, 64), "white": (255, 255, 255), "black": (0, 0, 0)}
NAMES = ("plate", "alpha", *COLOURS)
#: numba's plain threads end the process where two of ours enter compiled loops at once.
_DRAWING = threading.Lock()
#: ASSUME who lets less than a twenty-fifth of the light through is solid: inside the body alpha is
#: .995 in the median and .97 for one pixel in twenty, as training fills the rest with the plate at
#: no cost. Chosen on training frames (docs/live.md).
_SOLID = 0.96


class Background:
    """``plate`` (what was filmed), ``alpha`` (nothing: pictures are RGBA), a colour, or a picture.

    Args:
        name: one of ``NAMES``, or the path of a picture, cut and scaled to the frame.
        height, width: of the frame, pixels.

    Raises InputError: neither a name nor a readable picture.
    """

    def __init__(self, name: str, height: int, width: int) -> None:
        self.name = name
        self._behind: np.ndarray | None = None
        if name in COLOURS:
            colour = np.array(COLOURS[name], np.float32) / 255
            self._behind = np.tile(colour, (height, width, 1))
        elif name not in NAMES:
            if not name.lower().endswith((".jpg", ".jpeg", ".png", ".webp")):
                raise InputError(
                    name, "is no background", f"use {', '.join(NAMES)} or a jpg, png or webp file"
                )
            self._behind = _filling(read_image(name), height, width).astype(np.float32) / 255

    @torch.no_grad()
    def picture(
        self, portrait: SplatPortrait, moment: Moment
    ) -> UInt8[np.ndarray, "height width channels"]:
        """RGB, or with ``alpha`` RGBA, not premultiplied."""
        with _DRAWING:
            colours, alpha = portrait.draw(moment)
        plate = portrait.background(moment).numpy()
        behind = plate if self._behind is None else self._behind
        picture = np.empty((*alpha.shape, 4 if self.name == "alpha" else 3), np.uint8)
        # Over its own plate it is as it was trained.
        solid = np.float32(1 if self.name == "plate" else _SOLID)
        compose(colours.numpy(), alpha.numpy(), plate, behind, solid, picture)
        return picture


@njit(cache=True, nogil=True)
def compose(colours, alpha, plate, behind, solid, picture):
    """Lay a person over a background, or keep their alpha.

    What alpha gains where it is raised is of the plate's colour: over the plate nothing changes.

    Args:
        colours: [h, w, 3] premultiplied; alpha: [h, w]; plate, over which the portrait was trained,
            and behind, which is to be seen: [h, w, 3]; all float32.
        solid: alpha from which on nothing behind the person is seen, float32.
        picture: uint8, becomes colours [h, w, 3], or colours that are not premultiplied and alpha
            [h, w, 4].
    """
    one, most, half = np.float32(1), np.float32(255), np.float32(0.5)
    height, width, n_channels = picture.shape
    for y in range(height):
        for x in range(width):
            raised = min(alpha[y, x] / solid, one)
            gained = raised - alpha[y, x]
            for k in range(3):
                value = colours[y, x, k] + gained * plate[y, x, k]
                if n_channels == 4:
                    value /= max(raised, np.float32(1e-3))
                else:
                    value += (one - raised) * behind[y, x, k]
                picture[y, x, k] = np.uint8(min(max(value, np.float32(0)), one) * most + half)
            if n_channels == 4:
                picture[y, x, 3] = np.uint8(raised * most + half)


def _filling(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of a picture, scaled so that it fills the frame."""
    scale = max(height / image.shape[0], width / image.shape[1])
    size = (max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    larger = cv2.resize(image[..., :3], size, interpolation=method)
    top, left = (size[1] - height) // 2, (size[0] - width) // 2
    return np.ascontiguousarray(larger[top : top + height, left : left + width])
