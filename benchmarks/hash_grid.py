"""Hash grid: the fast encoders against the plain definition, as a ratio in one run.

python benchmarks/hash_grid.py [samples] [threads] [rounds]

Times looking up and its gradient with respect to the tables, and then with respect to the positions
too, for planes as the head has them, for the torso's grid and for a 3-D grid. Encoders take turns;
of all calls the quickest counts. On a CPU both the time on the clock and the processor time
are printed: on a machine that is busy with something else, only the second means anything, and with
more than one thread neither does. On a CUDA device tables of float16 are timed as well.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from collections.abc import Callable

import torch

from wildtalker_core.errors import InputError
from wildtalker_core.nerf import hash_grid
from wildtalker_core.nerf.encoders import look_up_of, resolve_encoder
from wildtalker_core.nerf.hash_grid import HashGridShape
from wildtalker_core.training.build import device_name
from wildtalker_core.training.optimise import keep_freed_memory

_IN_A_ROW = 3  # calls of one encoder before it is the next one's turn

GRIDS = {
    "3 planes x 12 levels x 1 feature": (3, HashGridShape()),
    "1 plane x 16 levels x 2 features": (1, HashGridShape(2, 16, 2, 16, 16, 2048)),
    "1 volume x 16 levels x 2 features": (1, HashGridShape(3, 16, 2, 16, 16, 2048)),
}


def seconds(run, device: torch.device) -> tuple[float, float]:
    """Clock and processor time of one call."""
    started, busy = time.perf_counter(), time.process_time()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started, time.process_time() - busy


def main(n_samples: int = 16384, n_threads: int = 0, n_rounds: int = 20) -> None:
    torch.set_num_threads(n_threads or torch.get_num_threads())
    keep_freed_memory()  # as training does
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    encoders = []
    for name in ("numba", "triton"):
        try:
            encoders.append(resolve_encoder(name, device))
        except InputError as error:
            print(f"{name} is left out: {error}")
    threads = f"{torch.get_num_threads()} threads"
    print(f"{device_name(device)}, {threads}, {n_samples} points, {n_rounds} rounds")
    for title, (n_grids, shape) in GRIDS.items():
        for needs_positions in (False, True):
            compare(title, n_grids, shape, needs_positions, encoders, n_samples, n_rounds, device)


def compare(
    title: str,
    n_grids: int,
    shape: HashGridShape,
    needs_positions: bool,
    encoders: list[str],
    n_samples: int,
    n_rounds: int,
    device: torch.device,
) -> None:
    generator = torch.Generator().manual_seed(0)
    positions = torch.rand(n_grids, n_samples, shape.n_dims, generator=generator).to(device)
    size = (n_grids, shape.n_entries, shape.n_features_per_level)
    tables = torch.randn(size, generator=generator).to(device)
    weights = torch.randn(n_samples, n_grids * shape.n_features, generator=generator).to(device)
    variants: dict[str, tuple[Callable, torch.Tensor]] = {"torch": (hash_grid.look_up, tables)}
    for name in encoders:
        variants[name] = (look_up_of(name), tables)
        if name == "triton" and device.type == "cuda":
            variants["triton float16"] = (look_up_of(name), tables.half())
    runs, features = {}, {}
    for name, (look_up, its_tables) in variants.items():
        inputs = [its_tables.requires_grad_()]
        inputs += [positions.requires_grad_()] if needs_positions else []

        def run(look_up=look_up, its_tables=its_tables, inputs=inputs, name=name):
            features[name] = look_up(positions, its_tables, shape)
            torch.autograd.grad(features[name], inputs, weights.to(features[name].dtype))

        runs[name] = run
        run()  # compiles
    clock: dict[str, list[float]] = {name: [] for name in runs}
    busy: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(n_rounds):
        for name, run in runs.items():
            for _ in range(_IN_A_ROW):
                one_clock, one_busy = seconds(run, device)
                clock[name].append(1e3 * one_clock)
                busy[name].append(1e3 * one_busy)
    print(f"{title}, gradient of {'tables and positions' if needs_positions else 'tables'}:")
    for name in runs:
        line = f"  {name:14s} {min(clock[name]):8.2f} ms on the clock"
        if device.type == "cpu":
            line += f", {min(busy[name]):8.2f} ms of processor"
        if name != "torch":
            line += f"; ratio {min(clock['torch']) / min(clock[name]):.1f}"
            if device.type == "cpu":
                line += f" and {min(busy['torch']) / min(busy[name]):.1f}"
            difference = (features[name] - features["torch"]).abs().max().item()
            line += f"; largest difference of features {difference:.0e}"
        print(line)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
