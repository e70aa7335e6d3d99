"""Where points of the skin are in every frame: optical flow against a few reference frames.

Following points from frame to frame drifts. Here every frame is compared directly with some
reference frames: the template's surface and the poses known so far carry the frame's face onto the
reference's, and dense flow (DIS, Kroeger et al. 2016) measures what is left, a few pixels. Several
references keep the tracks when the head turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from wildtalker_core.geometry.rotations import geodesic_distance
from wildtalker_core.person.head_pose import HeadTrack
from wildtalker_core.pose.options import StabilizerOptions
from wildtalker_core.pose.skin_references import (
    PATCH_PX,
    FrameStack,
    Reference,
    choose_references,
    clearest_faces,
    cut_grey,
)

# Window of the normalised cross-correlation that accepts a match, patch pixels.
_NCC_PX = 15


@dataclass(frozen=True)
class SkinTracks:
    """Observations of skin points; ``k`` references with ``p`` points each, ``s`` per frame.

    Attributes:
        points_head: [k, p, 3] first guess of each point, head units, on the template's surface.
        reference_of: [n, s] int64, the references that each frame was compared with.
        pixels: [n, s, p, 2] where each point of that reference is seen, pixels of the frame.
        is_seen: [n, s, p] bool.
        is_point: [k, p] bool; false where a reference has fewer than p points.
    """

    points_head: np.ndarray
    reference_of: np.ndarray
    pixels: np.ndarray
    is_seen: np.ndarray
    is_point: np.ndarray


def follow_skin(
    frames: FrameStack,
    transient_masks: FrameStack | None,
    landmarks: np.ndarray,
    track: HeadTrack,
    is_face_visible: np.ndarray,
    is_fitted: np.ndarray,
    order: Iterable[int],
    options: StabilizerOptions,
) -> SkinTracks:
    """Find skin points of several reference frames in every frame.

    Args:
        frames: RGB uint8 [height, width, 3] by frame number.
        transient_masks: uint8 [height, width] by frame number, 255 where something passes in front
            of the person; what is seen there is dropped. None keeps everything.
        landmarks: [n, 478, 2] pixels.
        track: coarse poses.
        is_face_visible: [n] bool; other frames are skipped.
        is_fitted: [n] bool; references are chosen among these.
        order: the frame numbers 0 to n - 1 (a progress bar may wrap them).
    """
    height, width = frames[0].shape[:2]
    is_usable = is_face_visible & is_fitted
    if transient_masks is not None:
        is_usable = is_usable & clearest_faces(
            transient_masks, landmarks, is_usable, options.n_references
        )
    # ASSUME: 4 degrees between references: flow crosses that easily, and more cost memory only.
    rotations = track.T_camera_head[:, :3, :3]
    chosen = choose_references(rotations, is_usable, options.n_references, np.radians(4))
    references = [
        Reference(
            frames[i],
            None if transient_masks is None else transient_masks[i],
            landmarks[i],
            track.T_camera_head[i],
            track,
            options.n_skin_points,
        )
        for i in chosen
    ]
    points_head, is_point = _points_of(references)
    reference_of = _compared_references(rotations, chosen, options.n_compared)
    pixels = np.zeros((*reference_of.shape, is_point.shape[1], 2), np.float32)
    is_seen = np.zeros(pixels.shape[:-1], bool)
    # Any: OpenCV annotates the flow to begin with as if it could not be None.
    flow_model: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    flow_model.setFinestScale(1)
    for i in order:
        if not is_face_visible[i]:
            continue
        frame = cv2.cvtColor(frames[i], cv2.COLOR_RGB2GRAY)
        mask = None if transient_masks is None else transient_masks[i]
        for s, k in enumerate(reference_of[i]):
            reference = references[k]
            path = reference.seen_from(track.T_camera_head[i], track.focal_length, height, width)
            at, is_match = _match(flow_model, reference, frame, mask, path)
            pixels[i, s, : len(at)] = at
            is_seen[i, s, : len(at)] = is_match
    return SkinTracks(points_head, reference_of, pixels, is_seen, is_point)


def _points_of(references: list[Reference]) -> tuple[np.ndarray, np.ndarray]:
    """``points_head`` and ``is_point`` of :class:`SkinTracks`."""
    most = max(len(r.points) for r in references)
    points_head = np.zeros((len(references), most, 3))
    is_point = np.zeros((len(references), most), bool)
    for k, reference in enumerate(references):
        column, row = reference.points.T
        is_point[k, : len(column)] = True
        points_head[k, : len(column)] = reference.surface[row, column]
    return points_head, is_point


def _compared_references(rotations: np.ndarray, chosen: list[int], n_compared: int) -> np.ndarray:
    """References that each frame is compared with, [n, s].

    The nearest in pose, the farthest within reach, and some between: the nearest match best, the
    farthest say most about shape.
    """
    turns = torch.from_numpy(rotations)
    away = torch.stack([geodesic_distance(turns, turns[i]) for i in chosen], 1).numpy()
    order = np.argsort(away, 1)
    n_compared = min(n_compared, len(chosen))
    # ASSUME: skin is still recognised by flow when the head has turned by 20 degrees.
    n_within = np.maximum((away < np.radians(20)).sum(1), n_compared)
    ranks = np.round(np.linspace(0, 1, n_compared) * (n_within[:, None] - 1)).astype(int)
    return np.take_along_axis(order, ranks, 1)


def _match(
    flow_model: Any,
    reference: Reference,
    frame: np.ndarray,
    mask: np.ndarray | None,
    path: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where a reference's points are in a frame [p, 2] pixels, and whether they look alike there.

    Args:
        frame: [height, width] grey. mask: of :func:`follow_skin`.
        path: [side, side, 2] frame pixels of the reference's patch.
    """
    # Cut along the path, so that the face lies where the reference's is.
    patch = cut_grey(frame, path)
    flow = flow_model.calc(reference.patch, patch, None)
    y, x = np.mgrid[:PATCH_PX, :PATCH_PX].astype(np.float32)
    moved = np.stack((x, y), -1) + flow
    back = cv2.remap(patch, moved[..., 0], moved[..., 1], cv2.INTER_LINEAR)
    column, row = reference.points.T
    to_x, to_y = moved[row, column].T
    at = cv2.remap(path, to_x[None], to_y[None], cv2.INTER_LINEAR)[0]
    likeness = _cross_correlation(reference.patch, back)[row, column]
    # ASSUME: two views of the same skin correlate above 0.6, blurred ones included; a hand or a
    # strand of hair in front does not.
    is_match = likeness > 0.6
    column, row = np.floor(at.T).astype(int)
    is_inside = (column >= 0) & (column < frame.shape[1]) & (row >= 0) & (row < frame.shape[0])
    is_match &= is_inside
    if mask is not None:
        is_match[is_inside] &= mask[row[is_inside], column[is_inside]] <= 127
    return at, is_match


def _cross_correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Normalised cross-correlation of two grey images in a window around every pixel."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    size = (_NCC_PX, _NCC_PX)
    mean_a, mean_b = cv2.blur(a, size), cv2.blur(b, size)
    product = cv2.blur(a * b, size) - mean_a * mean_b
    var_a = cv2.blur(a * a, size) - mean_a**2
    var_b = cv2.blur(b * b, size) - mean_b**2
    # One grey level of noise keeps flat skin from correlating by chance.
    return product / np.sqrt((var_a + 1) * (var_b + 1))
