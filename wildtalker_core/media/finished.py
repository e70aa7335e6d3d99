"""Finished videos that say of themselves that they are synthetic, with or without alpha."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from wildtalker_core.errors import InputError
from wildtalker_core.media.container import url_of
from wildtalker_core.media.files import AnyPath, atomic_path
from wildtalker_core.media.image import write_image
from wildtalker_core.media.label import labelled
from wildtalker_core.media.video_writer import VideoWriter

_ALPHA = {".webm": ("libvpx-vp9", "yuva420p", {"crf": "24", "b": "0", "deadline": "realtime"}),
          ".mov": ("prores_ks", "yuva444p10le", {"profile": "4444"})}  # fmt: skip


def finished_video(
    path: AnyPath,
    fps: float,
    sound_path: AnyPath,
    crf: int,
    note: str,
    has_alpha: bool,
    label: np.ndarray | None,
) -> Labelled:
    """A writer of pictures [h, w, 3] (``.mp4``) or [h, w, 4] (``.webm``, ``.mov``, a folder).

    Alpha files have no sound: they are laid over other pictures, whose sound is mixed there.

    Args:
        note: kept in the file's metadata.
        label: [h, w] of ``label_plate``, shown in a corner, or None.

    Raises InputError: an ending that cannot hold this.
    """
    suffix = Path(path).suffix.lower()
    endings = (*_ALPHA, "") if has_alpha else (".mp4",)
    if suffix not in endings:
        wanted = ".webm, .mov or a folder" if has_alpha else ".mp4"
        raise InputError(path, f"has the ending {suffix or 'of a folder'}", f"use {wanted}")
    if suffix == ".mp4":
        return Labelled(VideoWriter(path, fps, sound_path, crf, note=note), label)
    writer = PictureFolder(path) if suffix == "" else AlphaWriter(path, fps, note)
    return Labelled(writer, label)


class Labelled:
    """A writer with a text in the lower left corner of every picture, or without."""

    def __init__(self, writer: Any, label: np.ndarray | None) -> None:
        self._writer, self._label = writer, label

    def __enter__(self) -> Labelled:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._writer.__exit__(*error)

    @property
    def n_written(self) -> int:
        return self._writer.n_written

    def append(self, image: np.ndarray) -> None:
        if self._label is not None:
            image = labelled(image, self._label)
        self._writer.append(image)


class AlphaWriter:
    """VP9 or ProRes 4444 with alpha, from [h, w, 4] uint8, not premultiplied; no sound."""

    def __init__(self, path: AnyPath, fps: float, note: str) -> None:
        self.path, self.fps, self.n_written = Path(path), fps, 0
        self._note = note
        self._stream: Any = None

    def __enter__(self) -> AlphaWriter:
        self._atomic = atomic_path(self.path)
        self._container = av.open(url_of(self._atomic.__enter__()), "w")
        self._container.metadata["comment"] = self._note
        return self

    def append(self, image: np.ndarray) -> None:
        """Add one picture [h, w, 4]."""
        codec, form, options = _ALPHA[self.path.suffix.lower()]
        rate = Fraction(self.fps).limit_denominator(1001)
        if self._stream is None:
            self._stream = self._container.add_stream(codec, rate, options=options)
            self._stream.height, self._stream.width = image.shape[:2]
            self._stream.pix_fmt = form
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgba")
        frame = frame.reformat(format=form)
        frame.pts, frame.time_base = self.n_written, 1 / rate
        self._container.mux(self._stream.encode(frame))
        self.n_written += 1

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool | None:
        try:
            if kind is None and self._stream is not None:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except BaseException as failure:
            self._atomic.__exit__(type(failure), failure, failure.__traceback__)
            raise
        return self._atomic.__exit__(kind, error, trace)


class PictureFolder:
    """PNG files 00000.png, 00001.png, ... in a new folder."""

    def __init__(self, path: AnyPath) -> None:
        self.path, self.n_written = Path(path), 0

    def __enter__(self) -> PictureFolder:
        if self.path.exists():
            raise InputError(self.path, "exists", "name a new folder")
        self._atomic = atomic_path(self.path)
        self._partial = self._atomic.__enter__()
        self._partial.mkdir()
        return self

    def append(self, image: np.ndarray) -> None:
        """Add one picture [h, w, 3 or 4]."""
        write_image(self._partial / f"{self.n_written:05d}.png", image)
        self.n_written += 1

    def __exit__(self, *error: Any) -> bool | None:
        return self._atomic.__exit__(*error)
