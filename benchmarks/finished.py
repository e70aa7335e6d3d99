"""A finished portrait: told what to show, drawn, and its mouth compared with the filmed one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from wildtalker_core.geometry.moment import Moment
from wildtalker_core.media.files import load_json
from wildtalker_core.media.video import read_video
from wildtalker_core.media.video_writer import VideoWriter
from wildtalker_core.metrics.frame_scores import find_faces
from wildtalker_core.metrics.landmarks import (
    at_customary_size,
    correlation,
    mouth_landmark_distance,
)
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.nerf.portrait import Portrait
from wildtalker_core.person.landmarks import MOUTH_OF_68
from wildtalker_core.pretrained.mediapipe_models import FaceMesh
from wildtalker_core.scene.body_motion import BodyMotion, load_body_motion
from wildtalker_core.scene.scene import Scene, load_scene
from wildtalker_core.splats.portrait import SplatPortrait
from wildtalker_core.training.build import open_portrait
from wildtalker_core.training.options import Drawing
from workflow_scripts.face_points import FACE
from workflow_scripts.render.render_portrait import Performance, moments_of, render
from workflow_scripts.scene_inputs import scene_files, scene_paths

CRF = 18


@dataclass(frozen=True)
class Finished:
    """A clip and its portrait."""

    scene: Scene
    motion: BodyMotion
    portrait: Portrait | SplatPortrait
    fps: float
    figures: dict[str, dict]

    @property
    def n_mouth_shapes(self) -> int | None:
        """Components of the mouth's shape; None where the portrait hears by itself."""
        ear = getattr(self.portrait, "ear", None)
        return None if ear is None else len(ear.rest)


def load_finished(clip_dir: Path, method: str, speech: str, stage: str | None = None) -> Finished:
    """What the workflow has left in ``results/{clip}``; the last stage, unless one is named."""
    scene = load_scene(**scene_paths(scene_files(clip_dir, speech)))
    folder = clip_dir / "train" / method
    stages = [stage] if stage else ["splats", "torso"]
    path = next(p for p in (folder / f"{s}.safetensors" for s in stages) if p.is_file())
    portrait = open_portrait(path, Drawing(), torch.device("cpu"))
    motion = load_body_motion(clip_dir / "scene" / "body_motion.npz")
    figures = {
        p.stem: load_json(p)
        for p in (folder / f"{s}.json" for s in ("head", "lips", "torso", "splats"))
        if p.is_file()
    }
    fps = float(load_json(clip_dir / "media/manifest.json")["fps"])
    return Finished(scene, motion, portrait, fps, figures)


def moments(
    finished: Finished, frames: np.ndarray, mouth: torch.Tensor, torso: str = "predicted"
) -> Moment:
    """Frames [k] of the clip with mouths [k, n]; the torso ``predicted`` or ``given``."""
    performance = Performance(frames, frames, finished.scene.expression[frames])
    told = moments_of(finished.scene, finished.motion, performance, mouth)
    if torso == "given":
        return told
    return replace(told, torso=finished.portrait.predicted_torso(told.T_camera_head))


def pictures(
    finished: Finished, told: Moment, frames: np.ndarray, mode: str = "portrait"
) -> Iterator[np.ndarray]:
    """Drawn one at a time; ``head`` stands before the hand-free frames."""

    def behind(i: int) -> np.ndarray:
        return finished.scene.hand_free_frames[int(frames[i])]

    return render(finished.portrait, told, behind if mode == "head" else None)


def heard_mouth(
    finished: Finished, frames: np.ndarray, audio_frames: np.ndarray, options: SpeakingOptions
) -> torch.Tensor:
    """``Moment.mouth`` [k, n] of ``frames`` that speak the sound of ``audio_frames``."""
    scene = finished.scene
    poses = torch.as_tensor(scene.T_camera_head[frames], dtype=torch.float32)
    with torch.no_grad():
        return finished.portrait.hear(
            torch.as_tensor(scene.audio_features), scene.is_silent, audio_frames, poses,
            finished.fps, options,
        )  # fmt: skip


def through_codec(shown: Iterator[np.ndarray], fps: float, path: Path) -> list[np.ndarray]:
    """The pictures as somebody sees them who plays the video."""
    with VideoWriter(path, fps, None, CRF, "medium") as video:
        for picture in shown:
            video.append(picture)
    return [picture for picture, _ in read_video(path)]


def faces_in(shown: list[np.ndarray]) -> np.ndarray:
    """Landmarks [k, 478, 2] in pixels, NaN where no face is found."""
    with FaceMesh() as find:
        return find_faces(shown, find)


@dataclass(frozen=True)
class Row:
    """LMD in pixels at 512, correlation of the opening, its spread over the filmed spread."""

    name: str
    lmd_px: float
    correlation: float
    spread: float

    def __str__(self) -> str:
        return f"{self.name:22s} {self.lmd_px:7.2f} {self.correlation:12.3f} {self.spread:7.2f}"


def compare(name: str, reference: np.ndarray, estimate: np.ndarray, size_px: int) -> Row:
    """Landmarks [k, 478, 2] of the filmed and of the shown face."""
    mouth = list(MOUTH_OF_68)
    distance = mouth_landmark_distance(reference[:, mouth], estimate[:, mouth])
    truth, guess = FACE.opening(reference), FACE.opening(estimate)
    return Row(
        name,
        float(np.nanmean(at_customary_size(distance, size_px))),
        correlation(truth, guess),
        float(np.nanstd(guess) / np.nanstd(truth)),
    )
