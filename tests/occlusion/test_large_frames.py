"""Large frames are judged small: the same clip four times as large gives the same masks."""

import cv2
import numpy as np

from tests.occlusion.test_rigid_motion import SIZE
from tests.occlusion.test_scripts import N_FRAMES, clip, make_masks  # noqa: F401
from wildtalker_core.media.files import load_arrays, load_json, save_arrays, save_json
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.occlusion.options import MaskOptions
from wildtalker_core.occlusion.rigid_motion import HEAD, TORSO, fit_rigid_motion

FACTOR = 4


def test_masks_do_not_depend_on_the_size_of_the_frames(clip, tmp_path):  # noqa: F811
    size = FACTOR * SIZE
    for name, gain in (("frames", 1), ("parsing", 1), ("flow_magnitude", FACTOR)):
        stack = FrameStore(clip / f"{name}.zarr.zip")
        shape = (size, size, *stack.shape[3:])
        with write_frames(tmp_path / f"{name}.zarr.zip", N_FRAMES, shape, stack.dtype) as writer:
            for frame in stack:
                large = frame.repeat(FACTOR, 0).repeat(FACTOR, 1)
                writer.append((large * gain).astype(stack.dtype))
    motions = load_arrays(clip / "rigid_motion.npz")
    save_arrays(tmp_path / "rigid_motion.npz", **{k: FACTOR * v for k, v in motions.items()})
    save_json(tmp_path / "manifest.json", load_json(clip / "manifest.json"))
    (tmp_path / "split.json").write_text((clip / "split.json").read_text())
    large = make_masks(tmp_path, tmp_path / "mask.zarr.zip", MaskOptions())
    assert large.shape == (N_FRAMES, size, size)
    small = FrameStore(clip / "transient_mask.zarr.zip")[:] > 127
    shrunk = np.stack([cv2.resize(m, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for m in large])
    shrunk = shrunk > 127
    assert (small & shrunk).sum() / (small | shrunk).sum() > 0.9


def test_a_head_too_small_to_be_fitted_keeps_the_form_of_its_model():
    """Or the models of a clip whose head leaves for a while could not be stored together."""
    parsing = np.zeros((SIZE, SIZE, 5), np.uint8)
    parsing[..., TORSO] = 255
    parsing[:2, :2] = 0
    parsing[:2, :2, HEAD] = 255
    gray = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE), np.uint8)
    flow = np.ones((SIZE, SIZE, 2), np.float32)
    motion = fit_rigid_motion(flow, gray, parsing, None)
    assert [model.shape for model in motion.models()] == [(2, 3), (2, 6), (2, 6)]
    assert np.allclose(motion.torso[:, 0], 1, atol=0.01)
