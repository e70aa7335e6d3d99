"""How much hands and noise cost: curves over seeds, for equal processor time a method.

    python benchmarks/robustness_curve.py [FOLDER] [--clip CLEAN.mp4] [--cpu-seconds 60]
        [--places chest mouth] [--strengths 0 25 50 75 100] [--seeds 0 1 2] [--methods NAME ...]
        [--size 128] [--clip-seconds 8] [--cores 2]
    python benchmarks/robustness_curve.py FOLDER --plot

A clean clip (by default the example before its hands and noise) is spoiled with hands over the
chest, or over the mouth, and babble down to -10 dB (config section `robustness`). Every method is
trained on each spoiled clip for the same processor time and scored on the clean test frames with
the clean speech. The seed is that of the hands' paths, of the noise and of the training.

First the steps are found that fill the time: each stage is run for a few steps on the clean clip
(FOLDER/steps.json; a field has 60 % for the head, 10 % for the lips, 30 % for the torso). Then the
workflow makes the cells that are asked for, the clean clip's preparation once for all; cells that
are done are kept, so that the grid may be made in parts and on several machines. FOLDER/curve.tsv
has every cell, FOLDER/curve.png the means over the seeds with 95 % intervals of Student's t.

ASSUME: all fields draw 1,024 rays (torso 2,048 pixels) a step: the peers' 65,536 are for a GPU, and
would leave a handful of steps. What else their presets say stays. No method has Eq. 7's LPIPS,
which would take the time of the rest here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.robustness_curve_parts import draw, read_cells, write_table  # noqa: E402

EXAMPLE, EXAMPLE_SOUND = "examples/truth/hand_free.mp4", "examples/truth/clean_speech.flac"
_NO_MASK = {"static_weight": "none", "torso_reference": "frames"}
_PUBLISHED = ("synctalk", "er_nerf", "rad_nerf", "ad_nerf")
#: Overlays of the rows. Peers hear the speech as recorded and know no mask, as their presets say.
METHODS: dict[str, dict[str, Any]] = {
    "wildtalker": {},
    "no_transient_mask": {"train": _NO_MASK},
    "no_mss": {"speech": {"denoiser": "none"}},
    "wildtalker_splats": {"train": {"renderer": "splats"}},
    "splats_no_mask": {"train": {"renderer": "splats", **_NO_MASK}},
    "splats_no_mss": {"train": {"renderer": "splats"}, "speech": {"denoiser": "none"}},
    **{name: {"train": {"preset": name}, "speech": {"denoiser": "none"}} for name in _PUBLISHED},
}
SHARES = {"head": 0.6, "lips": 0.1, "torso": 0.3, "splats": 1.0}
RAYS = {"head": 1024, "lips": 1024, "torso": 2048}


def main() -> None:
    args = arguments()
    folder = args.folder.resolve()
    if not args.plot:
        make_cells(args, folder)
    cells = read_cells(folder)
    write_table(cells, folder / "curve.tsv")
    draw(cells, folder / "curve.png")
    print(f"{len({(c.place, c.seed, c.strength, c.method) for c in cells})} cells; "
          f"{folder / 'curve.tsv'}, {folder / 'curve.png'}")  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER",
                        default=ROOT / "results" / "robustness_curve")  # fmt: skip
    parser.add_argument("--clip", metavar="CLEAN.mp4", default=EXAMPLE)
    parser.add_argument("--sound", metavar="FILE", help="in place of the clip's own")
    parser.add_argument("--places", nargs="+", default=["chest", "mouth"],
                        choices=["chest", "mouth"])  # fmt: skip
    parser.add_argument("--strengths", nargs="+", type=int, default=[0, 25, 50, 75, 100])
    parser.add_argument("--snr-db", type=float, default=-10.0, help="at strength 100")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--cpu-seconds", type=float, default=60.0, help="of each training")
    parser.add_argument("--size", type=int, default=128, help="pixels a side")
    parser.add_argument("--clip-seconds", type=float, default=8.0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--plot", action="store_true", help="draw what is there")
    return parser.parse_args()


def make_cells(args: argparse.Namespace, folder: Path) -> None:
    """Prepare the clean clip, find the steps, and run the workflow for each place and seed."""
    prepare_clean(args, folder)
    steps = find_steps(args, folder)
    for place in args.places:
        for seed in args.seeds:
            results = folder / f"{place}_{seed}"
            link_clean(folder / "clean", results)
            config = config_of(args, results, place, seed, steps)
            # The clean clip has no hands: its cells are the same at every place.
            strengths = [s for s in args.strengths if s or place == args.places[0]]
            run_workflow(config, results, args.cores, [
                f"spoiled_{strength}/evaluate/{method}/self_driven.json"
                for strength in strengths for method in args.methods
            ])  # fmt: skip


def config_of(
    args: argparse.Namespace,
    results: Path,
    place: str,
    seed: int,
    steps: dict[str, dict[str, int]] | None = None,
) -> dict[str, Any]:
    """The config of one place and seed; without ``steps`` those of the presets stand."""
    methods = {}
    for name in args.methods:
        train = dict(METHODS[name].get("train", {}))
        stages = ("splats",) if train.get("renderer") == "splats" else ("head", "lips", "torso")
        for stage in stages:
            overlay = {"rays_per_step": RAYS[stage]} if stage in RAYS else {}
            if steps is not None:
                overlay["steps"] = steps[name].get(stage, 0)
            train[stage] = overlay
        methods[name] = {**METHODS[name], "train": train}
    sound = args.sound or (EXAMPLE_SOUND if args.clip == EXAMPLE else None)
    return {
        "results_dir": str(results),
        "clips": {"clean": {"path": args.clip}},
        "methods": methods,
        "media": {"size_px": args.size, "max_seconds": args.clip_seconds},
        "speech": {"audio_features": "logmel"},
        "train": {"preset": "example", "perceptual": "none", "seed": seed, "threads": 1},
        "evaluate": {"lpips_weights": None, "has_ms_ssim": False},
        "robustness": {
            "path": args.clip,
            "sound": sound,
            "strengths": sorted({0, *args.strengths}),
            "methods": list(args.methods),
            "place": place,
            "snr_db": args.snr_db,
            "seed": seed,
        },
    }


def prepare_clean(args: argparse.Namespace, folder: Path) -> None:
    results = folder / "clean"
    targets = ["spoiled_0/scene/body_motion.npz", "spoiled_0/person/parsing.zarr.zip",
               "spoiled_0/speech/original.none/audio_features.npz"]  # fmt: skip
    run_workflow(config_of(args, results, "chest", 0), results, args.cores, targets)


def link_clean(clean: Path, results: Path) -> None:
    """The clean clip's preparation, which no seed changes, is there for every run."""
    (results / "spoiled_0").mkdir(parents=True, exist_ok=True)
    for stage in ("media", "person", "occlusion", "pose", "scene", "speech"):
        link = results / "spoiled_0" / stage
        if not link.is_symlink():
            link.symlink_to(clean / "spoiled_0" / stage, target_is_directory=True)


def run_workflow(config: dict[str, Any], results: Path, cores: int, targets: list[str]) -> None:
    results.mkdir(parents=True, exist_ok=True)
    path = results / "config.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), "--quiet", "all"]
    command += ["--configfile", str(path), "--rerun-triggers", "mtime", "--"]
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    subprocess.run(
        [*command, *(str(results / target) for target in targets)],
        cwd=ROOT, check=True, env={**os.environ, **threads},
    )  # fmt: skip


def find_steps(args: argparse.Namespace, folder: Path) -> dict[str, dict[str, int]]:
    """Steps of each stage that fill its share of the processor time, by method; measured once.

    Methods that differ in what they learn, not in what a step costs, have the same steps.
    """
    from benchmarks.training_hours import INDIFFERENT, measure, read_scene
    from workflow_scripts import configuration

    path = folder / "steps.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    config = config_of(args, folder / "clean", "chest", 0)
    written = configuration.robustness_config(config)
    completed = configuration.complete_config(written, ROOT / "config")
    scene, motion = read_scene(folder / "clean" / "spoiled_0")
    steps = {}
    for name in args.methods:
        train = configuration.method_view(written, completed, name, ROOT / "config")["train"]
        costs = {key: value for key, value in train.items() if key not in INDIFFERENT}
        digest = hashlib.sha256(json.dumps(costs, sort_keys=True).encode()).hexdigest()[:12]
        if digest not in known:
            with tempfile.TemporaryDirectory() as made:
                n_steps = N_MEASURED[train["renderer"]]
                seconds = measure(scene, motion, train, n_steps, Path(made))
            known[digest] = steps_within(
                args.cpu_seconds, {stage: busy for stage, (_, busy) in seconds.items()}
            )
            path.write_text(json.dumps(known, indent=1))
        steps[name] = known[digest]
        print(f"{name}: {steps[name]} steps in {args.cpu_seconds:g} s", flush=True)
    return steps


def steps_within(cpu_seconds: float, busy: Mapping[str, float]) -> dict[str, int]:
    """Steps by stage, of the seconds a step; a stage that is not there leaves its time to others.

    >>> steps_within(10.0, {"head": 0.1, "torso": 0.02})
    {'head': 67, 'torso': 167}
    """
    total = sum(SHARES[stage] for stage in busy)
    return {
        stage: max(1, round(cpu_seconds * SHARES[stage] / total / seconds))
        for stage, seconds in busy.items()
    }


#: Steps by which a stage is measured, of which half are start-up: what surrounds the steps varies
#: by a second, and a step of Gaussians takes some hundredths of one.
N_MEASURED = {"field": 60, "splats": 400}


if __name__ == "__main__":
    main()
