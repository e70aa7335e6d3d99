"""A run is resumed on its own inputs only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.conftest import preset
from tests.training.tiny_scene import make_motion, make_scene
from wildtalker_core.errors import InputError
from wildtalker_core.media.digests import digest_of_stack
from wildtalker_core.media.frame_store import FrameStore, write_frames
from wildtalker_core.scene.scene import STACKS
from wildtalker_core.training.checkpoints import load_latest_checkpoint, save_checkpoint
from wildtalker_core.training.run_config import run_config


def with_one_pixel_changed(stack):
    changed = stack.copy()
    changed[11].reshape(-1)[7] ^= 1
    return changed


def exchanged(scene, motion, head, other_head):
    """What differs, by name: (scene, head, motion)."""
    for name in STACKS:
        changed = replace(scene, **{name: with_one_pixel_changed(getattr(scene, name))})
        yield name, changed, head, motion
    audio = scene.audio_features.copy()
    audio[3] += 1
    yield "sound", replace(scene, audio_features=audio), head, motion
    yield "sound", replace(scene, is_silent=~scene.is_silent), head, motion
    yield "scene", replace(scene, focal_length=scene.focal_length + 1), head, motion
    yield "portrait", scene, other_head, motion
    yield "body_motion", scene, head, replace(motion, torso_follows_head=True)


def test_checkpoint_of_other_inputs_is_refused_by_name(tmp_path):
    head, other_head = tmp_path / "head", tmp_path / "other"
    head.write_bytes(b"weights")
    other_head.write_bytes(b"other weights")
    scene, train = make_scene(), preset("smoke")
    motion = make_motion(scene)
    save_checkpoint(tmp_path, 1, {}, run_config(train, "torso", scene, head, motion))
    again = run_config(train, "torso", make_scene(), head, make_motion(scene))
    assert load_latest_checkpoint(tmp_path, again) is not None
    cases = list(exchanged(scene, motion, head, other_head))
    assert len(cases) == 9
    for name, *inputs in cases:
        with pytest.raises(InputError, match=rf"another inputs\.{name};"):
            load_latest_checkpoint(tmp_path, run_config(train, "torso", *inputs))


def test_digest_of_a_store_is_that_of_its_frames(tmp_path):
    """The same frames written again are the same; one pixel of one frame is another stack."""
    frames = np.random.default_rng(0).integers(0, 256, (20, 16, 16, 3), np.uint8)
    digests = []
    for name, stack in (("a", frames), ("b", frames), ("c", with_one_pixel_changed(frames))):
        path = tmp_path / f"{name}.zarr.zip"
        with write_frames(path, 20, (16, 16, 3)) as writer:
            for frame in stack:
                writer.append(frame)
        digests.append(digest_of_stack(FrameStore(path)))
    assert digests[0] == digests[1] != digests[2]
