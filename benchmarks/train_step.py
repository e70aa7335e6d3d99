"""One step of head training by part, forwards and backwards.

python benchmarks/train_step.py [--clip results/CLIP] [--speech original.mss_adaptive]
    [--preset fast] [--threads 1] [--before 300] [--steps 20]

On the scene of a finished run, or without --clip on the made clip of the tests, enlarged. Prints
milliseconds a step, on the clock and of processor time, then each part's share under PyTorch's
profiler, which itself takes some time, and the operations that take the most.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

parser = argparse.ArgumentParser()
parser.add_argument("--clip", type=Path)
parser.add_argument("--speech", default="original.mss_adaptive")
parser.add_argument("--preset", default="fast")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--before", type=int, default=300, help="steps before the clock starts")
parser.add_argument("--steps", type=int, default=20, help="steps that are timed")
ARGUMENTS = parser.parse_args() if __name__ == "__main__" else parser.parse_args([])
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(ARGUMENTS.threads)

import time  # noqa: E402
from collections import defaultdict  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402
from torch.profiler import ProfilerActivity, profile, record_function  # noqa: E402

from tests.training import tiny_scene  # noqa: E402
from tests.training.conftest import preset  # noqa: E402
from wildtalker_core.nerf import portrait as portrait_module  # noqa: E402
from wildtalker_core.nerf.tri_plane import HashGrids  # noqa: E402
from wildtalker_core.option_types import options_of  # noqa: E402
from wildtalker_core.scene.scene import Scene, load_scene  # noqa: E402
from wildtalker_core.training import head, head_targets  # noqa: E402
from wildtalker_core.training.build import new_portrait  # noqa: E402
from wildtalker_core.training.clip import Clip  # noqa: E402
from wildtalker_core.training.optimise import keep_freed_memory  # noqa: E402
from wildtalker_core.training.options import FieldOptimiser, HeadOptions  # noqa: E402
from wildtalker_core.training.stages import told_lips  # noqa: E402
from workflow_scripts.scene_inputs import scene_files, scene_paths  # noqa: E402

_PART = "part: "


def scene_of(folder: Path | None, speech: str) -> Scene:
    if folder is None:
        tiny_scene.SIZE, tiny_scene.FOCAL_LENGTH = 200, 400.0
        return tiny_scene.make_scene()
    return load_scene(**scene_paths(scene_files(folder, speech)))


def named(part: str, function: Callable) -> Callable:
    """``function`` under a name that the profile can find."""

    def wrapped(*arguments, **options):
        with record_function(_PART + part):
            return function(*arguments, **options)

    return wrapped


def name_parts(portrait: Any, targets: Any) -> None:
    """Let the parts of a step be seen in a profile."""
    field = portrait.head
    for part, module in {
        "conditioning": field.conditioning,
        "density network": field.density_net,
        "colour network": field.colour_net,
        "audio or mouth": getattr(portrait, "audio", None) or portrait.mouth_to_lip,
    }.items():
        module.forward = named(part, module.forward)
    grids: list[Any] = [part for part in field.modules() if isinstance(part, HashGrids)]
    for grid in grids:
        grid.forward = named("hash grids", grid.forward)
    field.encode_direction = named("direction", field.encode_direction)
    targets.of = named("pixels and rays", targets.of)
    head.sample_batch = named("pixels and rays", head.sample_batch)
    portrait.sample = named("marching", portrait.sample)
    portrait.occupancy.see = named("marching", portrait.occupancy.see)
    portrait_module.composite = named("compositing", portrait_module.composite)


def by_part(events: list) -> dict[str, list[float]]:
    """Milliseconds forwards and backwards of each part, from a profile.

    A backward operation belongs to the part whose forward operation it undoes.
    """
    ranges = sorted(
        (event for event in events if event.name.startswith(_PART)),
        key=lambda event: event.time_range.end - event.time_range.start,
    )
    milliseconds: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    part_of_sequence = {}
    for event in events:
        backward = event.name.startswith("autograd::engine::evaluate_function")
        if event.sequence_nr >= 0 and not backward:
            for part in ranges:  # innermost first
                if part.thread == event.thread and (
                    part.time_range.start <= event.time_range.start < part.time_range.end
                ):
                    part_of_sequence[event.sequence_nr] = part.name.removeprefix(_PART)
                    break
    for part in ranges:
        own = part.time_range.end - part.time_range.start
        inner = [
            other for other in ranges
            if other is not part and part.time_range.start <= other.time_range.start
            and other.time_range.end <= part.time_range.end
        ]  # fmt: skip
        # Only those directly inside: what lies deeper is taken from them.
        direct = [
            other for other in inner
            if not any(
                middle is not other and middle.time_range.start <= other.time_range.start
                and other.time_range.end <= middle.time_range.end
                for middle in inner
            )
        ]  # fmt: skip
        own -= sum(other.time_range.end - other.time_range.start for other in direct)
        milliseconds[part.name.removeprefix(_PART)][0] += own / 1e3
    for event in events:
        if event.name.startswith("autograd::engine::evaluate_function"):
            part = part_of_sequence.get(event.sequence_nr, "losses, gathering, the rest")
            milliseconds[part][1] += (event.time_range.end - event.time_range.start) / 1e3
    return milliseconds


def main() -> None:
    torch.set_num_threads(ARGUMENTS.threads)
    keep_freed_memory()
    scene = scene_of(ARGUMENTS.clip, ARGUMENTS.speech)
    options = preset(ARGUMENTS.preset)
    clip = Clip.of(scene, torch.device("cpu"))
    portrait = new_portrait(scene, options["model"], "numba", clip.device, 0)
    targets, train_frames = head_targets.HeadTargets(clip), scene.train_frames
    portrait.occupancy.carve(head_targets.possible_cells(portrait, targets, train_frames))
    settings = options_of(HeadOptions, options["head"])
    groups = head.head_parameters(portrait, options_of(FieldOptimiser, options["head"]))
    adam = torch.optim.AdamW(
        [{"params": group.parameters, "lr": group.learning_rate} for group in groups],
        betas=(options["head"]["beta1"], options["head"]["beta2"]), weight_decay=0, fused=True,
    )  # fmt: skip
    generator = torch.Generator().manual_seed(0)
    lip_features = told_lips(portrait, clip)
    name_parts(portrait, targets)
    n_samples = []
    portrait.head.register_forward_pre_hook(lambda _, inputs: n_samples.append(len(inputs[0])))

    def step() -> None:
        with record_function(_PART + "losses, gathering, the rest"):
            batch = head.sample_batch(targets, train_frames, settings, generator)
            found = head.head_step(
                portrait, clip, lip_features, targets, batch, settings, 0.5, generator
            )
        adam.zero_grad()
        found.total.backward()
        with record_function(_PART + "optimiser"):
            adam.step()

    for i in range(ARGUMENTS.before):
        if settings.occupancy_every and i and i % settings.occupancy_every == 0:
            head.update_occupancy(
                portrait, clip, lip_features, train_frames, settings.hide, generator
            )
        step()
    clocks, busy = [], []
    n_samples.clear()
    for _ in range(ARGUMENTS.steps):
        started, started_busy = time.perf_counter(), time.process_time()
        step()
        clocks.append(1e3 * (time.perf_counter() - started))
        busy.append(1e3 * (time.process_time() - started_busy))
    where = ARGUMENTS.clip.name if ARGUMENTS.clip else "made clip"
    print(
        f"{where}, {scene.width} px, preset {ARGUMENTS.preset}, {ARGUMENTS.threads} threads, after "
        f"{ARGUMENTS.before} steps: {sorted(clocks)[len(clocks) // 2]:.1f} ms a step on the clock "
        f"(median), {sorted(busy)[len(busy) // 2]:.1f} ms of processor"
    )
    print(
        f"{sum(n_samples) / len(n_samples):.0f} samples a step, "
        f"{sum(n_samples) / len(n_samples) / settings.rays_per_step:.1f} a ray, "
        f"{portrait.occupancy.is_occupied.float().mean().item():.3f} of the cells occupied"
    )
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(ARGUMENTS.steps):
            step()
    print_parts(profiler)


def print_parts(profiler: profile) -> None:
    """Milliseconds a step of each part, and torch's own table."""
    parts = by_part(list(profiler.events()))
    total = sum(map(sum, parts.values()))
    print(f"{'part':30s} {'forward':>9s} {'backward':>9s} {'share':>6s}   (ms a step)")
    for part, (forward, backward) in sorted(parts.items(), key=lambda item: -sum(item[1])):
        print(
            f"{part:30s} {forward / ARGUMENTS.steps:9.2f} {backward / ARGUMENTS.steps:9.2f} "
            f"{(forward + backward) / total:6.1%}"
        )
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=16,
                                        max_name_column_width=50))  # fmt: skip


if __name__ == "__main__":
    main()
