"""How camera, head and torso move between two frames, and the motion that is left beyond them.

The paper thresholds the flow itself (Eq. 4), but a person sways and nods. ASSUME: what is transient
is motion beyond the rigid motion of background (camera shake), head and torso; each is fitted
robustly to the flow of its own region.

Flow here is *backward*: ``flow[y, x]`` is the displacement in pixels (x right, y down) from pixel
(x, y) of frame i to where the same point was in frame i-1, so that it lives on the pixels of the
frame whose mask it decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from wildtalker_core.occlusion.flow_model import evaluate, fit_flow_model, normalised_grid

BACKGROUND, HEAD, NECK, TORSO, HANDS = range(5)

# ASSUME: residuals up to this share of the frame height are fitted fully; about the error of a
# dense flow on compressed video (0.25 px at 256).
_FIT_SCALE = 0.001
# ASSUME: points per region; more change the fits by less than the flow's own error.
_N_FIT_POINTS = 1500
# ASSUME: a region below this share of the frame is too small to have a motion of its own.
_MIN_REGION = 0.004
# ASSUME: dense flow bleeds over motion boundaries by about this share of the frame height.
_BLEED = 0.03
# ASSUME: clothes and hair follow the rigid motion of their part to within this share of its speed.
_FIT_ERROR = 0.2
# ASSUME: grey-level gradient (of 255, per pixel) at which flow is half trusted in a fit.
_HALF_TRUST_GRADIENT = 4.0
# ASSUME: grey levels by which frames differ without motion (sensor, codec).
_GRAY_NOISE = 3.0
# ASSUME: where a part as a whole differs more (blur, shading, coarse compression of fast motion),
# so many times its median difference are no motion; hands may be most of what is seen of a torso,
# hence the limit.
_NOISE_PER_TYPICAL = 3.0
_MAX_GRAY_NOISE = 15.0
# ASSUME: gradient below which intensities say nothing about motion, grey levels per pixel.
_FLAT_GRADIENT = 3.0
# ASSUME: intensities are compared over this share of the frame height, and evidence of motion
# reaches over flat places of a hand this far.
_EVIDENCE_SCALE = 0.008
_EVIDENCE_REACH = 0.03


@dataclass(frozen=True)
class RigidMotion:
    """Backward flow models of one frame, each [2, k] on monomials (1, x, y[, x², xy, y²])."""

    background: np.ndarray
    head: np.ndarray
    torso: np.ndarray

    def models(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Background, head, torso."""
        return self.background, self.head, self.torso

    @classmethod
    def none(cls) -> RigidMotion:
        """Nothing moves."""
        return cls(*(np.zeros((2, n_terms), np.float32) for n_terms in (3, 6, 6)))

    def scaled(self, factor: float) -> RigidMotion:
        """The same motion in pixels of an image ``factor`` times as high."""
        return RigidMotion(*(factor * model for model in self.models()))

    def reversed(self) -> RigidMotion:
        """The motion from the other frame to this one; exact to first order in its gradient."""
        return RigidMotion(*(-model for model in self.models()))


def fit_rigid_motion(
    flow: np.ndarray,
    gray: np.ndarray,
    parsing: np.ndarray,
    landmark_shift: np.ndarray | None,
    fits_head: bool = True,
) -> RigidMotion:
    """Fit background, head and torso motion to a flow.

    Args:
        flow: [height, width, 2] backward, pixels.
        gray: [height, width] uint8, frame i; flat places count little, their flow is a guess.
        parsing: [height, width, 5] uint8 memberships (background, head, neck, torso, hands).
        landmark_shift: [2, 3] affine backward motion of the face landmarks, from
            :func:`landmark_motion`; where the head starts its search, since a hand before the face
            moves no landmark model. None if unknown.
        fits_head: False leaves the head's motion at its start, where nobody asks for it.

    The background is affine. The head turns in depth, and one shoulder rises while the other
    stays, so their models are quadratic.
    """
    height, width = gray.shape
    step = max(1, height // 128)
    coarse = (slice(step // 2, None, step), slice(step // 2, None, step))
    positions = normalised_grid(height, width)[coarse]
    shift = flow[coarse]
    gradient = gradient_of(gray)[coarse]
    trust = gradient**2 / (gradient**2 + _HALF_TRUST_GRADIENT**2) + 1e-3
    member = parsing[coarse].astype(np.float32) / 255.0
    scale_px = _FIT_SCALE * height

    def fit(region: np.ndarray, starts: list[np.ndarray], n_terms: int) -> np.ndarray | None:
        inside = region > 0.5
        if inside.mean() < _MIN_REGION:
            return None
        points = np.flatnonzero(inside)
        points = points[:: max(1, len(points) // _N_FIT_POINTS)]
        return fit_flow_model(
            positions.reshape(-1, 2)[points],
            shift.reshape(-1, 2)[points],
            (trust * region).reshape(-1)[points],
            starts,
            scale_px,
            n_terms,
        )

    still = np.zeros((2, 3), np.float32)
    background = fit(member[..., BACKGROUND], [still], 3)
    if background is None:
        background = still
    starts = [background] if landmark_shift is None else [landmark_shift, background]
    head = fit(member[..., HEAD], starts, 6) if fits_head else None
    if head is None:
        head = np.pad(starts[0], ((0, 0), (0, 3)))
    torso = fit(member[..., TORSO], [background, head[:, :3]], 6)
    if torso is None:
        torso = np.pad(head[:, :3], ((0, 0), (0, 3)))
    return RigidMotion(background, head, torso)


def motion_beyond(flow: np.ndarray, near: list[np.ndarray], motion: RigidMotion) -> np.ndarray:
    """Magnitude [height, width] float32, pixels, of the flow that no rigid part nearby explains.

    A pixel may move as any part whose region lies within the bleeding of the flow, or as any
    mixture of two of them (the neck between head and torso, the halo that a dense flow leaves along
    a silhouette): the distance is to the segment between the two motions. What folds and bends is
    not quite rigid: a share of the parts' own speed is no motion beyond it.
    """
    height, width = flow.shape[:2]
    # Planes x and y apart: sums over a last axis of two are slow.
    rigid = _planes(motion, height, width)
    flow_x, flow_y = cv2.split(flow)
    offsets = [(flow_x - x, flow_y - y) for x, y in rigid]
    beyond = np.full((height, width), np.inf, np.float32)
    for is_near, (x, y) in zip(near, offsets, strict=True):
        np.minimum(beyond, x * x + y * y, out=beyond, where=is_near)
    for first, second in ((0, 1), (0, 2), (1, 2)):
        both = np.nonzero(near[first] & near[second])
        if len(both[0]) == 0:
            continue
        x, y = (plane[both] for plane in offsets[first])
        across_x, across_y = (
            plane[both] - start for plane, start in zip(offsets[second], (x, y), strict=True)
        )
        length = across_x * across_x + across_y * across_y + 1e-9
        along = np.clip(-(x * across_x + y * across_y) / length, 0.0, 1.0)
        nearest = (x + along * across_x) ** 2 + (y + along * across_y) ** 2
        beyond[both] = np.minimum(beyond[both], nearest)
    return np.maximum(np.sqrt(beyond) - _FIT_ERROR * _fastest(rigid, near), 0.0)


def _planes(motion: RigidMotion, height: int, width: int) -> list[tuple[np.ndarray, ...]]:
    """Flow of each part at every pixel, as planes (x, y)."""
    return [tuple(cv2.split(evaluate(model, height, width))) for model in motion.models()]


def _fastest(rigid: list[tuple[np.ndarray, ...]], near: list[np.ndarray]) -> np.ndarray:
    """Speed [height, width] of the fastest part nearby, of flows as planes (x, y)."""
    speed = np.zeros(near[0].shape, np.float32)
    for is_near, part in zip(near, rigid, strict=True):
        np.maximum(speed, np.sqrt(part[0] ** 2 + part[1] ** 2), out=speed, where=is_near)
    return speed


def intensity_motion(
    gray: np.ndarray, other_gray: np.ndarray, near: list[np.ndarray], motion: RigidMotion
) -> np.ndarray:
    """Displacement [height, width] float32, pixels, that the intensities show beyond rigid motion.

    In flat places a dense flow is a guess. Moving the other frame by the rigid motion of a part
    nearby leaves differences only where something else moved; their size over the gradient's is a
    displacement (the normal flow): small where a rigid part explains what is seen. As in
    :func:`motion_beyond`, a share of the parts' own speed is no motion beyond it.

    Args:
        gray: [height, width] uint8, frame i. other_gray: the frame before it, or the one after.
        near: from :func:`parts_near` of frame i.
        motion: the flow of the parts from frame i to the other frame.
    """
    height, width = gray.shape
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    spread = _EVIDENCE_SCALE * height
    current = gray.astype(np.float32)
    gradient = cv2.GaussianBlur(gradient_of(gray) ** 2, (0, 0), spread) + _FLAT_GRADIENT**2
    least = np.full((height, width), np.inf, np.float32)
    rigid = _planes(motion, height, width)
    for (shift_x, shift_y), is_near in zip(rigid, near, strict=True):
        moved = cv2.remap(
            other_gray,
            x + shift_x,
            y + shift_y,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        difference = np.abs(current - moved)
        typical = float(np.median(difference[is_near])) if is_near.any() else 0.0
        noise = np.clip(_NOISE_PER_TYPICAL * typical, _GRAY_NOISE, _MAX_GRAY_NOISE)
        difference = np.maximum(difference - noise, 0.0) ** 2
        np.minimum(least, cv2.GaussianBlur(difference, (0, 0), spread), out=least, where=is_near)
    displacement = np.sqrt(least / gradient)
    # The inside of a hand is flat as well: close it from its outline and its fingers.
    size = 2 * max(1, round(_EVIDENCE_REACH * height)) + 1
    square = np.ones((size, size), np.uint8)  # separable, hence fast
    closed = cv2.morphologyEx(displacement, cv2.MORPH_CLOSE, square)
    return np.maximum(closed - _FIT_ERROR * _fastest(rigid, near), 0.0)


def parts_near(parsing: np.ndarray) -> list[np.ndarray]:
    """[height, width] bool for background, head, torso: where the flow may be that part's."""
    radius = max(1, round(_BLEED * parsing.shape[0]))
    neck = parsing[..., NECK]
    body = cv2.max(cv2.max(parsing[..., TORSO], parsing[..., HANDS]), neck)
    regions = (parsing[..., BACKGROUND], cv2.max(parsing[..., HEAD], neck), body)
    return [_dilate(region, radius) > 127 for region in regions]


def gradient_of(gray: np.ndarray) -> np.ndarray:
    """Size of the Sobel gradient of a grey image [height, width] uint8, levels per pixel, float32.

    Sums of whole numbers, since OpenCV's in floating point depend on where in memory they lie.
    """
    dx, dy = (cv2.Sobel(gray, cv2.CV_16S, *axis).astype(np.float32) for axis in ((1, 0), (0, 1)))
    return np.sqrt(dx * dx + dy * dy) / np.float32(8)


def _dilate(region: np.ndarray, radius: int) -> np.ndarray:
    return cv2.dilate(region, np.ones((2 * radius + 1, 2 * radius + 1), np.uint8))
