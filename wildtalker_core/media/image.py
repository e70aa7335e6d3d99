"""Single pictures: read, write, resize."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from scipy.spatial import cKDTree

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath, atomic_path


def read_image(path: AnyPath) -> np.ndarray:
    """Read a picture as [height, width, 3] uint8 RGB. Raises InputError if it cannot be read."""
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "does not exist", "correct the path or run the rule that makes it")
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(path, f"is not a readable picture ({error})", "make it again") from error


def write_image(path: AnyPath, image: np.ndarray) -> None:
    """Write [height, width(, 3 or 4)] uint8 as png or jpg (by suffix), atomically."""
    if image.dtype != np.uint8:
        raise ValueError(f"{path}: picture of {image.dtype}, want uint8")
    with atomic_path(path) as partial:
        Image.fromarray(image).save(partial)


def fill_nearest(image: np.ndarray, where: np.ndarray, known: np.ndarray) -> None:
    """Give pixels ``where`` of [height, width, channels] the value of the nearest known one.

    In place. Masks are [height, width] bool; without a known pixel nothing is filled.
    """
    if where.any() and known.any():
        _, nearest = cKDTree(np.argwhere(known)).query(np.argwhere(where))
        image[where] = image[known][nearest]


def at_most(image: np.ndarray, height_px: int) -> np.ndarray:
    """An image [height, width(, channels)], shrunk to ``height_px`` (areas averaged) if higher."""
    shrink = height_px / len(image)
    if shrink >= 1.0:
        return image
    size = (round(image.shape[1] * shrink), height_px)
    if image.ndim == 3 and image.shape[2] > 4:
        # OpenCV averages areas of four channels at most where the sizes are no multiples.
        parts = [image[..., i : i + 4] for i in range(0, image.shape[2], 4)]
        return np.dstack([cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in parts])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def resize_image(image: np.ndarray, size_px: int) -> np.ndarray:
    """As :func:`resize_to_shape`, to a square of ``size_px``."""
    return resize_to_shape(image, (size_px, size_px))


def resize_to_shape(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize [height, width, channels] to the height and width ``shape``.

    Shrinking averages areas (no aliasing); growing interpolates by cubics.
    """
    if image.shape[:2] == shape:
        return image
    method = cv2.INTER_AREA if image.shape[0] > shape[0] else cv2.INTER_CUBIC
    return cv2.resize(image, shape[::-1], interpolation=method)
