"""Options of a portrait of Gaussians, judged on frames of the training that were held out.

    python benchmarks/held_out.py results/CLIP [--options node_spacing=.02] [--share .65]
        [--lpips weights]

Trains on the first part of a prepared clip's training and validation frames and scores the rest of
them, so that no test frame takes part in a choice. Rows and columns as in ``splats.py``; eight
frames between the parts belong to neither. With LPIPS' weights it is trained by them, too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.finished import Finished, heard_mouth, moments
from benchmarks.splats import print_row
from wildtalker_core.media.files import load_json
from wildtalker_core.mouth.options import SpeakingOptions
from wildtalker_core.mouth.shape import measure_mouth
from wildtalker_core.pretrained.lpips_model import LpipsModel
from wildtalker_core.scene.body_motion import load_body_motion
from wildtalker_core.scene.scene import Scene, load_scene
from wildtalker_core.splats.portrait import SplatPortrait
from wildtalker_core.training.stages import splats_stage
from workflow_scripts.configuration import default_options
from workflow_scripts.perceptual import perceptual_loss
from workflow_scripts.scene_inputs import scene_files, scene_paths

CONFIG_DIR = Path(__file__).resolve().parents[1] / "config"
GAP_FRAMES = 8


def parted(scene: Scene, share: float) -> Scene:
    """The scene with all but its test frames divided anew; what is held out is its test split."""
    known = np.concatenate((scene.train_frames, scene.validation_frames))
    n = int(share * len(known))
    rest = known[n + GAP_FRAMES :]
    return replace(scene, train_frames=known[:n], validation_frames=rest, test_frames=rest[::3])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip_dir", type=Path, help="results/{clip}, prepared")
    parser.add_argument("--options", nargs="*", default=[], help="key=value of train.splats")
    parser.add_argument("--share", type=float, default=0.65, help="of the frames that is learnt")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speech", default="original.mss_adaptive", help="what the clip hears")
    parser.add_argument("--lpips", type=Path, help="AlexNet's weights, as evaluate.lpips_weights")
    arguments = parser.parse_args()
    clip_dir = arguments.clip_dir
    scene = load_scene(**scene_paths(scene_files(clip_dir, arguments.speech)))
    scene = parted(scene, arguments.share)
    motion = load_body_motion(clip_dir / "scene" / "body_motion.npz")
    train = default_options("train", CONFIG_DIR)
    train |= {"seed": arguments.seed, "perceptual": "none", "preview_every": 0, "device": "cpu"}
    distance = LpipsModel(arguments.lpips).score if arguments.lpips else None
    if arguments.lpips:
        train |= {"perceptual": "lpips", "lpips_backbone": arguments.lpips}
    chosen = dict(option.split("=", 1) for option in arguments.options)
    train["splats"] |= {key: yaml.safe_load(value) for key, value in chosen.items()}
    torch.set_num_threads(1)
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        trained = splats_stage(
            scene, motion, train, perceptual_loss(train)[0], Path(folder), lambda *_: None
        )
    print(f"{scene.clip}, {chosen}: {time.process_time() - started:.0f} s of processor")
    portrait = trained.portrait
    assert isinstance(portrait, SplatPortrait)
    fps = float(load_json(clip_dir / "media/manifest.json")["fps"])
    finished = Finished(scene, motion, portrait, fps, {})
    held_out, seen = scene.test_frames, scene.seen_train_frames[::12]
    heard = heard_mouth(finished, held_out, held_out, SpeakingOptions())
    shapes, _ = measure_mouth(scene, portrait.shape.n_mouth)
    true = torch.as_tensor(shapes, dtype=torch.float32)
    for name, frames, mouth, torso in (
        ("predicted", held_out, heard, "predicted"),
        ("given", held_out, heard, "given"),
        ("true mouth", held_out, true[held_out], "given"),
        ("training", seen, true[seen], "given"),
    ):
        print_row(finished, name, moments(finished, frames, mouth, torso), frames, distance)


if __name__ == "__main__":
    main()
