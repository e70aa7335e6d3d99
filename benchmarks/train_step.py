"""One step of head training on the CPU, by part.

python benchmarks/train_step.py [threads] [steps before]
Runs on the made clip of the tests, enlarged, with the preset `fast`; prints milliseconds a step,
samples a ray and the operations that take the time.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
N_THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 1
os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = str(N_THREADS)

import time  # noqa: E402

import torch  # noqa: E402
from torch.profiler import ProfilerActivity, profile  # noqa: E402

from tests.training import tiny_scene  # noqa: E402
from tests.training.conftest import preset  # noqa: E402
from wildtalker_core.training import head, mouth  # noqa: E402
from wildtalker_core.training.build import new_portrait, options_of  # noqa: E402
from wildtalker_core.training.clip import Clip  # noqa: E402
from wildtalker_core.training.optimise import keep_freed_memory  # noqa: E402


def main(n_before: int = 300) -> None:
    torch.set_num_threads(N_THREADS)
    keep_freed_memory()
    tiny_scene.SIZE, tiny_scene.FOCAL_LENGTH = 200, 400.0
    scene, options = tiny_scene.make_scene(), preset("fast")
    clip = Clip.of(scene, torch.device("cpu"))
    portrait = new_portrait(scene, options["model"], "numba", clip.device, 0)
    shapes = torch.as_tensor(mouth.measure_mouth(scene, 8)[0], dtype=torch.float32)
    targets, train_frames = head.HeadTargets(clip), scene.train_frames
    portrait.occupancy.carve(head.possible_cells(portrait, targets, train_frames))
    settings = options_of(head.HeadOptions, options["head"])
    grids, nets = head.head_parameters(portrait)
    adam = torch.optim.AdamW([*grids, *nets], lr=3e-3, fused=True)
    generator = torch.Generator().manual_seed(0)

    def lip_features(frames):
        return portrait.mouth_to_lip(shapes[frames])

    def step():
        batch = head.sample_batch(targets, train_frames, settings, generator)
        loss, _ = head.head_step(
            portrait, clip, lip_features, targets, batch, settings, 0.5, generator
        )
        adam.zero_grad()
        loss.backward()
        adam.step()

    for i in range(n_before):
        if i and i % settings.occupancy_every == 0:
            head.update_occupancy(
                portrait, clip, lip_features, train_frames, settings.hide, generator
            )
        step()
    started, busy = time.perf_counter(), time.process_time()
    for _ in range(20):
        step()
    wall, busy = time.perf_counter() - started, time.process_time() - busy
    print(f"{N_THREADS} threads: {50 * wall:.0f} ms a step ({50 * busy:.0f} ms of CPU)")
    print(f"occupied {portrait.occupancy.is_occupied.float().mean().item():.3f}")
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(5):
            step()
    print(profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12))


if __name__ == "__main__":
    main(*map(int, sys.argv[2:]))
