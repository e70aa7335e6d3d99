"""What lies behind the hands: the hidden region of each frame, and two fillers without weights.

``temporal`` shows what was really there: each hidden pixel comes from the frames nearest in time in
which the motion-compensated torso (or the background beside it) is visible. ``telea`` spreads the
colours at the region's edge inwards.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from wildtalker_core.motion.flow import to_gray
from wildtalker_core.motion.rigid_motion import (
    BACKGROUND,
    HANDS,
    HEAD,
    NECK,
    TORSO,
    evaluate,
    fit_rigid_motion,
)

# ASSUME: frames are aligned at this height at most; a torso is smooth enough for its motion.
_ALIGN_PX = 256
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
# Grid on which visibility over the whole clip is planned.
_PLAN_CELLS = 32


@dataclass(frozen=True)
class View:
    """One frame and what of it is hidden.

    frame: [height, width, 3] uint8 RGB. parsing: [height, width, 5] uint8 memberships.
    is_hidden: [height, width] bool, from :func:`hidden_region`.
    """

    frame: np.ndarray
    parsing: np.ndarray
    is_hidden: np.ndarray


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


def coarse_hidden(is_hidden: np.ndarray) -> np.ndarray:
    """[cells, cells] bool: whether any pixel of a cell is hidden; what :class:`Plan` is made of."""
    share = cv2.resize(
        is_hidden.astype(np.float32), (_PLAN_CELLS, _PLAN_CELLS), interpolation=cv2.INTER_AREA
    )
    return share > 0


class Plan:
    """Which other frames show what one frame hides, over a whole clip, in a few megabytes.

    Args:
        coarse: [n, cells, cells] bool from :func:`coarse_hidden`.
    """

    def __init__(self, coarse: np.ndarray) -> None:
        self._hidden = coarse
        # A place at the rim of a hand is shaded, and the torso may have moved under it: frames in
        # which the cells around are visible too are better sources.
        wide = np.stack([cv2.dilate(c.astype(np.uint8), np.ones((3, 3))) > 0 for c in coarse])
        self._views = [(h, *_nearest_visible(h)) for h in (wide, coarse)]

    def sources(self, number: int, max_sources: int) -> list[int]:
        """Frames to fill frame ``number`` from, nearest in time first.

        Greedy: the frame that the typical cell still hidden would choose covers what it shows, and
        so on; first by frames that show the cell and those around it, then the cell at least.
        Cells that no frame shows are left.
        """
        left = self._hidden[number].copy()
        chosen: list[int] = []
        for hidden, before, after in self._views:
            to_before, to_after = number - before[number], after[number] - number
            distance = np.minimum(to_before, to_after)
            possible = left & (distance < len(hidden))
            while possible.any() and len(chosen) < max_sources:
                cells = np.flatnonzero(possible)
                order = np.argsort(distance.reshape(-1)[cells], kind="stable")
                # The last one allowed must serve the hardest cells.
                is_last = len(chosen) == max_sources - 1
                cell = cells[order[len(cells) - 1 if is_last else len(cells) // 2]]
                row, column = divmod(int(cell), left.shape[1])
                side = -1 if to_before[row, column] <= to_after[row, column] else 1
                source = number + side * int(distance[row, column])
                chosen.append(source)
                left &= hidden[source]
                possible &= hidden[source]
        return sorted(set(chosen), key=lambda source: abs(source - number))


def _nearest_visible(hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the last and next frame [n, cells, cells] in which each cell is visible."""
    numbers = np.arange(len(hidden), dtype=np.int32)[:, None, None]
    never = np.int32(2**30)
    before = np.maximum.accumulate(np.where(hidden, -never, numbers), axis=0)
    after = np.minimum.accumulate(np.where(hidden, never, numbers)[::-1], axis=0)[::-1]
    return before, after


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
    box = _box_around(view.is_hidden, margin=2)
    missing = np.ones(view.is_hidden[box].shape, np.float32) * view.is_hidden[box]
    colour = np.zeros((*missing.shape, 3), np.float32)
    for source in sources:
        warped, visible = _warp_to(view, source, box)
        share = missing * visible
        colour += share[..., None] * warped
        missing = missing - share
        if missing.max() < 0.02:
            break
    never_seen = np.zeros((height, width), bool)
    never_seen[box] = missing > _UNSEEN
    seen = np.maximum(view.is_hidden[box] - missing, 1e-6)
    filled = view.frame.copy()
    known = view.is_hidden[box] & ~never_seen[box]
    filled[box][known] = np.clip(np.rint(colour / seen[..., None]), 0, 255)[known]
    if never_seen.any():
        filled = fill_telea(filled, never_seen, 0.01 * height)
    return _feather(view.frame, filled, view.is_hidden), never_seen


def _warp_to(view: View, source: View, box: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Colours of ``source`` seen from ``view`` inside ``box``, and how visible [0, 1] each is.

    The layer behind a hidden pixel is unknown in ``view``; it is the torso where the source shows
    torso at the place to which the torso's motion leads, else the background likewise.
    """
    height, width = view.is_hidden.shape
    torso_flow, background_flow = _layer_flows(view, source)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    hidden = cv2.GaussianBlur(
        cv2.dilate(source.is_hidden.astype(np.uint8) * 255, np.ones((3, 3), np.uint8)),
        (0, 0),
        max(0.8, 0.004 * height),
    )
    body = cv2.add(source.parsing[..., TORSO], source.parsing[..., NECK])
    head = np.ascontiguousarray(source.parsing[..., HEAD])
    colours, visibilities, unhidden = [], [], []
    for flow, member in ((torso_flow, body), (background_flow, source.parsing[..., BACKGROUND])):
        to = grid[box] + flow[box]
        warped = cv2.remap(
            source.frame, to[..., 0], to[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        inside = (
            (to[..., 0] >= -0.5)
            & (to[..., 0] <= width - 0.5)
            & (to[..., 1] >= -0.5)
            & (to[..., 1] <= height - 0.5)
        )
        shown = cv2.remap(member, to[..., 0], to[..., 1], cv2.INTER_LINEAR).astype(np.float32)
        covered = cv2.remap(
            hidden, to[..., 0], to[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.float32)
        # 1 where nothing hides the source, 0 where it is hidden by half or more.
        clear = np.clip(1.0 - covered / 127.0, 0.0, 1.0)
        colours.append(warped.astype(np.float32))
        is_head = cv2.remap(head, to[..., 0], to[..., 1], cv2.INTER_LINEAR) > 32
        unhidden.append(inside * clear * ~is_head)
        visibilities.append(inside * clear * np.clip(shown / 127.0 - 0.5, 0.0, 1.0))
    torso_share, background_share = visibilities[0], (1.0 - visibilities[0]) * visibilities[1]
    # Along the torso's outline one layer may hide the other in the source: take what is there.
    beside = 0.5 * (1.0 - torso_share - background_share) * unhidden[0]
    visible = torso_share + background_share + beside
    colour = (
        (torso_share + beside)[..., None] * colours[0] + background_share[..., None] * colours[1]
    ) / np.maximum(visible, 1e-6)[..., None]
    shade = _shade(view, colour, visible, box)
    return colour + shade, visible


def _layer_flows(view: View, source: View) -> tuple[np.ndarray, np.ndarray]:
    """Flows [height, width, 2] view → source of torso and background, also where they are hidden.

    Fitted to a dense flow where both frames are visible; the torso's deviation from its affine
    motion is smoothed inwards from there.
    """
    height, width = view.is_hidden.shape
    shrink = min(1.0, _ALIGN_PX / height)
    size = (round(width * shrink), round(height * shrink))

    def small(image: np.ndarray) -> np.ndarray:
        return image if shrink == 1.0 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)

    gray, source_gray = to_gray(small(view.frame)), to_gray(small(source.frame))
    estimator = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = estimator.calc(gray, source_gray, None)
    is_hidden = small(view.is_hidden.astype(np.uint8) * 255) > 0
    source_hidden = small(source.is_hidden.astype(np.uint8) * 255)
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    led_to_hidden = cv2.remap(
        source_hidden, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderValue=255
    )
    usable = ~is_hidden & (led_to_hidden < 1)
    parsing = small(view.parsing) * usable[..., None].astype(np.uint8)
    motion = fit_rigid_motion(flow, gray, parsing, None)
    torso_flow = evaluate(motion.torso, *size[::-1])
    background_flow = evaluate(motion.background, *size[::-1])

    deviation = flow - torso_flow
    trusted = (np.maximum(parsing[..., TORSO], parsing[..., NECK]) > 127) & (
        np.abs(deviation).max(-1) < _MAX_DEFORMATION * size[1]
    )
    torso_flow = torso_flow + _spread(deviation, trusted, _DEFORMATION_SCALE * size[1])
    if shrink == 1.0:
        return torso_flow, background_flow
    return tuple(
        cv2.resize(layer, (width, height), interpolation=cv2.INTER_LINEAR) / np.float32(shrink)
        for layer in (torso_flow, background_flow)
    )


def _spread(values: np.ndarray, trusted: np.ndarray, scale_px: float) -> np.ndarray:
    """Gaussian average of ``values`` [h, w, c] over trusted pixels; fades to zero far from any."""
    height, width = trusted.shape
    weight = trusted.astype(np.float32)
    total = values * weight[..., None]
    # A wide Gaussian needs few pixels.
    shrink = max(1, round(scale_px / 3.0))
    size = (-(-width // shrink), -(-height // shrink))
    total, weight = (cv2.resize(v, size, interpolation=cv2.INTER_AREA) for v in (total, weight))
    total, weight = (cv2.GaussianBlur(v, (0, 0), scale_px / shrink) for v in (total, weight))
    mean = total / (weight + 0.01)[..., None]
    return cv2.resize(mean, (width, height), interpolation=cv2.INTER_LINEAR)


def _shade(
    view: View, colour: np.ndarray, visible: np.ndarray, box: tuple[slice, slice]
) -> np.ndarray:
    """Smooth difference in brightness between the view and the colours that are to fill it."""
    height = view.is_hidden.shape[0]
    difference = view.frame[box].astype(np.float32) - colour
    trusted = (
        ~view.is_hidden[box]
        & (visible > 0.9)
        & (view.parsing[..., HEAD][box] < 127)
        & (np.abs(difference).max(-1) < _MAX_SHADE)
    )
    return _spread(difference, trusted, _SHADE_SCALE * height)


def _feather(frame: np.ndarray, filled: np.ndarray, is_hidden: np.ndarray) -> np.ndarray:
    """Blend from the frame at the region's edge to the fill inside; outside stays the frame."""
    width_px = max(1.0, _FEATHER * frame.shape[0])
    depth = cv2.distanceTransform(is_hidden.astype(np.uint8), cv2.DIST_L2, 3)
    share = np.clip(depth / (width_px + 1.0), 0.0, 1.0)[..., None]
    mixed = frame + share * (filled.astype(np.float32) - frame)
    return np.where(is_hidden[..., None], np.rint(mixed), frame).astype(np.uint8)


def _box_around(region: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Slices of the bounding box of a region, grown by a margin in units of 5 % of the height."""
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    grow = round(margin * 0.05 * region.shape[0])
    return (
        slice(max(0, rows[0] - grow), rows[-1] + 1 + grow),
        slice(max(0, columns[0] - grow), columns[-1] + 1 + grow),
    )
