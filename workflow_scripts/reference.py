"""The hand-free frames that portraits are scored against and shown beside."""

from __future__ import annotations

from typing import Any

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.crop import Crop
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.video import read_video


def read_reference(
    reference_path: str, manifest: dict[str, Any], frames: np.ndarray
) -> list[np.ndarray]:
    """The reference's frames by number, cropped and sized as the clip was.

    Args:
        reference_path: a store of the clip's own frames, or a video at the clip's size and rate.
        frames: [k] numbers of the clip's frames.

    Raises InputError if a video ends before one of them.
    """
    if reference_path.endswith(".zarr.zip"):
        store = FrameStore(reference_path)
        return [store[int(i)] for i in frames]
    crop, size_px = Crop(**manifest["crop"]), int(manifest["size_px"])
    source_frames = np.asarray(manifest["source_frames"], int)[frames]
    wanted = set(source_frames.tolist())
    found: dict[int, np.ndarray] = {}
    for number, (frame, _) in enumerate(read_video(reference_path)):
        if number in wanted:
            found[number] = resize_image(np.ascontiguousarray(crop.of(frame)), size_px)
    missing = wanted - set(found)
    if missing:
        raise InputError(
            reference_path,
            f"ends before frame {max(missing)} of the clip that it is the truth of",
            "make the truth again with the clip",
        )
    return [found[int(number)] for number in source_frames]
