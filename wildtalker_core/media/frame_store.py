"""Image-like stacks on disk: one frame a chunk, lossless, random access, one file.

A store is a Zarr array in a zip file (``*.zarr.zip``): chunks of one frame let a training batch
read any frame without its neighbours, and a single file is moved into place atomically and is
kind to the file counts of cluster file systems.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import ZipStore

from wildtalker_core.errors import InputError
from wildtalker_core.media.files import AnyPath, atomic_path

_NAME = "frames"


class FrameStore:
    """Read-only stack ``[frames, height, width(, channels)]``; index it like an array.

    ``store[i]`` is one frame, ``store[a:b]`` and ``store[[3, 1, 4]]`` are stacks, in the order
    asked for. Only the frames asked for are read. Opened lazily, so a store may be handed to
    another process.
    """

    def __init__(self, path: AnyPath) -> None:
        self.path = Path(path)
        self._array: zarr.Array | None = None
        self._lock = threading.Lock()
        self._open()

    def _open(self) -> zarr.Array:
        with self._lock:
            if self._array is None:
                try:
                    group = zarr.open_group(ZipStore(self.path, mode="r"), mode="r")
                    found = group[_NAME]
                    if not isinstance(found, zarr.Array):
                        raise TypeError(f"{_NAME} is no array")
                    self._array = found
                except FileNotFoundError:
                    raise InputError(
                        self.path, "does not exist", "run the rule that makes it"
                    ) from None
                except Exception as error:
                    raise InputError(
                        self.path, f"is not a frame store ({error})", "make it again"
                    ) from error
            return self._array

    def __getstate__(self) -> dict:
        return {"path": self.path}

    def __setstate__(self, state: dict) -> None:
        self.path, self._array, self._lock = state["path"], None, threading.Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._open().shape)

    @property
    def dtype(self) -> np.dtype:
        return self._open().dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int | slice | list[int] | np.ndarray) -> np.ndarray:
        array, n_frames = self._open(), len(self)
        if isinstance(index, (int, np.integer)):
            if not -n_frames <= index < n_frames:
                raise IndexError(f"{self.path}: frame {index} of {n_frames}")
            return np.asarray(array[int(index) % n_frames])
        indices = range(*index.indices(n_frames)) if isinstance(index, slice) else index
        if len(indices) == 0:
            return np.empty((0, *self.shape[1:]), self.dtype)
        # Frame by frame into their place: a list of them would be in memory beside the stack.
        stack = np.empty((len(indices), *self.shape[1:]), self.dtype)
        for place, i in enumerate(indices):
            stack[place] = self[int(i)]
        return stack


class FrameStoreWriter:
    """Appends frames to a store of known length; made by :func:`write_frames`."""

    def __init__(self, array: zarr.Array, path: Path) -> None:
        self._array, self._path, self.n_written = array, path, 0

    def append(self, frame: np.ndarray) -> None:
        """Add one frame ``[height, width(, channels)]`` of the store's dtype."""
        if frame.shape != self._array.shape[1:] or frame.dtype != self._array.dtype:
            raise ValueError(
                f"{self._path}: frame {frame.shape} {frame.dtype}, "
                f"store {self._array.shape[1:]} {self._array.dtype}"
            )
        self._array[self.n_written] = frame
        self.n_written += 1


@contextmanager
def write_frames(
    path: AnyPath, n_frames: int, frame_shape: tuple[int, ...], dtype: str | np.dtype = "uint8"
) -> Iterator[FrameStoreWriter]:
    """Open a new store of ``n_frames`` frames; it appears at ``path`` once all are written.

    Raises ValueError if the block ends with fewer frames than announced.
    """
    with atomic_path(path) as partial:
        # The zip stores chunks uncompressed: Blosc has already done that work.
        store = ZipStore(partial, mode="w")
        group = zarr.open_group(store, mode="w")
        array = group.create_array(
            _NAME,
            shape=(n_frames, *frame_shape),
            chunks=(1, *frame_shape),
            dtype=dtype,
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="shuffle"),
            # Every chunk is written exactly once; without this, black frames would be left out
            # and reading them back would depend on the fill value.
            config={"write_empty_chunks": True},
        )
        writer = FrameStoreWriter(array, Path(path))
        try:
            yield writer
        finally:
            store.close()
        if writer.n_written != n_frames:
            raise ValueError(f"{path}: {writer.n_written} frames written, {n_frames} announced")
