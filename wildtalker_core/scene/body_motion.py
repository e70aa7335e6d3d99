"""How torso, eyes and camera move in each frame: what the head's pose does not say."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, UInt8

from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.media.files import load_arrays
from wildtalker_core.media.image import at_most
from wildtalker_core.occlusion.plate import is_moving, moved_plate
from wildtalker_core.occlusion.registration import (
    Motion,
    register,
    similarity_matrix,
    similarity_of,
)
from wildtalker_core.occlusion.torso_motion import TorsoView, register_torso, torso_view
from wildtalker_core.scene.scene import PARSING_CLASSES, Scene

# ASSUME motion is measured at this height at most, as the flow of the masks is.
_ANALYSIS_PX = 256
_TORSO, _HANDS = PARSING_CLASSES.index("torso"), PARSING_CLASSES.index("hands")
#: MediaPipe's iris centres with the corners of their eyes.
_EYES = ((468, 33, 133), (473, 362, 263))
#: ASSUME a part that cannot be followed in half of the frames is not followed at all.
_LEAST_FOLLOWED = 0.5


@dataclass(frozen=True)
class BodyMotion:
    """Motion beside the head's pose.

    Attributes:
        torso: its motion; canvas pixels are those of its reference frame's place.
        torso_follows_head: the torso could not be followed: its motion is the head's.
        camera: similarity of what is behind the person, about ``camera_centre``; zeros where the
            camera stands.
        plate: what is behind the person; larger than a frame if the camera moves.
        gaze: where the irises stand between the corners of the eyes, in eye widths.
        template: landmarks of the face, head units.
    """

    torso: Motion
    torso_follows_head: bool
    camera: Float[np.ndarray, "n 4"]
    camera_centre: Float[np.ndarray, "2"]
    plate: UInt8[np.ndarray, "height width 3"]
    gaze: Float[np.ndarray, "n 2"]
    template: Float[np.ndarray, "478 3"]

    @property
    def torso_numbers(self) -> Float[np.ndarray, "n numbers"]:
        """Similarity (4), then soft motion."""
        return np.concatenate((self.torso.similarity, self.torso.soft), 1)

    @property
    def camera_moves(self) -> bool:
        return bool(self.camera.any())

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Flat, for one file."""
        own = {
            field.name: np.asarray(getattr(self, field.name))
            for field in fields(self)
            if field.name != "torso"
        }
        torso = {
            f"torso_{field.name}": np.asarray(getattr(self.torso, field.name))
            for field in fields(Motion)
        }
        return own | torso

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> BodyMotion:
        """Inverse of :meth:`to_arrays`."""
        torso: dict[str, Any] = {
            field.name: arrays[f"torso_{field.name}"] for field in fields(Motion)
        }
        torso["reference"] = int(torso["reference"])
        own: dict[str, Any] = {
            field.name: arrays[field.name] for field in fields(cls) if field.name != "torso"
        }
        own["torso_follows_head"] = bool(own["torso_follows_head"])
        return cls(torso=Motion(**torso), **own)

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Names of :meth:`to_arrays`."""
        own = [field.name for field in fields(cls) if field.name != "torso"]
        return (*own, *(f"torso_{field.name}" for field in fields(Motion)))


def load_body_motion(path: str | os.PathLike[str]) -> BodyMotion:
    """Read ``body_motion.npz``."""
    return BodyMotion.from_arrays(load_arrays(path, *BodyMotion.names()))


def measure_body(scene: Scene, template: Float[np.ndarray, "478 3"], n_soft: int) -> BodyMotion:
    """Measure the motion of torso and camera; what is learnt is learnt from training frames.

    Args:
        template: landmarks of the face, head units.
        n_soft: components of the torso's motion beyond a similarity.
    """
    torso, follows_head = _torso_motion(scene, n_soft)
    camera = _camera_motion(scene)
    plate = scene.background
    if is_moving(camera.similarity[scene.train_frames], scene.height):

        def colours(frame: int) -> tuple[np.ndarray, np.ndarray]:
            return scene.frames[frame], scene.parsing[frame][..., 0] > 250

        matrices = similarity_matrix(camera.similarity, camera.centre)
        plate = moved_plate(colours, scene.train_frames, matrices[scene.train_frames])
        similarity = camera.similarity
    else:
        similarity = np.zeros((scene.n_frames, 4))
    return BodyMotion(
        torso, follows_head, similarity, camera.centre, plate, gaze(scene.landmarks), template
    )


def gaze(landmarks: Float[np.ndarray, "n 478 2"]) -> Float[np.ndarray, "n 2"]:
    """Where the irises look, mean of both eyes, in eye widths."""
    both = []
    for iris, outer, inner in _EYES:
        across = landmarks[:, inner] - landmarks[:, outer]
        width = np.linalg.norm(across, axis=1, keepdims=True)
        x = across / width
        y = np.stack((-x[:, 1], x[:, 0]), 1)
        off = landmarks[:, iris] - (landmarks[:, outer] + landmarks[:, inner]) / 2
        both.append(np.stack(((off * x).sum(1), (off * y).sum(1)), 1) / width)
    return np.mean(both, 0)


def _torso_motion(scene: Scene, n_soft: int) -> tuple[Motion, bool]:
    seen = scene.seen_train_frames
    some = seen[:: max(1, len(seen) // 40)]
    hands = [float((scene.parsing[int(i)][..., _HANDS] > 60).mean()) for i in some]
    turns = _turns(scene.T_camera_head[some])
    odd = np.square(turns - turns.mean(0)).sum(1)
    # Few hands first, then the pose nearest to the mean.
    reference = int(some[np.lexsort((odd, np.round(hands, 2)))[0]])
    parsing, grey = (
        scene.parsing[reference],
        cv2.cvtColor(scene.frames[reference], cv2.COLOR_RGB2GRAY),
    )
    cloth = grey[parsing[..., _TORSO] > 200]
    # The outline shows best before what the cloth is not.
    backdrop = 255 if len(cloth) and np.median(cloth) < 128 else 0

    @lru_cache(200)  # what is averaged is read several times
    def read(frame: int) -> TorsoView:
        return torso_view(
            at_most(scene.hand_free_frames[frame], _ANALYSIS_PX),
            at_most(scene.parsing[frame], _ANALYSIS_PX),
            at_most(scene.transient_mask[frame], _ANALYSIS_PX),
            backdrop,
        )

    motion = register_torso(read, scene.n_frames, seen, _segments(scene), reference, n_soft)
    follows_head = motion.is_interpolated[seen].mean() > 1 - _LEAST_FOLLOWED
    motion = scaled(motion, scene.height / min(scene.height, _ANALYSIS_PX))
    if follows_head:
        moved = head_similarity(scene, reference, scene.middle)
        motion = replace(
            motion, similarity=moved, centre=scene.middle, soft=motion.soft[:, :0],
            soft_basis=motion.soft_basis[:0],
        )  # fmt: skip
    return motion, bool(follows_head)


def _turns(T: np.ndarray) -> np.ndarray:
    """Rotation vectors [n, 3] of poses [n, 4, 4]."""
    return matrix_to_axis_angle(torch.as_tensor(T[:, :3, :3])).numpy()


def head_similarity(
    scene: Scene, reference: int, centre: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "n 4"]:
    """The head's own motion in the picture as a similarity about ``centre``."""
    T, f = scene.T_camera_head, scene.focal_length
    place = T[:, :2, 3] / T[:, 2:3, 3] * f + scene.middle
    scale = T[reference, 2, 3] / T[:, 2, 3]
    roll = np.arctan2(T[:, 1, 0], T[:, 0, 0])
    moved = np.concatenate(
        (place - place[reference], (roll - roll[reference])[:, None], np.log(scale)[:, None]), 1
    )
    return similarity_of(similarity_matrix(moved, place[reference]), centre)


def _camera_motion(scene: Scene) -> Motion:
    @lru_cache(2)
    def read(frame: int) -> tuple[np.ndarray, np.ndarray]:
        picture = at_most(scene.frames[frame], _ANALYSIS_PX)
        person = 255 - at_most(scene.parsing[frame], _ANALYSIS_PX)[..., 0]
        reach = np.ones((2 * max(2, round(0.03 * len(picture))) + 1,) * 2, np.uint8)
        return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.dilate(person, reach) < 20

    seen = scene.seen_train_frames
    motion = register(read, scene.n_frames, seen, _segments(scene), int(seen[len(seen) // 2]))
    if motion.is_interpolated[seen].mean() > 1 - _LEAST_FOLLOWED:  # an even wall shows no motion
        motion = replace(motion, similarity=np.zeros_like(motion.similarity))
    return scaled(motion, scene.height / min(scene.height, _ANALYSIS_PX))


def _segments(scene: Scene) -> list[np.ndarray]:
    """Parts of the clip whose motion is found apart from each other's: those of the split.

    A part ends with its last frame that counts. What follows and does not count goes to the next
    part, so that no part depends on frames of a later one.
    """
    parts = (scene.train_frames, scene.validation_frames)
    ends = {0, scene.n_frames, *(int(part[-1]) + 1 for part in parts if len(part))}
    return [np.arange(a, b) for a, b in itertools.pairwise(sorted(ends))]


def scaled(motion: Motion, factor: float) -> Motion:
    """A motion measured in pictures smaller by ``factor``, in the pixels of the larger ones.

    Pixel centres are at whole numbers here, so a small pixel p is ``factor * (p + .5) - .5``.
    """
    similarity = motion.similarity.copy()
    similarity[:, :2] *= factor
    return replace(
        motion,
        similarity=similarity,
        centre=factor * (motion.centre + 0.5) - 0.5,
        box=factor * (motion.box + 0.5) - 0.5,
        soft_basis=factor * motion.soft_basis,
    )
