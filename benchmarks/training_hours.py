"""Hours that the trainings of a config take on this machine, from measured steps.

python benchmarks/training_hours.py CLIP [--config FILE] [--steps N] [--threads N]

CLIP is the results folder of a prepared clip (results/astronaut after `make run`); the time of a
step depends on rays, samples and networks, hardly on the clip's length or size. Each stage of each
distinct training that FILE names (default: config/paper.yaml) is run for N steps, and once for
half of them; the difference is free of start-up, and of the first steps, whose occupancy grids are
still full. Hours = milliseconds a step x the stage's steps. `busy` is the processor time, which on
one thread of a CPU is what an otherwise idle core would take.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clip", type=Path, help="results folder of a prepared clip")
    parser.add_argument("--config", type=Path, default=ROOT / "config" / "paper.yaml")
    parser.add_argument("--steps", type=int, default=100, help="of each stage; more is steadier")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="on a CPU")
    return parser.parse_args()


ARGUMENTS = arguments() if __name__ == "__main__" else argparse.Namespace(threads=1)
for pool in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[pool] = str(ARGUMENTS.threads)

import torch  # noqa: E402
import yaml  # noqa: E402

from wildtalker_core.pretrained.torchvision_ops import ensure_torchvision_ops  # noqa: E402
from wildtalker_core.scene.body_motion import BodyMotion, load_body_motion  # noqa: E402
from wildtalker_core.scene.scene import Scene, load_scene  # noqa: E402
from wildtalker_core.training.build import choose_device, device_name  # noqa: E402
from wildtalker_core.training.checkpoints import save_portrait  # noqa: E402
from wildtalker_core.training.stages import (  # noqa: E402
    Trained,
    head_stage,
    lips_stage,
    splats_stage,
    torso_stage,
)
from workflow_scripts import configuration  # noqa: E402
from workflow_scripts.perceptual import perceptual_loss  # noqa: E402
from workflow_scripts.scene_inputs import scene_files, scene_paths  # noqa: E402

STAGES = {"field": ("head", "lips", "torso"), "splats": ("splats",)}


def main(clip: Path, config_path: Path, n_steps: int) -> None:
    scene, motion = read_scene(clip)
    device = choose_device("auto")
    print(f"{device_name(device)}, {ARGUMENTS.threads} threads, {scene.width} px, steps of {clip}")
    total = 0.0
    for methods, train in distinct_trainings(config_path):
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure(scene, motion, train, n_steps, Path(folder))
        print(f"\npreset {train['preset']}")
        hours = 0.0
        for stage, (elapsed, busy) in seconds.items():
            n = train[stage]["steps"]
            hours += elapsed * n / 3600
            print(
                f"  {stage:6}{1000 * elapsed:9.1f} ms a step x {n:7} = {elapsed * n / 3600:8.2f} h"
                f"   (busy {1000 * busy:.1f} ms)"
            )
        n_trainings = sum(methods.values())
        print(f"  {hours:.2f} h; for {n_trainings} trainings {hours * n_trainings:.1f} h "
              f"({', '.join(f'{name} of {n} clips' for name, n in methods.items())})",
              flush=True)  # fmt: skip
        total += hours * n_trainings
    print(f"\nall trainings of {config_path.name}: {total:.1f} h on one such device")


def read_scene(clip: Path) -> tuple[Scene, BodyMotion]:
    """What a clip's results folder holds, with the speech as it was filmed, not denoised."""
    speech = next(clip.glob("speech/original.*/audio_features.npz")).parent.name
    motion = load_body_motion(clip / "scene" / "body_motion.npz")
    return load_scene(**scene_paths(scene_files(clip, speech))), motion


def distinct_trainings(path: Path) -> list[tuple[Counter[str], dict]]:
    """(clips of each method, train section): methods that differ elsewhere take the same time."""
    config = yaml.safe_load(path.read_text())
    completed = configuration.complete_config(config, ROOT / "config")
    nerf = [name for name, method in completed["methods"].items() if method["kind"] == "nerf"]
    parts = [(config, nerf, len(completed["clips"]))]
    robustness = completed["robustness"]
    if robustness["path"]:
        named = nerf if robustness["methods"] is None else robustness["methods"]
        spoiled = configuration.robustness_config(config)
        parts.append(
            (spoiled, [name for name in nerf if name in named], len(robustness["strengths"]))
        )
    found: dict[str, tuple[Counter[str], dict]] = {}
    for part, methods, n_clips in parts:
        whole = configuration.complete_config(part, ROOT / "config")
        for method in methods:
            train = configuration.method_view(part, whole, method, ROOT / "config")["train"]
            train["device"] = "auto"
            same = {key: value for key, value in train.items() if key not in INDIFFERENT}
            key = json.dumps(same, sort_keys=True)
            found.setdefault(key, (Counter(), train))[0][method] += n_clips
    return list(found.values())


#: They change what is learnt, not how long a step takes.
INDIFFERENT = ("seed", "static_weight", "torso_reference")


def measure(
    scene: Scene, motion: BodyMotion, train: dict, n_steps: int, folder: Path
) -> dict[str, tuple[float, ...]]:
    """Elapsed and busy seconds a step of each stage, each starting from the one before."""
    if train["perceptual"] == "auto":
        train = train | {"perceptual": "lpips"}
    if train["perceptual"] == "lpips" and not Path(train["lpips_backbone"]).is_file():
        train = train | {"lpips_backbone": str(made_up_backbone(folder))}
        print("LPIPS has random weights here, which take the same time", flush=True)
    seconds, before = {}, folder
    for stage in STAGES[train["renderer"]]:
        if not train[stage]["steps"]:
            continue
        spent = []
        for i, n in enumerate((1, n_steps // 2, n_steps)):  # the first compiles
            options = train | {
                stage: train[stage] | {"steps": n, "checkpoint_every": n_steps + 1},
                "threads": ARGUMENTS.threads,
            }
            started = time.process_time()
            trained = run_stage(stage, scene, motion, before, options, folder / f"{stage}.{i}")
            spent.append((trained.outcome.seconds, time.process_time() - started))
        n = n_steps - n_steps // 2
        seconds[stage] = tuple((b - a) / n for a, b in zip(spent[1], spent[2], strict=True))
        before = folder / f"{stage}.safetensors"
        save_portrait(
            before,
            trained.portrait.state_dict(),
            {"stage": stage, "shape": trained.portrait.shape.to_dict()},
        )
    return seconds


def run_stage(
    stage: str, scene: Scene, motion: BodyMotion, before: Path, options: dict, folder: Path
) -> Trained:
    def no_log(step: int, losses: dict[str, float]) -> None:
        pass

    if stage == "splats":
        perceptual, _ = perceptual_loss(options)
        return splats_stage(scene, motion, options, perceptual, folder, no_log)
    if stage == "head":
        return head_stage(scene, options, folder, no_log)
    if stage == "lips":
        perceptual, _ = perceptual_loss(options)
        return lips_stage(scene, before, options, perceptual, folder, no_log)
    return torso_stage(scene, motion, before, options, folder, no_log)


def made_up_backbone(folder: Path) -> Path:
    ensure_torchvision_ops()
    from torchvision.models import alexnet

    path = folder / "alexnet.pth"
    features = alexnet(weights=None).features.state_dict()
    torch.save({f"features.{name}": value for name, value in features.items()}, path)
    return path


if __name__ == "__main__":
    torch.set_num_threads(ARGUMENTS.threads)
    main(ARGUMENTS.clip, ARGUMENTS.config, ARGUMENTS.steps)
