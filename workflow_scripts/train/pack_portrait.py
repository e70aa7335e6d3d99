"""Scene and finished Gaussians → one file that talks without the results folder."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wildtalker_core.geometry.pose_order import longest_run
from wildtalker_core.geometry.rotations import matrix_to_axis_angle
from wildtalker_core.live.portrait_file import Kept, save_kept
from wildtalker_core.media.files import load_json
from wildtalker_core.mouth.blinks import blink_manner
from wildtalker_core.mouth.ear import Ear
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.scene import Scene, load_scene
from wildtalker_core.splats.portrait import SplatPortrait
from wildtalker_core.training.build import open_portrait
from wildtalker_core.training.splat_build import filmed_moments
from workflow_scripts.job import job
from workflow_scripts.provenance import code_digest, digest, file_digest
from workflow_scripts.scene_inputs import scene_paths

# ASSUME a live ear hears one frame behind the one it shows: with the window's own reach that is
# 0.18 s at 25 fps, which leaves room for drawing within a quarter of a second.
_FRAMES_AHEAD = 1
_HEARING = ("audio_features", "logmel_floor_db", "denoiser", "scales", "over_subtraction",
            "leading_seconds")  # fmt: skip
_RENDER = ("mouth_gain", "close_in_silence", "lip_smoothing")


def main(
    scene_files: dict[str, str],
    manifest_path: str,
    body_motion_path: str,
    portrait_path: str,
    video_path: str,
    packed_path: str,
    clip_name: str,
    clip: dict[str, Any],
    options: dict[str, Any],
) -> None:
    """Write ``me.portrait``.

    Args:
        video_path: of the clip, whose digest is kept.
        clip: the config entry of the clip; options: all sections as the method sees them.
    """
    scene, motion = load_scene(**scene_files), load_body_motion(body_motion_path)
    fps = load_json(manifest_path)["fps"]
    device = torch.device("cpu")
    portrait = open_portrait(Path(portrait_path), {**options["train"], **options["render"]}, device)
    shapes, basis = measure_mouth(scene, portrait.shape.n_mouth)
    moments = filmed_moments(scene, motion, shapes, device)
    speech = options["speech"]
    made_of = {
        "clip": clip_name,
        "clip_digest": file_digest(video_path),
        "config_digest": digest(json.dumps(options, sort_keys=True, default=str).encode()),
        "code_digest": code_digest(),
        "date": datetime.now(UTC).date().isoformat(),
        "consent": clip.get("consent"),
        "licence": clip.get("licence"),
    }
    kept = Kept(
        portrait=portrait,
        live_ear=live_ear(portrait, scene, moments.T_camera_head, shapes, basis.variances),
        loop=moments[torch.as_tensor(longest_run(scene.seen_train_frames))],
        blinks=blink_manner(scene.expression[scene.train_frames], fps),
        fps=fps,
        hearing={**{n: speech[n] for n in _HEARING}, "sample_rate_hz": 16000},
        render={name: options["render"][name] for name in _RENDER},
        made_of=made_of,
    )
    save_kept(packed_path, kept)


def live_ear(
    portrait: SplatPortrait,
    scene: Scene,
    T_camera_head: torch.Tensor,
    shapes: np.ndarray,
    variances: np.ndarray,
) -> Ear:
    """An ear as the portrait's own that looks ahead no further than live speech allows."""
    size = portrait.shape
    ear = Ear(size.n_audio_features, size.audio_window, size.n_mouth, size.n_heard)
    ear.rest.copy_(portrait.ear.rest)
    known = scene.audio_features[: int(scene.train_frames.max()) + 1]
    ear.fit(
        torch.as_tensor(known), matrix_to_axis_angle(T_camera_head[:, :3, :3]),
        torch.as_tensor(shapes, dtype=torch.float32),
        torch.as_tensor(variances, dtype=torch.float32), scene.seen_train_frames, _FRAMES_AHEAD,
    )  # fmt: skip
    return ear


if __name__ == "__main__":
    with job(snakemake):
        main(
            scene_paths(snakemake.input),
            snakemake.input.manifest,
            snakemake.input.body_motion,
            snakemake.input.portrait,
            snakemake.input.video,
            snakemake.output.portrait,
            snakemake.wildcards.clip,
            snakemake.params.clip,
            snakemake.params.options,
        )
