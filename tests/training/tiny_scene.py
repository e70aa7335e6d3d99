"""A made clip whose truth is known: a ball with a mouth turns before a wall, over a torso."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from wildtalker_core.media.files import save_arrays
from wildtalker_core.media.frame_store import write_frames
from wildtalker_core.occlusion.registration import Motion
from wildtalker_core.scene.body_motion import BodyMotion
from wildtalker_core.scene.scene import Scene

SIZE, N_FRAMES, RADIUS, DISTANCE = 40, 24, 0.15, 1.5
FOCAL_LENGTH = 2.0 * SIZE
WALL = np.array([60, 90, 160])


def make_scene(seed: int = 0, with_hand: bool = False) -> Scene:
    """24 frames of 40 pixels; 16 to train, two to validate, six to test.

    The mouth (a dark patch) opens with the loudness that fills the audio features. With a hand, a
    green square covers the torso's left part in frames 8 to 15 of ``frames``, and the transient
    mask knows it; ``hand_free_frames`` are without.
    """
    generator = np.random.default_rng(seed)
    loudness = 0.5 + 0.5 * np.sin(np.arange(N_FRAMES) * 1.3)
    yaw = 0.3 * np.sin(np.arange(N_FRAMES) * 0.5)
    poses = np.tile(np.eye(4), (N_FRAMES, 1, 1))
    poses[:, 0, 0], poses[:, 0, 2] = np.cos(yaw), np.sin(yaw)
    poses[:, 2, 0], poses[:, 2, 2] = -np.sin(yaw), np.cos(yaw)
    poses[:, 2, 3] = DISTANCE
    poses[:, 0, 3] = 0.08 * np.sin(np.arange(N_FRAMES) * 0.4)
    frames = np.empty((N_FRAMES, SIZE, SIZE, 3), np.uint8)
    parsing = np.zeros((N_FRAMES, SIZE, SIZE, 5), np.uint8)
    landmarks = np.full((N_FRAMES, 478, 2), SIZE / 2)
    for i in range(N_FRAMES):
        frames[i], is_head, is_torso = _picture(poses[i], loudness[i])
        parsing[i, ..., 1], parsing[i, ..., 3] = 255 * is_head, 255 * (is_torso & ~is_head)
        parsing[i, ..., 0] = 255 - parsing[i].sum(-1)
        landmarks[i] += generator.normal(0, 2, (478, 2))
        landmarks[i, 13], landmarks[i, 14] = (20, 22), (20, 23 + 3 * loudness[i])
        landmarks[i, :, 0] += poses[i, 0, 3] / DISTANCE * FOCAL_LENGTH
    hand_free, transient_mask = frames.copy(), np.zeros((N_FRAMES, SIZE, SIZE), np.uint8)
    if with_hand:
        for stack, value in ((frames, (0, 255, 0)), (hand_free, (0, 255, 0))):
            stack[8:16, 30:, 4:14] = value  # a hand that removal has missed
        transient_mask[8:16, 30:, 4:14] = 255
    audio = 0.05 * generator.normal(size=(N_FRAMES, 8, 16)) + loudness[:, None, None]
    shift = (poses[:, 0, 3] / DISTANCE * FOCAL_LENGTH)[:, None] * [1, 0, 1, 0]
    background = np.broadcast_to(WALL, (SIZE, SIZE, 3)).astype(np.uint8)
    return Scene(
        clip="ball",
        frame_times_seconds=np.arange(N_FRAMES) / 25,
        T_camera_head=poses,
        focal_length=FOCAL_LENGTH,
        landmarks=landmarks,
        expression=np.zeros((N_FRAMES, 7)),
        is_face_visible=np.ones(N_FRAMES, bool),
        is_mouth_visible=np.ones(N_FRAMES, bool),
        face_box=np.array([12.0, 12, 28, 28]) + shift,
        lip_box=np.array([16.0, 20, 24, 26]) + shift,
        background=background,
        is_counted=np.ones(N_FRAMES, bool),
        train_frames=np.arange(16),
        validation_frames=np.arange(16, 18),
        test_frames=np.arange(18, N_FRAMES),
        audio_features=audio.astype(np.float32),
        is_silent=loudness < 0.1,
        frames=frames,
        hand_free_frames=hand_free,
        parsing=parsing,
        transient_mask=transient_mask,
    )


def make_motion(scene: Scene) -> BodyMotion:
    """The scene's motion: torso and camera stand."""
    template = np.zeros((478, 3))
    template[:, :2] = (scene.landmarks[0] - SIZE / 2) / FOCAL_LENGTH * DISTANCE
    template[:, 2] = -0.1
    n = scene.n_frames
    torso = Motion(
        similarity=np.zeros((n, 4)), centre=np.array([SIZE / 2, 34.0]), soft=np.zeros((n, 0)),
        soft_basis=np.zeros((0, 9, 9, 2)), box=np.array([0.0, 28, SIZE - 1, SIZE - 1]),
        is_interpolated=np.zeros(n, bool), reference=0,
    )  # fmt: skip
    return BodyMotion(
        torso, False, np.zeros((n, 4)), np.full(2, SIZE / 2), scene.background,
        np.zeros((n, 2)), template,
    )  # fmt: skip


def save_scene(folder: Path, scene: Scene) -> dict[str, Path]:
    """Write the scene's files as the rules do; returns them by named input."""
    named = {"scene": folder / "scene.npz", "audio_features": folder / "audio_features.npz"}
    save_arrays(named["scene"], **scene.facts())
    save_arrays(
        named["audio_features"],
        audio_features=scene.audio_features,
        is_silent=scene.is_silent,
        backend="made",
    )
    for name, stack in (
        ("frames", scene.frames), ("hand_free", scene.hand_free_frames),
        ("parsing", scene.parsing), ("transient_mask", scene.transient_mask),
    ):  # fmt: skip
        named[name] = folder / f"{name}.zarr.zip"
        with write_frames(named[name], len(stack), stack.shape[1:]) as writer:
            for frame in stack:
                writer.append(frame)
    return named


def _picture(T_camera_head: np.ndarray, opening: float) -> tuple[np.ndarray, ...]:
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    rays = np.stack(((x - SIZE / 2) / FOCAL_LENGTH, (y - SIZE / 2) / FOCAL_LENGTH, 1 + 0 * x), -1)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    along = rays @ T_camera_head[:3, 3]
    inside = along**2 - (np.square(T_camera_head[:3, 3]).sum() - RADIUS**2)
    is_head = inside > 0
    points = rays * (along - np.sqrt(np.maximum(inside, 0)))[..., None] - T_camera_head[:3, 3]
    points = points @ T_camera_head[:3, :3] / RADIUS
    picture = np.where(np.arange(SIZE)[:, None, None] > 27, (200, 40, 40), WALL)
    is_torso = np.broadcast_to(np.arange(SIZE)[:, None] > 27, (SIZE, SIZE))
    skin = np.stack((170 + 60 * points[..., 0], 150 + 50 * points[..., 1], 0 * x + 120), -1)
    is_mouth = (np.abs(points[..., 0]) < 0.4) & (
        np.abs(points[..., 1] - 0.4) < 0.05 + 0.25 * opening
    )
    skin[is_mouth] = 20
    return np.where(is_head[..., None], skin, picture).astype(np.uint8), is_head, is_torso
