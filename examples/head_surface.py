"""The head of the photograph as a height field over its face mesh."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import grey_erosion

#: Points of the face mesh.
CHIN, FOREHEAD = 152, 10

# ASSUME: a height field no steeper than this keeps every pixel in sight at 25 degrees of yaw: cos -
# 1.15 sin > 0.4.
MAX_SLOPE = 1.15


def _limit_slope(depth: np.ndarray, rise_per_cell: float) -> np.ndarray:
    """Largest surface below `depth` [rows, columns] that rises by at most `rise_per_cell` from cell
    to cell."""
    reach = rise_per_cell * np.hypot(*np.mgrid[-1:2, -1:2])
    limited = depth
    for _ in range(max(depth.shape)):
        before, limited = limited, grey_erosion(limited, structure=-reach, mode="nearest")
        if np.array_equal(before, limited):
            break
    return limited


def head_depth(mesh: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Depth [rows, columns] of the head in photograph pixels, 0 at the nose bridge, positive away
    from the camera.

    Thin-plate interpolation of the face mesh, of a dome of hair (as deep as the ears at its rim)
    and of the neck.
    """
    points, depths = [mesh[:468, :2]], [mesh[:468, 2] - mesh[168, 2]]
    ear = float(np.mean([mesh[234, 2], mesh[454, 2]]) - mesh[168, 2])
    front = float(mesh[FOREHEAD, 2] - mesh[168, 2])
    # ASSUME: the hair is a dome around the face; its centre and radii fit the photograph's
    # silhouette.
    centre, radii = np.array([226.0, 92.0]), np.array([74.0, 80.0])
    for radius in (0.7, 0.8, 0.9, 1.0, 1.1):
        for angle in np.linspace(-1.12 * np.pi, 0.12 * np.pi, 36):
            spot = centre + radius * radii * np.array([np.cos(angle), np.sin(angle)])
            if np.linalg.norm(mesh[:468, :2] - spot, axis=1).min() > 12.0:
                points.append(spot[None])
                depths.append(np.array([ear + 6.0 - (ear + 12.0 - front) * (1.0 - radius**2)]))
    neck = [
        (222, 200, 26),
        (196, 196, 36),
        (250, 194, 36),
        (222, 224, 26),
        (190, 224, 36),
        (258, 224, 36),
    ]
    points.append(np.array([[x, y] for x, y, _ in neck], float))
    depths.append(np.array([z for *_, z in neck], float))
    surface = RBFInterpolator(np.concatenate(points), np.concatenate(depths), smoothing=12.0)
    step = 3
    rows, columns = shape
    ys, xs = np.mgrid[0:rows:step, 0:columns:step]
    coarse = surface(np.stack([xs.ravel(), ys.ravel()], 1).astype(float)).reshape(xs.shape)
    coarse = np.clip(coarse, -30.0, ear + 14.0)
    coarse = _limit_slope(coarse, MAX_SLOPE * step).astype(np.float32)
    fine = cv2.resize(
        coarse, (coarse.shape[1] * step, coarse.shape[0] * step), interpolation=cv2.INTER_CUBIC
    )
    shift = np.array([[1, 0, -(step - 1) / 2], [0, 1, -(step - 1) / 2]], np.float32)
    fine = cv2.warpAffine(fine, shift, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    return cv2.GaussianBlur(fine, (0, 0), 3.0)
