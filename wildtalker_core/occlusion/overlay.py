"""Pictures of what this stage decided, to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

# Background, head, neck, torso, hands.
_CLASS_COLOURS = np.array(
    [[40, 40, 48], [235, 150, 90], [240, 215, 120], [90, 150, 220], [220, 70, 110]], np.float32
)
_MASK_COLOUR = np.array([255, 40, 60], np.float32)
# ASSUME: flow of this share of the height per frame is drawn white.
_WHITE_FLOW = 0.02


def colour_parsing(frame: np.ndarray, parsing: np.ndarray) -> np.ndarray:
    """Memberships [h, w, 5] uint8 as colours over a dimmed frame [h, w, 3] uint8."""
    colours = parsing.astype(np.float32) @ _CLASS_COLOURS / 255.0
    return np.clip(0.65 * colours + 0.35 * frame, 0, 255).astype(np.uint8)


def colour_flow(flow_magnitude: np.ndarray) -> np.ndarray:
    """|V| [h, w] pixels as a heat map [h, w, 3] uint8; white from 2 % of the height on."""
    scale = 255.0 / (_WHITE_FLOW * flow_magnitude.shape[0])
    level = np.clip(flow_magnitude.astype(np.float32) * scale, 0, 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def colour_mask(frame: np.ndarray, transient_mask: np.ndarray) -> np.ndarray:
    """Mask [h, w] uint8 (255 = ignore) in red over the frame."""
    share = 0.65 * transient_mask[..., None].astype(np.float32) / 255.0
    return np.rint(frame * (1.0 - share) + share * _MASK_COLOUR).astype(np.uint8)


def label_rows(rows: Sequence[tuple[str, Sequence[np.ndarray]]], size_px: int) -> np.ndarray:
    """A sheet [height, width, 3] uint8: each row a label and pictures, ``size_px`` a side."""
    margin = max(16, size_px // 9)
    strips = []
    for label, pictures in rows:
        strip = np.hstack(
            [cv2.resize(p, (size_px, size_px), interpolation=cv2.INTER_AREA) for p in pictures]
        )
        head = np.full((margin, strip.shape[1], 3), 255, np.uint8)
        cv2.putText(
            head,
            label,
            (6, round(0.75 * margin)),
            cv2.FONT_HERSHEY_SIMPLEX,
            margin / 40,
            (30, 30, 30),
            1,
            cv2.LINE_AA,
        )
        strips += [head, strip]
    return np.vstack(strips)
