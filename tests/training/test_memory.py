"""What a stage keeps in memory: each stack once, all together no more than there is room for."""

import tracemalloc

import numpy as np

from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.training import clip


def store(folder, name, n_frames, *shape):
    rng = np.random.default_rng(0)
    with write_frames(folder / f"{name}.zarr.zip", n_frames, shape) as writer:
        for _ in range(n_frames):
            writer.append(rng.integers(0, 255, shape, np.uint8))
    return FrameStore(folder / f"{name}.zarr.zip")


def test_a_stack_is_loaded_once(tmp_path):
    frames = store(tmp_path, "frames", 200, 128, 128, 3)
    size = np.prod(frames.shape)
    frames[0]
    tracemalloc.start()
    (loaded,) = clip.in_memory(frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert loaded.nbytes == size and peak < 1.2 * size
    assert np.array_equal(loaded[[3, 77, 199]], frames[[3, 77, 199]])


def test_stacks_share_the_room(tmp_path, monkeypatch):
    large, small = store(tmp_path, "a", 20, 16, 16, 5), store(tmp_path, "b", 20, 16, 16, 3)
    monkeypatch.setattr(clip, "_MEMORY_LIMIT_BYTES", 20 * 16 * 16 * 7)
    kinds = [type(stack) for stack in clip.in_memory(small, large, small)]
    assert kinds == [np.ndarray, FrameStore, np.ndarray]
