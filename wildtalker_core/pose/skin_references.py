"""Reference frames of the skin tracks: which ones, and their faces as patches with a surface."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from wildtalker_core.geometry.cameras import project, unproject
from wildtalker_core.geometry.rotations import geodesic_distance, invert_rigid, transform_points
from wildtalker_core.person import landmarks as lm
from wildtalker_core.person.head_pose import HeadTrack

#: Side of the square that a reference face is brought to; flow costs its area.
PATCH_PX = 160


@runtime_checkable
class FrameStack(Protocol):
    """Anything indexed by frame."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> np.ndarray: ...


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
        mask = transient_masks[int(i)]
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


class Reference:
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
        scale = 1.12 * (high - low).max() / PATCH_PX
        corner = (low + high) / 2 - scale * PATCH_PX / 2
        x, y = np.meshgrid(np.arange(PATCH_PX) + 0.5, np.arange(PATCH_PX) + 0.5)
        pixels = np.stack((x, y), -1).reshape(-1, 2) * scale + corner
        self.surface = (
            _lift(pixels, pose, track, height, width)
            .reshape(PATCH_PX, PATCH_PX, 3)
            .astype(np.float32)
        )
        at = pixels.reshape(PATCH_PX, PATCH_PX, 2).astype(np.float32)
        self.patch = cut_grey(frame, at)
        skin = steady_skin(landmarks, height, width)
        if mask is not None:
            skin[mask > 127] = 0
        self.points = _spread_points(self.patch, cut_grey(skin, at), n_points)

    def seen_from(
        self, pose: np.ndarray, focal_length: float, height: int, width: int
    ) -> np.ndarray:
        """Where the surface under every patch pixel is seen in a frame, [side, side, 2] pixels."""
        pose = pose.astype(np.float32)
        in_camera = self.surface.reshape(-1, 3) @ pose[:3, :3].T + pose[:3, 3]
        seen = in_camera[:, :2] / in_camera[:, 2:] * np.float32(focal_length)
        return (seen + np.array((width / 2, height / 2), np.float32)).reshape(PATCH_PX, PATCH_PX, 2)


def cut_grey(image: np.ndarray, at: np.ndarray) -> np.ndarray:
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
    for y in range(0, PATCH_PX, cell):
        for x in range(0, PATCH_PX, cell):
            part = texture[y : y + cell, x : x + cell]
            row, column = np.unravel_index(part.argmax(), part.shape)
            if part[row, column] > 0:
                found.append((part[row, column], x + column, y + row))
    found.sort(reverse=True)
    return np.array([(x, y) for _, x, y in found[:n_points]], np.int64).reshape(-1, 2)


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
