"""Hands drawn into a clean clip, by strength: what the robustness benchmark trains on.

Where they go is told relative to the face, so that any head-and-shoulders clip can be spoiled; what
the clip showed before is the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from wildtalker_core.robustness.gesture import Gesture, HandMotion
from wildtalker_core.robustness.synthetic_hand import HandPalette, draw_hands, lay_over

# The face detector's box (brows to chin) on the canvas of the bundled example, for which the hand's
# lengths and targets were made: its centre and its height, canvas pixels (medians over the clip).
FACE_CENTRE_PX, FACE_HEIGHT_PX = (130.0, 97.0), 78.0

# ASSUME: somebody who talks lifts a hand about every three seconds, in turn one or the other, and
# holds, waves or beats time with it.
PERIOD_SECONDS = 3.0
_GESTURES = (
    ("held_hand", "left", (84.0, 222.0)),
    ("fast_wave", "right", (178.0, 226.0)),
    ("beat", "left", (92.0, 230.0)),
    ("slow_entry", "right", (170.0, 224.0)),
)
# ASSUME: whoever covers the mouth does it with the fingers, the wrist under the chin.
_AT_MOUTH = {"left": (127.0, 156.0), "right": (131.0, 158.0)}
# ASSUME: in a narrower crop the wrist stays this far above the lower edge, so that the whole hand
# is seen, but always so far below the chin that its fingers leave the mouth free: torsos are what
# the paper's hands hide. Out of view it is so far below the edge that no finger is seen.
_WRIST_ABOVE_EDGE_PX, _WRIST_BELOW_CHIN_PX, _HIDDEN_BELOW_EDGE_PX = 26.0, 76.0, 96.0
# Instants of an open shutter that a frame averages, as in the bundled example.
_SHUTTER, _N_INSTANTS = 0.4, 3


@dataclass(frozen=True)
class Placement:
    """Where the canvas lies on a square picture: it spans ``canvas_px`` after ``shift_px``."""

    canvas_px: float
    shift_px: tuple[float, float]

    @property
    def lower_edge_px(self) -> float:
        """The picture's lower edge, down the canvas."""
        return self.canvas_px - self.shift_px[1]


def place_on_face(face_box: np.ndarray, size_px: int) -> Placement:
    """The canvas on a picture of ``size_px`` whose face is ``face_box`` = x0, y0, x1, y1 pixels.

    The box reaches from the brows to the chin, as the face detector's. Raises ValueError if it has
    no height.
    """
    x0, y0, x1, y1 = (float(side) for side in face_box)
    if y1 <= y0:
        raise ValueError(f"face box {x0, y0, x1, y1} has no height")
    px_per_canvas_px = (y1 - y0) / FACE_HEIGHT_PX
    shift = (
        0.5 * (x0 + x1) / px_per_canvas_px - FACE_CENTRE_PX[0],
        0.5 * (y0 + y1) / px_per_canvas_px - FACE_CENTRE_PX[1],
    )
    return Placement(size_px / px_per_canvas_px, shift)


def plan_gestures(
    duration_seconds: float,
    hand_share: float,
    placement: Placement,
    seed: int,
    place: Literal["chest", "mouth"] = "chest",
) -> tuple[Gesture, ...]:
    """Hands that are in view for ``hand_share`` of the time, at most one at a time.

    The same seed gives the same hands for the same time in each period of three seconds, whatever
    the share: clips of several strengths differ by how long a hand stays, not by which. At the
    ``mouth`` they hide it with their fingers, else they leave the face free.
    """
    rng = np.random.default_rng(seed)
    chin_px = FACE_CENTRE_PX[1] + 0.5 * FACE_HEIGHT_PX
    lowest = max(placement.lower_edge_px - _WRIST_ABOVE_EDGE_PX, chin_px + _WRIST_BELOW_CHIN_PX)
    gestures = []
    for k in range(int(np.ceil(duration_seconds / PERIOD_SECONDS))):
        kind, side, at_chest = _GESTURES[k % len(_GESTURES)]
        x, y = at_chest if place == "chest" else _AT_MOUTH[side]
        when, x_offset = rng.uniform(), rng.uniform(-8.0, 8.0)
        if hand_share <= 0.0:
            continue
        gestures.append(
            Gesture(
                kind,
                side,
                start_seconds=PERIOD_SECONDS * (k + (1.0 - hand_share) * when),
                duration_seconds=PERIOD_SECONDS * hand_share,
                target_px=(x + x_offset, min(y, lowest)),
            )
        )
    return tuple(gestures)


def palette_of(frames: np.ndarray, face_box: np.ndarray) -> HandPalette:
    """Skin of the face and sleeve of the chest, from some frames [n, size, size, 3] uint8.

    The hardest case on purpose: hands of the person's own colours.
    """
    size = frames.shape[1]
    x0, y0, x1, y1 = (float(side) for side in face_box)
    width, height = x1 - x0, y1 - y0

    def median(left: float, top: float, right: float, bottom: float) -> np.ndarray:
        columns = slice(*np.clip([left, max(right, left + 2)], 0, size).astype(int))
        rows = slice(*np.clip([top, max(bottom, top + 2)], 0, size).astype(int))
        return np.median(frames[:, rows, columns].reshape(-1, 3), axis=0) / 255.0

    # Between eyes and mouth; below the chin, where clothes begin, or the lowest rows in view.
    skin = median(x0 + 0.3 * width, y0 + 0.45 * height, x1 - 0.3 * width, y0 + 0.65 * height)
    top = min(y1 + 0.6 * height, size - 4.0)
    sleeve = median(x0, top, x1, max(top + 4.0, float(size)))
    return HandPalette(
        skin=skin, sleeve=sleeve, cuff=0.6 * sleeve, prop=np.array([0.86, 0.87, 0.90])
    )


class Spoiler:
    """Draws the hands of one clip: ``spoiler(frame, number)`` gives the frame with them.

    Args:
        gestures: of :func:`plan_gestures`.
        fps: frames per second of the clip.
        seed: of the hands' tremor.
    """

    def __init__(
        self,
        gestures: tuple[Gesture, ...],
        palette: HandPalette,
        placement: Placement,
        fps: float,
        seed: int,
    ) -> None:
        rng = np.random.default_rng((seed, 1))
        hidden_y_px = max(352.0, placement.lower_edge_px + _HIDDEN_BELOW_EDGE_PX)
        self._hands = [HandMotion(gesture, rng, hidden_y_px) for gesture in gestures]
        self._palette, self._placement, self._fps = palette, placement, fps

    def __call__(self, frame: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """A frame [size, size, 3] uint8 with its hands, and where they are [size, size] bool.

        The shadow is no part of the mask.
        """
        offsets = _SHUTTER * ((np.arange(_N_INSTANTS) + 0.5) / _N_INSTANTS - 0.5)
        colour, coverage = draw_hands(
            self._hands,
            self._palette,
            [(number + float(offset)) / self._fps for offset in offsets],
            frame.shape[0],
            [self._placement.shift_px] * _N_INSTANTS,
            self._placement.canvas_px,
        )
        if not coverage.any():
            return frame, coverage > 0
        everywhere = np.ones_like(coverage)
        picture = lay_over(
            frame / np.float32(255), colour, coverage, everywhere, self._placement.canvas_px
        )
        return np.clip(picture * 255.0 + 0.5, 0, 255).astype(np.uint8), coverage > 0.05
