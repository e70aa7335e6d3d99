"""Hash grid: numba against the plain definition, as a ratio in one run.

python benchmarks/hash_grid.py [samples]
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from wildtalker_core.nerf import hash_grid, hash_grid_numba
from wildtalker_core.nerf.hash_grid import HashGridShape


def milliseconds(look_up, positions, tables, shape, weights, repeats: int) -> float:
    """Forward and backward, least of ``repeats``."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        features = look_up(positions, tables, shape)
        torch.autograd.grad((features * weights).sum(), tables)
        times.append(time.perf_counter() - started)
    return 1e3 * min(times)


def main(n_samples: int = 16384) -> None:
    shape, generator = HashGridShape(), torch.Generator().manual_seed(0)
    positions = torch.rand(3, n_samples, 2, generator=generator)
    tables = torch.randn(3, shape.n_entries, 1, generator=generator).requires_grad_()
    weights = torch.randn(n_samples, 3 * shape.n_features, generator=generator)
    hash_grid_numba.look_up(positions[:, :8], tables, shape).sum().backward()  # compiles
    plain = milliseconds(hash_grid.look_up, positions, tables, shape, weights, 3)
    fast = milliseconds(hash_grid_numba.look_up, positions, tables, shape, weights, 20)
    difference = (
        (
            hash_grid.look_up(positions, tables, shape)
            - hash_grid_numba.look_up(positions, tables, shape)
        )
        .abs()
        .max()
        .item()
    )
    print(f"{n_samples} points x 3 planes x 12 levels, {torch.get_num_threads()} threads")
    print(f"torch {plain:.1f} ms, numba {fast:.1f} ms, ratio {plain / fast:.0f}")
    print(f"largest difference of features {difference:.1e}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
