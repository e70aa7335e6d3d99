"""The hand-free frames that portraits are scored against and shown beside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.crop import Crop
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.media.image import resize_image
from wildtalker_core.media.video import read_video


def read_reference(
    reference_path: str, manifest: dict[str, Any], frames: np.ndarray
) -> Iterator[np.ndarray]:
    """The reference's frames by number, one at a time, cropped and sized as the clip was.

    Args:
        reference_path: a store of the clip's own frames, or a video at the clip's size and rate.
        frames: [k] numbers of the clip's frames, ascending.

    Raises InputError if a video ends before one of them.
    """
    if reference_path.endswith(".zarr.zip"):
        store = FrameStore(reference_path)
        yield from (store[int(i)] for i in frames)
        return
    crop, size_px = Crop(**manifest["crop"]), int(manifest["size_px"])
    wanted = Counter(int(i) for i in np.asarray(manifest["source_frames"], int)[frames])
    last = max(wanted, default=-1)
    for number, (frame, _) in enumerate(read_video(reference_path)):
        if number in wanted:
            picture = resize_image(np.ascontiguousarray(crop.of(frame)), size_px)
            # A source frame is shown again where the clip's rate is the higher one.
            yield from (picture for _ in range(wanted[number]))
        if number == last:
            return
    raise InputError(
        reference_path,
        f"ends before frame {last} of the clip that it is the truth of",
        "make the truth again with the clip",
    )
