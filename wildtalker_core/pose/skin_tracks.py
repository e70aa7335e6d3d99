"""Where points of the skin are in every frame: optical flow against a few reference frames.

Following points from frame to frame drifts. Here every frame is compared directly with some
reference frames: the template's surface and the poses known so far carry the frame's face onto the
reference's, and dense flow (DIS, Kroeger et al. 2016) measures what is left, a few pixels. Several
references keep the tracks when the head turns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from wildtalker_core.geometry.cameras import project, unproject
from wildtalker_core.geometry.rotations import geodesic_distance, invert_rigid, transform_points
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.head_pose import HeadTrack

# Side of the square that a reference face is brought to; flow costs its area.
_PATCH_PX = 160
# Window of the normalised cross-correlation that accepts a match, patch pixels.
_NCC_PX = 15


class FrameStack(Protocol):
    """Anything indexed by frame."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


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


def choose_references(
    rotations: np.ndarray, is_usable: np.ndarray, n_most: int, min_angle_radians: float
) -> list[int]:
    """Frames that cover the head's poses: each new one is the farthest from those chosen.

    Args:
        rotations: [n, 3, 3].
        is_usable: [n] bool.
        n_most: at most so many.
        min_angle_radians: no two are nearer than this, except that the third part of them are
            spread over time whatever their pose, since light and skin change.
    """
    usable = np.flatnonzero(is_usable)
    turns = torch.from_numpy(rotations[usable])
    in_time = np.linspace(0, len(usable) - 1, 2 * max(1, n_most // 3) + 1).astype(int)[1::2]
    chosen = sorted(set(in_time.tolist()))
    distance = torch.stack([geodesic_distance(turns, turns[i]) for i in chosen]).min(0).values
    while len(chosen) < min(n_most, len(usable)) and distance.max() > min_angle_radians:
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, geodesic_distance(turns, turns[chosen[-1]]))
    return sorted(int(usable[i]) for i in chosen)


def clearest_faces(
    transient_masks: FrameStack, landmarks: np.ndarray, is_usable: np.ndarray, n_wanted: int
) -> np.ndarray:
    """Frames [n] bool whose face is hardly behind anything, at least ``n_wanted`` where there are.

    A reference whose face is half hidden has few points, and a pose that the landmarks had to
    guess. Arguments as of :func:`follow_skin`, and is_usable [n] bool.
    """
    hidden_share = np.ones(len(landmarks))
    for i in np.flatnonzero(is_usable):
        mask = transient_masks[i]
        x, y = np.floor(landmarks[i, list(lm.RIGID_POINTS)].T).astype(int)
        x, y = np.clip(x, 0, mask.shape[1] - 1), np.clip(y, 0, mask.shape[0] - 1)
        hidden_share[i] = (mask[y, x] > 127).mean()
    # ASSUME: a tenth of the face may be hidden; if that leaves too few frames, the clearest serve.
    shares = np.sort(hidden_share[is_usable])
    limit = shares[min(n_wanted, len(shares)) - 1] if len(shares) else 1.0
    return hidden_share <= max(0.1, limit)


def steady_skin(landmarks: np.ndarray, height: int, width: int) -> np.ndarray:
    """Mask [height, width] uint8 of skin that moves with the skull, from landmarks [478, 2].

    The face above the nose's base without eyes and brows: what is below moves with speech.
    """
    mask = np.zeros((height, width), np.uint8)
    contour = landmarks[list(lm.FACE_CONTOUR)]
    centre = contour.mean(0)
    hull = cv2.convexHull(np.round(centre + 0.94 * (contour - centre)).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, (255,))
    face_px = float(np.linalg.norm(landmarks[lm.LEFT_CONTOUR] - landmarks[lm.RIGHT_CONTOUR]))
    grow = np.ones((2 * max(1, round(0.02 * face_px)) + 1,) * 2, np.uint8)
    moving = np.zeros_like(mask)
    for outline in (lm.LEFT_EYE, lm.RIGHT_EYE, lm.LEFT_BROW, lm.RIGHT_BROW, lm.LIPS_OUTER):
        hull = cv2.convexHull(np.round(landmarks[list(outline)]).astype(np.int32))
        cv2.fillConvexPoly(moving, hull, (255,))
    mask[cv2.dilate(moving, grow) > 0] = 0
    down = landmarks[lm.CHIN] - landmarks[lm.FOREHEAD]
    y, x = np.mgrid[:height, :width]
    # Point 2 is the nose's base.
    below = (x - landmarks[2, 0]) * down[0] + (y - landmarks[2, 1]) * down[1] > 0
    mask[below] = 0
    return mask


class _Reference:
    """A reference frame's face as a square patch with a surface under every pixel.

    Attributes:
        patch: grey image, uint8.
        surface: [side, side, 3] float32 head point under each patch pixel.
        points: [<= n_points, 2] well-textured patch pixels on steady skin.
    """

    def __init__(
        self,
        frame: np.ndarray,
        mask: np.ndarray | None,
        landmarks: np.ndarray,
        pose: np.ndarray,
        track: HeadTrack,
        n_points: int,
    ) -> None:
        height, width = frame.shape[:2]
        contour = landmarks[list(lm.FACE_CONTOUR)]
        low, high = contour.min(0), contour.max(0)
        scale = 1.12 * (high - low).max() / _PATCH_PX
        corner = (low + high) / 2 - scale * _PATCH_PX / 2
        x, y = np.meshgrid(np.arange(_PATCH_PX) + 0.5, np.arange(_PATCH_PX) + 0.5)
        pixels = np.stack((x, y), -1).reshape(-1, 2) * scale + corner
        self.surface = (
            _lift(pixels, pose, track, height, width)
            .reshape(_PATCH_PX, _PATCH_PX, 3)
            .astype(np.float32)
        )
        at = pixels.reshape(_PATCH_PX, _PATCH_PX, 2).astype(np.float32)
        self.patch = _cut(frame, at)
        skin = steady_skin(landmarks, height, width)
        if mask is not None:
            skin[mask > 127] = 0
        self.points = _spread_points(self.patch, _cut(skin, at), n_points)

    def seen_from(
        self, pose: np.ndarray, focal_length: float, height: int, width: int
    ) -> np.ndarray:
        """Where the surface under every patch pixel is seen in a frame, [side, side, 2] pixels."""
        pose = pose.astype(np.float32)
        in_camera = self.surface.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
        seen = in_camera[:, :2] / in_camera[:, 2:] * np.float32(focal_length)
        return (seen + np.array((width / 2, height / 2), np.float32)).reshape(
            _PATCH_PX, _PATCH_PX, 2
        )


def _cut(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    """An image at continuous pixels [h, w, 2], grey."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # OpenCV counts pixels from their centres.
    x, y = at[..., 0] - 0.5, at[..., 1] - 0.5
    return cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _spread_points(patch: np.ndarray, allowed: np.ndarray, n_points: int) -> np.ndarray:
    """Well-textured points, the best of each cell of a grid, [<= n_points, 2] patch pixels."""
    texture = cv2.cornerMinEigenVal(patch, 7)
    texture[allowed == 0] = -1
    cell = max(4, int(np.sqrt((allowed > 0).sum() / max(n_points, 1))))
    found = []
    for y in range(0, _PATCH_PX, cell):
        for x in range(0, _PATCH_PX, cell):
            part = texture[y : y + cell, x : x + cell]
            row, column = np.unravel_index(part.argmax(), part.shape)
            if part[row, column] > 0:
                found.append((part[row, column], x + column, y + row))
    found.sort(reverse=True)
    return np.array([(x, y) for _, x, y in found[:n_points]], np.int64).reshape(-1, 2)


def follow_skin(
    frames: FrameStack,
    transient_masks: FrameStack | None,
    landmarks: np.ndarray,
    track: HeadTrack,
    is_face_visible: np.ndarray,
    is_fitted: np.ndarray,
    order: Iterable[int],
    n_references: int,
    n_points: int,
    n_compared: int,
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
        n_references: at most so many reference frames.
        n_points: at most so many points in each.
        n_compared: references that each frame is compared with, the nearest in pose.
    """
    height, width = frames[0].shape[:2]
    is_usable = is_face_visible & is_fitted
    if transient_masks is not None:
        is_usable = is_usable & clearest_faces(transient_masks, landmarks, is_usable, n_references)
    # ASSUME: 4 degrees between references: flow crosses that easily, and more cost memory only.
    chosen = choose_references(
        track.T_camera_head[:, :3, :3], is_usable, n_references, np.radians(4)
    )
    references = [
        _Reference(
            frames[i],
            None if transient_masks is None else transient_masks[i],
            landmarks[i],
            track.T_camera_head[i],
            track,
            n_points,
        )
        for i in chosen
    ]
    most = max(len(r.points) for r in references)
    points_head = np.zeros((len(chosen), most, 3))
    is_point = np.zeros((len(chosen), most), bool)
    for k, reference in enumerate(references):
        column, row = reference.points.T
        is_point[k, : len(column)] = True
        points_head[k, : len(column)] = reference.surface[row, column]

    reference_of = _compared_references(track.T_camera_head[:, :3, :3], chosen, n_compared)
    pixels = np.zeros((*reference_of.shape, most, 2), np.float32)
    is_seen = np.zeros((*reference_of.shape, most), bool)
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
            at, is_match = _match(flow_model, reference, _cut(frame, path), path)
            column, row = np.floor(at.T).astype(int)
            is_inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            is_match &= is_inside
            if mask is not None:
                is_match[is_inside] &= mask[row[is_inside], column[is_inside]] <= 127
            pixels[i, s, : len(at)] = at
            is_seen[i, s, : len(at)] = is_match
    return SkinTracks(points_head, reference_of, pixels, is_seen, is_point)


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
    flow_model: Any, reference: _Reference, patch: np.ndarray, path: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where a reference's points are in a frame [p, 2] pixels, and whether they look alike there.

    Args:
        patch: the frame as cut along ``path``, so that the face lies where the reference's is.
        path: [side, side, 2] frame pixels of the patch's.
    """
    flow = flow_model.calc(reference.patch, patch, None)
    y, x = np.mgrid[:_PATCH_PX, :_PATCH_PX].astype(np.float32)
    moved = np.stack((x, y), -1) + flow
    back = cv2.remap(patch, moved[..., 0], moved[..., 1], cv2.INTER_LINEAR)
    column, row = reference.points.T
    to_x, to_y = moved[row, column].T
    at = cv2.remap(path, to_x[None], to_y[None], cv2.INTER_LINEAR)[0]
    likeness = _cross_correlation(reference.patch, back)[row, column]
    # ASSUME: two views of the same skin correlate above 0.6, blurred ones included; a hand or a
    # strand of hair in front does not.
    return at, likeness > 0.6


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


def _lift(
    pixels: np.ndarray, pose: np.ndarray, track: HeadTrack, height: int, width: int
) -> np.ndarray:
    """Head points on the template's surface that are seen at pixels [p, 2]; beside it, the depth
    of its nearest point."""
    T_camera_head, template = torch.from_numpy(pose), torch.from_numpy(track.template)
    # Without the irises: they lie on the eyes.
    in_camera = transform_points(T_camera_head, template[:468])
    seen = project(in_camera, track.focal_length, height, width).numpy()
    depth = LinearNDInterpolator(seen, in_camera[:, 2].numpy())(pixels)
    is_beside = np.isnan(depth)
    nearest = NearestNDInterpolator(seen, in_camera[:, 2].numpy())
    depth[is_beside] = nearest(pixels[is_beside])
    points_camera = unproject(
        torch.from_numpy(pixels), torch.from_numpy(depth), track.focal_length, height, width
    )
    return transform_points(invert_rigid(T_camera_head), points_camera).numpy()
