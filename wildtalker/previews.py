"""Pictures of a portrait in the making, from what the workflow has finished so far."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.frame_store import FrameStore
from wildtalker_core.occlusion.overlay import colour_mask, colour_parsing

#: The method that a config gives without naming one.
METHOD = "wildtalker_splats"
_FRAMES = "media/frames.zarr.zip"
_MASKS = "occlusion/transient_mask.zarr.zip"
_N_LOOKED_AT = 12
_WIDTH_PX = 640


class Previews:
    """JPEG files of one clip's results, drawn again only when what they show has changed.

    Args:
        clip_dir: ``results/{clip}``; need not exist yet.
    """

    def __init__(self, clip_dir: Path) -> None:
        self._clip_dir = clip_dir
        self._drawn: dict[str, tuple[int, bytes | None]] = {}

    def versions(self) -> dict[str, str]:
        """Names of the pictures that there are, each with a number that changes with it."""
        for name, (source, draw) in _PICTURES.items():
            try:
                version = _changed_at(self._clip_dir / source)
                if version is not None and self._drawn.get(name, (None,))[0] != version:
                    self._drawn[name] = (version, _jpeg(draw(self._clip_dir)))
            except (InputError, OSError):
                continue  # the run that made it was just deleted or begun anew
        return {name: str(version) for name, (version, jpeg) in self._drawn.items() if jpeg}

    def jpeg(self, name: str) -> bytes | None:
        """The picture that :meth:`versions` has named last; None where there is none."""
        return self._drawn.get(name, (0, None))[1]


def _crop(clip_dir: Path) -> np.ndarray:
    frames = FrameStore(clip_dir / _FRAMES)
    return frames[len(frames) // 2]


def _parsing(clip_dir: Path) -> np.ndarray:
    frames, parsing = (
        FrameStore(clip_dir / _FRAMES),
        FrameStore(clip_dir / "person/parsing.zarr.zip"),
    )
    return colour_parsing(frames[len(frames) // 2], parsing[len(frames) // 2])


def _masks(clip_dir: Path) -> np.ndarray:
    frame = _most_masked(clip_dir)
    masks = FrameStore(clip_dir / _MASKS)
    return colour_mask(FrameStore(clip_dir / _FRAMES)[frame], masks[frame])


def _hand_free(clip_dir: Path) -> np.ndarray:
    return FrameStore(clip_dir / "occlusion/hand_free.zarr.zip")[_most_masked(clip_dir)]


def _most_masked(clip_dir: Path) -> int:
    """Of a dozen frames all over the clip the one of which most is masked."""
    masks = FrameStore(clip_dir / _MASKS)
    frames = np.linspace(0, len(masks) - 1, _N_LOOKED_AT).astype(int)
    return int(frames[np.argmax([masks[i].sum(dtype=np.int64) for i in frames])])


def _portrait(clip_dir: Path) -> np.ndarray | None:
    """The training's last preview: an unseen frame, and right of it the portrait's."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(clip_dir / _TENSORBOARD), {"images": 1}).Reload()
    if "preview" not in events.Tags()["images"]:
        return None
    png = np.frombuffer(events.Images("preview")[-1].encoded_image_string, np.uint8)
    return cv2.imdecode(png, cv2.IMREAD_COLOR)[..., ::-1]


_TENSORBOARD = f"train/{METHOD}/tensorboard/splats"
#: Name, what it is drawn from (the file that comes last), how; in the order in which they appear.
_PICTURES: dict[str, tuple[str, Callable[[Path], np.ndarray | None]]] = {
    "crop": (_FRAMES, _crop),
    "parsing": ("person/parsing.zarr.zip", _parsing),
    "masks": (_MASKS, _masks),
    "hand_free": ("occlusion/hand_free.zarr.zip", _hand_free),
    "portrait": (_TENSORBOARD, _portrait),
}


def _changed_at(path: Path) -> int | None:
    """When a file, or the newest file of a folder, was last written, nanoseconds."""
    files = path.iterdir() if path.is_dir() else [path]
    return max((file.stat().st_mtime_ns for file in files if file.exists()), default=None)


def _jpeg(picture: np.ndarray | None) -> bytes | None:
    if picture is None:
        return None
    height, width = picture.shape[:2]
    if width > _WIDTH_PX:
        size = (_WIDTH_PX, round(height * _WIDTH_PX / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()
