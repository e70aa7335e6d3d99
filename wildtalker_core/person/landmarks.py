"""The 478 landmarks of MediaPipe's refined face mesh: which is which, and boxes around some.

"Left" and "right" are the person's, as in MediaPipe and ARKit; the person's right is at the
picture's left.
"""

from __future__ import annotations

import numpy as np

N_LANDMARKS = 478

# Closed curves, in order around the shape.
# fmt: off
FACE_CONTOUR = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400,
                377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67,
                109)
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40,
              185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80,
              191)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
# From temple to temple under the chin: the lower half of the contour, person's right to left.
JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361,
       323, 454)

#: Points that move with the skull: nose, eye corners, forehead, temples, cheekbones.
RIGID_POINTS = (1, 4, 5, 195, 197, 6, 168, 8, 9, 151, 10, 108, 337, 109, 338, 67, 297, 69, 299, 104,
                333, 103, 332, 54, 284, 21, 251, 162, 389, 127, 356, 234, 454, 133, 362, 33, 263,
                193, 417, 122, 351, 196, 419, 114, 343, 116, 345)

#: The mouth of the 68-point scheme (its points 48 to 67) within the mesh, in that scheme's order.
MOUTH_OF_68 = (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14,
               178)
# fmt: on

NOSE_TIP, FOREHEAD, CHIN = 4, 10, 152
RIGHT_CONTOUR, LEFT_CONTOUR = 234, 454
RIGHT_EYE_CORNER, LEFT_EYE_CORNER = 33, 263  # outer corners
RIGHT_EYE_INNER, LEFT_EYE_INNER = 133, 362
UPPER_LIP_INNER, LOWER_LIP_INNER = 13, 14
#: Points of the inner lips that face each other, from the person's right to the left.
UPPER_LIP_EDGE = (191, 80, 81, 82, 13, 312, 311, 310)
LOWER_LIP_EDGE = (95, 88, 178, 87, 14, 317, 402, 318)


def face_box(landmarks: np.ndarray, height: int, width: int, margin: float) -> np.ndarray:
    """Box around the face contour [n, 4] int64: x0, y0, x1, y1, half open, inside the image.

    Args:
        landmarks: [n, 478, 2] pixels.
        height, width: of the image, pixels.
        margin: added on each side, as a share of the contour's width or height.
    """
    contour = landmarks[:, list(FACE_CONTOUR)]
    low, high = contour.min(1), contour.max(1)
    reach = margin * (high - low)
    return _clip_boxes(np.concatenate((low - reach, high + reach), 1), height, width)


def lip_box(
    landmarks: np.ndarray, height: int, width: int, margin: float, is_fitted: np.ndarray
) -> np.ndarray:
    """Square box around the lips [n, 4] int64: x0, y0, x1, y1, half open, inside the image.

    The square keeps one size over the clip (that of the widest mouth in frames that are
    ``is_fitted`` [n] bool), so that lip patches need no
    resizing; near the border it is moved, not cut.

    Args:
        landmarks: [n, 478, 2] pixels.
        height, width: of the image, pixels.
        margin: added on each side, as a share of the mouth's size.
    """
    lips = landmarks[:, list(LIPS_OUTER)]
    low, high = lips.min(1), lips.max(1)
    # ASSUME: the 99th percentile, so that one bad frame does not blow up every patch.
    size = np.percentile((high - low).max(1)[is_fitted], 99) * (1 + 2 * margin)
    size_px = int(np.clip(np.ceil(size), 2, min(height, width)))
    corner = np.round((low + high) / 2 - size_px / 2).astype(np.int64)
    corner = np.clip(corner, 0, np.array([width - size_px, height - size_px]))
    return np.concatenate((corner, corner + size_px), 1)


def _clip_boxes(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    limit = np.array([width, height])
    low = np.clip(np.floor(boxes[:, :2]), 0, limit - 1)
    high = np.clip(np.ceil(boxes[:, 2:]), low + 1, limit)
    return np.concatenate((low, high), 1).astype(np.int64)
