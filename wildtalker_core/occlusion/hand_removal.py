"""What lies behind the hands: the hidden region of each frame, and two fillers without weights.

``temporal`` shows what was really there: each hidden pixel comes from the frames nearest in time in
which the motion-compensated torso (or the background beside it) is visible. ``telea`` spreads the
colours at the region's edge inwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from wildtalker_core.media.image import at_most
from wildtalker_core.occlusion.flow import to_gray
from wildtalker_core.occlusion.flow_model import evaluate
from wildtalker_core.occlusion.rigid_motion import (
    BACKGROUND,
    HANDS,
    HEAD,
    NECK,
    TORSO,
    fit_rigid_motion,
)

# ASSUME: frames are aligned at this height at most; a torso is smooth enough for its motion.
_ALIGN_PX = 256
# ASSUME: shade is smooth enough to be judged at this height at most.
_SHADE_PX = 128
# ASSUME: motion beyond the affine torso varies over this share of the height (folds of cloth).
_DEFORMATION_SCALE = 0.05
# ASSUME: larger deviations from the affine motion are errors of the flow, share of the height.
_MAX_DEFORMATION = 0.02
# ASSUME: brightness differs smoothly between frames (exposure, the hand's shade), over this share
# of the height and by at most so many grey levels.
_SHADE_SCALE = 0.08
_MAX_SHADE = 24.0
# ASSUME: seams are blended over this share of the height.
_FEATHER = 0.012
# ASSUME: a pixel of which sources show less than the rest of this is one that no frame shows.
_UNSEEN = 0.9
# Less than this missing is nothing missing.
_HARDLY_MISSING = 0.02
# Layers of a view, in the order of View.layers.
_BODY_LAYER, _BACKGROUND_LAYER, _HIDDEN_LAYER, _HEAD_LAYER = range(4)


@dataclass(frozen=True)
class View:
    """One frame and what of it is hidden.

    frame: [height, width, 3] uint8 RGB. parsing: [height, width, 5] uint8 memberships.
    is_hidden: [height, width] bool, from :func:`hidden_region`.
    """

    frame: np.ndarray
    parsing: np.ndarray
    is_hidden: np.ndarray

    @cached_property
    def layers(self) -> np.ndarray:
        """[height, width, 4] uint8: torso with neck, background, what is hidden (grown), head."""
        hidden = cv2.GaussianBlur(
            cv2.dilate(self.is_hidden.astype(np.uint8) * 255, np.ones((3, 3), np.uint8)),
            (0, 0),
            max(0.8, 0.004 * len(self.frame)),
        )
        body = cv2.add(self.parsing[..., TORSO], self.parsing[..., NECK])
        return cv2.merge([body, self.parsing[..., BACKGROUND], hidden, self.parsing[..., HEAD]])

    @cached_property
    def small(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Grey frame, parsing and hidden region (255) at the size at which frames are aligned."""
        hidden = self.is_hidden.astype(np.uint8) * 255
        frame, parsing, hidden = (
            at_most(image, _ALIGN_PX) for image in (self.frame, self.parsing, hidden)
        )
        return to_gray(frame), parsing, hidden

    @cached_property
    def coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """Frame and layers at the size at which shade is judged."""
        return at_most(self.frame, _SHADE_PX), at_most(self.layers, _SHADE_PX)


def hidden_region(
    transient_mask: np.ndarray, parsing: np.ndarray, mask_level: float, margin: float
) -> np.ndarray:
    """Pixels to replace [height, width] bool: hands and forearms, and transients outside the head.

    Args:
        transient_mask: [height, width] uint8, 255 = ignore. parsing: [height, width, 5] uint8.
        mask_level: in [0, 1]; the mask counts above it.
        margin: dilation, share of the height, so that no rim of the hand is left.
    """
    height = parsing.shape[0]
    is_head = parsing[..., HEAD] > 127
    region = (transient_mask > 255 * mask_level) & ~is_head
    region |= parsing[..., HANDS] > 127
    radius = round(margin * height)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    grown = cv2.dilate(region.astype(np.uint8), disc).astype(bool)
    # The margin must not eat into the face.
    return grown & ~(is_head & ~region)


def fill_telea(frame: np.ndarray, is_hidden: np.ndarray, radius_px: float) -> np.ndarray:
    """Fast marching inpainting (Telea 2004); pixels outside ``is_hidden`` stay exactly."""
    if not is_hidden.any():
        return frame.copy()
    return cv2.inpaint(
        np.ascontiguousarray(frame), is_hidden.astype(np.uint8), radius_px, cv2.INPAINT_TELEA
    )


def fill_temporal(view: View, sources: Iterable[View]) -> tuple[np.ndarray, np.ndarray]:
    """Fill what ``view`` hides from other frames of the clip.

    Args:
        view: the frame to fill.
        sources: other frames, the one to be preferred first; read only until all is filled.

    Returns:
        The frame [height, width, 3] uint8, equal to the input outside ``view.is_hidden``; and the
        pixels [height, width] bool that no source shows, filled by :func:`fill_telea`.
    """
    height, width = view.is_hidden.shape
    if not view.is_hidden.any():
        return view.frame.copy(), np.zeros((height, width), bool)
    rows, columns = np.nonzero(view.is_hidden)
    positions = np.stack([columns, rows], axis=1).astype(np.float32)
    missing = np.ones(len(rows), np.float32)
    colour = np.zeros((len(rows), 3), np.float32)
    for source in sources:
        wanted = np.flatnonzero(missing > _HARDLY_MISSING)
        if len(wanted) == 0:
            break
        warped, visible = _warp_to(view, source, positions[wanted])
        share = missing[wanted] * visible
        colour[wanted] += share[:, None] * warped
        missing[wanted] -= share
    is_seen = missing <= _UNSEEN
    never_seen = np.zeros((height, width), bool)
    never_seen[rows, columns] = ~is_seen
    filled = view.frame.copy()
    mean = colour[is_seen] / (1.0 - missing[is_seen])[:, None]
    filled[rows[is_seen], columns[is_seen]] = np.clip(np.rint(mean), 0, 255)
    if never_seen.any():
        filled = fill_telea(filled, never_seen, 0.01 * height)
    return _feather(view.frame, filled, view.is_hidden), never_seen


def _warp_to(view: View, source: View, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colours [k, 3] of ``source`` behind pixels [k, 2] of ``view``, how visible [k] in [0, 1]."""
    height = len(view.frame)
    flows = _layer_flows(view, source)
    frame, layers = source.coarse
    size = frame.shape[1::-1]
    scale = np.float32(len(frame) / len(flows[0]))
    grid = np.stack(np.meshgrid(*(np.arange(n, dtype=np.float32) for n in size)), -1)
    coarse = [grid + scale * cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in flows]
    shade = _shade(*view.coarse, *_see(frame, layers, *coarse))

    scale = np.float32(len(flows[0]) / height)
    at = _scaled(positions, scale)
    fine = [positions + _sample(flow, at, cv2.INTER_LINEAR) / scale for flow in flows]
    colour, visible = _see(source.frame, source.layers, *fine)
    at = _scaled(positions, np.float32(len(frame) / height))
    return colour + _sample(shade, at, cv2.INTER_LINEAR), visible


def _see(
    frame: np.ndarray, layers: np.ndarray, torso_at: np.ndarray, background_at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [..., 3] and visibility [...] of a source at the places [..., 2] to which the motions
    of torso and background lead.

    The layer behind a hidden pixel is unknown in the view; it is the torso where the source shows
    torso at the place to which the torso's motion leads, else the background likewise.
    """
    height, width = frame.shape[:2]
    colours, visibilities, unhidden = [], [], []
    for at, layer in ((torso_at, _BODY_LAYER), (background_at, _BACKGROUND_LAYER)):
        colours.append(_sample(frame, at, cv2.INTER_CUBIC).astype(np.float32))
        there = _sample(layers, at, cv2.INTER_LINEAR).astype(np.float32)
        x, y = at[..., 0], at[..., 1]
        is_inside = (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
        # 1 where nothing hides the source, 0 where it is hidden by half or more.
        clear = is_inside * np.clip(1.0 - there[..., _HIDDEN_LAYER] / 127.0, 0.0, 1.0)
        unhidden.append(clear * (there[..., _HEAD_LAYER] <= 32))
        visibilities.append(clear * np.clip(there[..., layer] / 127.0 - 0.5, 0.0, 1.0))
    torso_share, background_share = visibilities[0], (1.0 - visibilities[0]) * visibilities[1]
    # Along the torso's outline one layer may hide the other in the source: take what is there.
    beside = 0.5 * (1.0 - torso_share - background_share) * unhidden[0]
    visible = torso_share + background_share + beside
    colour = (torso_share + beside)[..., None] * colours[0]
    colour += background_share[..., None] * colours[1]
    return colour / np.maximum(visible, 1e-6)[..., None], visible


def _sample(image: np.ndarray, at: np.ndarray, interpolation: int) -> np.ndarray:
    """An image [h, w, channels] at places [..., 2], pixels (x, y); beyond the edge the edge."""
    if at.ndim == 3:
        return cv2.remap(
            image, at[..., 0], at[..., 1], interpolation, borderMode=cv2.BORDER_REPLICATE
        )
    # OpenCV takes no lists longer than 32767: fold them.
    n_columns = 256
    n_rows = -(-len(at) // n_columns)
    folded = np.zeros((n_rows * n_columns, 2), np.float32)
    folded[: len(at)] = at
    found = _sample(image, folded.reshape(n_rows, n_columns, 2), interpolation)
    return found.reshape(n_rows * n_columns, -1)[: len(at)]


def _scaled(positions: np.ndarray, scale: np.float32) -> np.ndarray:
    """Pixels of an image → pixels of the same image scaled, both counted from pixel centres."""
    return (positions + np.float32(0.5)) * scale - np.float32(0.5)


def _layer_flows(view: View, source: View) -> tuple[np.ndarray, np.ndarray]:
    """Flows view → source of torso and background, also where they are hidden, [h, w, 2].

    At the size of :attr:`View.small`, in its pixels. Fitted to a dense flow where both frames are
    visible; the torso's deviation from its affine motion is smoothed inwards from there.
    """
    (gray, parsing, hidden), (source_gray, _, source_hidden) = view.small, source.small
    height, width = gray.shape
    # Any: OpenCV annotates the flow to begin with as if it could not be None.
    estimator: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = estimator.calc(gray, source_gray, None)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    led_to_hidden = cv2.remap(
        source_hidden, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderValue=(255,)
    )
    usable = (hidden == 0) & (led_to_hidden < 1)
    parsing = parsing * usable[..., None].astype(np.uint8)
    motion = fit_rigid_motion(flow, gray, parsing, None, fits_head=False)
    torso_flow = evaluate(motion.torso, height, width)
    background_flow = evaluate(motion.background, height, width)

    deviation = flow - torso_flow
    trusted = (np.maximum(parsing[..., TORSO], parsing[..., NECK]) > 127) & (
        np.abs(deviation).max(-1) < _MAX_DEFORMATION * height
    )
    torso_flow = torso_flow + _spread(deviation, trusted, _DEFORMATION_SCALE * height)
    return torso_flow, background_flow


def _spread(values: np.ndarray, trusted: np.ndarray, scale_px: float) -> np.ndarray:
    """Gaussian average of ``values`` [h, w, c] over trusted pixels; fades to zero far from any."""
    height, width = trusted.shape
    weight: np.ndarray = trusted.astype(np.float32)
    total: np.ndarray = values * weight[..., None]
    # A wide Gaussian needs few pixels.
    shrink = max(1, round(scale_px / 3.0))
    size = (-(-width // shrink), -(-height // shrink))
    total, weight = (cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in (total, weight))
    total, weight = (cv2.GaussianBlur(v, (0, 0), scale_px / shrink) for v in (total, weight))
    mean = total / (weight + 0.01)[..., None]
    return cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)


def _shade(
    frame: np.ndarray, layers: np.ndarray, colour: np.ndarray, visible: np.ndarray
) -> np.ndarray:
    """Smooth difference [h, w, 3] in brightness between a view and colours that are to fill it."""
    difference = frame.astype(np.float32) - colour
    trusted = (
        (layers[..., _HIDDEN_LAYER] == 0)
        & (visible > 0.9)
        & (layers[..., _HEAD_LAYER] < 127)
        & (np.abs(difference).max(-1) < _MAX_SHADE)
    )
    return _spread(difference, trusted, _SHADE_SCALE * len(frame))


def _feather(frame: np.ndarray, filled: np.ndarray, is_hidden: np.ndarray) -> np.ndarray:
    """Blend from the frame at the region's edge to the fill inside; outside stays the frame."""
    width_px = max(1.0, _FEATHER * frame.shape[0])
    depth = cv2.distanceTransform(is_hidden.astype(np.uint8), cv2.DIST_L2, 3)[is_hidden]
    share = np.clip(depth / (width_px + 1.0), 0.0, 1.0)[:, None]
    before, after = frame[is_hidden].astype(np.float32), filled[is_hidden]
    mixed = filled.copy()
    mixed[is_hidden] = np.rint(before + share * (after - before))
    return mixed
